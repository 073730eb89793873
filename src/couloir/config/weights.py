"""The weights that a network begins with: by name, of a run, or in a file; and what the data must be for them.

A network's YAML file says in header lines which weights its reference has published:

    # Weights: imagenet1k_v1 inception_v3_google-0cc3c7bd.pth sha256=0cc3c7bd mean=0.5 std=0.5 (transform_input=false)

A name, a file, the SHA-256 of its bytes or the beginning of it, the mean and the deviation that its training subtracted
and divided by (left out: ImageNet's), and the keys of the model that make the network which the file is of. Nothing
here imports torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from couloir.config import contract, tree
from couloir.config.fields import fields_of
from couloir.errors import CouloirError, did_you_mean, display
from couloir.machine import cache_folder
from couloir.record import safetensors
from couloir.record.checkpoint import FOLDER
from couloir.record.columns import read_columns
from couloir.record.find import CHECKPOINT
from couloir.record.provenance import read_provenance

if TYPE_CHECKING:
    from couloir.download import Remote

ADDRESS = "https://download.pytorch.org/models/"
"""Where the files are that the ecosystem's reference implementations have published."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's training photographs in [0, 1], red, green and blue, as these files were trained with."""
CHANNELS = len(MEAN)
TIMM = "couloir.model.timm.timm"
"""The target of networks whose weights, and what belongs to them, another library knows."""
NEWEST = "imagenet"
"""The name of the newest weights of a network."""
MARK = "Weights:"
LINE = re.compile(
    r"(?P<name>\w+) +(?P<file>[\w.-]+-(?P<start>[0-9a-f]{8})\.\w+)(?: +sha256=(?P<sha256>[0-9a-f]{8,64}))?"
    r"(?: +mean=(?P<mean>[\d.]+))?(?: +std=(?P<std>[\d.]+))?(?: +\((?P<keys>[^()]*)\))?"
)


@dataclass(frozen=True)
class Published:
    """Weights that a network's reference has published.

    Attributes:
        name: what `model.weights` calls them.
        file: their file's name, which ends in the beginning of its SHA-256.
        sha256: of the file's bytes, all of it where it is known.
        mean: the channels' means, of images in [0, 1].
        std: their deviations.
        keys: of the model, and what they must be.
    """

    name: str
    file: str
    sha256: str
    mean: list[float] = field(default_factory=lambda: list(MEAN))
    std: list[float] = field(default_factory=lambda: list(STD))
    keys: dict[str, Any] = field(default_factory=dict)

    @property
    def remote(self) -> Remote:
        """Where it can be downloaded."""
        from couloir.download import Remote  # and so what speaks to servers: sentences do without it

        return Remote(self.file, self.sha256, (ADDRESS,), "sha256")

    def fits(self, model: Mapping[str, Any]) -> bool:
        """Whether a model's keys make the network that the file is of."""
        return all(model.get(key, value) == value for key, value in self.keys.items())


def folder() -> Path:
    """Where downloaded weights are kept."""
    return cache_folder(None) / "weights"


def published(file: Path) -> list[Published]:
    """What a model's YAML file says of published weights, in its order.

    Raises:
        CouloirError: a line cannot be read.
    """
    return [_published(line, file) for line in tree.header(file) if line.startswith(MARK)]


def _published(line: str, file: Path) -> Published:
    read = LINE.fullmatch(line.removeprefix(MARK).strip())
    if read is None or not (read["sha256"] or read["start"]).startswith(read["start"]):
        number = next(at for at, text in enumerate(tree.read_text(file).splitlines(), 1) if text.endswith(line))
        raise CouloirError(
            f"The line '{line}' cannot be read.",
            place=f"{display(file)}, line {number}",
            next_step="# Weights: NAME FILE-01234567.pth sha256=0123456789... mean=0.5 std=0.5 (KEY=VALUE)",
        )
    pairs = [pair.partition("=") for pair in (read["keys"] or "").split(",") if pair.strip()]
    given = {part: [float(read[part])] * CHANNELS for part in ("mean", "std") if read[part]}
    keys = {key.strip(): yaml.safe_load(value) for key, _, value in pairs}
    return Published(read["name"], read["file"], read["sha256"] or read["start"], keys=keys, **given)


def published_for(target: str) -> list[Published]:
    """The published weights of a network, by the target that makes it."""
    for file in tree.choices("model").values():
        if MARK in tree.read_text(file):
            named = next((key.default for key in contract.read_keys(file) if key.path == "_target_"), None)
            if named == target:
                return published(file)
    return []


def names_for(model: Mapping[str, Any]) -> list[str]:
    """What `model.weights` may be called for a model with these keys: `imagenet`, and each name."""
    of = _encoder_of(model)
    names = [each.name for each in published_for(str(of.get("_target_"))) if each.fits(of)]
    return [NEWEST, *dict.fromkeys(names)] if names else []


