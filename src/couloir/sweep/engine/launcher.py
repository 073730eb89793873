"""Any launcher of Hydra's as an engine: it takes runs in batches, and each is known to be over as soon as it is."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from couloir.errors import LauncherFailed, display
from couloir.record.lock import is_alive
from couloir.sweep.engine import Ended
from couloir.sweep.engine.leash import Leash
from couloir.sweep.job import CONSOLE, FILE, Job, read_ended

SHORT, LONG = 10.0, 60.0
"""Seconds for which the end of a run may stay unseen: on this machine, and on a disk that machines share."""
LOST = ("UncompletedJobError", "FailedJobError")
"""What submitit raises when one run of a batch is lost; the others of the batch go on."""
LOOKS = 0.1


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
        leash: ends the runs with the sweep, on this machine; None: they wait in a queue that outlives it.
    """

    def __init__(self, launcher: Launcher, folder: Path, size: int, leash: Leash | None) -> None:
        self.launcher, self.folder, self.size, self.leash = launcher, folder, size, leash
        self._jobs: list[Job] = []
        """Of the batch, those that have not ended."""
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._over = 0.0
        self._batch = self._launched = 0
        self._stopped: int | None = None

    @property
    def room(self) -> int:
        """A whole batch, or nothing as long as one is under way."""
        return 0 if self._jobs or self._thread is not None else self.size

    def start(self, jobs: Sequence[Job]) -> None:
        """Begin with some jobs, at most `room`."""
        leash = None if self.leash is None else str(self.leash.folder)
        self._batch = len(jobs)
        self._jobs = [replace(job, leash=leash) for job in jobs]
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

    def _launch(self, words: list[list[str]], first: int) -> None:
        # The words of the runs are in their folders: a setting that does not compose is a failure of its own run alone.
        try:
            self.launcher.launch(words, first)
        except BaseException as error:  # noqa: BLE001  the end of a thread: `ended` says what came of it
            self._error = error

    def ended(self, seconds: float) -> list[Ended]:
        """The jobs that have ended since it was asked last; it waits so long for the first of them.

        Raises:
            LauncherFailed: the launcher has not begun with a single run of the batch.
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
        if not done and self._stopped is not None and self.leash is None:
            done = [(job, 128 + self._stopped) for job in self._jobs]  # the queue goes on without the sweep
        self._forget(done)
        return done

    def _forget(self, done: list[Ended]) -> None:
        gone = {id(job) for job, _ in done}
        self._jobs = [job for job in self._jobs if id(job) not in gone]

    def _lost(self) -> list[Ended]:
        """Of a batch that is over, the jobs whose end nobody has told."""
        grace = SHORT if self.leash is not None else LONG
        late = self._stopped is not None or time.monotonic() - self._over > grace
        begun = [job for job in self._jobs if _has_begun(job)]
        waiting = [job for job in self._jobs if job not in begun]
        others_go_on = type(self._error).__name__ in LOST
        done: list[Ended] = [(job, None) for job in begun if late and not is_alive(job.path)]
        if self._stopped is not None:
            done += [(job, 128 + self._stopped) for job in waiting]
        elif self._error is None or others_go_on:
            in_the_queue = others_go_on and self.leash is None
            if late and not in_the_queue:
                done += [(job, None) for job in waiting]
        elif len(waiting) == self._batch:
            raise LauncherFailed(
                f"{type(self.launcher).__name__} has begun with none of its runs: {_said(self._error)}",
                place=display(self.folder),
                next_step=f"couloir resume {display(self.folder)}, once that is mended",
            ) from self._error
        elif not begun:
            self.start(waiting)  # one run has taken its worker with it, and the launcher has given up on all
        self._forget(done)
        return done

    def stop(self, number: int) -> None:
        """Pass a signal on to the runs on this machine: they save their state and end; a queue is left alone."""
        self._stopped = self._stopped or number
        if self.leash is not None:
            self.leash.pull(number)

    def close(self) -> None:
        """Give everything back; what is still under way on this machine ends, what is in a queue goes on."""
        if self.leash is not None:
            self.leash.close()
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
    path = os.path.relpath(folder, within) if within else str(folder)
    return "'" + path.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _said(error: BaseException | None) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no word'}"
