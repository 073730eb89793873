"""Samples that are the same to the byte, within a split and across splits. Nothing here imports torch."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from couloir.machine import cores

HASHED_BYTES = 2 << 30
"""Up to so many bytes of files are hashed whole; beyond, nobody waits for the rest."""
MIDDLE = 1024
"""Bytes from the middle of two files of one size that tell whether a look at the whole of them is worth while."""
OPENED = 200_000
"""Files of a size that others have as well, beyond which none of them is opened."""
AT_ONCE = 1 << 19
"""Marks that are compared at a time: 4 MB."""
AT_A_TIME = 512
"""Files that a thread opens one after the other."""


class Place(NamedTuple):
    """A sample: its split, and its number there."""

    split: str
    number: int


@dataclass(frozen=True)
class Doubles:
    """Which samples are the same.

    Attributes:
        groups: the places of each sample that is there more than once.
        complete: whether all samples were compared.
    """

    groups: list[list[Place]] = field(default_factory=list)
    complete: bool = True

    def within(self, split: str) -> int:
        """How many samples of a split could be left out without losing any content."""
        return sum(max(0, sum(place.split == split for place in group) - 1) for group in self.groups)

    def across(self, one: str, other: str) -> int:
        """How many samples of the split `other` are in the split `one` as well."""
        return sum(
            sum(place.split == other for place in group)
            for group in self.groups
            if any(place.split == one for place in group)
        )

    def contradicting(self, targets: Mapping[str, NDArray[Any]]) -> int:
        """How many groups of the same samples have more than one target.

        Args:
            targets: those of each split, (N,) or (N, K).
        """
        found = 0
        for group in self.groups:
            told = {np.asarray(targets[place.split][place.number]).tobytes() for place in group}
            found += len(told) > 1
        return found


def same_rows(hashes: Mapping[str, Sequence[int]]) -> Doubles:
    """The samples whose hashes are the same.

    Args:
        hashes: one a sample, of each split.
    """
    splits = list(hashes)
    values = np.concatenate([np.array(hashes[split], dtype=np.int64) for split in splits])
    owners = np.concatenate([np.full(len(hashes[split]), number) for number, split in enumerate(splits)])
    numbers = np.concatenate([np.arange(len(hashes[split])) for split in splits])
    groups = [[Place(splits[owners[at]], int(numbers[at])) for at in group] for group in _alike(values)]
    return Doubles(groups)


def _alike(values: NDArray[Any]) -> Iterator[list[int]]:
    """The places of equal values, for each value that is there more than once, in the order of their first places."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    several = np.flatnonzero(counts[inverse] > 1)
    found: dict[int, list[int]] = {}
    for place, value in zip(several.tolist(), inverse[several].tolist(), strict=True):
        found.setdefault(value, []).append(place)
    yield from found.values()


def same_files(paths: Mapping[str, Sequence[Path]], sizes: Mapping[str, Sequence[int]] | None = None) -> Doubles:
    """The files whose bytes are the same: compared by size, then by their middle, and read whole where both agree.

    Args:
        paths: the files of each split.
        sizes: the bytes of each, where somebody has asked for them already; -1: it cannot be read.
    """
    places = [Place(split, number) for split, files in paths.items() for number in range(len(files))]
    files = [path for each in paths.values() for path in each]
    found = _asked(length, files) if sizes is None else [size for split in paths for size in sizes[split]]
    bytes_of = np.array([-1 if size is None else size for size in found], dtype=np.int64)
    alike = [place for group in _alike(bytes_of) for place in group if bytes_of[place] >= 0]
    if len(alike) > OPENED:
        return Doubles(complete=False)
    middles = dict(zip(alike, _asked(middle, [files[place] for place in alike]), strict=True))
    alike = _still(alike, lambda place: (int(bytes_of[place]), middles[place]))
    order = sorted(alike, key=lambda place: int(bytes_of[place]))
    whole = np.cumsum(bytes_of[order]) <= HASHED_BYTES if order else np.ones(0, dtype=bool)
    chosen = [place for place, within in zip(order, whole.tolist(), strict=True) if within]
    digests = dict(zip(chosen, _asked(digest, [files[place] for place in chosen]), strict=True))
    groups: dict[Any, list[int]] = {}
    for place in sorted(chosen):
        groups.setdefault(digests[place] or place, []).append(place)
    return Doubles([[places[at] for at in group] for group in groups.values() if len(group) > 1], bool(whole.all()))


