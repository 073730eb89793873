"""The batches of a validation or a test without the cost of hooks that nobody listens to.

What a step of `couloir.trainer.loop` leaves out of a training step is left out here of a batch that is measured: it
takes Lightning two milliseconds, and a small network one. Everything around the batches stays Lightning's.
"""

from __future__ import annotations

from typing import Any

from pytorch_lightning import LightningDataModule, LightningModule
from pytorch_lightning.plugins import MixedPrecision, Precision
from pytorch_lightning.profilers import PassThroughProfiler
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch import Tensor

from couloir.task.task import Task
from couloir.trainer.lightning_private import HOOK, Evaluation
from couloir.trainer.listeners import TRANSFER, is_foreign, listeners, overrides


class ShortEvaluation(Evaluation):
    """Lightning's loop over the batches of a validation or test, which takes a short way through each where it can."""

    _short = False

    def reset(self) -> None:
        """Before the first batch: who listens to what, and whether the short way can be taken."""
        super().reset()
        trainer: Any = self.trainer  # Lightning does not say what type its profiler and data module have
        split = "test" if trainer.testing else "validation"
        module, precision = trainer.lightning_module, trainer.precision_plugin
        self._before = listeners(trainer, f"on_{split}_batch_start")
        self._after = listeners(trainer, f"on_{split}_batch_end")
        step = getattr(module, f"{split}_step")
        self._short = (
            type(trainer.strategy) is SingleDeviceStrategy
            and type(precision) in (Precision, MixedPrecision)
            and isinstance(trainer.profiler, PassThroughProfiler)
            and isinstance(module, Task)
            and not any(map(is_foreign, (step, module.compute, *self._before, *self._after)))
            and not any(overrides(module, name, LightningModule) for name in TRANSFER)
            and not any(overrides(trainer.datamodule, name, LightningDataModule) for name in TRANSFER)
            and self.num_dataloaders == 1
        )
        self._module, self._step, self._step_name = module, step, f"{split}_step"
        self._context = precision.test_step_context if trainer.testing else precision.val_step_context
        self._device = trainer.strategy.root_device

    def take(self, batch: Any, index: int) -> bool:
        """Measure a batch; False where Lightning has to do it."""
        if not self._short:
            return False
        trainer, progress = self.trainer, self.batch_progress
        for part in batch.values() if isinstance(batch, dict) else batch:
            if not isinstance(part, Tensor) or part.device != self._device:
                batch = trainer.strategy.batch_to_device(batch)
                break
        progress.increment_ready()
        for hook in self._before:
            hook(batch, index)
        progress.increment_started()
        attributes = self._module.__dict__
        attributes[HOOK] = self._step_name
        try:
            with self._context():
                self._step(batch, index)
        finally:
            attributes[HOOK] = None
        progress.increment_processed()
        for hook in self._after:
            hook(None, batch, index)
        progress.increment_completed()
        return True
