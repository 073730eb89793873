"""Which engine a sweep's words ask for, how many runs it takes at a time, and what each may use of a shared machine."""

from __future__ import annotations

import os
from pathlib import Path

from hydra.core.plugins import Plugins
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from couloir.machine import cores
from couloir.sweep.engine import Engine
from couloir.sweep.engine.launcher import Launched, SweepLock
from couloir.sweep.engine.local import Local
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


def engine(
    settings: Settings, folder: Path, trial: DictConfig, context: HydraContext, task: TaskFunction, config: DictConfig
) -> Engine:
    """The engine for a sweep: processes of this machine, unless a launcher is named.

    Args:
        settings: of the sweep.
        folder: of the sweep.
        trial: the configuration of a trial.
        context: Hydra's.
        task: what a launcher calls for each job.
        config: the configuration with the node `hydra`.
    """
    node = config.hydra.launcher
    target = str(node.get("_target_"))
    workers = at_a_time(node, settings.workers)
    if target == BASIC:
        return Local(workers, settings.isolation == "none", _devices(trial, workers))
    if target == RAY:
        from couloir.sweep.engine.ray import Cluster

        return Cluster(settings.workers, node.address, node.num_cpus, node.num_gpus)
    with open_dict(config):
        config.hydra.sweep.dir = str(folder)
        if target == JOBLIB:
            node.n_jobs = workers
        if target == SLURM and settings.workers is not None:
            node.array_parallelism = workers
    lock = SweepLock(_devices(trial, workers)) if target in (JOBLIB, SUBMITIT_LOCAL) else None
    launcher = Plugins.instance().instantiate_launcher(context, task, config)
    return Launched(launcher, folder, batch_size(node, settings), lock)


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


def _devices(trial: DictConfig, workers: int) -> list[dict[str, str]]:
    """For each worker the GPU that its runs see, where several workers would crowd the first one."""
    gpus = _gpus()
    wanted = str(trial.trainer.get("accelerator")) in ("auto", "gpu", "cuda")
    if workers == 1 or not gpus or not wanted or str(trial.trainer.get("devices")) != "1":
        return [{} for _ in range(workers)]
    return [{"CUDA_VISIBLE_DEVICES": gpus[place % len(gpus)]} for place in range(workers)]


def _gpus(proc: Path = Path("/proc/driver/nvidia/gpus")) -> list[str]:
    """The NVIDIA GPUs that this process may use, by their numbers; torch is not asked, since it is not loaded here."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [number.strip() for number in visible.split(",") if number.strip() not in ("", "-1")]
    return [str(number) for number, _ in enumerate(sorted(proc.glob("*")))]
