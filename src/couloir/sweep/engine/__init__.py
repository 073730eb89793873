"""Where the runs of a sweep are trained: processes of this machine, a launcher of Hydra's, Ray."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from couloir.sweep.job import Job

Ended = tuple[Job, int | None]
"""A job, and the exit code of its process: minus the signal that killed it, None where nobody knows."""


class Engine(Protocol):
    """Takes jobs, and tells which have ended."""

    @property
    def free(self) -> int:
        """How many jobs it would take now."""

    def start(self, jobs: Sequence[Job]) -> None:
        """Begin with some jobs, at most `free`."""

    def ended(self, seconds: float) -> list[Ended]:
        """The jobs that have ended since it was asked last; it waits so long for the first of them."""

    def stop(self, number: int) -> None:
        """Pass a signal on to the runs that are under way: they save their state and end."""

    def close(self) -> None:
        """Give everything back; what is still under way ends."""
