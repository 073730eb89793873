"""Frames on disk: decoded and resized once, then read through a memory map, by this run and by later ones.

A set's folder holds `frames`, to which pixels are only ever appended, and `index`, which says of each photograph where
its pixels are. A row of the index is written after its pixels have reached the disk, so that a process that is killed,
or a machine that loses its power, leaves photographs that are decoded again, never wrong pixels. The folder's name is a
hash over the files' names, sizes and times of change: a set that has changed has another folder.

Nobody who decodes waits for the disk: a thread does, and writes the rows. What is on its way stands in a file of each
run, `coming-*`, so that nobody writes it twice. The run itself reads it already, where its pixels have the right sum;
other runs decode it.
"""

from __future__ import annotations

import errno
import hashlib
import math
import mmap
import multiprocessing
import os
import re
import shutil
import threading
import uuid
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from torch import Tensor

from couloir.config.image_size import ImageSize, in_words, size_of
from couloir.data.decode import DECODER

ROW = np.dtype([("place", "<u8"), ("height", "<u4"), ("width", "<u4")])
"""Where a frame's pixels begin, plus one, and its size; zeros: it is not there."""
COMING = np.dtype([*ROW.descr, ("sum", "<u8")])
"""A row before the disk has its pixels, and their sum: a disk that fails may take them out of the system's memory."""

GIB = 2**30
SET = re.compile(r"[0-9a-f]{32}")
"""The name of a set's folder."""
POLL = 0.005
"""Seconds between two looks at a lock that another process holds, which takes some milliseconds to write a batch."""


