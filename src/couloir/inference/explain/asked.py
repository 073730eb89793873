"""Which network the words of `couloir explain` name, and whether it can be explained so. Nothing here imports torch."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from couloir.config.check import checked
from couloir.config.fields import fields_of, input_field
from couloir.config.finished import Opened, asked_runs
from couloir.config.metrics import MAKING, task_of
from couloir.config.resolvers import run_name
from couloir.errors import CouloirError
from couloir.inference.explain.words import KINDS, RECORD, USED_BY, VIDEO, Wanted, check_used, chosen_methods
from couloir.inference.sampling.words import overrides_among
from couloir.record.files import check_writable
from couloir.record.find import find_trained, outputs_of


@dataclass(frozen=True)
class Explained:
    """What is explained.

    Attributes:
        cfg: its configuration.
        run: the folder of a run, or one of its checkpoints; None: a sentence with weights.
        folder: the folder of the run; of a sentence, the current one.
        name: what it is called in messages.
        inputs: the words that name files.
        has_data: of a sentence, whether it says where its data is.
        choices: of a sentence, the choice of each group.
    """

    cfg: Any
    run: Path | None
    folder: Path
    name: str
    inputs: list[str]
    has_data: bool
    choices: Mapping[str, Any]


def explained(words: Sequence[str], opened: Opened) -> Explained:
    """The run or the sentence that words name, and the inputs behind it.

    Args:
        words: what was typed, without flags.
        opened: what may be changed of a run.

    Raises:
        CouloirError: nothing is named, there is no such run, or the sentence has a mistake or no weights.
    """
    named, overrides = overrides_among(words)
    if not words:
        raise CouloirError("No run is named.", next_step="couloir explain latest photo.jpg")
    outputs = outputs_of(overrides)
    if words[0] in named:
        runs, folders, cfgs = asked_runs(named[:1], outputs, overrides, opened)
        return Explained(cfgs[0], runs[0], folders[0], f"The run {folders[0].name}", list(named[1:]), True, {})
    sentence = checked(list(overrides), reads_data=False)
    cfg = sentence.cfg
    if cfg.model.get("weights") is None and not cfg.model.get("pretrained") and not _is_known(cfg.model):
        raise CouloirError(
            "The network of this sentence has no weights, so there is nothing that it has learned.",
            next_step="add model.weights=imagenet, a run or a file; or name a run: couloir explain latest",
        )
    raw = OmegaConf.to_container(cfg.data, resolve=False)
    assert isinstance(raw, dict)
    return Explained(cfg, None, Path(), "The sentence", list(named), "???" not in raw.values(), sentence.choices)


def _is_known(model: Mapping[str, Any]) -> bool:
    """Whether a network has nothing to learn: kernels that are known, and no layer behind them."""
    return (
        model.get("_target_") == "couloir.model.kernels.kernels"
        and model.get("learn") is False
        and model.get("head") in ("none", "mean")
    )


def check_task(cfg: Any, name: str) -> None:
    """Whether there is an answer that can be explained.

    Raises:
        CouloirError: the task makes samples, or the inputs are of a kind that no method takes.
    """
    task = task_of(cfg)
    if task in MAKING:
        raise CouloirError(
            f"{name} has task={task}: it makes samples, and gives no answer that could be explained.",
            next_step="couloir sample shows its codes (--latent) and what it makes; couloir predict its errors",
        )
    kind = kind_of(cfg)
    if kind not in KINDS:
        raise CouloirError(
            f"{name} takes inputs of kind {kind}; {', '.join(KINDS.values())} can be explained.",
            next_step="couloir predict asks it about new inputs",
        )
    if kind == VIDEO and "future" in fields_of(cfg.data).values():
        raise CouloirError(
            f"{name} forecasts frames: its answer is a video, and no score that could be explained.",
            next_step="couloir predict and the report show the frames",
        )


def kind_of(cfg: Any) -> str:
    """The kind of the inputs that a run takes."""
    fields = fields_of(cfg.data)
    return str(fields[input_field(fields)])


HAVE = {"attention": ("gpt", "transformer", "transformer_encoder"), "gates": ("gru", "lstm")}
"""Networks here that have what a method shows; of a network of the user's own that is seen when it is there."""


