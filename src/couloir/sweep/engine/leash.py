"""What ties runs to the sweep that started them, where a launcher's workers on the same machine stand in between."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from couloir.errors import CouloirError
from couloir.record.files import write_atomically
from couloir.record.lock import RunLock, is_alive

SIGNAL = "signal"
PLACES = "places.json"
HOLDER = "pid"


class Leash:
    """The sweep's end: as long as it is held, and not pulled, the runs go on.

    It is on this machine's own disk, which knows locks; the disk of the sweep may not.

    Args:
        places: for each of the runs that go on at a time, the variables that only one of them may have.
    """

    def __init__(self, places: list[dict[str, str]]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="couloir-sweep-"))
        for number, _ in enumerate(places):
            (self.folder / str(number)).mkdir()
        write_atomically(self.folder / PLACES, json.dumps(places))
        (self.folder / HOLDER).write_text(str(os.getpid()))
        self._lock = RunLock(self.folder)

    def pull(self, number: int) -> None:
        """Have every run, also those that have not begun, end by a signal."""
        write_atomically(self.folder / SIGNAL, str(number))

    def close(self) -> None:
        """Let go of it: what is still under way ends by SIGTERM."""
        self._lock.release()
        shutil.rmtree(self.folder, ignore_errors=True)


def pulled(folder: Path) -> int | None:
    """The signal that a run is to end by, SIGTERM where the sweep is gone; None as long as it may go on."""
    try:
        return int((folder / SIGNAL).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None if _held(folder) else int(signal.SIGTERM)


def _held(folder: Path) -> bool:
    try:
        # A launcher that takes one run at a time may do so in the sweep's own process, which sees no lock of its own.
        if int((folder / HOLDER).read_text()) == os.getpid():
            return True
    except (OSError, ValueError):
        return False
    return is_alive(folder)


@contextmanager
def place(folder: Path | None) -> Iterator[dict[str, str]]:
    """Variables that no other run of the sweep has at the same time; none without a leash."""
    if folder is None:
        yield {}
        return
    places: list[dict[str, str]] = []
    with suppress(OSError, ValueError):
        places = json.loads((folder / PLACES).read_text(encoding="utf-8"))
    for number, environment in enumerate(places):
        try:
            lock = RunLock(folder / str(number))
        except (CouloirError, OSError):
            continue
        try:
            yield environment
        finally:
            lock.release()
        return
    yield {}
