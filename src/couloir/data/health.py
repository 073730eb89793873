"""What a user should know of a set before it is trained on: left out, missing, and seen twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from couloir.data.doubles import HASHED_BYTES, OPENED, digest, middle
from couloir.data.samples import Samples, Split
from couloir.data.skipped import in_words, legible
from couloir.data.source import CHUNK
from couloir.log import note, say

WORDS = {"train": "training", "val": "validation", "test": "test"}
NAMED = 8
"""Classes that are named; the others are counted."""


def report(data: Samples) -> None:
    """Say what the files hold, and warn of what was left out, what a split lacks, and what two splits share."""
    for line in data.notes:
        say.info("%s", legible(line))
    if data.skipped:
        say.warning("%s", f"warning: {in_words(data.skipped)}")
    for line in (*absent_classes(data), *shared_samples(data)):
        say.warning("%s", f"warning: {line}")


def absent_classes(data: Samples) -> Iterator[str]:
    """A sentence for each split that has no sample of some class."""
    if data.kind != "label" or data.num_classes is None:
        return
    for name, split in data.splits.items():
        counts = np.bincount(split.targets, minlength=data.num_classes)
        absent = np.flatnonzero(counts == 0).tolist()
        if absent:
            known = [data.classes[label] if label < len(data.classes) else str(label) for label in absent]
            names = ", ".join(known[:NAMED]) + (f" and {len(known) - NAMED} more" if len(known) > NAMED else "")
            yield legible(
                f"none of the {len(split.indices):,} {WORDS[name]} samples is of the class{'es' * (len(absent) > 1)} "
                f"{names} ({len(absent)} of {data.num_classes})"
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


def shared_samples(data: Samples) -> Iterator[str]:
    """A sentence for each of test and validation whose samples, some of them, are in the training split as well.

    Samples are the same where their bytes are: those of a photograph's file, of an image's pixels, or of a table's row
    with its target.
    """
    train = data.splits["train"]
    others = {name: data.splits[name] for name in ("test", "val")}
    files = all(split.source.paths for split in data.splits.values())
    for name, shared in (_shared_files(train, others) if files else _shared_rows(train, others)).items():
        if shared.number:
            count = f"{'' if shared.complete else 'at least '}{shared.number:,}"
            pair = "" if shared.example is None else f", for example {shared.example[0]} and {shared.example[1]}"
            yield legible(
                f"{count} of {len(others[name].indices):,} {WORDS[name]} samples "
                f"{'is' if shared.number == 1 else 'are'} also in the training split{pair}"
            )


def _shared_rows(train: Split, others: dict[str, Split]) -> dict[str, Shared]:
    held = {name: list(row_hashes(split)) for name, split in others.items()}
    wanted = set().union(*held.values())
    found = {value for value in row_hashes(train) if value in wanted}
    return {name: Shared(sum(value in found for value in values)) for name, values in held.items()}


def row_hashes(split: Split) -> Iterator[int]:
    """Python's own hash of each sample's bytes: 64 bits, a GB/s, no package."""
    for start in range(0, len(split.indices), CHUNK):
        part = split.indices[start : start + CHUNK]
        rows = split.source.fetch(torch.from_numpy(part)).cpu().numpy()
        inputs = rows.reshape(len(part), -1)
        if rows.ndim == 2:  # a row of a table; an image is the same under another label, too
            inputs = np.hstack([inputs, split.source.targets[part].reshape(len(part), -1).astype(np.float64)])
        size, content = inputs.shape[1] * inputs.itemsize, inputs.tobytes()
        for begin in range(0, len(content), size):
            yield hash(content[begin : begin + size])


def _shared_files(train: Split, others: dict[str, Split]) -> dict[str, Shared]:
    """Files are compared by size first, then by their middle, and read whole only where both agree."""
    sizes = {name: _sizes(split) for name, split in {"train": train, **others}.items()}
    common = np.intersect1d(sizes["train"], np.concatenate([sizes[name] for name in others]))
    files: list[File] = []
    for name, split in {"train": train, **others}.items():
        alike = np.flatnonzero(np.isin(sizes[name], common) & (sizes[name] >= 0))
        files += [
            File(name, split.source.paths[split.indices[place]], (int(sizes[name][place]),)) for place in alike.tolist()
        ]
    if len(files) > OPENED:
        note.info("%s", f"not checked for samples in two splits: {len(files):,} files have the size of another file")
        return {}
    files = _in_both([file.looked_at(middle) for file in files])
    whole = np.cumsum([file.key[0] for file in files]) <= HASHED_BYTES
    files = _in_both([file.looked_at(digest) for file, within in zip(files, whole, strict=True) if within])
    first = {file.key: file.path for file in reversed(files) if file.split == "train"}
    found = {}
    for name in others:
        pairs = [(first[file.key], file.path) for file in files if file.split == name]
        found[name] = Shared(len(pairs), pairs[0] if pairs else None, bool(whole.all()))
    return found


class File(NamedTuple):
    """A file of a split, and what is known of its bytes."""

    split: str
    path: Path
    key: tuple[Any, ...]

    def looked_at(self, look: Callable[[Path], bytes]) -> File:
        """The same file with more known of it; one that cannot be read is like no other."""
        try:
            return self._replace(key=(*self.key, look(self.path)))
        except OSError:
            return self._replace(key=(*self.key, self.path))


def _sizes(split: Split) -> NDArray[np.int64]:
    def size(path: Path) -> int:
        try:
            return path.stat().st_size
        except OSError:
            return -1  # whoever decodes it will say so

    return np.array([size(split.source.paths[index]) for index in split.indices.tolist()], dtype=np.int64)


def _in_both(files: list[File]) -> list[File]:
    """Those whose key is found in the training split and in another one; the larger files last."""
    train = {file.key for file in files if file.split == "train"}
    common = {file.key for file in files if file.split != "train"} & train
    return sorted((file for file in files if file.key in common), key=lambda file: file.key[0])
