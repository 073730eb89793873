"""What a user should know of a set before it is trained on: left out, missing, and seen twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from couloir.config.metrics import NEXT_TOKEN
from couloir.data.classes import UNEQUAL
from couloir.data.division import Split
from couloir.data.doubles import Doubles, Place, same_files
from couloir.data.samples import Samples
from couloir.data.shards.source import ShardSource, same_images
from couloir.data.skipped import in_words, legible
from couloir.data.source import CHUNK, name_in
from couloir.data.splits import rare
from couloir.log import note, say

WORDS = {"train": "training", "val": "validation", "test": "test"}
NAMED = 8
"""Classes that are named; the others are counted."""


def report(data: Samples) -> None:
    """Say what the files hold, and warn of what is left out, of classes that are rare or missing, and of samples that
    repeat.
    """
    for line in data.notes:
        say.info("%s", legible(line))
    if line := unequal_classes(data):
        say.info("%s", line)
    for line in (*in_words(data.skipped), *absent_classes(data), *rare_classes(data), *repeated_samples(data)):
        say.warning("%s", f"warning: {line}")


def unequal_classes(data: Samples) -> str:
    """A sentence about a training split whose largest class has `UNEQUAL` times the samples of its smallest, or ""."""
    counted = data.class_counts() if data.kind == "label" else None
    there = [] if counted is None else [(count, label) for label, count in enumerate(counted[0]) if count]
    if not there or max(there)[0] < UNEQUAL * min(there)[0]:
        return ""
    (most, largest), (fewest, smallest) = max(there), min(there)
    return legible(
        f"the classes are imbalanced: {most:,} training samples are of the class {_names(data, [largest])}, "
        f"{fewest:,} of {_names(data, [smallest])}"
    )


def absent_classes(data: Samples) -> Iterator[str]:
    """A sentence for each split that has no sample of some class."""
    if data.kind != "label" or data.num_classes is None:
        return
    for name, split in data.splits.items():
        counts = np.bincount(split.targets, minlength=data.num_classes)
        absent = np.flatnonzero(counts == 0).tolist()
        if absent:
            yield legible(
                f"none of the {len(split.indices):,} {WORDS[name]} samples is of the class{'es' * (len(absent) > 1)} "
                f"{_names(data, absent)} ({len(absent)} of {data.num_classes})"
            )


class Shared(NamedTuple):
    """Held-out samples that are in the training split as well.

    Attributes:
        number: how many.
        example: the files of one of them in the training split and in the other, where samples have files.
        complete: whether all were compared.
    """

    number: int
    example: tuple[Path, Path] | None = None
    complete: bool = True


def rare_classes(data: Samples) -> Iterator[str]:
    """A sentence about classes of so few samples that they are trained on first, or that some folds lack."""
    split = data.splits["train"]
    own = all(data.splits[name].source is not split.source for name in ("val", "test"))
    if data.kind != "label" or data.num_classes is None or own:
        return
    if data.folds is not None or data.grouped:  # which hold out rare classes like others
        yield from _fewer_than_folds(data, data.num_classes)
        return
    few = rare(split.source.targets)
    few = few[np.isin(few, split.targets)]
    if len(few):
        yield legible(
            f"{len(few)} of {data.num_classes} classes {'have' if len(few) > 1 else 'has'} one or two samples, which "
            f"training gets before validation and test: {_names(data, few.tolist())}"
        )


def _fewer_than_folds(data: Samples, classes: int) -> Iterator[str]:
    if not isinstance(data.folds, int):
        return
    source = data.splits["train"].source
    divided = [split.targets for split in data.splits.values() if split.source is source]
    sizes = np.bincount(np.concatenate(divided), minlength=classes)
    few = np.flatnonzero((sizes > 0) & (sizes < data.folds)).tolist()
    if few:
        yield legible(
            f"{len(few)} of {classes} classes {'have' if len(few) > 1 else 'has'} fewer samples than there are folds, "
            f"so that some folds test none of them: {_names(data, few)}"
        )


def _names(data: Samples, labels: list[int]) -> str:
    known = [data.classes[label] if label < len(data.classes) else str(label) for label in labels]
    return ", ".join(known[:NAMED]) + (f" and {len(known) - NAMED} more" if len(known) > NAMED else "")


def repeated_samples(data: Samples) -> Iterator[str]:
    """Sentences about samples that are there more than once: in two splits, in a class, and under two labels."""
    if data.kind == "future" or data.task == NEXT_TOKEN:  # windows overlap, and no window is in two splits
        return
    if not _from_files(data):
        yield from shared_samples(data)
        return
    doubles = _same_files(data)
    yield from shared_samples(data, doubles)
    least = "" if doubles.complete else "at least "
    within = list(_within(data, doubles))
    if within:
        several = len(within) > 1
        yield legible(
            f"{least}{len(within):,} photograph{'s repeat others' if several else ' repeats another'} of the same "
            f"split and label, for example {within[0][1]} is {within[0][0]}"
        )
    if data.target == data.input:
        return
    clashes = [pair for group in doubles.groups if (pair := _clash(data, group)) is not None]
    if clashes:
        yield legible(
            f"{least}{len(clashes):,} photograph{'s have' if len(clashes) > 1 else ' has'} two labels: for example "
            f"{clashes[0][0]} and {clashes[0][1]} are the same file"
        )


def _from_files(data: Samples) -> bool:
    return all(split.source.paths or isinstance(split.source, ShardSource) for split in data.splits.values())


def _same_files(data: Samples) -> Doubles:
    if isinstance(data.splits["train"].source, ShardSource):
        return same_images(data.splits)
    paths = {name: [split.source.paths[at] for at in split.indices.tolist()] for name, split in data.splits.items()}
    doubles = same_files(paths)
    if not doubles.complete and not doubles.groups:
        note.info("%s", "not checked for samples that repeat: too many files have the size of another file")
    return doubles


def _path(data: Samples, place: Place) -> Path:
    split = data.splits[place.split]
    return Path(name_in(split.source, int(split.indices[place.number])))


def _target(data: Samples, place: Place) -> bytes:
    split = data.splits[place.split]
    told: bytes = np.asarray(split.source.targets[split.indices[place.number]]).tobytes()
    return told


def _within(data: Samples, doubles: Doubles) -> Iterator[tuple[Path, Path]]:
    """A photograph, and one that repeats it in the same split with the same target."""
    for group in doubles.groups:
        first: dict[tuple[str, bytes], Place] = {}
        for place in group:
            earlier = first.setdefault((place.split, _target(data, place)), place)
            if earlier != place:
                yield _path(data, earlier), _path(data, place)


def _clash(data: Samples, group: list[Place]) -> tuple[Path, Path] | None:
    """Two photographs of a group that have different targets, if there are any."""
    told = _target(data, group[0])
    other = next((place for place in group if _target(data, place) != told), None)
    return None if other is None else (_path(data, group[0]), _path(data, other))


def shared_samples(data: Samples, doubles: Doubles | None = None) -> Iterator[str]:
    """A sentence for each of test and validation whose samples, some of them, are in the training split as well.

    Samples are the same where their bytes are: those of a photograph's file, of an image's pixels, or of a table's row
    with its target.
    """
    if _from_files(data):
        found = _shared_files(data, doubles or _same_files(data))
    else:
        found = _shared_rows(data.splits["train"], {name: data.splits[name] for name in ("test", "val")})
    for name, shared in found.items():
        if shared.number:
            count = f"{'' if shared.complete else 'at least '}{shared.number:,}"
            pair = "" if shared.example is None else f", for example {shared.example[0]} and {shared.example[1]}"
            yield legible(
                f"{count} of {len(data.splits[name].indices):,} {WORDS[name]} samples "
                f"{'is' if shared.number == 1 else 'are'} also in the training split{pair}"
            )


def _shared_rows(train: Split, others: dict[str, Split]) -> dict[str, Shared]:
    held = {name: list(row_hashes(split)) for name, split in others.items()}
    wanted = set().union(*held.values())
    found = {value for value in row_hashes(train) if value in wanted}
    return {name: Shared(sum(value in found for value in values)) for name, values in held.items()}


def row_hashes(split: Split) -> Iterator[int]:
    """Python's own hash of each sample's bytes: 64 bits, a GB/s, no package."""
    if hasattr(split.source, "bytes_of"):  # sequences, of any length
        yield from (hash(split.source.bytes_of(number)) for number in split.indices.tolist())
        return
    for start in range(0, len(split.indices), CHUNK):
        part = split.indices[start : start + CHUNK]
        rows = split.source.fetch(torch.from_numpy(part)).cpu().numpy()
        inputs = rows.reshape(len(part), -1)
        if rows.ndim == 2:  # a row of a table; an image is the same under another label, too
            inputs = np.hstack([inputs, split.source.targets[part].reshape(len(part), -1).astype(np.float64)])
        size, content = inputs.shape[1] * inputs.itemsize, inputs.tobytes()
        for begin in range(0, len(content), size):
            yield hash(content[begin : begin + size])


def _shared_files(data: Samples, doubles: Doubles) -> dict[str, Shared]:
    found = {}
    for name in ("test", "val"):
        pairs = []
        for group in doubles.groups:
            train = next((place for place in group if place.split == "train"), None)
            if train is not None:
                pairs += [(_path(data, train), _path(data, place)) for place in group if place.split == name]
        found[name] = Shared(len(pairs), pairs[0] if pairs else None, doubles.complete)
    return found
