"""The steps of an epoch without the cost of hooks that nobody listens to.

Lightning calls some forty hooks a step, of its strategy, of every callback and of the module, each in a profiler's
context; a small network spends more time there than in its arithmetic. What happens in a step is the same here, in
the same order, but called are only the hooks that somebody has overridden. Everything around the steps (epochs,
validation, schedulers, checkpoints, progress) stays Lightning's, and so do the steps where a condition of this short
form is not met: several processes, gradient scaling, hooks by which a module does parts of the step itself.

A task that takes its own steps, one of each of several optimizers say, takes them by `Task.descend`, which has a short
way of its own here.
"""

from __future__ import annotations

import inspect
import time
from itertools import chain
from typing import Any

from pytorch_lightning import LightningDataModule, LightningModule
from pytorch_lightning.plugins import MixedPrecision, Precision
from pytorch_lightning.profilers import PassThroughProfiler
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.optim import Optimizer

from couloir.task.task import Task
from couloir.torch_private import backward
from couloir.trainer.fused import step_of
from couloir.trainer.lightning_private import (
    HOOK,
    STEPPED,
    DataFetcher,
    PrefetchDataFetcher,
    SoleLoader,
    logging_of,
    sole_loader,
)
from couloir.trainer.listeners import TRANSFER, is_foreign, listeners, overrides
from couloir.trainer.resumption import ExactSteps

LISTENED = (
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
)
"""The hooks of a step that callbacks and module may override."""
OWN_STEP = ("optimizer_step", "optimizer_zero_grad", "backward", "configure_gradient_clipping", *TRANSFER)
"""Hooks by which a module does a part of the step itself."""