def _encoder_of(model: Mapping[str, Any]) -> Mapping[str, Any]:
    """The node of the network that the weights of a model are for: where it has another one as its encoder, that."""
    inner = model.get("network")
    return inner if isinstance(inner, Mapping) and "_target_" in inner else model


def named(model: Mapping[str, Any], word: str | None = None) -> Published | None:
    """The published weights that `model.weights` names; None where it is no name of this network's.

    Args:
        model: the node of the model.
        word: instead of what the node says.

    Raises:
        CouloirError: the network has weights of this name, but not with these keys.
    """
    word = model.get("weights") if word is None else word
    if not isinstance(word, str):
        return None
    of = _encoder_of(model)
    typed = typed_keys if of is model else _typed_keys_of_encoder
    found = published_for(str(of.get("_target_")))
    called = [each for each in found if word in (each.name, NEWEST)]
    fitting = [each for each in called if each.fits(of)]
    if called and not fitting:
        ways = " or ".join(dict.fromkeys(typed(each.keys) for each in called))
        raise CouloirError(
            f"The weights {word} are of the network with {ways}; this one has {typed(_others(called, of))}.",
            place=f"model.weights={word}",
            next_step=f"{ways}, or leave model.weights={word} out",
        )
    return fitting[-1] if fitting else None


