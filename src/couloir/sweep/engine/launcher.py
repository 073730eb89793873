"""Any launcher of Hydra's as an engine: it takes runs in batches, and brings each to a worker that trains it in a
process of its own. Ray's workers do the same.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from couloir.errors import CouloirError, LauncherFailed, display, in_quotes
from couloir.record.lock import RunLock, is_alive
from couloir.sweep.engine import Ended
from couloir.sweep.job import CONSOLE, FILE, Job, ask_to_stop, asked_to_stop, read_ended, write_ended

SHORT, LONG = 10.0, 60.0
"""Seconds for which the end of a run may stay unseen: on this machine, and on a disk that machines share."""
LOST = ("UncompletedJobError", "FailedJobError")
"""What submitit raises when one run of a batch is lost; the others of the batch go on."""
LOOKS, WORKER_LOOKS = 0.1, 0.5
"""Seconds between two looks at the folders of runs, by the sweep and by a launcher's worker."""


class Launcher(Protocol):
    """As much of Hydra's launcher as is used here."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> object:
        """Do a batch, and return once it is over."""


class Launched:
    """Hands batches of runs to a launcher, in a thread, and watches their folders.

    Args:
        launcher: set up for `couloir.sweep.multirun.launched`.
        folder: of the sweep; the runs are in it.
        size: runs of a batch at most.
        lock: ends the runs with the sweep, on this machine; None: they wait in a queue that outlives it.
    """

    def __init__(self, launcher: Launcher, folder: Path, size: int, lock: SweepLock | None) -> None:
        self.launcher, self.folder, self.size, self.lock = launcher, folder, size, lock
        self._jobs: list[Job] = []
        """Of the batch, those that have not ended."""
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._over = 0.0
        self._batch = self._launched = 0
        self._stopped: int | None = None

    @property
    def free(self) -> int:
        """A whole batch, or nothing as long as one is under way."""
        return 0 if self._jobs or self._thread is not None else self.size

    def start(self, jobs: Sequence[Job]) -> None:
        """Begin with some jobs, at most `free`."""
        self._batch, self._jobs = len(jobs), list(jobs)
        if self.lock is not None:
            self._jobs = [replace(job, sweep_lock=str(self.lock.folder), slots=self.lock.slots) for job in jobs]
        for job in self._jobs:
            job.write()
        words = [
            [f"hydra.sweep.dir={_quoted(self.folder)}", f"hydra.sweep.subdir={_quoted(job.path, self.folder)}"]
            for job in self._jobs
        ]
        first, self._launched = self._launched, self._launched + len(jobs)
        self._error = None
        self._thread = threading.Thread(target=self._launch, args=(words, first), daemon=True, name="launcher")
        self._thread.start()
        if self._stopped is not None:
            self.stop(self._stopped)

    def _launch(self, words: list[list[str]], first: int) -> None:
        # The words of the runs are in their folders: a setting that does not compose is a failure of its own run alone.
        try:
            self.launcher.launch(words, first)
        except BaseException as error:  # noqa: BLE001  the end of a thread: `ended` says what came of it
            self._error = error

    def ended(self, seconds: float) -> list[Ended]:
        """The jobs that have ended since it was asked last; it waits so long for the first of them.

        Raises:
            LauncherFailed: the launcher could not start any run of the batch.
        """
        until = time.monotonic() + seconds
        while True:
            over = self._is_over()  # before the folders are read
            done = self._read()
            if not done and over:
                done = self._lost()
            if done or time.monotonic() >= until:
                return done
            time.sleep(LOOKS)

    def _is_over(self) -> bool:
        if self._thread is not None and not self._thread.is_alive():
            self._thread = None
            self._over = time.monotonic()
        return self._thread is None

    def _read(self) -> list[Ended]:
        done: list[Ended] = [(job, code) for job in self._jobs if (code := read_ended(job.path)) is not None]
        if not done and self._stopped is not None and self.lock is None:
            done = [(job, 128 + self._stopped) for job in self._jobs]  # the queue goes on without the sweep
        self._forget(done)
        return done

    def _forget(self, done: list[Ended]) -> None:
        gone = {id(job) for job, _ in done}
        self._jobs = [job for job in self._jobs if id(job) not in gone]

    def _lost(self) -> list[Ended]:
        """Of a batch that is over, the jobs whose end nobody has told."""
        grace = SHORT if self.lock is not None else LONG
        late = self._stopped is not None or time.monotonic() - self._over > grace
        begun = [job for job in self._jobs if _has_begun(job)]
        waiting = [job for job in self._jobs if job not in begun]
        others_go_on = type(self._error).__name__ in LOST
        done: list[Ended] = [(job, None) for job in begun if late and not is_alive(job.path)]
        if self._stopped is not None:
            done += [(job, 128 + self._stopped) for job in waiting]
        elif self._error is None or others_go_on:
            in_the_queue = others_go_on and self.lock is None
            if late and not in_the_queue:
                done += [(job, None) for job in waiting]
        elif len(waiting) == self._batch:
            raise LauncherFailed(
                f"{type(self.launcher).__name__} could not start a run: {_said(self._error)}",
                place=display(self.folder),
                next_step=f"couloir resume {display(self.folder)}, after correcting that",
            ) from self._error
        elif not begun:
            self.start(waiting)  # one run has taken its worker with it, and the launcher has given up on all
        self._forget(done)
        return done

    def stop(self, number: int) -> None:
        """Pass a signal on to the runs on this machine: they save their state and end; a queue is left alone."""
        self._stopped = self._stopped or number
        if self.lock is not None:
            for job in self._jobs:
                ask_to_stop(job.path, number)

    def close(self) -> None:
        """Give everything back; what is still under way on this machine ends, what is in a queue goes on."""
        if self.lock is not None:
            self.lock.release()
        elif self._stopped is not None and self._thread is not None:
            print(  # noqa: T201
                "what is in the queue goes on without the sweep, which takes over its results when it is resumed; "
                "scancel ends it"
            )


def _has_begun(job: Job) -> bool:
    try:
        return (job.path / CONSOLE).stat().st_mtime_ns >= (job.path / FILE).stat().st_mtime_ns
    except OSError:
        return False


def _quoted(folder: Path, within: Path | None = None) -> str:
    """A folder as a value of Hydra's grammar."""
    return in_quotes(os.path.relpath(folder, within) if within else str(folder))


