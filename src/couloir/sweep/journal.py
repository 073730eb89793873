"""The study's journal: one JSON line for each thing that happened, in the format of Optuna's own journal file.

Optuna's class takes a lock that a killed process leaves behind for half a minute, and a line that was torn by a full
disk or a lost machine makes everything after it unreadable. Here the operating system holds the lock, and lets go of it
with the process; a torn line is cut off before the next one is written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend, JournalFileOpenLock, JournalFileSymlinkLock

from couloir.record.lock import lock

LAST_PART = 1 << 16
"""Bytes at the end of the file among which the end of the last whole line is looked for at first."""


class Journal(BaseJournalBackend):
    """A journal in a file, which processes of several machines may share where the disk knows locks.

    Args:
        file: made where it is not there.

    Raises:
        OSError: it can be neither read nor written.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock_file = file.with_name(f"{file.name}.lock")
        self._read_to = (0, 0)
        """So many lines, in so many bytes."""
        with file.open("ab"):
            pass

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """The lines from a number on; one that is being written is not read yet."""
        number, place = self._read_to if self._read_to[0] <= log_number_from else (0, 0)
        with self.file.open("rb") as stream:
            stream.seek(place)
            for line in stream:
                if not line.endswith(b"\n"):
                    return
                number, place = number + 1, place + len(line)
                if number > log_number_from:
                    entry = json.loads(line)
                    self._read_to = (number, place)
                    yield entry

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write lines, all or none of them."""
        text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with self._locked(), self.file.open("r+b") as stream:
            stream.seek(_whole(stream))
            stream.truncate()
            stream.write(text.encode())
            stream.flush()
            os.fsync(stream.fileno())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock_file.open("ab") as stream:
            if lock(stream.fileno(), wait=True) is not None:
                yield
                return
        # Optuna's own: a file that is there, or not. Older network disks make a link at once, and not a file.
        other = JournalFileOpenLock(str(self.file)) if os.name == "nt" else JournalFileSymlinkLock(str(self.file))
        other.acquire()
        try:
            yield
        finally:
            other.release()


def _whole(stream: Any) -> int:
    """Where the last whole line of a file ends."""
    size: int = stream.seek(0, os.SEEK_END)
    part = LAST_PART
    while True:
        begin = max(0, size - part)
        stream.seek(begin)
        end = stream.read(size - begin).rfind(b"\n")
        if end >= 0:
            return int(begin + end + 1)
        if begin == 0:
            return 0
        part *= 8
