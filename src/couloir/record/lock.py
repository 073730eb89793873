"""Which process a run belongs to. Nothing here imports torch."""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from couloir.errors import CouloirError

NAME = "run.lock"


class RunLock:
    """The lock of a run folder, held by one process until it ends, however it ends.

    The operating system's lock on the file is what counts, so that a file that a killed process left behind locks
    nothing; its content says who holds it. Worker processes do not inherit it.

    Args:
        folder: the run's folder.

    Raises:
        CouloirError: another process holds it.
        OSError: the file cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / NAME
        self._handle: int | None = None
        while self._handle is None:
            handle = os.open(self.file, os.O_RDWR | os.O_CREAT, 0o644)
            if not _lock(handle):
                holder = _read(handle)
                os.close(handle)
                raise _alive(folder, holder)
            if _is_still(self.file, handle):
                self._handle = handle
            else:  # the last holder has just removed it
                os.close(handle)
        identity = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now().astimezone().isoformat(timespec="seconds"),
        }
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, (json.dumps(identity) + "\n").encode(), 0)

    def release(self) -> None:
        """Give it up, and remove the file."""
        if self._handle is not None:
            with suppress(OSError):  # a folder that can no longer be written keeps the file, which locks nothing
                self.file.unlink()
            os.close(self._handle)
            self._handle = None


def is_alive(folder: Path) -> bool:
    """Whether a process, another than this one, holds the lock of a run."""
    try:
        handle = os.open(folder / NAME, os.O_RDWR)
    except OSError:
        return False
    try:
        return not _lock(handle)
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    """Take the lock if nobody has it; where the system has no such locks, everybody may."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a shared disk that knows no locks
        return True
    return True


def _is_still(file: Path, handle: int) -> bool:
    try:
        return os.path.samestat(file.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _read(handle: int) -> dict[str, Any]:
    try:
        content = json.loads(os.pread(handle, 4096, 0))
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _alive(folder: Path, holder: dict[str, Any]) -> CouloirError:
    who = f"process {holder['pid']} on {holder.get('host')}, since {holder.get('since')}" if "pid" in holder else ""
    return CouloirError(
        f"The run {folder.name} is still going on{f': {who}' if who else ''}.",
        place=str(folder),
        next_step=f"wait for it, or stop it: kill {holder['pid']}" if who else "wait for it, or stop it",
    )
