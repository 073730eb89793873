"""The processes that read data for the one that trains: signals, and their end. Nothing here imports torch."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from couloir.errors import ProcessLost, causes

GRACE = 30
"""Seconds that a worker goes on after SIGTERM."""
KILLED = re.compile(r"DataLoader worker \(pid (?P<pid>\d+)\) is killed by signal: (?P<signal>[^.]+)")
EXITED = re.compile(
    r"DataLoader worker \(pid(\(s\))? (?P<pid>[\d, ]+)\) exited unexpectedly( with exit code (?P<code>\d+))?"
)
NO_ROOM = ("out of shared memory", "shared memory(shm)", "unable to write to file </torch")
"""What torch says when /dev/shm, through which workers hand batches over, is full."""


def leave_signals(_worker: int) -> None:
    """Ctrl-C, and a scheduler's SIGTERM, reach all processes; the one that trains decides what becomes of the others.

    It has some time to end its step and save a checkpoint, for which it may need its workers.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "alarm"):
        signal.signal(signal.SIGTERM, lambda *_: signal.alarm(GRACE))


def tell_where_it_can_be_told() -> None:
    """Keep torch from telling of a lost worker while this process forks another one; called once workers have started.

    torch raises from a signal's handler, in whatever the main thread is doing. Around a fork that may be a hook by
    which Python gives a lock of `logging` back: there an exception is dropped, and the lock is held for good. A loss
    that is passed over so is found when the worker is asked for a batch.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGCHLD"):
        return
    tell = signal.getsignal(signal.SIGCHLD)
    if not callable(tell) or getattr(tell, "passes_over_forks", False):
        return

    def handler(number: int, frame: FrameType | None) -> None:
        if not _forks(frame):
            tell(number, frame)

    handler.passes_over_forks = True  # type: ignore[attr-defined]
    signal.signal(signal.SIGCHLD, handler)


def _forks(frame: FrameType | None) -> bool:
    """Whether a process is being started in a frame, or in one of those that have called it."""
    while frame is not None:
        if frame.f_code.co_name == "_launch" and frame.f_code.co_filename.endswith("popen_fork.py"):
            return True
        frame = frame.f_back
    return False


def end_workers(iterator: Any, at_once: bool) -> None:
    """End the workers of a DataLoader's iterator.

    Args:
        iterator: `iter(loader)`; None, and one without workers, are left alone.
        at_once: kill them. Where one was lost, the others may wait for a lock that it held, and outlive SIGTERM by
            `GRACE`.
    """
    from couloir.torch_private import shut_down, workers_of

    processes = workers_of(iterator)
    if not processes:
        return
    if at_once:
        # torch's own handler would take each for another loss, and raise it wherever the main thread is by then.
        main = threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGCHLD")
        handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL) if main else None
        for process in processes:
            process.kill()
            process.join()
        if main:
            signal.signal(signal.SIGCHLD, handler)
    shut_down(iterator)


@contextmanager
def workers_ended(data: Any) -> Iterator[None]:
    """End the workers of a data module where the block ends in an error: whoever holds it, holds their iterators.

    Args:
        data: a data module; one of the user's own may do without `end_workers`.
    """
    try:
        yield
    except BaseException as error:
        if hasattr(data, "end_workers"):
            if isinstance(error, OSError | EOFError):
                _note_lost(error, data.worker_processes())
            data.end_workers(at_once=lost_worker(error) is not None)
        raise


def _note_lost(error: OSError | EOFError, processes: list[Any]) -> None:
    """Say in torch's words which worker is gone: where it was handing a batch over, torch only sees the line break."""
    for process in processes:
        process.join(0.1)
        if (process.exitcode or 0) < 0:
            error.add_note(f"DataLoader worker (pid {process.pid}) is killed by signal: {_words(-process.exitcode)}.")


def lost_worker(error: BaseException, checkpoint: Path | None = None) -> ProcessLost | None:
    """The error as one sentence, if the end of a worker process that reads the data is behind it; None if not.

    torch raises it wherever the main thread happens to be, so that another error may have come of it.

    Args:
        error: what ended the run.
        checkpoint: what a run can go on from, `FOLDER/checkpoints/last.ckpt`, where it has been written.
    """
    for behind in causes(error):
        said = "\n".join([str(behind), *getattr(behind, "__notes__", [])])
        fact = _fact(said)
        if fact is None:
            continue
        if any(words in said for words in NO_ROOM):
            cause = "shared memory is too small: data.workers=0, or more of it in /dev/shm (docker run --shm-size=2g)"
        elif "SIGKILL" in fact:
            cause = "the system may be out of memory: data.workers=1 or a smaller data.batch_size"
        else:
            cause = "data.workers=0 reads the data in the training process and shows the error"
        resume = f"; `couloir resume {checkpoint.parent.parent}` goes on" if checkpoint and checkpoint.exists() else ""
        return ProcessLost(fact, next_step=cause + resume)
    return None


def _fact(said: str) -> str | None:
    if match := KILLED.search(said):
        return f"Worker process {match['pid']}, which reads the data, was ended by {_signal_name(match['signal'])}."
    if match := EXITED.search(said):
        several = "," in match["pid"]
        how = f"with exit code {match['code']}" if match["code"] else "unexpectedly"
        who = (
            f"Worker processes {match['pid']}, which read" if several else f"Worker process {match['pid']}, which reads"
        )
        return f"{who} the data, ended {how}."
    if any(words in said for words in NO_ROOM):
        return "A worker process that reads the data found no room for a batch in shared memory."
    return None


def _signal_name(words: str) -> str:
    """`SIGKILL` for the system's word, such as `Killed`."""
    return next((number.name for number in signal.Signals if _words(number) == words.strip()), words.strip())


def _words(number: int) -> str:
    return signal.strsignal(number) or str(number)
