"""Runs in processes of this machine, which are forked from one that has torch loaded already."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from couloir.sweep.engine import Ended
from couloir.sweep.job import Job, ask_to_stop, write_ended

TRIAL = "couloir.sweep.trial"
LAST_SECONDS = 10.0
"""How long a process that was told to stop may take before it is killed."""


class Slot:
    """A place for one run at a time.

    Args:
        context: how processes are started.
        shared: whether one process takes all jobs of the slot, instead of a process for each.
        environment: variables of its runs, such as the GPU that belongs to the slot.
    """

    def __init__(self, context: Any, shared: bool, environment: dict[str, str]) -> None:
        self.context, self.shared, self.environment = context, shared, environment
        self.job: Job | None = None
        self.process: BaseProcess | None = None
        self.connection: Connection | None = None

    def start(self, job: Job) -> None:
        """Begin with a job."""
        if self.process is None or not self.process.is_alive():
            self._open()
        assert self.connection is not None
        self.job = replace(job, environment={**self.environment, **job.environment})
        self.job.write()
        self.connection.send(self.job.folder)

    def _open(self) -> None:
        self.connection, theirs = self.context.Pipe()
        self.process = self.context.Process(target=_serve, args=(theirs, not self.shared))
        assert self.process is not None
        self.process.start()
        theirs.close()

    @property
    def signs(self) -> list[Any]:
        """What becomes ready when its job has ended."""
        assert self.process is not None
        return [self.connection, self.process.sentinel] if self.shared else [self.process.sentinel]

    def code(self) -> int | None:
        """The exit code of its job; None as long as it is under way."""
        assert self.process is not None
        assert self.connection is not None
        if self.shared and self.connection.poll():
            with suppress(EOFError, ConnectionResetError):
                return int(self.connection.recv())
        if self.process.is_alive():
            return None
        self.process.join()
        code = self.process.exitcode
        self.connection.close()
        self.process = self.connection = None
        return code

    def close(self) -> None:
        """End its process."""
        if self.process is None:
            return
        if self.connection is not None:
            self.connection.close()
        self.process.join(LAST_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


class Local:
    """Some slots.

    Args:
        workers: how many runs go on at a time.
        shared: whether the runs of a slot share a process.
        environments: variables for the runs of each slot.
    """

    def __init__(self, workers: int, shared: bool, environments: list[dict[str, str]]) -> None:
        # Apple's libraries do not outlive a fork, and Windows has none.
        forks = "forkserver" in multiprocessing.get_all_start_methods() and sys.platform != "darwin"
        context: Any = multiprocessing.get_context("forkserver" if forks else "spawn")
        if forks:
            context.set_forkserver_preload([TRIAL])
        self.slots = [Slot(context, shared, environments[place]) for place in range(workers)]

    @property
    def free(self) -> int:
        """How many slots are free."""
        return sum(slot.job is None for slot in self.slots)

    def start(self, jobs: Sequence[Job]) -> None:
        """Begin with some jobs, at most `free`."""
        free = (slot for slot in self.slots if slot.job is None)
        for job in jobs:
            next(free).start(job)

    def ended(self, seconds: float) -> list[Ended]:
        """The jobs that have ended since it was asked last; it waits so long for the first of them."""
        at_work = [slot for slot in self.slots if slot.job is not None]
        wait([sign for slot in at_work for sign in slot.signs], seconds)
        done: list[Ended] = []
        for slot in at_work:
            code = slot.code()
            if code is not None and slot.job is not None:
                write_ended(slot.job.path, code)
                done.append((slot.job, code))
                slot.job = None
        return done

    def stop(self, number: int) -> None:
        """Pass a signal on to the runs that are under way: they save their state and end."""
        for slot in self.slots:
            if slot.job is not None and slot.process is not None and slot.process.pid is not None:
                try:
                    ask_to_stop(slot.job.path, number)
                except OSError:  # a full disk
                    os.kill(slot.process.pid, number)

    def close(self) -> None:
        """Give everything back; what is still under way ends."""
        self.stop(signal.SIGTERM)
        for slot in self.slots:
            slot.close()


def _serve(connection: Connection, once: bool) -> None:
    from couloir.sweep.trial import serve  # only in the new process: it imports torch

    serve(connection, once)
