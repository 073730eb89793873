"""The name of the engine for Ray among Hydra's launchers. Hydra imports this at every start: nothing heavy here."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from couloir.errors import CouloirError


class RayLauncher(Launcher):
    """Stands for `couloir.sweep.engine.ray`, which Couloir's sweeper takes instead of it.

    Args:
        address: of a cluster; `auto`: the one that this machine belongs to; None: one of this machine alone.
        num_cpus: CPUs that are set aside for each run.
        num_gpus: GPUs likewise.
    """

    def __init__(self, address: str | None = None, num_cpus: int = 1, num_gpus: float = 0) -> None:
        self.address, self.num_cpus, self.num_gpus = address, num_cpus, num_gpus

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Hydra calls this before `launch`."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Only another sweeper calls this.

        Raises:
            CouloirError: always.
        """
        raise CouloirError("hydra/launcher=ray goes with hydra/sweeper=couloir.", next_step="leave hydra/sweeper out")