def _said(error: BaseException | None) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no word'}"


def run_alone(folder: Path, overrides: list[str]) -> int:
    """Train a run in a process of its own, and wait for it; called in a launcher's worker, on whatever machine.

    Where this process is told to end, by SLURM before a requeue say, the run saves its state, and nothing says that it
    has ended: it goes on here or elsewhere.

    Args:
        folder: of the run; a job that the sweep has written there is what is done.
        overrides: its sentence, where there is no such job.

    Returns:
        the exit code of that process: minus the signal that killed it.
    """
    if not (folder / FILE).is_file():
        Job(0, 0, overrides, str(folder), os.getcwd(), ["train", "-m"]).write()  # noqa: PTH109
    job = Job.read(folder)
    if job.sweep_lock is not None and threading.current_thread() is threading.main_thread():
        # Ctrl-C in a terminal is the sweep's to hear. An ignored signal would be ignored by the run as well.
        signal.signal(signal.SIGINT, lambda *_: None)
    while is_alive(folder) and not _asked(job):  # it was handed over twice: the sweep was stopped, and taken up again
        time.sleep(WORKER_LOOKS)
    asked = _asked(job)
    code = 128 + asked[0] if asked else _code_of(job)
    write_ended(folder, code)
    return code


def _asked(job: Job) -> list[int]:
    """By which signals a run is to end; SIGTERM where the sweep that holds its lock is gone."""
    if job.sweep_lock is not None and not _is_held(Path(job.sweep_lock)) and not asked_to_stop(job.path):
        ask_to_stop(job.path, signal.SIGTERM)
    return asked_to_stop(job.path)


def _code_of(job: Job) -> int:
    looks = None if job.sweep_lock is None else WORKER_LOOKS  # a run in a queue outlives the sweep
    with _slot(job) as environment:
        # Its standard input ends with this process, and so does the run. A terminal's signals do not reach its group.
        trial = subprocess.Popen(
            [sys.executable, "-m", "couloir.sweep.trial", job.folder],
            stdin=subprocess.PIPE,
            env={**os.environ, **environment},
            process_group=0,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # the same on Windows
        )
        assert trial.stdin is not None
        with trial:
            try:
                while True:
                    try:
                        return trial.wait(looks)
                    except subprocess.TimeoutExpired:
                        _asked(job)
            except BaseException:
                trial.stdin.close()
                trial.wait()
                raise


class SweepLock:
    """Held as long as the sweep lives: runs of launchers that work on this machine end with it.

    It is on this machine's own disk, which knows locks; the disk of the sweep may not.

    Args:
        slots: for each of the runs that go on at a time, the variables that only one of them may have.
    """

    def __init__(self, slots: list[dict[str, str]]) -> None:
        self.slots = slots
        self.folder = Path(tempfile.mkdtemp(prefix=_of_this_process()))
        for number, _ in enumerate(slots):
            (self.folder / str(number)).mkdir()
        self._lock = RunLock(self.folder)

    def release(self) -> None:
        """Let go of it: what is still under way ends by SIGTERM."""
        self._lock.release()
        shutil.rmtree(self.folder, ignore_errors=True)


def _of_this_process() -> str:
    return f"couloir-sweep-{os.getpid()}-"


def _is_held(folder: Path) -> bool:
    # A launcher that takes one run at a time may do so in the sweep's own process, which sees no lock of its own.
    return is_alive(folder) or (folder.name.startswith(_of_this_process()) and folder.is_dir())


@contextmanager
def _slot(job: Job) -> Iterator[dict[str, str]]:
    """Variables that no other run of the sweep has at the same time; none where it has no slots."""
    for number, environment in enumerate(job.slots):
        try:
            lock = RunLock(Path(str(job.sweep_lock), str(number)))
        except (CouloirError, OSError):
            continue
        try:
            yield environment
        finally:
            lock.release()
        return
    yield {}
