"""Which process a run belongs to. Nothing here imports torch."""

from __future__ import annotations

import importlib
import json
import os
import socket
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from couloir.errors import CouloirError

NAME = "run.lock"
LOCKED_BYTE = 1 << 30
"""The place that stands for the whole file on Windows."""


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
            handle = os.open(self.file, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
            if lock(handle) is False:
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
        os.lseek(self._handle, 0, os.SEEK_SET)
        os.write(self._handle, (json.dumps(identity) + "\n").encode())

    def release(self) -> None:
        """Give it up, and remove the file."""
        if self._handle is not None:
            with suppress(OSError):  # a folder that can no longer be written keeps the file, which locks nothing
                self.file.unlink()
            os.close(self._handle)
            self._handle = None
            if os.name == "nt":  # it removes no file that is open
                with suppress(OSError):
                    self.file.unlink()


def is_alive(folder: Path) -> bool:
    """Whether a process, another than this one, holds the lock of a run."""
    try:
        handle = os.open(folder / NAME, os.O_RDWR)
    except OSError:
        return False
    try:
        return lock(handle) is False and _read(handle).get("pid") != os.getpid()
    finally:
        os.close(handle)


def lock(handle: int, wait: bool = False) -> bool | None:
    """Take the operating system's lock on an open file, which ends with the process that holds it.

    Args:
        handle: of the file.
        wait: until nobody else has it.

    Returns:
        whether it is taken; None where the system or the disk knows no such locks, so that everybody may.
    """
    try:
        import fcntl
    except ImportError:
        return _windows_lock(handle, wait)
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a shared disk that knows no locks
        return None
    return True


def _windows_lock(handle: int, wait: bool) -> bool | None:
    """A byte behind the end of the file: what is locked can be read by nobody else."""
    try:
        msvcrt: Any = importlib.import_module("msvcrt")
    except ImportError:
        return None
    while True:
        os.lseek(handle, LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            if not wait:
                return False
            time.sleep(0.01)
        else:
            return True


def _stop(pid: object) -> str:
    return f"taskkill /f /pid {pid}" if os.name == "nt" else f"kill {pid}"


def _is_still(file: Path, handle: int) -> bool:
    try:
        return os.path.samestat(file.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _read(handle: int) -> dict[str, Any]:
    try:
        os.lseek(handle, 0, os.SEEK_SET)
        content = json.loads(os.read(handle, 4096))
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _alive(folder: Path, holder: dict[str, Any]) -> CouloirError:
    who = f"process {holder['pid']} on {holder.get('host')}, since {holder.get('since')}" if "pid" in holder else ""
    return CouloirError(
        f"The run {folder.name} is still running{f': {who}' if who else ''}.",
        place=str(folder),
        next_step=f"wait for it, or stop it: {_stop(holder['pid'])}" if who else "wait for it, or stop it",
    )
