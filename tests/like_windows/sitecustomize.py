"""What Couloir finds on Windows, as far as Linux can show it: Python loads this file at the start of each process whose
PYTHONPATH names its folder, those that a run starts included.

Couloir's modules get an `os`, a `signal` and a `sys` that lack what Windows lacks, and cannot import Unix's modules.
Libraries go on as they are, but for links, which nobody can make, and for `multiprocessing`, which knows `spawn` alone.
`msvcrt` locks a file for one handle of it, as Windows does.
"""

from __future__ import annotations

import builtins
import multiprocessing.context
import os
import signal
import sys
import types
from typing import Any

UNIX = ("fcntl", "grp", "pwd", "resource", "termios", "tty", "pty", "readline", "syslog", "curses", "posix")
LACKS = {
    "os": (
        "O_DIRECTORY", "O_NONBLOCK", "O_CLOEXEC", "WNOHANG", "chown", "fchmod", "fdatasync", "fork", "forkpty",
        "getegid", "geteuid", "getgid", "getloadavg", "getpgid", "getpgrp", "getuid", "killpg", "mkfifo", "nice",
        "openpty", "pidfd_open", "posix_fadvise", "posix_fallocate", "posix_spawn", "pread", "pwrite",
        "register_at_fork", "sched_getaffinity", "sched_setaffinity", "set_blocking", "setpgid", "setpgrp", "setsid",
        "statvfs", "sysconf", "uname", "wait", "waitid", "wait3", "wait4",
    ),
    "signal": (
        "SIGALRM", "SIGBUS", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGSTOP", "SIGTSTP",
        "SIGUSR1", "SIGUSR2", "alarm", "getitimer", "pause", "pthread_kill", "pthread_sigmask", "setitimer",
        "siginterrupt", "sigpending", "sigtimedwait", "sigwait", "sigwaitinfo",
    ),
    "sys": ("getdlopenflags", "setdlopenflags"),
}  # fmt: skip


class Poorer(types.ModuleType):
    """A module without some names, and with other values for some."""

    def __init__(self, module: types.ModuleType, lacks: tuple[str, ...], other: dict[str, Any]) -> None:
        super().__init__(module.__name__)
        self.__dict__.update({"_module": module, "_lacks": lacks, **other})

    def __getattr__(self, name: str) -> Any:
        if name in self._lacks:
            raise AttributeError(f"module '{self._module.__name__}' has no attribute '{name}' on this system")
        return getattr(self._module, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._module, name, value)


def no_link(*_: Any, **__: Any) -> None:
    raise OSError(1314, "A required privilege is not held by the client")


def locking(handle: int, mode: int, _count: int) -> None:
    """Windows's lock belongs to a handle, as that of `flock` does."""
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB if mode else fcntl.LOCK_UN)


import fcntl  # noqa: E402  only here

MSVCRT = types.ModuleType("msvcrt")
MSVCRT.__dict__.update({"locking": locking, "LK_NBLCK": 2, "LK_UNLCK": 0})
POORER = {
    "os": Poorer(
        os, LACKS["os"], {"name": "nt", "kill": lambda pid, _number: os.kill(pid, signal.SIGKILL), "O_BINARY": 0}
    ),
    "signal": Poorer(signal, LACKS["signal"], {}),
    "sys": Poorer(sys, LACKS["sys"], {"platform": "win32"}),
}
usual_import, usual_module = builtins.__import__, None


def poorer_import(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
    if level == 0 and str((globals or {}).get("__name__", "")).partition(".")[0] in ("couloir", "hydra_plugins"):
        first = name.partition(".")[0]
        if first in UNIX:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
        if name in POORER:
            return POORER[name]
        if name == "importlib" and not fromlist:
            return IMPORTLIB
    return usual_import(name, globals, locals, fromlist, level)


def import_module(name: str, package: str | None = None) -> Any:
    return MSVCRT if name == "msvcrt" else importlib.import_module(name, package)


import importlib  # noqa: E402

IMPORTLIB = Poorer(importlib, (), {"import_module": import_module})
builtins.__import__ = poorer_import
os.symlink = no_link
contexts = multiprocessing.context._concrete_contexts
for start in ("fork", "forkserver"):
    contexts.pop(start, None)
multiprocessing.context._default_context._default_context = contexts["spawn"]
multiprocessing.get_all_start_methods = lambda: ["spawn"]
