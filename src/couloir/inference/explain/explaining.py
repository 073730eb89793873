"""`couloir explain`: the network and the samples, each method in turn, and what they leave in a folder."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, open_dict
from torch import Tensor

from couloir.artifacts.layer_table import layers
from couloir.config.image_size import input_size
from couloir.errors import CouloirError, display
from couloir.inference.begun import Begun, BegunWithData
from couloir.inference.class_words import class_number
from couloir.inference.explain.answer import answered
from couloir.inference.explain.asked import Explained, kind_of
from couloir.inference.explain.exhibit import Exhibit
from couloir.inference.explain.imagenet import imagenet
from couloir.inference.explain.page import as_png, page_of
from couloir.inference.explain.steps.sequences import OverSteps, sequences_shown
from couloir.inference.explain.subject import Shown, Subject
from couloir.inference.explain.words import PAGE, RECORD, STEPS, USED_BY, Wanted
from couloir.inference.given import given
from couloir.inference.inputs import Inputs
from couloir.inference.predictor import Predictor
from couloir.inference.trained import Trained
from couloir.log import say, warnings_told
from couloir.ragged import moved, rows_of
from couloir.record.files import as_json, write_atomically
from couloir.task.dense import Dense

Method = Callable[[Subject, Shown, Wanted], list[Exhibit]]
MOST, LEAST, MULTIPLY_ADDS = 1000, 50, 2e11
"""Samples of a split that are looked at where nobody says: at most, at least, and what all of them may cost."""
SAID = 12
"""Samples whose answers are printed."""


def explain(explained: Explained, wanted: Wanted, found: Inputs | None, sentence: str) -> dict[str, Any]:
    """Explain, write the page, print where it is, and return the facts.

    Args:
        explained: the run or the sentence.
        wanted: what is asked for.
        found: the files that are named; None: samples of a split are explained.
        sentence: what was typed.

    Raises:
        CouloirError: a method that was named cannot be used, or the page cannot be written.
    """
    notes: list[str] = []
    with warnings_told():
        trained = _trained(explained, wanted, found is None, notes)
        subject = OverSteps(trained) if kind_of(explained.cfg) in STEPS else Subject(trained)
        if not wanted.most:
            wanted = replace(wanted, most=_affordable(subject, explained.cfg))
        for layer in wanted.layers:
            subject.layer(layer)  # refused before work that it has no part in
        shown = _shown(subject, wanted, found, notes)
        exhibits = answered(subject, shown, wanted)
        seconds: dict[str, float] = {}
        left_out: dict[str, CouloirError] = {}
        for name in wanted.methods:
            start = time.perf_counter()
            try:
                exhibits += _function(name, subject.kind)(subject, shown, wanted)
            except CouloirError as error:
                if name in wanted.named:
                    raise
                notes.append(f"{name}: {error.fact}")
                left_out[name] = error
                continue
            seconds[name] = round(time.perf_counter() - start, 3)
    _check_flags(wanted, left_out)
    _mark(exhibits)
    return _write(explained, wanted, shown, exhibits, notes, sentence, seconds)


def _check_flags(wanted: Wanted, left_out: dict[str, CouloirError]) -> None:
    """Refuse where all methods that go by a flag were left out: what was asked for is not on the page.

    Raises:
        CouloirError: that of the first of them.
    """
    for flag, value in (("--layer", wanted.layers or None), ("--unit", wanted.unit), ("--epsilon", wanted.epsilon)):
        users = [name for name in wanted.methods if name in USED_BY[flag]]
        if value is not None and users and all(name in left_out for name in users):
            raise left_out[users[0]]


def _trained(explained: Explained, wanted: Wanted, needs_data: bool, notes: list[str]) -> Trained:
    """The network, with its data where that is there; what is wrong with the data is a note, unless it is needed."""
    cfg = explained.cfg.copy()
    with open_dict(cfg):
        cfg.tta, cfg.metric = None, None  # each sample is looked at as it is
        if "memory_budget" in cfg.data:
            cfg.data.memory_budget = 0.0  # some photographs are looked at: the others need not be decoded
    if explained.run is None:
        if not explained.has_data:
            return Begun(cfg, _imagenet(explained))
        return BegunWithData(cfg)
    try:
        return Predictor(cfg, explained.run)
    except CouloirError as error:
        if needs_data:
            raise CouloirError(
                error.fact, place=error.place,
                next_step="data.root=FOLDER or data.path=FILE says where the data is now; or name inputs to explain",
            ) from error  # fmt: skip
        notes.append(f"What looks through the run's own data: {error.fact}")
        return Trained(cfg, explained.run)


def _imagenet(explained: Explained) -> Sequence[str]:
    """The classes that `data=imagenet` has, in the order of published weights; none where the network gives another
    number of outputs.
    """
    names = list(imagenet().values()) if explained.choices.get("data") == "imagenet" else ()
    return names if len(names) == explained.cfg.data.num_classes else ()


def _affordable(subject: Subject, cfg: DictConfig) -> int:
    """How many samples of a split are looked at."""
    if isinstance(subject, OverSteps):
        weights = sum(parameter.numel() for parameter in subject.net.parameters())
        each = max(1, weights * subject.empty().shape[subject.axis])
    else:
        rows = layers(subject.net, int(cfg.data.channels), input_size(cfg.data) if subject.is_image else None)
        each = max(1, sum(row.multiply_adds for row in rows))
    return int(min(MOST, max(LEAST, MULTIPLY_ADDS // each)))


def _shown(subject: Subject, wanted: Wanted, found: Inputs | None, notes: list[str]) -> Shown:
    """The samples that are explained, and the output of each that is.

    Raises:
        CouloirError: none can be read, they have several sizes, or there is no such class.
    """
    xs: list[Any] = []
    names: list[str] = []
    truth: list[int] = []
    if found is None:
        split = "test" if wanted.split == "val" else wanted.split
        for x, target, places in subject.split(split, wanted.count):
            xs.append(x)
            names += [f"{split} sample {place}" for place in places]
            truth += _labels(target, len(x))
    else:
        unusable: list[tuple[str, str]] = []
        for part in given(subject.trained, found, unusable):
            xs.append(moved(part.batch[subject.task.input], subject.device))
            names += [Path(name).name if Path(name).exists() else name for name in part.names]
            known = part.truth is not None and part.truth.dtype.kind in "iu" and part.truth.ndim == 1
            truth += [int(value) for value in part.truth] if known else [-1] * rows_of(xs[-1])  # type: ignore[union-attr]
        for where, reason in unusable:
            say.warning("%s", f"warning: {where} {reason}: it is left out")
            notes.append(f"{where}: it {reason}")
    if not xs:
        raise CouloirError("There is nothing to explain: no input can be read.", next_step="save them as JPEG or PNG")
    known = any(label >= 0 for label in truth)
    if isinstance(subject, OverSteps):
        return sequences_shown(subject, xs, names, truth if known else None, wanted)
    sizes = {tuple(x.shape[1:]) for x in xs}
    if len(sizes) > 1:
        told = ", ".join(f"{size[-2]} x {size[-1]}" for size in sorted(sizes))
        raise CouloirError(
            f"The photographs have several sizes ({told}), and this run looks at each whole.",
            next_step="explain those of one size at a time",
        )
    x = torch.cat(xs).float()
    return Shown(subject.pixels(x), x, _targets(subject, x, wanted), names, truth if known else None)


def _labels(target: Tensor | None, count: int) -> list[int]:
    if target is None or target.ndim != 1 or target.is_floating_point():
        return [-1] * count
    return [int(value) for value in target]


def _targets(subject: Subject, x: Tensor, wanted: Wanted) -> Tensor:
    """The output that is explained of each sample, (N,)."""
    outputs = subject.scores(x[:1]).shape[1]
    if wanted.label is not None:
        names = [subject.name_of(number) for number in range(outputs)]
        return torch.full((len(x),), class_number(wanted.label, names, "--class"), device=subject.device)
    if isinstance(subject.task, Dense):
        with torch.no_grad():
            maps = torch.cat([subject.task.look(part) for part in torch.split(x, 1)])
        if maps.ndim < 4 or outputs < 2:
            return torch.zeros(len(x), dtype=torch.int64, device=subject.device)
        counts = torch.stack([torch.bincount(each.argmax(dim=0).flatten(), minlength=outputs) for each in maps])
        counts[:, 0] = -1 if outputs > 2 else counts[:, 0]  # the background is no answer, where there are several
        return counts.argmax(dim=1)
    if subject.data.kind in ("label", "labels"):
        return subject.answers(x).argmax(dim=1)
    return torch.zeros(len(x), dtype=torch.int64, device=subject.device)


MODULES = {
    "answer": ("neighbours",),
    "where.image_maps": (
        "grad_cam", "grad_cam_plus_plus", "gradients", "guided_backprop", "integrated_gradients", "smoothgrad",
    ),
    "where.occlusion": ("occlusion",), "where.tables": ("permutation",), "where.captum_methods": ("captum",),
    "layers.seen": ("feature_maps", "filters"), "layers.activity": ("dead_units",), "layers.matrix": ("matrix",),
    "layers.deconvnet": ("deconvnet", "strongest"), "layers.receptive_fields": ("receptive_fields",),
    "layers.embedding": ("embedding",),
    "dreaming": ("maximisation", "deep_dream"),
    "fooling.fooled": ("fgsm", "pgd", "deep_fool", "universal"),
    "behaviour.moving": ("equivariance",), "behaviour.corruptions": ("robustness",),
    "sanity.randomisation": ("randomisation", "random_labels"), "sanity.deletion": ("deletion",),
}  # fmt: skip
"""The modules below this folder, and the methods that each has as functions of the same names."""


OF_STEPS = {
    "steps.by_step": ("gradients", "gradient_x_input", "integrated_gradients", "occlusion"),
    "steps.ahead": ("horizons",), "steps.attention": ("attention",), "steps.hidden": ("hidden_states", "gates"),
}  # fmt: skip
"""The same of sequences, which have functions of their own for some methods."""


def _function(name: str, kind: str) -> Method:
    """The function of a method; its module is imported when it is asked for, so that a short page comes soon."""
    modules = {**OF_STEPS, **MODULES} if kind in STEPS else MODULES
    module = next(module for module, methods in modules.items() if name in methods)
    function: Method = getattr(importlib.import_module(f"{__package__}.{module}"), name)
    return function


def _mark(exhibits: list[Exhibit]) -> None:
    """Warn of maps that survive weights that are drawn anew, as `randomisation` has measured."""
    failing: dict[str, float] = {}
    for exhibit in exhibits:
        failing |= dict(exhibit.numbers.get("fails") or {})
    for exhibit in exhibits:
        if exhibit.method in failing and not exhibit.warning:
            exhibit.warning = (
                f"This map survives drawing the weights anew (rank correlation {failing[exhibit.method]:.2f}): it "
                "shows the image more than what the network has learned."
            )


def _write(
    explained: Explained, wanted: Wanted, shown: Shown, exhibits: list[Exhibit], notes: list[str], sentence: str,
    seconds: dict[str, float],
) -> dict[str, Any]:  # fmt: skip
    """Write pictures, numbers and the page, and print what was answered."""
    folder = wanted.output
    facts: dict[str, Any] = {"run": None if explained.run is None else str(explained.run), "page": str(folder / PAGE)}
    facts["samples"] = [
        {"name": name, **next(each.numbers for each in exhibits if each.method == "answer" and each.sample == number)}
        for number, name in enumerate(shown.names)
    ]
    facts["methods"] = {name: _numbers(name, exhibits, shown) for name in seconds}
    facts["seconds"], facts["left_out"] = seconds, notes
    known = [("samples", f"{len(shown)}"), ("methods", f"{len(seconds)}")]
    what = f"Run {explained.folder.name}" if explained.run is not None else f"model={explained.choices.get('model')}"
    title = f"{what}: seen inside"
    try:
        for panel in (panel for each in exhibits for panel in each.panels):
            (folder / f"{panel.name}.png").write_bytes(as_png(panel.picture))
            if panel.values is not None:
                np.save(folder / f"{panel.name}.npy", panel.values)
        for each in exhibits:
            for file, values in each.arrays.items():
                np.save(folder / f"{file}.npy", values)
        page = page_of(title, sentence, known, exhibits, notes, len(shown))
        write_atomically(folder / PAGE, page.as_html())
        write_atomically(folder / RECORD, as_json(facts))
    except OSError as error:
        raise CouloirError(
            f"The page cannot be written: {error.strerror or error}.", place=str(error.filename or folder),
            next_step="--output names another folder",
        ) from error  # fmt: skip
    for line in _told(facts):
        print(line)  # noqa: T201
    for note in notes:
        print(f"left out: {note}")  # noqa: T201
    print(f"page:    {display(folder / PAGE)}")  # noqa: T201
    return facts


def _numbers(method: str, exhibits: list[Exhibit], shown: Shown) -> list[dict[str, Any]]:
    """What a method has measured, sample by sample or of all."""
    return [
        {**({} if each.sample is None else {"sample": shown.names[each.sample]}), **each.numbers}
        for each in exhibits
        if each.method == method and each.numbers
    ]


def _told(facts: dict[str, Any]) -> list[str]:
    """The answers in words, and what survived the check."""
    lines = []
    for sample in facts["samples"][:SAID]:
        answers = ", ".join(f"{row['output']} {row['answer']:.3g}" for row in sample["answers"])
        truth = f"  (truth: {sample['truth']})" if "truth" in sample else ""
        lines.append(f"{sample['name']}: {answers or sample['explained']}{truth}")
    if len(facts["samples"]) > SAID:
        lines.append(f"... and {len(facts['samples']) - SAID} more, in {RECORD}")
    failing = {name: value for row in facts["methods"].get("randomisation", ()) for name, value in row["fails"].items()}
    for name, value in failing.items():
        lines.append(f"not to be trusted: {name} survives drawing the weights anew (rank correlation {value:.2f})")
    return lines