class Cache:
    """The frames of one set of photographs.

    Several processes may read and add at once. What cannot be written is not kept: `problem` says why, and the caller
    decodes as if there were no cache.

    Args:
        folder: where the caches of all sets are.
        paths: the files of the set.
        resize: what a frame covers: pixels of its shorter side, or a height and a width.
        channels: 3 or 1.
        limit: bytes that all caches in the folder may take together.
        reading: how pixels were made of the files, in words: another reading is another set.
    """

    def __init__(
        self, folder: Path, paths: list[Path], resize: ImageSize, channels: int, limit: float, reading: str = ""
    ) -> None:
        self.folder, self.channels, self.limit = folder, channels, limit
        self.paths = [os.path.abspath(path) for path in paths]  # noqa: PTH100  a string, and symbolic links stay
        self.stamps = [_stamp(path) for path in self.paths]
        self.set = folder / _name(self.paths, self.stamps, resize, channels, reading)
        self.problem: str | None = None
        self.run = uuid.uuid4().hex
        self._use: FileLock | None = None
        self._index: NDArray[Any] | None = None
        self._pixels: Tensor | None = None
        self._coming: NDArray[Any] | None = None
        """Rows of this run whose pixels are on their way to the disk, in a file that its processes map, and one more:
        its place is the number of the error by which the disk refused what was on its way.
        """
        self._writer: _Writer | None = None
        try:
            self._open(len(paths) * channels * math.prod(size_of(resize)) * 4 / 3)
        except (OSError, NotImplementedError) as error:
            self._fail(error)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_use": None, "_index": None, "_pixels": None, "_coming": None, "_writer": None}

    def _fail(self, error: Exception) -> None:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
        self.problem = f"the cache in {self.folder} cannot be written ({reason}): training continues without it"

    def _lock(self) -> FileLock:
        return FileLock(self.folder / "lock", poll_interval=POLL)

    def _open(self, expected: float) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock():
            if _size(self.set) > self.limit:
                _remove_unused(self.set)
            make_room(self.folder, self.set, expected, self.limit)
            self.set.mkdir(exist_ok=True)
            index, length = self.set / "index", ROW.itemsize * len(self.paths)
            if _stamp(str(index))[0] != length:  # there is none, or it did not survive a loss of power
                (self.set / "frames").unlink(missing_ok=True)
                fresh = self.set / "index.new"
                fresh.write_bytes(bytes(length))
                fresh.replace(index)
            os.utime(index)  # the newest use: other sets are evicted first
            if not _in_use(self.set):
                self._tidy()
            self._use = FileLock(self.set / f"use-{self.run}.lock")
            self._use.acquire()
            with (self.set / f"coming-{self.run}").open("wb") as stream:
                stream.truncate(COMING.itemsize * (len(self.paths) + 1))
            self._writer = _Writer(self.set / "frames")

    def _tidy(self) -> None:
        """Take away what killed processes left, such as pixels that no row has, and rows whose pixels are not there."""
        for file in self.set.glob("coming-*"):
            file.unlink()
        try:
            size = os.stat(self.set / "frames").st_size  # noqa: PTH116
        except FileNotFoundError:
            size = 0
        if not self.paths:
            return
        index = self._map(self.set / "index", len(self.paths))
        ends = index["place"] - 1 + index["height"].astype(np.uint64) * index["width"] * self.channels
        there = index["place"] > 0
        lost = there & (ends > size)
        if lost.any():
            index[lost] = 0
            index.flush()  # before other pixels come to stand there
        end = int(ends[there & ~lost].max(initial=0))
        if end < size:
            os.truncate(self.set / "frames", end)

    def close(self) -> None:
        """Leave the set to eviction."""
        self.settle()
        self._coming = self._writer = None
        with suppress(OSError):
            (self.set / f"coming-{self.run}").unlink()
        if self._use is not None:
            self._use.release()
            Path(self._use.lock_file).unlink(missing_ok=True)
            self._use = None

    def read(self, number: int) -> Tensor | None:
        """A frame, uint8 (H, W, C), its pixels in the memory map; None where it is not there."""
        if self._index is None:
            try:
                self._index = np.memmap(self.set / "index", ROW, mode="r", shape=(len(self.paths),))
            except (OSError, ValueError):
                return None
        frame = self._frame(*self._index[number].item())
        if frame is None and self._coming is not None:
            *row, total = self._coming[number].item()
            frame = self._frame(*row)
            if frame is not None and _sum(frame) != total:
                return None
        return frame

    def _frame(self, place: int, height: int, width: int) -> Tensor | None:
        start, count = place - 1, height * width * self.channels
        if start < 0 or count == 0 or not self._reaches(start + count):
            return None
        assert self._pixels is not None
        return self._pixels[start : start + count].view(height, width, self.channels)

    def _reaches(self, end: int) -> bool:
        """Whether the map reaches so far, after a look at how far the file has grown."""
        if self._pixels is not None and end <= len(self._pixels):
            return True
        try:
            with (self.set / "frames").open("rb") as stream:
                # A private map: torch warns of memory that it must not write, and nobody writes.
                mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
        except (OSError, ValueError):
            return False
        self._pixels = torch.frombuffer(mapped, dtype=torch.uint8)
        return end <= len(self._pixels)

    def add(self, numbers: Sequence[int], frames: Sequence[Tensor]) -> None:
        """Keep some frames, as far as there is room, the files are still those listed, and nobody was faster.

        They are there once the disk has their pixels: after `settle` at the latest.
        """
        if self.problem is not None:
            return
        fresh = [
            (number, frame)
            for number, frame in zip(numbers, frames, strict=True)
            if _stamp(self.paths[number]) == self.stamps[number]
        ]
        try:
            writer, own = self._own_writer(), self._own_coming()
            with self._lock():
                _check_disk(own)
                coming = [own, *self._coming_elsewhere()]
                missing = [
                    (number, frame)
                    for number, frame in fresh
                    if self.read(number) is None and not any(rows["place"][number] for rows in coming)
                ]
                rows = self._append(writer, missing)
                own[[number for number, _ in rows]] = [row for _, row in rows]
            writer.later(rows, self._reached, self._lost)
        except (OSError, NotImplementedError) as error:
            self._fail(error)

    def _own_coming(self) -> NDArray[Any]:
        if self._coming is None:
            self._coming = self._map(self.set / f"coming-{self.run}", len(self.paths) + 1, COMING)
        return self._coming

    def _coming_elsewhere(self) -> list[NDArray[Any]]:
        """What other runs have on its way to the disk; to be called under the lock."""
        files = [file for file in self.set.glob("coming-*") if not file.name.endswith(self.run)]
        if files:
            _in_use(self.set)  # those of runs that are gone are swept up
        return [self._map(file, len(self.paths), COMING) for file in files if file.exists()]

    def _map(self, file: Path, rows: int, kind: np.dtype[Any] = ROW) -> np.memmap[Any, Any]:
        return np.memmap(file, kind, mode="r+", shape=(rows,))

    def _own_writer(self) -> _Writer:
        if self._writer is None or self._writer.process != os.getpid():
            self._writer = _Writer(self.set / "frames")
        return self._writer

    def _append(self, writer: _Writer, frames: list[tuple[int, Tensor]]) -> Rows:
        """Write pixels to the end of the file, as far as there is room; to be called under the lock.

        Returns:
            the rows to write once the disk has them.
        """
        room = self.limit - sum(map(_size, _sets(self.folder)))
        rows: Rows = []
        begin = end = writer.size()
        try:
            for number, frame in frames:
                if frame.numel() > room:
                    self.problem = (
                        f"the caches in {self.folder} have reached {self.limit / GIB:g} GiB: the other "
                        "photographs are decoded each time (the limit is data.cache_size)"
                    )
                    break
                writer.write(frame.contiguous().view(-1).numpy().data)
                rows.append((number, (end + 1, frame.shape[0], frame.shape[1], _sum(frame))))
                end += frame.numel()
                room -= frame.numel()
        except OSError:
            os.truncate(self.set / "frames", begin)
            raise
        return rows

    def _write_rows(self, rows: Rows) -> None:
        """Say where pixels are that the disk has; to be called under the lock."""
        index = self._map(self.set / "index", len(self.paths))
        for number, (place, height, width, _) in rows:
            index["height"][number], index["width"][number] = height, width
            index["place"][number] = place  # last: who reads at this moment finds nothing, or all of it

    def _reached(self, rows: Rows) -> None:
        """The disk has the pixels of these rows; where another process has met an error, they are no longer coming."""
        coming = self._own_coming()
        with self._lock():
            rows = [(number, row) for number, row in rows if coming[number].item() == row]
            self._write_rows(rows)
            coming[[number for number, _ in rows]] = 0

    def _lost(self, error: OSError) -> None:
        """The disk did not take everything, and does not say what it took: none of what is on its way is kept."""
        self._fail(error)
        with suppress(OSError), self._lock():  # without a folder nobody writes rows, either
            coming = self._own_coming()
            coming[:] = 0
            coming["place"][-1] = error.errno or errno.EIO

    def settle(self) -> None:
        """Wait until the disk has what was added, be it by workers that are gone, and write its rows."""
        if self._writer is None or self._writer.process != os.getpid() or not self.paths:
            return
        try:
            self._writer.join()
            coming = self._own_coming()
            _check_disk(coming)
            rows = [(int(number), coming[number].item()) for number in coming["place"].nonzero()[0]]
            if rows:
                self._writer.wait_for_disk()
                self._reached(rows)
        except OSError as error:
            self._lost(error)


