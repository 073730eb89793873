"""Runs on a Ray cluster: one that is there, or one of this machine alone (Moritz et al., 2018, Ray: A Distributed
Framework for Emerging AI Applications).
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from couloir.errors import CouloirError
from couloir.record.lock import is_alive
from couloir.sweep.engine import Ended
from couloir.sweep.engine.launcher import run_alone
from couloir.sweep.job import Job, ask_to_stop, read_ended

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_COLOR_PREFIX": "0"}
LAST_SECONDS = 10.0
"""How long runs that were told to stop may take before the cluster is left."""


class Cluster:
    """One Ray task for each run.

    Args:
        workers: runs that go on at a time; None: as many as the cluster has room for.
        address: of a cluster, `auto` for the one that this machine belongs to; None: one is started here.
        num_cpus: CPUs that Ray sets aside for each run.
        num_gpus: GPUs likewise; a half lets two runs share one.

    Raises:
        CouloirError: there is no such cluster, or it is too small for a single run.
    """

    def __init__(self, workers: int | None, address: str | None, num_cpus: int, num_gpus: float) -> None:
        import ray

        for name, value, least in (("num_cpus", num_cpus, 1), ("num_gpus", num_gpus, 0)):
            if not isinstance(value, int if least else (int, float)) or isinstance(value, bool) or value < least:
                raise CouloirError(f"hydra.launcher.{name} takes a number >= {least}, not {value}.")
        self._ray = ray
        self._begin(workers, address, num_cpus, num_gpus)
        has: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        fits = has.get("CPU", 0) // num_cpus
        if num_gpus:
            fits = min(fits, has.get("GPU", 0) // num_gpus)
        if fits < 1:
            self.close()
            raise CouloirError(
                f"The Ray cluster has {has.get('CPU', 0):.0f} CPUs, {has.get('GPU', 0):.0f} GPUs: too few for a run.",
                place=f"hydra.launcher.num_cpus={num_cpus} hydra.launcher.num_gpus={num_gpus}",
            )
        self.size = workers or int(fits)
        self._task = ray.remote(num_cpus=num_cpus, num_gpus=num_gpus, max_retries=0)(_run)
        self._jobs: dict[Any, Job] = {}
        self._stopped: int | None = None

    def _begin(self, workers: int | None, address: str | None, num_cpus: int, num_gpus: float) -> None:
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        options: dict[str, Any] = {} if address else {"include_dashboard": False}
        if not address and workers is not None:
            options["num_cpus"] = workers * num_cpus  # it was typed; Ray would count the cores
        try:
            self._ray.init(
                address=address or "local", log_to_driver=False, logging_level=logging.ERROR, configure_logging=True,
                **options,
            )  # fmt: skip
        except (ConnectionError, RuntimeError, ValueError, OSError, TimeoutError) as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise CouloirError(
                f"The Ray cluster cannot be reached: {lines[0] if lines else type(error).__name__}",
                place=f"hydra.launcher.address={address}",
                next_step="`ray start --head` starts one; hydra.launcher.address=null starts one for this sweep only",
            ) from error

    @property
    def free(self) -> int:
        """How many more it takes."""
        return max(0, self.size - len(self._jobs))

    def start(self, jobs: Sequence[Job]) -> None:
        """Begin with some jobs, at most `free`."""
        for job in jobs:
            job.write()
            self._jobs[self._task.remote(job.folder)] = job

    def ended(self, seconds: float) -> list[Ended]:
        """The jobs that have ended since it was asked last; it waits so long for the first of them."""
        if not self._jobs:
            return []
        ready, _ = self._ray.wait(list(self._jobs), num_returns=1, timeout=seconds)
        if ready:
            ready, _ = self._ray.wait(list(self._jobs), num_returns=len(self._jobs), timeout=0)
        done = [self._jobs.pop(reference) for reference in ready]
        lost = None if self._stopped is None else 128 + self._stopped  # of a worker or machine that is no more
        return [(job, lost if (code := read_ended(job.path)) is None else code) for job in done]

    def stop(self, number: int) -> None:
        """Have every run save its state and end."""
        self._stopped = self._stopped or number
        for job in self._jobs.values():
            ask_to_stop(job.path, number)  # Ray's own way to cancel a task does not reach every one

    def close(self) -> None:
        """Leave the cluster; one that was started here ends, once its runs have saved their state."""
        jobs = list(getattr(self, "_jobs", {}).values())
        if jobs:
            self.stop(15)
        until = time.monotonic() + LAST_SECONDS
        while any(is_alive(job.path) for job in jobs) and time.monotonic() < until:
            time.sleep(0.1)
        self._ray.shutdown()


def _run(folder: str) -> int:
    return run_alone(Path(folder), [])
