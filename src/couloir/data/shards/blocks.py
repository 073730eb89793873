"""Blocks of samples from servers, on this machine's disk: the processes of a machine ask for each of them once.

A block is what lies beside each other in a shard: one request of some megabytes brings it. Its file has its name only
once it is whole. The oldest files make room for new ones; the order of an epoch is done with a block after a window.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from couloir.data.shards.naming import name_of
from couloir.data.shards.reading import Disk
from couloir.data.shards.remote import AT_ONCE, Remote
from couloir.data.shards.rows import FOLDER, Rows, piece_starts
from couloir.errors import CouloirError
from couloir.record.files import rename

LOCKS = 256
"""Files that keep two processes from asking for the same block at a time."""
SWEPT = 16
"""How often the files are counted while as much is written as the limit allows."""


class Blocks:
    """The images of a split's shards, block by block.

    Args:
        rows: the samples.
        store: what reads the shards.
        block: samples of a block, at most.
        folder: where the files of all blocks are.
        limit: bytes that they may take together.
    """

    def __init__(self, rows: Rows, store: Remote, block: int, folder: Path, limit: float) -> None:
        self.rows, self.store, self.limit = rows, store, limit
        self.bounds = np.append(piece_starts(rows.starts, block), len(rows))
        version = hashlib.sha256(f"{rows.key}\0{block}".encode()).hexdigest()[:32]
        self.root = folder / FOLDER / "blocks"
        self.folder = self.root / version
        self._disk = Disk()
        self._written = 0.0
        self._counting = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_counting": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._counting = threading.Lock()

    def bring(self, numbers: Sequence[int]) -> None:
        """Bring the blocks of some samples to this machine, several at a time.

        Raises:
            CouloirError: the server does not answer, or the disk does not take them.
        """
        blocks = np.unique(np.searchsorted(self.bounds, np.asarray(numbers), side="right") - 1).tolist()
        missing = [block for block in blocks if not self._file(block).exists()]
        if len(missing) == 1:
            self._fetch(missing[0])
        elif missing:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(self._fetch, missing))

    def read(self, number: int) -> bytes:
        """The bytes of a sample's image.

        Raises:
            CouloirError: as `bring`.
        """
        block = int(np.searchsorted(self.bounds, number, side="right")) - 1
        _, offset, size = self.rows.place(number)
        start = offset - self._range(block)[1]
        for _ in range(3):
            file = self._file(block)
            if not file.exists():
                self._fetch(block)
            with suppress(CouloirError):  # another process has made room just now
                return self._disk.read(str(file), start, size)
        raise CouloirError(
            "Blocks of shards are removed as fast as they come: there is no room for them.",
            place=str(self.root),
            next_step="a larger data.cache_size, or fewer runs that share this folder",
        )

    def forget(self, number: int) -> None:
        """Remove the block of a sample, which a loss of power has torn: it is asked for again."""
        self._file(int(np.searchsorted(self.bounds, number, side="right")) - 1).unlink(missing_ok=True)
        self._disk = Disk()

    def _file(self, block: int) -> Path:
        return self.folder / f"{block:08}"

    def _range(self, block: int) -> tuple[str, int, int]:
        """The shard of a block, and where its bytes begin and end there."""
        first, last = int(self.bounds[block]), int(self.bounds[block + 1]) - 1
        shard, begin, _ = self.rows.place(first)
        _, offset, size = self.rows.place(last)
        return shard, begin, offset + size

    def _fetch(self, block: int) -> None:
        file = self._file(block)
        shard, begin, end = self._range(block)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.root / f"{block % LOCKS}.lock"):
                if file.exists():
                    return
                content = self.store.whole(shard, begin, end - begin)
                fresh = file.with_suffix(".new")
                try:
                    fresh.write_bytes(content)  # not flushed: after a loss of power, marks tell what is torn
                    rename(fresh, file)
                except OSError:
                    fresh.unlink(missing_ok=True)  # of a full disk it would take what is left
                    raise
        except OSError as error:
            raise CouloirError(
                f"A block of {name_of(shard)} cannot be kept: {error.strerror or error}.",
                place=str(self.root),
                next_step="data.cache_dir=FOLDER names a place with room, data.cache_size the gigabytes it may take",
            ) from error
        with self._counting:
            self._written += len(content)
            due, self._written = self._written > self.limit / SWEPT, self._written % (self.limit / SWEPT)
        if due:
            make_room(self.root, self.limit * (1 - 1 / SWEPT))


def make_room(root: Path, limit: float) -> None:
    """Remove the oldest blocks of all sets until the others fit."""
    with suppress(Timeout, OSError), FileLock(root / "room.lock", timeout=0):
        found = []
        for file in root.glob("*/*"):
            with suppress(OSError):
                status = file.stat()
                found.append((status.st_mtime_ns, status.st_size, file))
        total = sum(size for _, size, _ in found)
        for _, size, file in sorted(found):
            if total <= limit:
                break
            file.unlink(missing_ok=True)
            total -= size