class ShortStep(ExactSteps):
    """Lightning's loop over the batches of an epoch; all but the last step take the short way where they can.

    The last step of an epoch is Lightning's own, since the epoch's metrics are logged in it, and so is one that is
    followed by a validation.
    """

    _short = False
    _took_short_way = False
    _loader: SoleLoader | None = None

    def on_run_start(self, data_fetcher: DataFetcher) -> None:
        """Before an epoch: who listens to what, and whether the short way can be taken."""
        super().on_run_start(data_fetcher)
        self._took_short_way = False
        self._short = self._can_be_short(data_fetcher)
        if self._short:
            trainer = self.trainer
            self._module = trainer.lightning_module
            self._hooks = {name: listeners(trainer, name) for name in LISTENED}
            self._parameters = {
                optimizer: [p for group in optimizer.param_groups for p in group["params"]]
                for optimizer in trainer.optimizers
            }
            self._steps = {optimizer: step_of(optimizer) for optimizer in trainer.optimizers}
            self._connector = logging_of(trainer)
            self._logging = any(map(is_foreign, chain.from_iterable(self._hooks.values())))
            self._loader = sole_loader(data_fetcher)
            self._device = trainer.strategy.root_device
            self._autocast = None
            if type(trainer.precision_plugin) is not Precision:
                self._autocast = trainer.precision_plugin.train_step_context

    def _can_be_short(self, data_fetcher: DataFetcher) -> bool:
        trainer = self.trainer
        module, precision = trainer.lightning_module, trainer.precision_plugin
        return (
            type(trainer.strategy) is SingleDeviceStrategy
            and (type(precision) is Precision or (type(precision) is MixedPrecision and precision.scaler is None))
            and type(data_fetcher) is PrefetchDataFetcher
            and isinstance(trainer.profiler, PassThroughProfiler)
            and (len(trainer.optimizers) == 1 if module.automatic_optimization else isinstance(module, Task))
            and trainer.val_check_batch == trainer.num_training_batches != float("inf")
            and not is_foreign(module.training_step)
            and not any(overrides(module, name, LightningModule) for name in OWN_STEP)
            and not any(overrides(trainer.datamodule, name, LightningDataModule) for name in TRANSFER)
            and all(map(_steps_by_itself, trainer.optimizers))
        )

    @property
    def done(self) -> bool:
        """Whether the epoch's steps are over; they are not behind a step that took the short way."""
        if self._took_short_way and not (self.trainer.should_stop or self.batch_progress.is_last_batch):
            return False
        return super().done

    def advance(self, data_fetcher: DataFetcher) -> None:
        """One training batch."""
        trainer, progress = self.trainer, self.batch_progress
        self._took_short_way = (
            self._short and not (self.restarting or trainer.should_stop) and not self.closes(progress.current.ready + 1)
        )
        if not self._took_short_way:
            super().advance(data_fetcher)
            return
        self.val_loop.restarting = False
        batch = next(data_fetcher)[0] if self._loader is None else self._fetched(self._loader)
        index = self.batch_idx + 1
        progress.is_last_batch = data_fetcher.done
        for part in batch.values() if isinstance(batch, dict) else batch:
            if not isinstance(part, Tensor) or part.device != self._device:
                batch = trainer.strategy.batch_to_device(batch)
                break
        progress.increment_ready()
        if self._logging:
            self._connector.on_batch_start(batch)
        self._tell("on_train_batch_start", batch, index)
        progress.increment_started()
        outputs = self._step(batch, index)
        progress.increment_processed()
        if trainer.lr_scheduler_configs:
            self.update_lr_schedulers("step", update_plateau_schedulers=False)
        self._tell("on_train_batch_end", outputs, batch, index)
        if self._logging:
            self._connector.on_batch_end()
        progress.increment_completed()
        if self._logging:
            self._connector.update_train_step_metrics()

    def on_advance_end(self, data_fetcher: DataFetcher) -> None:
        """After a batch: nothing is validated, and no epoch ends, behind a step that took the short way."""
        if not self._took_short_way or self.trainer.should_stop or self.trainer.received_sigterm:
            super().on_advance_end(data_fetcher)
            return
        if self.trainer.lr_scheduler_configs:
            self.update_lr_schedulers("step", update_plateau_schedulers=True)
        if not self.gathers():
            self.__dict__[STEPPED] += 1
        self._say_where_it_stands()

    def _fetched(self, loader: SoleLoader) -> Any:
        """The next batch, and how long it took."""
        began = time.perf_counter()
        try:
            return next(loader)
        finally:
            self.waited += time.perf_counter() - began

    def _step(self, batch: Any, index: int) -> dict[str, Tensor]:
        """The step of a batch, and what Lightning's hooks are told that it gave."""
        module = self._module
        module.__dict__[HOOK] = "training_step"
        if not module.automatic_optimization:
            module.__dict__["short_descent"] = self._descend
        try:
            if self._autocast is None:
                loss = module.training_step(batch, index)
            else:
                with self._autocast():
                    loss = module.training_step(batch, index)
        finally:
            module.__dict__[HOOK] = None
            if not module.automatic_optimization:
                module.__dict__["short_descent"] = None
        return {"loss": self._follow(loss, index)} if module.automatic_optimization else {}

    def _follow(self, loss: Any, index: int) -> Tensor:
        """Backward and, unless gradients are still being gathered, the optimizer's step."""
        trainer, optimizer = self.trainer, self.trainer.optimizers[0]
        counts = self.automatic_optimization.optim_progress.optimizer
        gathered = trainer.accumulate_grad_batches
        if gathered > 1:
            loss = loss / gathered
        if index % gathered == 0:
            counts.zero_grad.increment_ready()
            self._tell("on_before_zero_grad", optimizer)
            counts.zero_grad.increment_started()
            self._clear(optimizer)
            counts.zero_grad.increment_completed()
        self._tell("on_before_backward", loss)
        backward(loss)
        self._tell("on_after_backward")
        if not self.gathers():
            counts.step.increment_ready()
            self._tell("on_before_optimizer_step", optimizer)
            if trainer.gradient_clip_val is not None:
                self._module.clip_gradients(optimizer, trainer.gradient_clip_val, trainer.gradient_clip_algorithm)
            self._steps[optimizer]()
            counts.step.increment_completed()
        detached: Tensor = loss.detach()
        return detached

    def _descend(self, loss: Any, optimizer: Optimizer) -> None:
        """Backward and one of the steps that a task takes by itself, which is not the last of a run."""
        counts = self.manual_optimization.optim_step_progress
        self._clear(optimizer)
        self._tell("on_before_backward", loss)
        backward(loss)
        self._tell("on_after_backward")
        counts.increment_ready()
        self._tell("on_before_optimizer_step", optimizer)
        self._steps[optimizer]()
        counts.increment_completed()

    def _clear(self, optimizer: Optimizer) -> None:
        for parameter in self._parameters[optimizer]:
            parameter.grad = None

    def _tell(self, name: str, *arguments: Any) -> None:
        listeners = self._hooks[name]
        if not listeners:
            return
        # What Lightning's `self.log` asks for; written past nn.Module's own __setattr__, which looks for parameters.
        attributes = self._module.__dict__
        around, attributes[HOOK] = attributes.get(HOOK), name
        for hook in listeners:
            hook(*arguments)
        attributes[HOOK] = around


def _steps_by_itself(optimizer: Optimizer) -> bool:
    """Whether an optimizer can step without a closure that evaluates the loss again, as LBFGS cannot."""
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    return closure is None or closure.default is not inspect.Parameter.empty
