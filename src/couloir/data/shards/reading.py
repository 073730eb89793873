"""Bytes out of the middle of shards on a disk: `pread` on files that stay open. Nothing here imports torch."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from couloir.data.shards.index import Stamp
from couloir.data.shards.naming import name_of
from couloir.errors import CouloirError

OPEN = 128
"""Shards that a process keeps open."""
AHEAD = 16 << 10
"""Bytes that are read at a time where headers are looked for: a header, and both ends of an image beside it."""


class _Open:
    """An open file; closed once nobody has it any more, since a thread may be reading it."""

    def __init__(self, place: str) -> None:
        self.number = -1
        self.number = os.open(place, os.O_RDONLY | getattr(os, "O_BINARY", 0))

    def __del__(self) -> None:
        if self.number >= 0:
            os.close(self.number)


class Disk:
    """Shards on a disk."""

    step = AHEAD
    remote = False

    def __init__(self) -> None:
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]

    def stamps(self, places: Sequence[str]) -> list[Stamp]:
        """Which version of each shard there is.

        Raises:
            CouloirError: a shard is not there.
        """
        found = []
        for place in places:
            try:
                status = os.stat(place)  # noqa: PTH116  thousands of them
            except OSError as error:
                raise _lost(place, error) from error
            found.append(Stamp(status.st_size, str(status.st_mtime_ns)))
        return found

    def read(self, place: str, offset: int, count: int) -> bytes:
        """Bytes of a shard, fewer at its end.

        Raises:
            CouloirError: it cannot be read.
        """
        try:
            file = self._file(place)
            if hasattr(os, "pread"):
                content = os.pread(file.number, count, offset)
                while len(content) < count and (more := os.pread(file.number, count - len(content),
                                                                  offset + len(content))):  # fmt: skip
                    content += more
                return content
            with self._lock:  # Windows has no pread
                os.lseek(file.number, offset, os.SEEK_SET)
                return os.read(file.number, count)
        except OSError as error:
            raise _lost(place, error) from error

    def beside(self, place: str) -> bytes | None:
        """A whole file; None where there is none.

        Raises:
            CouloirError: it cannot be read.
        """
        try:
            return Path(place).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _lost(place, error) from error

    def _file(self, place: str) -> _Open:
        with self._lock:
            file = self._open.get(place)
            if file is None:
                file = self._open[place] = _Open(place)
                if len(self._open) > OPEN:
                    self._open.popitem(last=False)
            else:
                self._open.move_to_end(place)
            return file


def _lost(place: str, error: OSError) -> CouloirError:
    return CouloirError(
        f"{name_of(place)} cannot be read: {error.strerror or error}.",
        place=place,
        next_step="bring the shard back, or name the shards that are there",
    )
