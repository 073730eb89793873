"""Stochastic weight averaging: the mean of the weights at the ends of epochs, along a path of a constant, high rate.

Izmailov et al., 2018, Averaging Weights Leads to Wider Optima and Better Generalization, algorithm 1. After the start
the rate is held so high that each epoch ends somewhere else around the optimum; the mean of these points lies in the
middle. The mean has never seen the data itself, so its batch normalisation measures the training set once more
(section 3.2).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor, nn

from couloir.averaging.running import Averaging, copied, network
from couloir.config.fields import SHARE
from couloir.distributed import average
from couloir.layer_kinds import BatchNorm
from couloir.log import say


class EpochAveraging(Averaging):
    """The mean over epochs' ends; where it is in place and how it is saved is `Averaging`'s.

    Args:
        start: how much of training passes before the averaging phase: a share of the epochs, or their number.
        swa_lr: the rate in that phase; None leaves the rate to the schedule.
        anneal_epochs: epochs in which the rate goes, on a line, from where it was to `swa_lr`.
    """

    def __init__(self, start: float | int, swa_lr: float | None, anneal_epochs: int) -> None:
        super().__init__(decay=None, start_epoch=0)
        self.start, self.swa_lr, self.anneal_epochs = start, swa_lr, anneal_epochs
        self.rates: list[float] = []
        """The rates of the optimizer's groups when the averaging phase began."""
        self._measured = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Turn a share of training into a number of epochs; a mean that began too early for it begins anew."""
        epochs = trainer.max_epochs or 1
        if trainer.max_steps > 0:
            steps = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
            epochs = min(epochs, math.ceil(trainer.max_steps / steps))
        self.start_epoch = int(self.start * epochs) if isinstance(self.start, float) else self.start
        if self.mean and trainer.current_epoch < self.start_epoch:  # the run has become longer
            say.info("the mean of weights begins anew, after epoch %d: on_new_length=stretch", self.start_epoch)
            if not trainer.lr_scheduler_configs:
                for group, rate in zip(groups_of(trainer), self.rates, strict=False):
                    group["lr"] = rate
            self.mean, self.steps, self.rates, self._measured = {}, 0, [], True

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the rate before anything notes it down."""
        self._set_rate(trainer)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Set the rate anew, as a schedule by steps has changed it."""
        self._set_rate(trainer)

    def _set_rate(self, trainer: Trainer) -> None:
        passed = trainer.current_epoch - self.start_epoch
        if self.swa_lr is None or passed < 0:
            return
        groups = groups_of(trainer)
        if not self.rates:
            self.rates = [float(group["lr"]) for group in groups]
        for group, before in zip(groups, self.rates, strict=True):
            share = min(1.0, (passed + 1) / (self.anneal_epochs + 1))
            goal = self.swa_lr * before / self.rates[0]
            group["lr"] = before + (goal - before) * share

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """After an epoch's last step, before validation."""
        if trainer.is_last_batch and trainer.current_epoch >= self.start_epoch:
            self.update(network(pl_module))
            self._measured = False

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure the mean's batch normalisation, and put the mean in place."""
        self._measure(trainer, pl_module)
        super().on_validation_start(trainer, pl_module)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """A checkpoint without a validation before it needs the mean's batch normalisation as well."""
        self._measure(trainer, pl_module)
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        if self.rates:
            checkpoint["averaging_rates"] = self.rates

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Go on with the mean, and with the rates that the annealing began from."""
        super().on_load_checkpoint(trainer, pl_module, checkpoint)
        self.rates = list(checkpoint.get("averaging_rates", []))

    def _measure(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._measured:
            return
        self._measured = True
        net, data = network(pl_module), trainer.datamodule  # type: ignore[attr-defined]
        if hasattr(net, "averages"):
            return  # such a part is not given the data's samples: its running statistics are averaged as weights are
        learning = getattr(pl_module, "learning", None)
        fixed = set() if learning is None else learning.fixed
        if not any(isinstance(layer, BatchNorm) and name not in fixed for name, layer in net.named_modules()):
            return
        weights = copied(net.state_dict())
        net.load_state_dict(self.mean)
        batches = data.train_dataloader()
        # A process may have stand-ins for its part of a small last batch; they are no samples.
        whole = (batch for batch in batches if SHARE not in batch or batch[SHARE].own > 0)
        measure_batch_norm(net, (batch[pl_module.input] for batch in whole), fixed)
        batches.close()
        self.mean = copied(net.state_dict())
        net.load_state_dict(weights)


def groups_of(trainer: Trainer) -> list[dict[str, Any]]:
    """The groups of parameters of all optimizers."""
    return [group for optimizer in trainer.optimizers for group in optimizer.param_groups]


def measure_batch_norm(net: nn.Module, batches: Iterable[Tensor], fixed: Collection[str] = ()) -> None:
    """Set running means and variances to the means, over all batches, of the batches' own; no random number is lost.

    With several processes, to the means over all of them.

    Args:
        net: its batch normalisation layers are changed, in place.
        batches: what the network takes, on its device.
        fixed: the names of modules that stay as they are, and run as in evaluation.
    """
    modes = {module: module.training for module in net.modules()}
    modules = dict(net.named_modules())
    layers = [layer for name, layer in modules.items() if isinstance(layer, BatchNorm) and name not in fixed]
    momenta = [layer.momentum for layer in layers]
    net.train()
    for name in fixed:
        modules[name].training = False
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the plain mean
    with isolate_rng(), torch.no_grad():  # augmentation and dropout draw here, and training goes on as if they had not
        for batch in batches:
            net(batch)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
        if layer.running_mean is not None and layer.running_var is not None:
            average(layer.running_mean)
            average(layer.running_var)
    for module, training in modes.items():
        module.training = training
