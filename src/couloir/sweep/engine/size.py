"""How many runs a launcher takes at a time, and what each of them may use of a machine that it shares."""

from __future__ import annotations

from omegaconf import DictConfig

from couloir.machine import cores
from couloir.sweep.samplers import at_random, grid
from couloir.sweep.settings import Settings

BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
JOBLIB = "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"
SUBMITIT_LOCAL = "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher"
SLURM = "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher"
RAY = "hydra_plugins.hydra_couloir.ray_launcher.RayLauncher"
FEW = 10
"""Runs of a batch, where the sampler learns from one to the next."""
MANY = 1000
"""Runs of a batch, where nothing is learned: the longest array that SLURM takes unless it is told otherwise."""
BLIND = tuple(f"{made.__module__}.{made.__name__}" for made in (at_random, grid))
"""Samplers that propose the same whatever has come of other trials."""


def at_a_time(launcher: DictConfig, workers: int | None) -> int:
    """How many runs go on at a time, as far as it is the launcher's to say.

    Args:
        launcher: the node `hydra.launcher`.
        workers: what `sweep.workers` says.
    """
    target = launcher.get("_target_")
    if workers is not None or target == BASIC:
        return workers or 1
    if target == JOBLIB:
        jobs = int(launcher.n_jobs)
        return max(1, jobs if jobs > 0 else cores() + 1 + jobs)
    if target == SUBMITIT_LOCAL:  # it begins with everything that it is given
        return max(1, cores() // int(launcher.get("cpus_per_task") or 1))
    return min(FEW, int(launcher.get("array_parallelism") or FEW))


def batch_size(launcher: DictConfig, settings: Settings) -> int:
    """How many runs are handed over together: as many as go on at a time, unless they might as well wait in a queue."""
    blind = settings.sampler.get("_target_") in BLIND and settings.max_failures is None
    if blind and launcher.get("_target_") in (JOBLIB, SLURM):
        return MANY
    return at_a_time(launcher, settings.workers)


def threads_each(launcher: DictConfig, workers: int | None) -> int | None:
    """CPU threads of a run; None where it is the run's own affair: the machine, or its share of it, is its own."""
    target = launcher.get("_target_")
    if target == RAY:
        return max(1, int(launcher.num_cpus))
    if target == SUBMITIT_LOCAL and launcher.get("cpus_per_task"):
        return int(launcher.cpus_per_task)
    if target not in (BASIC, JOBLIB, SUBMITIT_LOCAL):
        return None
    together = at_a_time(launcher, workers)
    return max(1, cores() // together) if together > 1 else None