def _others(called: Sequence[Published], model: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a model that are not what published weights need."""
    return {key: model.get(key) for each in called for key, value in each.keys.items() if model.get(key) != value}


def _typed_keys_of_encoder(keys: Mapping[str, Any]) -> str:
    """Keys of the network that is an encoder as they are typed."""
    inner = ",".join(word.removeprefix("model.").replace("=", ":") for word in typed_keys(keys).split(" "))
    return f"model.encoder_keys={{{inner}}}"


def typed_keys(keys: Mapping[str, Any]) -> str:
    """Keys of the model as they are typed."""
    return " ".join(
        f"model.{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in keys.items()
    )


def unknown(model: Mapping[str, Any], choice: str | None, next_step: str | None = None) -> CouloirError:
    """What is said of a word that is no name of the network's weights, no run and no file.

    Args:
        model: the node of the model.
        choice: the model, as it was typed.
        next_step: what is said where a run was meant.
    """
    word = str(model.get("weights"))
    names = names_for(model)
    called = f"model={choice}" if choice else "this network"
    there = f"{called} has {', '.join(names)}" if names else f"{called} has no weights by name"
    hint = did_you_mean(word, names, form="model.weights={}")
    if next_step and next_step.startswith("did you mean"):
        hint = hint or next_step.replace("did you mean ", "did you mean model.weights=")
    return CouloirError(
        f"There are no weights '{word}': {there}, and there is no run and no file of this name.",
        place=f"model.weights={word}",
        next_step=hint or "a name, the folder of a run, or a file (.pth, .ckpt, .safetensors)",
    )


def check_channels(model: Mapping[str, Any], channels: Any) -> None:
    """Published weights see colour images, and one channel where theirs are summed.

    Raises:
        CouloirError: the data has other channels.
    """
    found = named(model)
    adapt = model.get("adapt_channels")
    if found is None or channels == (1 if adapt == "sum" else CHANNELS):
        return
    summed = "model.adapt_channels=sum adds up its input channels, or " if channels == 1 and adapt is None else ""
    raise CouloirError(
        f"The weights {found.name} are for {CHANNELS} channels, and the data has {channels}.",
        place=f"model.weights={found.name}" + (f" model.adapt_channels={adapt}" if adapt else ""),
        next_step=f"{summed}data.channels={CHANNELS}",
    )


@dataclass(frozen=True)
class Prepared:
    """How the inputs of weights were prepared when they were trained.

    Attributes:
        of: the weights, in words.
        mean: the channels' means; None where nobody says.
        std: their deviations.
        classes: what their outputs stand for, in order; None where nobody says.
    """

    of: str
    mean: list[float] | None = None
    std: list[float] | None = None
    classes: list[str] | None = None


def prepared(model: Mapping[str, Any]) -> Prepared | None:
    """How the inputs of `model.weights` were prepared, as far as anybody says it; None without weights.

    Raises:
        CouloirError: a .safetensors file is damaged.
    """
    word = model.get("weights")
    if not isinstance(word, str):
        return None
    if (found := named(model)) is not None:
        return Prepared(f"the weights {found.name}", found.mean, found.std)
    file = Path(word).expanduser()
    if file.suffix == safetensors.ENDING and file.is_file():  # a run that goes on needs it no more
        return _stated(f"the file {file.name}", safetensors.read_header(file).facts)
    if file.suffix == CHECKPOINT and file.parent.name == FOLDER:
        run = file.parent.parent
        return _stated(f"the run {run.name}", read_provenance(run, strict=False).get("data") or {})
    return Prepared(f"the file {file.name}")


def other_columns(model: Mapping[str, Any], columns: Sequence[Mapping[str, str]]) -> str | None:
    """A sentence where the run whose weights a network begins with learned from other columns of a table.

    Args:
        model: the node of the model.
        columns: the rows of the table's `columns.csv`.
    """
    file = Path(str(model.get("weights"))).expanduser()
    if file.suffix != CHECKPOINT or file.parent.name != FOLDER:
        return None
    run = file.parent.parent
    theirs, ours = _inputs_and_targets(read_columns(run)), _inputs_and_targets(columns)
    if not any(theirs):
        return None
    for what, one, other in zip(("input", "target"), theirs, ours, strict=True):
        for place, (their, our) in enumerate(zip_longest(one, other, fillvalue="none")):
            if their != our:
                return (
                    f"the run {run.name}, whose weights these are, had {their} where {what} {place + 1} is {our} here"
                )
    return None


def _inputs_and_targets(columns: Sequence[Mapping[str, str]]) -> tuple[list[str], list[str]]:
    inputs = [name for row in columns if row["inputs"] for name in row["inputs"].split("; ")]
    return inputs, [row["column"] for row in columns if row["kind"] == "target"]


def _stated(of: str, facts: Mapping[str, Any]) -> Prepared:
    classes = facts.get("classes")
    known = [str(name) for name in classes] if isinstance(classes, list) and classes else None
    mean, std = _numbers(facts.get("mean")), _numbers(facts.get("std"))
    if mean is None or std is None or len(mean) != len(std) or min(std) <= 0:
        return Prepared(of, classes=known)
    return Prepared(of, mean, std, known)


def _numbers(value: Any) -> list[float] | None:
    is_list = isinstance(value, list) and value and all(isinstance(entry, int | float) for entry in value)
    return [float(entry) for entry in value] if is_list else None


def statistics(model: Mapping[str, Any], data: Mapping[str, Any]) -> tuple[list[float], list[float]] | None:
    """Mean and deviation, one a channel of the data, that its images need for `model.weights`; None: nobody says.

    Weights for three channels whose first convolution is summed into one (`adapt_channels=sum`) get the mean of the
    three means and of the three deviations; weights for one that see the mean of several get the same for each.
    """
    known, channels = prepared(model), data.get("channels")
    if known is None or known.mean is None or known.std is None or "image" not in fields_of(data).values():
        return None
    mean, std = known.mean, known.std
    if model.get("adapt_channels") == "sum" and channels == 1:
        mean, std = ([round(sum(values) / len(values), 6)] for values in (mean, std))
    elif model.get("adapt_channels") == "mean" and len(mean) == 1 and isinstance(channels, int):
        mean, std = mean * channels, std * channels
    return (mean, std) if len(mean) == channels else None


def asks_timm(model: Mapping[str, Any]) -> bool:
    """Whether timm is to say how the inputs of a network's weights are standardised, once it is imported."""
    if model.get("_target_") != TIMM:
        return False
    known = prepared(model)
    return bool(model.get("pretrained")) or (known is not None and known.mean is None)


def in_words(
    model: Mapping[str, Any], data: Mapping[str, Any], mean: Sequence[float] | None, std: Sequence[float] | None
) -> str:
    """How the inputs of a network with weights are standardised, and why so; empty without weights.

    Args:
        model: the node of the model.
        data: the node of the data.
        mean: the channels' means that the run subtracts; None: the data comes from a module that does what it likes.
        std: the deviations that it divides by.
    """
    known, from_timm = prepared(model), asks_timm(model)
    if (known is None and not from_timm) or "image" not in fields_of(data).values():
        return ""
    if mean is None or std is None:
        theirs = "" if known is None or known.mean is None else f"; {known.of} had {_pair(known.mean, known.std or ())}"
        return f"inputs: as the data's own module hands them out{theirs}"
    now = _pair(mean, std)
    if from_timm:
        own = data.get("mean") is None and data.get("std") is None and data.get("standardize", True)
        return f"inputs: {now}, as {'timm has them for ' + str(model.get('name')) if own else 'the sentence says'}"
    assert known is not None
    needed = statistics(model, data)
    if needed is None:
        if known.mean is not None:
            return f"inputs: {now}; {known.of} had {_pair(known.mean, known.std or ())}"
        words = f"data.mean={_typed(MEAN)} data.std={_typed(STD)}"
        return f"inputs: {now}; nobody says how those of {known.of} were standardised (ImageNet's: {words})"
    if list(mean) != needed[0] or list(std) != needed[1]:
        return f"inputs: {now}, as the sentence says; {known.of} had {_pair(*needed)}"
    if len(needed[0]) < len(known.mean or ()):
        theirs = _pair(known.mean or (), known.std or ())
        return f"inputs: {now}; the first convolution sees in them what {known.of} saw in {theirs}"
    return f"inputs: {now}, as {known.of} had them"


def _pair(mean: Sequence[float], std: Sequence[float]) -> str:
    return f"mean {_typed(mean)}, deviation {_typed(std)}"


def _typed(values: Sequence[float]) -> str:
    return "[" + ",".join(f"{value:.4g}" for value in values) + "]"
