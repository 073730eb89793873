"""The samples of one split's shards as rows of one table, in a memory map. Nothing here imports torch.

The table is put together once out of the indices of the shards, and stands in the folder of the caches: the processes
of a machine share its pages, and a set of a million samples takes no more memory than one of a thousand.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from couloir.data.shards.arrays import NotWhole, read_arrays, read_json_list, write_arrays
from couloir.data.shards.index import ENDING, FORMAT, NAMED, ROW, Index, Stamp, index_of, mark_of, mixed
from couloir.data.shards.naming import CLASSES, beside, name_of
from couloir.data.skipped import Skipped
from couloir.errors import CouloirError
from couloir.log import say

FOLDER = "shards"
"""The folder below that of all caches."""
AT_ONCE, PART = 8, 64
"""Shards on servers that are indexed at a time, and how many indices wait to be put together."""
ANNOUNCED_SECONDS = 10.0
"""What takes longer than this is announced."""
ROWS_AT_A_TIME = 1 << 14
UNUSED_DAYS = 60
"""Days after which the table of a set that nobody has used is removed."""


class Store(Protocol):
    """Where shards are."""

    step: int
    """Bytes that are read at least at a time, where a shard is read through."""
    remote: bool

    def stamps(self, places: Sequence[str]) -> list[Stamp]:
        """Which version of each shard there is."""

    def read(self, place: str, offset: int, count: int) -> bytes:
        """Bytes of a shard, fewer at its end."""

    def beside(self, place: str) -> bytes | None:
        """A whole small file; None where there is none."""


class Rows:
    """The samples of a split's shards.

    Args:
        shards: places.
        starts: the number of the first sample of each shard, and of all samples, (S + 1,).
        table: a row a sample, of type `ROW`, (N,).
        labels: those of the whole set, beside the table since everybody asks for them, (N,) int32.
        names: of all shards, one after the other, as an `Index` has them.
        name_starts: where those of each shard begin, (S + 1,).
        facts: plain values: `classes`, `faults`, `faulty`, `others`, `labels`.
        key: what these versions of the shards are known by.
        mapped: the memory map that the arrays are views of.
        file: where all of this stands; None: in memory.
    """

    def __init__(
        self, shards: list[str], starts: NDArray[np.int64], table: NDArray[Any], labels: NDArray[np.int32],
        names: NDArray[np.uint8], name_starts: NDArray[np.int64], facts: dict[str, Any], key: str,
        file: Path | None = None, mapped: mmap.mmap | None = None,
    ) -> None:  # fmt: skip
        self.shards, self.starts, self.table, self.labels, self._mapped = shards, starts, table, labels, mapped
        self.names, self.name_starts, self.facts, self.key, self.file = names, name_starts, facts, key, file

    def __len__(self) -> int:
        return len(self.table)

    def __getstate__(self) -> dict[str, Any]:
        """A process of its own maps the file anew."""
        if self.file is None:
            return self.__dict__ | {"_mapped": None}
        return {"shards": self.shards, "file": self.file}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if len(state) == 2:
            state = _mapped(state["shards"], state["file"]).__dict__
        self.__dict__.update(state)

    @property
    def classes(self) -> list[str] | None:
        """The names of the classes in the order of the labels; None: labels are integers without names."""
        names: list[str] | None = self.facts["classes"]
        return names

    @property
    def num_labels(self) -> int:
        """One more than the largest label."""
        return int(self.facts["labels"])

    def parts(self, indices: NDArray[np.int64]) -> Iterator[NDArray[Any]]:
        """The rows of some samples, some thousand at a time; the table's pages are given back after each part.

        Args:
            indices: their numbers, (N,).
        """
        for start in range(0, len(indices), ROWS_AT_A_TIME):
            part = self.table[indices[start : start + ROWS_AT_A_TIME]]
            self.release()
            yield part

    def place(self, number: int) -> tuple[str, int, int]:
        """Of a sample its shard, where its image begins there, and its bytes."""
        shard = int(np.searchsorted(self.starts, number, side="right")) - 1
        row = self.table[number]
        return self.shards[shard], int(row["offset"]), int(row["size"])

    def member(self, number: int) -> str:
        """The name of a sample's image in its shard."""
        shard = int(np.searchsorted(self.starts, number, side="right")) - 1
        return self._name(shard, int(self.table[number]["name"]))

    def name(self, number: int) -> str:
        """A sample as lists name it: its shard, and the image in it."""
        return f"{name_of(self.place(number)[0])}/{self.member(number)}"

    def release(self) -> None:
        """Give the table's pages back to the system, which has them in its file cache: memory stays constant."""
        if self._mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._mapped.madvise(mmap.MADV_DONTNEED)

    def _name(self, shard: int, begin: int) -> str:
        at, end = int(self.name_starts[shard]) + begin, int(self.name_starts[shard + 1])
        content = self.names[at : min(end, at + 1024)].tobytes()
        if b"\n" not in content:
            content = self.names[at:end].tobytes()
        return content.partition(b"\n")[0].decode(errors="surrogateescape")

    def without(self, numbers: NDArray[np.int64]) -> Rows:
        """The samples without some of them, in memory.

        Args:
            numbers: which, ascending.
        """
        starts = self.starts - np.searchsorted(numbers, self.starts)
        key = hashlib.sha256(f"{self.key}\0{numbers.tolist()}".encode()).hexdigest()[:32]
        table = np.delete(self.table, numbers)
        labels = np.delete(self.labels, numbers)
        return Rows(self.shards, starts, table, labels, self.names, self.name_starts, self.facts, key)

    def skipped(self, split: str) -> list[Skipped]:
        """What of the shards is used for no sample."""
        found = [Skipped(split, f"{shard}/{name}", None, "", reason) for shard, name, reason in self.facts["faults"]]
        rest = self.facts["faulty"] - len(found)
        if rest:
            more = f"and {rest:,} more member{'s' * (rest > 1)} that cannot be used"
            found.append(Skipped(split, self.shards[0], None, "", more, number=rest))
        for kind, (count, example) in self.facts["others"].items():
            reason = f"belongs to no image: {kind}" + (f" ({count:,} of them)" if count > 1 else "")
            found.append(Skipped(split, example, None, "", reason, kind=kind, number=count))
        return found