def check_possible(methods: Sequence[str], cfg: Any, text: str) -> None:
    """Whether a run has what the methods that are named show.

    Args:
        methods: those that are used.
        cfg: the run's configuration.
        text: what was typed.

    Raises:
        CouloirError: it has not.
    """
    module, _, model = str(cfg.model.get("_target_")).rpartition(".")
    for name in (each for each in methods if each in text.replace("-", "_").replace(" ", "").split(",")):
        next_step = f"leave the method {name} out"
        if name == "horizons" and "future" not in fields_of(cfg.data).values():
            raise CouloirError("The run forecasts nothing, so there are no steps to come.", next_step=next_step)
        if name in HAVE and module.startswith("couloir.model.sequence") and model not in HAVE[name]:
            raise CouloirError(
                f"The method {name} needs one of the networks {', '.join(HAVE[name])}, and the run has model={model}.",
                next_step=next_step,
            )


def wanted(flags: Mapping[str, Any], explained: Explained) -> Wanted:
    """What flags ask for.

    Raises:
        CouloirError: a flag has a value that it cannot have, or names a run that is not there.
    """
    cfg = explained.cfg
    text = flags["--methods"]
    methods = chosen_methods(text, kind_of(cfg))
    check_possible(methods, cfg, text or "")
    named = tuple(name for name in methods if name in (text or "").replace("-", "_").replace(" ", "").split(","))
    split = flags["--split"] or "val"
    if split not in ("train", "val", "test"):
        raise CouloirError(f"There is no split '{split}'.", next_step="--split train, val or test")
    against = None
    if flags["--against"] is not None:
        against = find_trained(flags["--against"], cfg.output_dir)
        if "random_labels" not in methods:
            methods, named = (*methods, "random_labels"), (*named, "random_labels")
    elif "random_labels" in named:
        raise CouloirError(
            "random_labels compares with a run whose labels were random, and none is named.", next_step="--against RUN"
        )
    epsilon = None if flags["--epsilon"] is None else _fraction(flags["--epsilon"])
    for flag in USED_BY:
        if flags[flag] is not None:
            check_used(flag, methods, kind_of(cfg))
    layers = tuple(word.strip() for word in (flags["--layer"] or "").split(",") if word.strip())
    output = Path(cfg.output_dir) / "explain" / run_name() if flags["--output"] is None else Path(flags["--output"])
    return Wanted(
        methods, output.expanduser(), named, layers, flags["--class"], flags["--unit"], flags["--count"] or 4, split,
        flags["--most"] or 0, epsilon, against,
        flags["--seed"],
    )  # fmt: skip


def _fraction(text: str) -> float:
    """A number in (0, 1), or a fraction: 0.03, 8/255.

    Raises:
        CouloirError: it is none.
    """
    above, slash, below = text.partition("/")
    try:
        value = float(above) / (float(below) if slash else 1.0)
    except (ValueError, ZeroDivisionError):
        value = math.nan
    if not 0 < value < 1:
        raise CouloirError(
            f"--epsilon takes a number between 0 and 1 in pixels of [0, 1], not {text}.", next_step="--epsilon 8/255"
        )
    return value


def check_shown(explained: Explained, flags: Mapping[str, Any]) -> None:
    """Whether there is something to explain, and nothing is asked for in vain.

    Raises:
        CouloirError: there is not, or is.
    """
    if explained.inputs and flags["--count"] is not None:
        raise CouloirError(
            "--count is of test samples, and inputs are named.", next_step="leave --count out, or the inputs"
        )
    if explained.run is None and not explained.inputs and not explained.has_data:
        raise CouloirError(
            "No photograph is named, and the sentence does not say where its data is.",
            next_step="name photographs behind the sentence, or add data.root=FOLDER",
        )


def check_place(place: Path, own: bool) -> None:
    """Whether the page can be written there, and replaces nothing but another one.

    Args:
        place: the folder.
        own: whether it is Couloir's own choice, and not one that the user has named.

    Raises:
        CouloirError: it cannot, or does.
    """
    if not own and os.path.lexists(place):
        if not place.is_dir():
            raise CouloirError(f"--output {place} is a file.", next_step="name a folder")
        if any(place.iterdir()) and not (place / RECORD).is_file():
            raise CouloirError(
                f"--output {place} is there already, and is neither empty nor a page of `couloir explain`.",
                next_step="name another folder",
            )
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CouloirError(
            f"{place} cannot be made: {error.strerror}.", place=str(error.filename),
            next_step="--output names a folder that can be written to",
        ) from error  # fmt: skip
    check_writable(place / RECORD)
