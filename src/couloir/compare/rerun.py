"""A run once more, and whether it came out the same to the last bit."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from couloir.compare.numbers import Compared, Number, compare_metrics, compare_results
from couloir.config.compose import Sentence
from couloir.errors import CouloirError, Diverged
from couloir.log import run_log, say
from couloir.record.checkpoint import BEST, FOLDER, LAST, kept_epochs, read_checkpoint
from couloir.record.differences import Difference, announced, differences, own_packages, refuse
from couloir.record.folder import RunFolder
from couloir.record.metrics import Cells, read_cells
from couloir.record.provenance import read_provenance
from couloir.record.result import read_result
from couloir.record.status import read_status
from couloir.run.train import train_sentence

ENDED = ("completed", "diverged")
"""Statuses of runs that came to their end, so that a repetition must end in the same place."""


def rerun(sentence: Sentence, run: Path, folder: RunFolder, command: list[str], strict: bool, notes: list[str]) -> int:
    """Train a run's configuration again, compare every number with the run's, and write the verdict to `rerun.json`.

    Args:
        sentence: the run's configuration, checked.
        run: the run's folder.
        folder: the new one.
        command: the words of the command line.
        strict: refuse on any difference that matters, not only on other data.
        notes: what to say beforehand.

    Returns:
        0 where all is identical, 1 where something differs or nothing could be compared.

    Raises:
        CouloirError: the data is not what it was, or, with `strict`, anything else that matters.
        Diverged: as the run did, or not; the comparison is done then.
    """
    then = read_provenance(run)
    found: list[Difference] = []

    def accept(folder: RunFolder) -> None:
        found.extend(differences(then, read_provenance(folder.path), also=own_packages(sentence.cfg)))
        try:
            refuse(found, run, strict)
        except CouloirError:
            folder.write_json("rerun.json", _verdict(run, "refused", found, Compared()))
            raise
        for line in [*notes, *announced(found, bool(then))]:
            say.info("%s", line)

    diverged: Diverged | None = None
    try:
        train_sentence(sentence, folder, command, accept=accept)
    except Diverged as error:
        diverged = error
    compared = compare_runs(run, folder.path)
    word = "differs" if compared.differ else "identical" if compared.counts else "nothing to compare"
    folder.write_json("rerun.json", _verdict(run, word, found, compared))
    with run_log(folder.path / "train.log"):
        for line in _said(word, compared, run, sentence.cfg):
            say.info("%s", line)
    if diverged is not None:
        raise diverged
    return int(word != "identical")


def compare_runs(then: Path, now: Path) -> Compared:
    """Every number that two runs have left: their epochs, per-step losses, results, and the weights, bit for bit."""
    status = [read_status(run) for run in (then, now)]
    rows = read_cells(then), read_cells(now)
    words = [str(facts.get("status")) for facts in status]
    whole = words[0] in ENDED
    parts = [_compare_endings(status), compare_metrics(rows[0], rows[1], whole)]
    parts.append(_compare_steps(then, now, rows, whole))
    if words[0] == "completed":
        parts.append(compare_results(*(read_result(run) for run in (then, now))))
    epochs = (file.name for run in (then, now) for file in kept_epochs(run).values())
    parts += [_compare_weights(then, now, name, whole) for name in dict.fromkeys([BEST, LAST, *epochs])]
    compared = Compared()
    for part in parts:
        for file, number in part.counts.items():
            compared.count(file, number)
        compared.differ += part.differ
        compared.left_out += part.left_out
    return compared


def _compare_endings(status: list[dict[str, Any]]) -> Compared:
    """Whether both ended alike: a divergence must come at the same step, with the same words."""
    compared = Compared()
    words = [str(facts.get("status")) for facts in status]
    if words[0] not in ENDED:
        compared.left_out.append(f"the run's end: it is {words[0]}")
        return compared
    if "diverged" in words:
        words = [str(facts.get("error") or word).splitlines()[0] for facts, word in zip(status, words, strict=True)]
    compared.count("status.json", 1)
    if words[0] != words[1]:
        compared.differ.append(Number("status.json", "end", words[0], words[1]))
    return compared


def _compare_steps(then: Path, now: Path, rows: tuple[list[Cells], list[Cells]], whole: bool) -> Compared:
    compared, file = Compared(), "tensorboard"
    if not (then / file).is_dir() or not (now / file).is_dir():
        if (then / file).is_dir() != (now / file).is_dir():
            compared.left_out.append("tensorboard: one of the runs has none")
        return compared
    ours, theirs = (scalars(run / file) for run in (then, now))
    for tag, step in dict.fromkeys([*ours, *theirs]):
        one, other = ours.get((tag, step)), theirs.get((tag, step))
        if not whole and (one is None or other is None):
            continue
        compared.count(file, 1)
        if one != other:
            ends = (math.ceil(float(row["epoch"])) for row in rows[0] if int(row["step"]) >= step)
            epoch = next(ends, 1 + max((math.ceil(float(row["epoch"])) for row in rows[0]), default=0))
            compared.differ.append(Number(file, tag, one or "(none)", other or "(none)", epoch, step))
    return compared


def scalars(folder: Path) -> dict[tuple[str, int], str]:
    """The values of TensorBoard's event files by name and step, in full."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {
        (tag, int(event.step)): repr(float(event.value))
        for tag in events.Tags()["scalars"]
        for event in events.Scalars(tag)
    }