def piece_starts(starts: NDArray[np.int64], block: int) -> NDArray[np.int64]:
    """Where blocks begin that do not reach over two shards; those of a shard are about as large.

    Args:
        starts: the number of the first sample of each shard, and of all samples, (S + 1,).
        block: samples of a block, at most.

    Returns:
        the number of the first sample of each block, (K,).
    """
    sizes = np.diff(starts)
    pieces = -(-sizes // block)
    shard = np.repeat(np.arange(len(sizes)), pieces)
    piece = np.arange(len(shard)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    found: NDArray[np.int64] = starts[shard] + piece * sizes[shard] // pieces[shard]
    return found


def rows_of(shards: list[str], store: Store, caches: Path, skip: bool = False, like: Rows | None = None) -> Rows:
    """The samples of some shards.

    Args:
        shards: places.
        store: where they are.
        caches: the folder of all caches.
        skip: leave out what cannot be used, instead of refusing it.
        like: the rows of the training split, whose classes count; None: these are the training split.

    Raises:
        CouloirError: a shard cannot be used; a sample has no label, or a key is there twice; labels are of two kinds;
            there is no sample, or a class that training lacks.
    """
    stamps = store.stamps(shards)
    folder = caches / FOLDER
    stated = store.beside(beside(shards[0], CLASSES)) if like is None else None
    names = None if stated is None else read_json_list(stated, beside(shards[0], CLASSES))
    known = names if like is None else like.classes
    file = folder / f"{_key(shards, stamps, known)}.rows"
    try:
        found = _mapped(shards, file)
    except NotWhole:
        with _alone(folder, file):
            try:
                found = _mapped(shards, file)  # another process was faster
            except NotWhole:
                found = _joined(shards, stamps, store, known, file)
    with suppress(OSError):
        os.utime(file)  # the newest use
    _check(found, skip, like)
    return found


def _key(shards: list[str], stamps: Sequence[Stamp], known: list[str] | None) -> str:
    digest = hashlib.sha256(f"{FORMAT} 2\0{known}\0".encode(errors="surrogateescape"))
    for shard, stamp in zip(shards, stamps, strict=True):
        digest.update(f"{shard}\0{stamp.size}\0{stamp.version}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]


class _alone:  # noqa: N801
    """One process at a time puts a set together; without a lock where none can be written."""

    def __init__(self, folder: Path, file: Path) -> None:
        self._folder, self._lock = folder, FileLock(file.with_suffix(".lock"))

    def __enter__(self) -> None:
        with suppress(OSError, NotImplementedError):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _joined(shards: list[str], stamps: Sequence[Stamp], store: Store, known: list[str] | None, file: Path) -> Rows:
    """Put the indices of shards together, and write the whole; where that cannot be done, it stays in memory."""
    parts = _Parts(shards, known)
    for index in _told(_indices(shards, stamps, store, file.parent), len(shards)):
        parts.add(index)
    try:
        write_arrays(file, *parts.content())
        _forget_old(file.parent)
        return _mapped(shards, file)
    except (OSError, NotWhole):
        facts, arrays = parts.content()
        return _rows(shards, facts, {
            name: np.concatenate([np.empty(0, kind), *each]).astype(kind) for name, (kind, _, each) in arrays.items()
        }, file.stem)  # fmt: skip


def _indices(shards: list[str], stamps: Sequence[Stamp], store: Store, folder: Path) -> Iterator[Index]:
    """The indices of shards, in order; several servers' answers are waited for at a time."""

    def index(number: int) -> Index:
        shard, stamp = shards[number], stamps[number]
        own = folder / f"{hashlib.sha256(shard.encode(errors='surrogateescape')).hexdigest()[:32]}{ENDING}"
        files = [own] if store.remote else [Path(shard + ENDING), own]
        if store.remote:
            _published(shard, stamp, own, store)
        return index_of(shard, stamp, files, partial(store.read, shard), store.step)

    if not store.remote:
        yield from map(index, range(len(shards)))
        return
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for start in range(0, len(shards), PART):  # each that waits holds a file open
            yield from pool.map(index, range(start, min(start + PART, len(shards))))


def _published(shard: str, stamp: Stamp, own: Path, store: Store) -> None:
    """Take the index that stands beside a shard on a server, if it is of this version.

    A copy on a server has another time of change than the original, so that the size and the first and the last image
    tell whether the index is of this shard.
    """
    with suppress(NotWhole):
        if Index.read(own).stamp == stamp:
            return
    base, question, query = shard.partition("?")
    content = store.beside(f"{base}{ENDING}{question}{query}")
    if content is None:
        return
    with suppress(OSError, NotWhole):
        own.parent.mkdir(parents=True, exist_ok=True)
        fresh = own.with_suffix(".published")
        fresh.write_bytes(content)
        try:
            found = Index.read(fresh)
            fits = found.stamp.size == stamp.size and all(
                mark_of(store.read(shard, int(row["offset"]), int(row["size"]))) == int(row["mark"])
                for row in (*found.rows[:1], *found.rows[-1:])
            )
            if fits:
                found.stamp = stamp
                found.write(own)
        finally:
            fresh.unlink(missing_ok=True)


def _told(indices: Iterator[Index], count: int) -> Iterator[Index]:
    """Say how long it takes where that is long."""
    began, announced = time.monotonic(), False
    for number, index in enumerate(indices, 1):
        yield index
        expected = (time.monotonic() - began) / number * (count - number)
        if not announced and expected > ANNOUNCED_SECONDS:
            announced = True
            say.info("%s", f"indexing {count:,} shards, once: about {expected / 60:.0f} minutes" if expected > 90
                     else f"indexing {count:,} shards, once: about {expected:.0f} seconds")  # fmt: skip


def _forget_old(folder: Path) -> None:
    """Remove tables of sets that nobody has used for long."""
    with suppress(OSError):
        for file in folder.glob("*.rows"):
            if file.stat().st_mtime < time.time() - UNUSED_DAYS * 86_400:
                file.unlink(missing_ok=True)


class _Parts:
    """The indices of shards one after the other; their arrays are read when they are asked for."""

    def __init__(self, shards: list[str], known: list[str] | None) -> None:
        self.shards, self.known = shards, known
        self.found: list[Index | Path] = []
        self.counts, self.bytes = [0], [0]
        self.classes: list[list[str] | None] = []
        self.example = ["", ""]
        self.labels = 0
        self.faulty = 0
        self.faults: list[tuple[str, str, str]] = []
        self.others: dict[str, tuple[int, str]] = {}

    def add(self, index: Index) -> None:
        """Take the index of the next shard."""
        shard = self.shards[len(self.found)]
        self.found.append(index.file or index)
        self.counts.append(self.counts[-1] + len(index.rows))
        self.bytes.append(self.bytes[-1] + len(index.names))
        self.classes.append(index.classes)
        self.faulty += index.faulty
        self.faults += [(shard, name, reason) for name, reason in index.faults][: NAMED - len(self.faults)]
        for kind, (number, example) in index.others.items():
            before, first = self.others.get(kind, (0, f"{shard}/{example}"))
            self.others[kind] = (before + number, first)
        if len(index.rows):
            self.example[index.classes is not None] = self.example[index.classes is not None] or shard
            if index.classes is None:
                self.labels = max(self.labels, int(index.rows["label"].max()) + 1)

    def content(self) -> tuple[dict[str, Any], dict[str, tuple[Any, int, Iterator[NDArray[Any]]]]]:
        """What `write_arrays` takes."""
        numbered, named = self.example
        if numbered and named:
            raise mixed(numbered, f"samples in {name_of(numbered)}", named, f"samples in {name_of(named)}")
        classes = self.known
        if named and classes is None:
            classes = sorted({name for each in self.classes for name in each or ()})
        label_of = {name: label for label, name in enumerate(classes or ())}
        if named:
            unknown = sorted({name for each in self.classes for name in each or ()} - label_of.keys())
            if unknown:
                raise CouloirError(
                    f"The class '{unknown[0]}' is in the shards and not among the {len(label_of)} classes.",
                    place=named,
                    next_step=f"add it to {CLASSES}, or correct the labels; without that file classes are those of the "
                    "training shards",
                )  # fmt: skip
            self.labels = len(label_of)

        def labels() -> Iterator[NDArray[Any]]:
            for index, mine in zip(self._each(), self.classes, strict=True):
                found = np.array(index.rows["label"])
                named_here = mine is not None and len(found)
                yield np.array([label_of[name] for name in mine or ()], np.int32)[found] if named_here else found

        facts = {
            "classes": classes, "labels": self.labels, "faults": self.faults, "faulty": self.faulty,
            "others": self.others, "named": named or None,
        }  # fmt: skip
        starts, name_starts = np.array(self.counts, np.int64), np.array(self.bytes, np.int64)
        return facts, {
            "starts": (np.int64, len(starts), iter([starts])),
            "name_starts": (np.int64, len(starts), iter([name_starts])),
            "table": (ROW, self.counts[-1], (index.rows for index in self._each())),
            "labels": (np.int32, self.counts[-1], labels()),
            "names": (np.uint8, self.bytes[-1], (index.names for index in self._each())),
        }  # fmt: skip

    def _each(self) -> Iterator[Index]:
        for found in self.found:
            yield Index.read(found) if isinstance(found, Path) else found


def _mapped(shards: list[str], file: Path) -> Rows:
    """Rows out of their file.

    Raises:
        NotWhole: there is none, or it is torn.
    """
    facts, arrays, mapped = read_arrays(file)
    return _rows(shards, facts, arrays, file.stem, file, mapped)


def _rows(
    shards: list[str],
    facts: dict[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    key: str,
    file: Path | None = None,
    mapped: mmap.mmap | None = None,
) -> Rows:
    return Rows(
        shards, np.array(arrays["starts"]), arrays["table"], arrays["labels"], arrays["names"],
        np.array(arrays["name_starts"]), facts, key, file, mapped,
    )  # fmt: skip


def _check(rows: Rows, skip: bool, like: Rows | None) -> None:
    if rows.facts["faults"] and not skip:
        shard, name, reason = rows.facts["faults"][0]
        more = rows.facts["faulty"] - 1
        raise CouloirError(
            f"{name} {reason}" + (f"; {more:,} more member{'s' * (more > 1)} cannot be used" if more else "") + ".",
            place=shard,
            next_step="write the shard again: KEY.jpg and KEY.cls of each sample beside each other; "
            "data.on_error=skip leaves such samples out",
        )
    if not len(rows):
        several = f" and {len(rows.shards) - 1} more" if len(rows.shards) > 1 else ""
        raise CouloirError(
            f"There is no sample in {name_of(rows.shards[0])}{several}: no member KEY.jpg (.png, .webp, ...) with a "
            "KEY.cls beside it.",
            place=rows.shards[0],
            next_step='write the labels into KEY.cls, or as "label" into KEY.json',
        )
    classes = rows.classes
    if like is not None:
        if (like.facts["named"] is None) != (rows.facts["named"] is None):
            numbered, named = (rows, like) if like.facts["named"] else (like, rows)
            raise mixed(numbered.shards[0], "samples there", named.shards[0], "samples there")
        limit, what = like.num_labels, f"the training shards have labels 0 to {like.num_labels - 1}"
        if classes is not None:
            limit, what = len(classes), f"there are {len(classes)} classes"
    elif classes is not None:
        limit, what = len(classes), f"{CLASSES} has {len(classes)} names"
    else:
        return
    if rows.num_labels > limit:
        raise CouloirError(
            f"There is a label {rows.num_labels - 1}, and {what}.",
            place=rows.shards[0],
            next_step="correct the labels, or the names",
        )
