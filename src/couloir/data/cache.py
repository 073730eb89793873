"""Frames on disk: decoded and resized once, then read through a memory map, by this run and by later ones.

A set's folder holds `frames`, to which pixels are only ever appended, and `index`, which says of each photograph where
its pixels are. A row of the index is written after its pixels have reached the disk, so that a process that is killed,
or a machine that loses its power, leaves photographs that are decoded again, never wrong pixels. The folder's name is a
hash over the files' names, sizes and times of change: a set that has changed has another folder.
"""

from __future__ import annotations

import hashlib
import math
import mmap
import os
import re
import shutil
import uuid
from collections.abc import Sequence
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

GIB = 2**30
SET = re.compile(r"[0-9a-f]{32}")
"""The name of a set's folder."""


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
        self._use: FileLock | None = None
        self._index: NDArray[Any] | None = None
        self._pixels: Tensor | None = None
        try:
            self._open(len(paths) * channels * math.prod(size_of(resize)) * 4 / 3)
        except (OSError, NotImplementedError) as error:
            self._fail(error)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_use": None, "_index": None, "_pixels": None}

    def _fail(self, error: Exception) -> None:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
        self.problem = f"the cache in {self.folder} cannot be written ({reason}): training continues without it"

    def _lock(self) -> FileLock:
        return FileLock(self.folder / "lock")

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
            _in_use(self.set)
            self._use = FileLock(self.set / f"use-{uuid.uuid4().hex}.lock")
            self._use.acquire()

    def close(self) -> None:
        """Leave the set to eviction."""
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
        place, height, width = self._index[number].item()
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
        """Keep some frames, as far as there is room, the files are still those listed, and nobody was faster."""
        if self.problem is not None:
            return
        fresh = [
            (number, frame)
            for number, frame in zip(numbers, frames, strict=True)
            if _stamp(self.paths[number]) == self.stamps[number]
        ]
        try:
            with self._lock():
                self._append([(number, frame) for number, frame in fresh if self.read(number) is None])
        except (OSError, NotImplementedError) as error:
            self._fail(error)

    def _append(self, frames: list[tuple[int, Tensor]]) -> None:
        room = self.limit - sum(map(_size, _sets(self.folder)))
        rows: list[tuple[int, int, Tensor]] = []
        with (self.set / "frames").open("ab") as stream:
            begin = end = stream.seek(0, os.SEEK_END)
            try:
                for number, frame in frames:
                    if frame.numel() > room:
                        self.problem = (
                            f"the caches in {self.folder} have reached {self.limit / GIB:g} GiB: the other "
                            "photographs are decoded each time (the limit is data.cache_size)"
                        )
                        break
                    stream.write(frame.contiguous().view(-1).numpy().data)
                    rows.append((number, end, frame))
                    end += frame.numel()
                    room -= frame.numel()
                stream.flush()
                getattr(os, "fdatasync", os.fsync)(stream.fileno())
            except OSError:
                os.truncate(self.set / "frames", begin)
                raise
        index = np.memmap(self.set / "index", ROW, mode="r+", shape=(len(self.paths),))
        for number, start, frame in rows:
            index["height"][number], index["width"][number] = frame.shape[:2]
            index["place"][number] = start + 1  # last: who reads at this moment finds nothing, or all of it


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
                file.unlink(missing_ok=True)
        except Timeout:
            held = True
    return held