def _compare_weights(then: Path, now: Path, name: str, whole: bool) -> Compared:
    compared, file = Compared(), f"{FOLDER}/{name}"
    if not (then / file).is_file() and not (now / file).is_file():
        return compared
    try:
        ours, theirs = (read_checkpoint(run / file) for run in (then, now))
    except (CouloirError, OSError) as error:
        compared.left_out.append(f"{name}: {getattr(error, 'fact', error)}")
        return compared
    steps = int(ours["global_step"]), int(theirs["global_step"])
    if steps[0] != steps[1]:
        if whole:
            compared.differ.append(Number(file, "steps", str(steps[0]), str(steps[1])))
        else:
            compared.left_out.append(f"{name}: saved after {steps[0]} steps there, {steps[1]} here")
        return compared
    first, second = ours["state_dict"], theirs["state_dict"]
    for key in dict.fromkeys([*first, *second]):
        compared.count(file, 1)
        one, other = first.get(key), second.get(key)
        if one is None or other is None or not same_bits(one, other):
            compared.differ.append(Number(file, key, *_shown(one, other)))
    return compared


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are the same bit for bit; NaN is the same as NaN, 0.0 is not -0.0."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    first, second = (tensor.detach().contiguous().reshape(-1).view(torch.uint8) for tensor in (one, other))
    return torch.equal(first, second)


def _shown(one: Tensor | None, other: Tensor | None) -> tuple[str, str]:
    """The first entry that differs, in both, or what else tells them apart."""
    if one is None or other is None or one.shape != other.shape or one.dtype != other.dtype:
        first, second = (
            "(none)" if tensor is None else f"{tensor.dtype} {list(tensor.shape)}" for tensor in (one, other)
        )
        return first, second
    flat_one, flat_other = one.detach().reshape(-1), other.detach().reshape(-1)
    place = next(index for index in range(one.numel()) if not same_bits(flat_one[index], flat_other[index]))
    return repr(flat_one[place].item()), repr(flat_other[place].item())


def _said(word: str, compared: Compared, run: Path, cfg: DictConfig) -> list[str]:
    left_out = [f"not compared: {'; '.join(compared.left_out)}"] if compared.left_out else []
    if word == "nothing to compare":
        return [f"nothing to compare: {run.name} recorded no numbers", *left_out]
    what = {True: "tensors", False: "numbers"}
    counts = ", ".join(
        f"{number} {what[file.endswith('.ckpt')]} of {file}"
        for file, number in compared.counts.items()
        if file != "status.json"
    )
    if word == "identical":
        return [f"identical: {counts or 'the same end, before the first epoch was complete'}", *left_out]
    first = compared.first()
    assert first is not None
    lines = [f"differs, first in {first.in_words()}"]
    if len(compared.differ) > 1:
        lines.append(f"{len(compared.differ)} numbers differ; compared: {counts}")
    if not cfg.deterministic:
        lines.append("the run has deterministic=false: on a GPU, this alone can be the reason")
    return [*lines, *left_out]


def _verdict(run: Path, word: str, found: list[Difference], compared: Compared) -> dict[str, Any]:
    first = compared.first()
    return {
        "run": str(run),
        "verdict": word,
        "environment": [difference.as_json() for difference in found],
        "compared": compared.counts,
        "not_compared": compared.left_out,
        "differing": len(compared.differ),
        "first": None if first is None else vars(first),
    }
