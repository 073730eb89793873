"""Hydra's door to the sweeps of Couloir. Hydra imports this module at every start, so that it holds nothing heavy."""

from __future__ import annotations

from typing import Any

from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class CouloirSweeper(Sweeper):
    """Proposes trials, and has each trained in a process of its own.

    Args:
        params: more of the search space, key -> values in Hydra's words.
    """

    def __init__(self, params: dict[str, Any] | DictConfig | None = None) -> None:
        self.params = params
        self.hydra_context: HydraContext | None = None
        self.config: DictConfig | None = None
        self.task_function: TaskFunction | None = None
        self.launcher: Launcher | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Hydra calls this before `sweep`."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> Any:
        """Make the sweep that the words ask for.

        Returns:
            how it has ended, a `SweepEnd`.
        """
        from couloir.sweep.sweep import sweep

        assert self.hydra_context is not None
        assert self.task_function is not None
        assert self.config is not None
        params = OmegaConf.to_container(OmegaConf.create(self.params or {}))
        assert isinstance(params, dict)
        more = {str(key): value for key, value in params.items()}
        words = [*arguments, *map(str, self.config.hydra.overrides.hydra)]  # the launcher, say, and where it goes
        return sweep(words, self.hydra_context, self.task_function, self.config, more)