def _check_disk(coming: NDArray[Any]) -> None:
    """Raise what another process of this run has heard from the disk."""
    number = int(coming["place"][-1])
    if number:
        raise OSError(number, os.strerror(number))


def _sum(frame: Tensor) -> int:
    """The sum of a frame's bytes, eight at a time."""
    content = frame.contiguous().view(-1).numpy()
    whole = len(content) // 8 * 8
    total = int(content[:whole].view(np.uint64).sum()) + int(content[whole:].sum())
    return total % 2**64


Rows = list[tuple[int, tuple[int, int, int, int]]]
"""Numbers of photographs, and their rows before the disk has them."""


class _Writer:
    """Appends to a file of frames in one process; a thread waits for the disk, and then says which rows it has.

    The file is opened before anything is written. An error that the disk meets later is told to whoever had the file
    open by then, once each.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.process = os.getpid()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
        self._file = os.open(path, flags, 0o666)
        self._guard = threading.Lock()
        self._rows: Rows = []
        self._thread: threading.Thread | None = None
        weakref.finalize(self, os.close, self._file)

    def size(self) -> int:
        """Bytes of the file."""
        return os.fstat(self._file).st_size

    def write(self, content: memoryview) -> None:
        """Append bytes."""
        while content:
            content = content[os.write(self._file, content) :]

    def wait_for_disk(self) -> None:
        """Return once the disk has all that was written."""
        getattr(os, "fdatasync", os.fsync)(self._file)

    def later(self, rows: Rows, reached: Callable[[Rows], None], lost: Callable[[OSError], None]) -> None:
        """Have a thread wait for the disk.

        Args:
            rows: what has just been written.
            reached: called there with the rows whose pixels the disk has.
            lost: called there where it has not.
        """
        with self._guard:
            self._rows.extend(rows)
            if self._thread is None and rows:
                # A worker ends when it is told to, and the process that trains settles what is left.
                daemon = multiprocessing.parent_process() is not None
                self._thread = threading.Thread(target=self._wait, args=(reached, lost), daemon=daemon)
                self._thread.start()

    def _wait(self, reached: Callable[[Rows], None], lost: Callable[[OSError], None]) -> None:
        while True:
            with self._guard:
                rows, self._rows = self._rows, []
                if not rows:
                    self._thread = None
                    return
            try:
                self.wait_for_disk()
                reached(rows)
            except OSError as error:
                lost(error)

    def join(self) -> None:
        """Wait for the thread, where there is one."""
        thread = self._thread
        if thread is not None:
            thread.join()


def _stamp(path: str) -> tuple[int, int]:
    """Size and time of change of a file; (-1, -1) where there is none any more."""
    try:
        found = os.stat(path)  # noqa: PTH116  a million of them: Path objects would take longer than the calls
    except OSError:
        return -1, -1
    return found.st_size, found.st_mtime_ns


def _name(paths: list[str], stamps: list[tuple[int, int]], resize: ImageSize, channels: int, reading: str) -> str:
    digest = hashlib.sha256(f"{DECODER}\0{in_words(resize)}\0{channels}\0{reading}\0".encode())
    for path, (size, changed) in zip(paths, stamps, strict=True):
        digest.update(f"{path}\0{size}\0{changed}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]


def _sets(folder: Path) -> list[Path]:
    """The folders that are sets; others that lie there, in a folder that was named by mistake, are not ours."""
    return [path for path in folder.iterdir() if SET.fullmatch(path.name) and path.is_dir() and not path.is_symlink()]


def make_room(folder: Path, own: Path, expected: float, limit: float) -> bool:
    """Evict the sets that have gone unused the longest until the expected size of one's own fits.

    To be called under the folder's lock. Nothing is evicted for what cannot fit at all.

    Returns:
        Whether it fits.
    """
    if expected > limit:
        return False
    others = [path for path in _sets(folder) if path != own]
    total = sum(map(_size, others))
    for other in sorted(others, key=_last_used):
        if total + expected <= limit:
            break
        size = _size(other)
        if _remove_unused(other):
            total -= size
    return total + expected <= limit


def _size(path: Path) -> int:
    total = 0
    for name in ("frames", "index"):
        total += max(0, _stamp(str(path / name))[0])
    return total


def _last_used(path: Path) -> int:
    return _stamp(str(path / "index"))[1]


def _remove_unused(path: Path) -> bool:
    """Remove a set unless a process uses it; to be called under the folder's lock."""
    if _in_use(path):
        return False
    shutil.rmtree(path, ignore_errors=True)
    return not path.exists()


def _in_use(path: Path) -> bool:
    """Whether a process holds one of a set's locks; those that nobody holds any more are swept up."""
    held = False
    for file in path.glob("use-*.lock"):
        try:
            with FileLock(file, timeout=0):
                file.with_name(file.stem.replace("use-", "coming-")).unlink(missing_ok=True)
                file.unlink(missing_ok=True)
        except Timeout:
            held = True
    return held
