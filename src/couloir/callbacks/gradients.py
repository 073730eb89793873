"""How large the gradients are at the end of an epoch: whether they vanish or explode on their way back, and how many
units get none.

Glorot and Bengio, 2010, Understanding the Difficulty of Training Deep Feedforward Networks, section 4.2.
"""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.strategies import FSDPStrategy
from torch import Tensor, nn
from torch.optim import Optimizer

from couloir.layer_kinds import Weighted, learned_weight
from couloir.metric.precision import WIDE
from couloir.task.task import Task
from couloir.torch_private import unscales

PREFIX = "gradients/"
"""What the names of the columns begin with."""
LOOKS = 4
"""Steps of an epoch, about, in which a unit without a gradient is looked for: a single batch may be a small one."""


def gradients(every_n_epochs: int | None = 1) -> Gradients | None:
    """A `Gradients`, or None when `every_n_epochs` is None.

    Args:
        every_n_epochs: epochs between two looks.
    """
    return None if every_n_epochs is None else Gradients(every_n_epochs)


def steps_between_looks(batches: int, accumulated: int) -> int:
    """So many steps pass between two looks in an epoch of so many batches, `accumulated` of them a step."""
    return max(1, batches // accumulated // LOOKS)


class Gradients(Callback):
    """Looks at gradients before they are clipped, for `metrics.csv` and the loggers: at some steps of an epoch whether
    a unit gets any, at the last one how large they are.

    Nothing is computed for it but some norms. A network whose weights are cut into shares (fsdp) is left out.

    Args:
        every_n_epochs: epochs between two looks.
    """

    def __init__(self, every_n_epochs: int) -> None:
        self.every_n_epochs = every_n_epochs
        self.stride = 1
        """Steps between two looks within an epoch."""
        self._weights: list[Tensor] = []
        self._reached: list[Tensor] = []
        """Of each layer but the last (O,): the units that have got a gradient in this epoch."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Know how many optimizers there are."""
        self._several = len(trainer.optimizers) > 1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Know the weights, also of an epoch that is taken up, and how often to look."""
        self._know_weights(trainer, pl_module)
        self.stride = steps_between_looks(int(trainer.num_training_batches), trainer.accumulate_grad_batches)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the epoch before, and know the weights that this one trains."""
        assert isinstance(pl_module, Task)
        self._know_weights(trainer, pl_module)
        self._reached = []
        for name in [name for name in pl_module.measured if name.startswith(PREFIX)]:
            del pl_module.measured[name]

    def _know_weights(self, trainer: Trainer, module: LightningModule) -> None:
        assert isinstance(module, Task)
        self._weights = [] if isinstance(trainer.strategy, FSDPStrategy) else layer_weights(module.net)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Look, where it is time to."""
        if not self._weights or (trainer.current_epoch + 1) % self.every_n_epochs:
            return
        assert isinstance(pl_module, Task)
        if self._several:
            self._of_one_of_several(trainer, pl_module, optimizer)
            return
        last = trainer.is_last_batch
        if trainer.global_step % self.stride and not last:
            return
        if any(weight.grad is None for weight in self._weights):
            return  # without a gradient: the step is left out
        now = [weight.grad.flatten(1).ne(0).any(dim=1) for weight in self._weights[:-1] if weight.grad is not None]
        before = self._reached or now
        self._reached = [one.to(other.device) | other for one, other in zip(before, now, strict=True)]
        if last:
            numbers = self._numbers(optimizer, _scale(trainer, optimizer))
            pl_module.measured |= {PREFIX + name: number for name, number in numbers.items()}

    def _of_one_of_several(self, trainer: Trainer, module: Task, optimizer: Optimizer) -> None:
        """The norm alone: layers that several optimizers train do not stand in one row from the first to the last."""
        numbers = [getattr(other, "optimizer", other) for other in trainer.optimizers]
        place = numbers.index(getattr(optimizer, "optimizer", optimizer))
        if module.is_last_step(place):
            name = PREFIX + (module.players[place] if module.players else f"norm_{place + 1}")
            module.measured[name] = _norm(optimizer) / _scale(trainer, optimizer)

    def _numbers(self, optimizer: Optimizer, scale: float) -> dict[str, float]:
        numbers = {"norm": _norm(optimizer) / scale}
        if self._reached:
            numbers |= first_to_last(self._weights)
            units = sum(map(len, self._reached))
            numbers["dead_units"] = 1.0 - int(torch.stack([layer.sum() for layer in self._reached]).sum()) / units
        return numbers

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hand the numbers to the loggers; the record takes them from the module."""
        assert isinstance(pl_module, Task)
        numbers = {name: value for name, value in pl_module.measured.items() if name.startswith(PREFIX)}
        if numbers:
            pl_module.log_dict(numbers, batch_size=1)

    def state_dict(self) -> dict[str, Any]:
        """What the epoch has seen so far."""
        return {"reached": [layer.cpu() for layer in self._reached]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with it."""
        self._reached = list(state_dict["reached"])


def _norm(optimizer: Optimizer) -> float:
    """The norm of all gradients that an optimizer goes by."""
    given = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    norms = torch.stack([torch.linalg.vector_norm(gradient, dtype=WIDE) for gradient in given])
    return float(torch.linalg.vector_norm(norms))


def _scale(trainer: Trainer, optimizer: Optimizer) -> float:
    """What gradients are multiplied by where the optimizer itself takes it away again, within its step."""
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    return float(scaler.get_scale()) if scaler is not None and unscales(optimizer) else 1.0


def layer_weights(net: nn.Module) -> list[Tensor]:
    """The weights (O, ...) of the linear and convolutional layers that are trained, in the network's order."""
    weights = [learned_weight(module) for module in net.modules() if isinstance(module, Weighted)]
    return [weight for weight in weights if weight.requires_grad]


def first_to_last(weights: list[Tensor]) -> dict[str, float]:
    """What comes back to the first layer against what the last one gets.

    A gradient is taken relative to the weights that it changes, ||g|| / ||w||: a layer's width and its initializer's
    scale go into both.

    Args:
        weights: (O, ...) with their gradients, from the first layer to the last.

    Returns:
        `first_to_last`, the first layer's relative gradient divided by the last one's; nothing where one of the two
        has no weight that is not zero, or the last no gradient.
    """
    pairs = [(weight.grad, weight) for weight in (weights[0], weights[-1]) if weight.grad is not None]
    sizes = torch.stack([torch.linalg.vector_norm(x, dtype=WIDE) for pair in pairs for x in pair])
    first_change, first_size, last_change, last_size = sizes.tolist()
    if not (first_size > 0 and last_change > 0 and last_size > 0):
        return {}
    return {"first_to_last": (first_change / first_size) / (last_change / last_size)}
