"""Which engine a sweep's words ask for."""

from __future__ import annotations

import os
from pathlib import Path

from hydra.core.plugins import Plugins
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from couloir.sweep.engine import Engine
from couloir.sweep.engine.launcher import Launched
from couloir.sweep.engine.leash import Leash
from couloir.sweep.engine.local import Local
from couloir.sweep.engine.size import BASIC, JOBLIB, RAY, SLURM, SUBMITIT_LOCAL, at_a_time, batch_size
from couloir.sweep.plan import Plan


def engine(plan: Plan, context: HydraContext, task: TaskFunction, config: DictConfig) -> Engine:
    """The engine for a plan: processes of this machine, unless a launcher is named.

    Args:
        plan: the sweep.
        context: Hydra's.
        task: what a launcher calls for each job.
        config: the configuration with the node `hydra`.
    """
    node = config.hydra.launcher
    target = str(node.get("_target_"))
    workers = at_a_time(node, plan.settings.workers)
    if target == BASIC:
        return Local(workers, plan.settings.isolation == "none", _devices(plan, workers))
    if target == RAY:
        from couloir.sweep.engine.ray import Cluster

        return Cluster(plan.settings.workers, node.address, node.num_cpus, node.num_gpus)
    with open_dict(config):
        config.hydra.sweep.dir = str(plan.folder)
        if target == JOBLIB:
            node.n_jobs = workers
        if target == SLURM and plan.settings.workers is not None:
            node.array_parallelism = workers
    leash = None
    if target in (JOBLIB, SUBMITIT_LOCAL):
        leash = Leash(_devices(plan, workers))
    launcher = Plugins.instance().instantiate_launcher(context, task, config)
    return Launched(launcher, plan.folder, batch_size(node, plan.settings), leash)


def _devices(plan: Plan, workers: int) -> list[dict[str, str]]:
    """For each worker the GPU that its runs see, where several workers would crowd the first one."""
    gpus = _gpus()
    wanted = str(plan.trial.cfg.trainer.get("accelerator")) in ("auto", "gpu", "cuda")
    if workers == 1 or not gpus or not wanted or str(plan.trial.cfg.trainer.get("devices")) != "1":
        return [{} for _ in range(workers)]
    return [{"CUDA_VISIBLE_DEVICES": gpus[place % len(gpus)]} for place in range(workers)]


def _gpus(proc: Path = Path("/proc/driver/nvidia/gpus")) -> list[str]:
    """The NVIDIA GPUs that this process may use, by their numbers; torch is not asked, since it is not loaded here."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [number.strip() for number in visible.split(",") if number.strip() not in ("", "-1")]
    return [str(number) for number, _ in enumerate(sorted(proc.glob("*")))]