def same_marks(
    marks: Mapping[str, Callable[[], Iterable[NDArray[np.uint64]]]],
    count: int,
    confirm: Callable[[Place], tuple[int, bytes] | None] | None,
) -> Doubles:
    """The samples whose marks are the same, and their bytes too where these are compared.

    The marks are gone through as often as it takes to have no more than `AT_ONCE` of them in memory.

    Args:
        marks: of each split a hash of each sample, over some of its bytes, in parts, whenever they are asked for.
        count: how many samples there are.
        confirm: the size of a sample, and a hash over all of its bytes; None of one that cannot be read. Without it,
            marks decide.
    """
    groups: dict[Any, list[Place]] = {}
    passes = -(-count // AT_ONCE)
    several = [_several(marks, passes, number) for number in range(passes)]
    found = np.sort(np.concatenate(several)) if several else np.empty(0, np.uint64)
    for split, parts in marks.items():
        start = 0
        for part in parts() if len(found) else ():
            at = np.minimum(np.searchsorted(found, part), len(found) - 1)
            for number in np.flatnonzero(found[at] == part).tolist():
                groups.setdefault(int(part[number]), []).append(Place(split, start + number))
            start += len(part)
    complete = True
    if confirm is not None:
        left, whole = HASHED_BYTES, groups
        groups = {}
        for mark, places in whole.items():
            for place in places:
                told = confirm(place) if left > 0 else None
                complete &= left > 0
                if told is not None:
                    left -= told[0]
                    groups.setdefault((mark, told[1]), []).append(place)
    return Doubles([places for places in groups.values() if len(places) > 1], complete)


def _several(
    marks: Mapping[str, Callable[[], Iterable[NDArray[np.uint64]]]], passes: int, number: int
) -> NDArray[np.uint64]:
    """Those of the marks with one remainder that are there more than once."""
    mine = [part[part % np.uint64(passes) == number] for parts in marks.values() for part in parts()]
    ordered = np.concatenate(mine)
    ordered.sort()
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])


def _still(places: list[int], key: Callable[[int], tuple[int, bytes | None]]) -> list[int]:
    """Those that are like another one by a key; a file that cannot be read is like no other."""
    groups: dict[Any, list[int]] = {}
    for place in places:
        if key(place)[1] is not None:
            groups.setdefault(key(place), []).append(place)
    return [place for group in groups.values() if len(group) > 1 for place in group]


def _asked(question: Callable[[Path], Any], files: Sequence[Path]) -> list[Any]:
    """The answers of many files, by threads, since the disk takes its time; None of one that cannot be read."""

    def answers(part: Sequence[Path]) -> list[Any]:
        found: list[Any] = []
        for file in part:
            try:
                found.append(question(file))
            except OSError:  # whoever decodes it will say so
                found.append(None)
        return found

    parts = [files[start : start + AT_A_TIME] for start in range(0, len(files), AT_A_TIME)]
    with ThreadPoolExecutor(cores()) as pool:
        return [answer for part in pool.map(answers, parts) for answer in part]


def length(path: Path) -> int:
    """The bytes of a file; -1 of what is no file.

    Raises:
        OSError: it is not there.
    """
    found = os.stat(path)  # noqa: PTH116  a million of them: Path objects would take longer than the calls
    return found.st_size if stat.S_ISREG(found.st_mode) else -1  # a pipe would be waited for


def middle(path: Path) -> bytes:
    """Some bytes from the middle of a file.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        stream.seek(max(0, os.fstat(stream.fileno()).st_size - MIDDLE) // 2)
        return stream.read(MIDDLE)


def digest(path: Path) -> bytes:
    """A hash over a whole file.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()
