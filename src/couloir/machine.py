"""What the machine gives this process: cores, memory, signals, a folder for caches. Only `one_thread` imports torch.

Windows has neither `resource` nor /proc, and no signals but those of its C library: what stands here for it was written
by its documentation, and not run there.
"""

from __future__ import annotations

import gc
import io
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

WARNINGS = tuple(getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2") if hasattr(signal, name))
"""What clusters send before the end of a job's time (`sbatch --signal=USR1@90`); taken as SIGTERM, which SLURM sends
when it pre-empts a job. Windows has none.
"""
STOPS = (signal.SIGINT, signal.SIGTERM, *WARNINGS)
"""Signals that ask a run to stop. A terminal or a cluster may send them to all processes of a run; the one that trains
decides what the others do.
"""
CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""What a container may use: microseconds of CPU a period, and the period, or `max`."""


def cores(quota_file: Path = CPU_QUOTA) -> int:
    """The cores that this process may use: those it is bound to, and no more than its container is given."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = quota_file.read_text(encoding="ascii").split()
        return max(1, min(bound, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no such file, or "max": no limit
        return bound


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch's operations run in the calling thread alone.

    An operation on one photograph takes a tenth of a millisecond. Where other processes keep the cores busy, its
    threads wait for each other thirty times as long.
    """
    import torch  # only here: a sweep asks for the cores, and has no other use for it

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


PROC = Path("/proc/self")
CGROUP = Path("/sys/fs/cgroup")


def resident_memory() -> int:
    """The bytes that the process occupies now; where /proc is missing, the most it has occupied; 0: nobody says."""
    return _status("VmRSS") or _most_ever()


def forget_peak_memory() -> None:
    """Begin a new peak, where the system lets a process do so; elsewhere the peak is that of the whole process."""
    try:
        (PROC / "clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def peak_memory() -> int:
    """The most bytes that the process has occupied since `forget_peak_memory`; 0: nobody says."""
    return _status("VmHWM") or _most_ever()


def available_memory() -> float:
    """The bytes that the process can still take: the least of what the machine, a cgroup and a ulimit leave.

    Returns:
        Infinity where the system does not say.
    """
    return min(_of_machine(), *_of_cgroups(), _of_limits())


def _status(name: str) -> int:
    return _field(PROC / "status", name)


def _field(file: Path, name: str) -> int:
    """A line such as `VmRSS:   1234 kB` in bytes; 0 where there is none."""
    try:
        lines = file.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)


def _most_ever() -> int:
    try:
        import resource
    except ImportError:
        return _windows_peak()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _windows_peak() -> int:
    # PROCESS_MEMORY_COUNTERS: its size, the peak, what is there now, ...; -1 stands for this process.
    found = _asked_of_windows("K32GetProcessMemoryInfo", 9, -1)
    return found[1] if found else 0


def _windows_memory() -> list[int]:
    """MEMORYSTATUSEX: its size, all memory, free memory, ..."""
    return _asked_of_windows("GlobalMemoryStatusEx", 8)


def _asked_of_windows(function: str, count: int, process: int | None = None) -> list[int]:
    """What a function of Windows' kernel writes into a structure of so many numbers of 8 bytes, the first its size."""
    import ctypes

    if not hasattr(ctypes, "windll"):
        return []
    numbers = (ctypes.c_uint64 * count)(8 * count)
    call = getattr(ctypes.windll.kernel32, function)
    if process is None:
        done = call(ctypes.byref(numbers))
    else:
        done = call(ctypes.c_void_p(process), ctypes.byref(numbers), 8 * count)
    return list(numbers) if done else []


def total_memory() -> int:
    """The bytes of the machine's memory; 0: nobody says."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        found = _windows_memory()
        return found[1] if found else 0


def _of_machine() -> float:
    known = _field(Path("/proc/meminfo"), "MemAvailable")
    if known:
        return known
    if found := _windows_memory():
        return found[2]
    total = total_memory()
    return total - resident_memory() if total else float("inf")


def _of_cgroups() -> Iterator[float]:
    """What the process's cgroup and those above it leave, version 2 and 1; files in the page cache can be dropped."""
    yield float("inf")
    try:
        lines = (PROC / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = CGROUP / "memory" if controllers else CGROUP
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else ("memory.max", "memory.current")
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(root):
                break
            limit, used = (_number(folder / name) for name in names)
            if limit is not None and used is not None:
                yield max(0.0, limit - used + _file_cache(folder))


def _number(file: Path) -> int | None:
    try:
        text = file.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None  # "max" is no limit


def _file_cache(folder: Path) -> int:
    try:
        words = (folder / "memory.stat").read_text(encoding="ascii").split()
    except OSError:
        return 0
    fields = dict(zip(words[::2], words[1::2], strict=False))
    return int(fields.get("inactive_file", 0))


def _of_limits() -> float:
    try:
        import resource
    except ImportError:
        return float("inf")
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return float("inf") if limit == resource.RLIM_INFINITY else max(0.0, limit - _status("VmSize"))


def signal_this_process(number: int) -> None:
    """Send this process a signal, from any of its threads; its handler runs in the main thread.

    On Windows `os.kill` ends a process at once, whatever it listens to.
    """
    if sys.platform == "win32":
        signal.raise_signal(number)
    else:
        os.kill(os.getpid(), number)


def hear_no_terminal() -> None:
    """Keep Ctrl-C in a terminal from this process: whoever started it hears it, and decides."""
    if hasattr(os, "setpgrp"):
        os.setpgrp()
    else:
        import ctypes

        if hasattr(ctypes, "windll"):
            ctypes.windll.kernel32.SetConsoleCtrlHandler(None, True)


def signal_name(number: int) -> str:
    """`SIGKILL` for 9; `signal 99` where the system has no name for it."""
    return signal.Signals(number).name if number in {known.value for known in signal.Signals} else f"signal {number}"


def print_any_character() -> None:
    """Let standard output show a character that its encoding lacks as `\\u00b1`, as standard error does, and not fail.

    Windows writes into a pipe or a file in an encoding of 256 characters, and LC_ALL=C knows ASCII alone.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="backslashreplace")


def leave(code: int) -> NoReturn:
    """End the process, without a last search for garbage among all of its objects.

    Python searches several times as it ends. After torch and Lightning that takes longer than a small run, and the
    end of the process gives back all memory anyway. All else is as always: threads are waited for, functions that were
    registered with `atexit` are called, streams are flushed and closed.

    Args:
        code: what the shell is told.
    """
    gc.freeze()
    sys.exit(code)


@contextmanager
def taken(numbers: Sequence[int], handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Have a handler take signals for the length of the block; in another thread than the main one, leave them alone.

    Args:
        numbers: of the signals.
        handler: what takes them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


def cache_folder(stated: str | None) -> Path:
    """The folder of all caches: the stated one, `$COULOIR_CACHE`, or `~/.cache/couloir`."""
    chosen = stated or os.environ.get("COULOIR_CACHE") or "~/.cache/couloir"
    return Path(chosen).expanduser()
