"""Weights averaged over the steps of training, which validation, test and checkpoints see in place of the last ones.

Polyak and Juditsky, 1992, Acceleration of Stochastic Approximation by Averaging: the mean of all iterates converges
where the iterates themselves still jump. An exponential mean forgets the early ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from couloir.log import say


class Averaging(Callback):
    """Keeps the running mean of a network's parameters and buffers.

    The mean is in place whenever the network is looked at (validation, test) and in the checkpoints' `state_dict`;
    training goes on with the weights themselves, which the checkpoint holds as `averaging`. A network whose attribute
    `averages` names some of its parts, such as `("generator.",)`, has the mean of these, and the newest weights of all
    others.

    Args:
        decay: share of the mean that stays at each step, an exponential mean; None: the plain mean of all steps.
        start_epoch: epochs before the mean begins, which is then of the steps behind them.
    """

    def __init__(self, decay: float | None, start_epoch: int) -> None:
        self.decay, self.start_epoch = decay, start_epoch
        self.steps = 0
        self.mean: dict[str, Tensor] = {}
        self._weights: dict[str, Tensor] = {}
        self._last_step = 0

    def share(self) -> float:
        """The weight of the newest of n steps: 1 / n, or 1 - decay, and 9 / (9 + n) as long as that is more."""
        if self.decay is None:
            return 1 / self.steps
        return 1 - min(self.decay, self.steps / (9 + self.steps))

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        """Take the network's weights into the mean."""
        self.steps += 1
        state = averaged(net)
        if self.steps == 1:
            self.mean = copied(state)
            return
        share = self.share()
        for name, value in state.items():
            self.mean[name] = self.mean[name].to(value.device)  # a checkpoint's mean is on the CPU
            if value.is_floating_point():
                self.mean[name].lerp_(value, share)
            else:
                self.mean[name].copy_(value)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """After each step of the optimizer that was not skipped."""
        stepped = trainer.global_step > self._last_step and getattr(pl_module, "moved", True)
        stepped &= not getattr(pl_module, "skipped_step", False)
        if stepped and trainer.current_epoch >= self.start_epoch:
            self.update(network(pl_module))
        self._last_step = trainer.global_step

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say where a run ended before the mean began."""
        if not self.mean:
            say.warning("no weights were averaged: the run ended before epoch %d was over", self.start_epoch + 1)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the mean in place."""
        if self.mean and not self._weights:
            net = network(pl_module)
            self._weights = copied(averaged(net))
            net.load_state_dict(self.mean, strict=False)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the weights back."""
        if self._weights:
            network(pl_module).load_state_dict(self._weights, strict=False)
            self._weights = {}

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """The mean is the checkpoint's network; the weights go on beside it."""
        if not self.mean:
            return
        weights = self._weights or copied(averaged(network(pl_module)))
        checkpoint["averaging"] = {"weights": weights, "steps": self.steps}
        checkpoint["state_dict"] |= {f"net.{name}": value for name, value in self.mean.items()}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Go on training from the weights; a test looks at the mean, which is in place already."""
        saved = checkpoint.get("averaging")
        if saved is None or trainer.state.fn != "fit":
            return
        self.mean = {name: checkpoint["state_dict"][f"net.{name}"].clone() for name in saved["weights"]}
        self.steps = saved["steps"]
        self._last_step = checkpoint["global_step"]
        network(pl_module).load_state_dict(saved["weights"], strict=False)  # of the other parts they are in place


def network(module: LightningModule) -> nn.Module:
    """The network within the module of a task."""
    net = module.net
    assert isinstance(net, nn.Module)
    return net


def averaged(net: nn.Module) -> dict[str, Tensor]:
    """The parameters and buffers that a mean is taken of: all, or those of the parts that `averages` names."""
    parts: tuple[str, ...] | None = getattr(net, "averages", None)
    if parts is None:
        return net.state_dict()
    found: dict[str, Tensor] = {}
    for part in parts:
        net.get_submodule(part.removesuffix(".")).state_dict(destination=found, prefix=part)
    return found


def copied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same values, which no step changes."""
    return {name: value.detach().clone() for name, value in state.items()}
