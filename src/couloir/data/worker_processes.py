"""The processes that read data for the one that trains: signals, and their end. Nothing here imports torch."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from multiprocessing import parent_process
from multiprocessing.connection import wait
from multiprocessing.util import Finalize
from pathlib import Path
from types import FrameType
from typing import Any, cast

from couloir.errors import ProcessLost, causes
from couloir.machine import STOPS

WORKER = "couloir worker"
"""The name of each worker process in the process that started it."""
BEFORE_ALL_OTHERS = 1000
"""The priority of what ends them: queues and the like come after."""
KILLED = re.compile(r"DataLoader worker \(pid (?P<pid>\d+)\) is killed by signal: (?P<signal>[^.]+)")
EXITED = re.compile(
    r"DataLoader worker \(pid(\(s\))? (?P<pid>[\d, ]+)\) exited unexpectedly( with exit code (?P<code>\d+))?"
)
NO_ROOM = ("out of shared memory", "shared memory(shm)", "unable to write to file </torch")
"""What torch says when /dev/shm, through which workers hand batches over, is full."""


def settle_in(_worker: int) -> None:
    """What a worker does first: it ignores the signals that ask a run to stop, and ends with the process it works for.

    Ctrl-C, and a scheduler's SIGTERM, reach all processes of a run. The process that trains decides what becomes of the
    others: it ends its step and saves a checkpoint, and may need its workers for that.
    """
    for number in STOPS:
        # A handler, since what a data set starts by `exec` would inherit an ignored signal.
        signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else lambda *_: None)
    threading.Thread(target=_end_with_the_parent, daemon=True, name="watch the parent").start()


def _end_with_the_parent() -> None:
    """Wait for the end of the process that this one works for, however it ends, and end as well.

    Workers that were forked later hold their copies of the pipe that stands for the parent (its sentinel), so that it
    would close late. Linux has a handle of the process itself.
    """
    parent = parent_process()
    if parent is None:  # a test calls this in its own process
        return
    signs = [parent.sentinel]
    if hasattr(os, "pidfd_open"):
        try:
            signs.append(os.pidfd_open(cast("int", parent.pid)))
        except ProcessLookupError:  # it is gone already
            os._exit(1)
        except OSError:  # an old kernel
            pass
    wait(signs)
    os._exit(1)


def look_after(iterator: Iterator[Any]) -> None:
    """See to workers that have just started: they end with this process, and a lost one is told of where it can be.

    At its end Python sends SIGTERM to the processes that are left, which these ignore, and waits for them. So they are
    killed just before.

    Args:
        iterator: `iter(loader)`.
    """
    from couloir.torch_private import workers_of

    for process in workers_of(iterator):
        process.name = WORKER
    _end_workers_at_exit(os.getpid())
    tell_where_it_can_be_told()


@cache
def _end_workers_at_exit(_process: int) -> None:
    """Once in each process; one that is forked does not take it over.

    `Finalize` and not `atexit`: a process that `multiprocessing` started does not call `atexit`'s functions.
    """
    Finalize(None, _end_those_left, exitpriority=BEFORE_ALL_OTHERS)


def _end_those_left() -> None:
    _kill([process for process in multiprocessing.active_children() if process.name == WORKER])


def _kill(processes: Sequence[Any]) -> None:
    # torch's own handler would take each for another loss, and raise it wherever the main thread is by then.
    main = threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGCHLD")
    handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL) if main else None
    for process in processes:
        process.kill()
    for process in processes:
        process.join()
    if main:
        signal.signal(signal.SIGCHLD, handler)


def tell_where_it_can_be_told() -> None:
    """Keep torch from telling of a lost worker while this process forks another one.

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
        at_once: kill them. Where one was lost, the others may wait for a lock that it held.
    """
    from couloir.torch_private import shut_down, workers_of

    processes = workers_of(iterator)
    if not processes:
        return
    if at_once:
        _kill(processes)
    shut_down(iterator)
    _kill([process for process in processes if process.is_alive()])  # torch gives up after some seconds


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
