"""What is attached to a training so that a clock hears of the parts of its steps.

Everything is attached to what this one training has of its own (a copy of the network, its callbacks, its optimizers),
or is taken off again at its end. No number changes by it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from couloir.inspect.profile.account import (
    AUGMENTATION,
    BACKWARD,
    FORWARD,
    LOADING,
    LOGGING,
    LOSS,
    METRICS,
    OPTIMIZER,
    TRANSFER,
)
from couloir.inspect.profile.clock import Clock
from couloir.task.task import Task
from couloir.torch_private import around_compiled
from couloir.trainer import loop
from couloir.trainer.loop import LISTENED

DEEPEST = 6
"""How many names the path of a module has that is timed by itself."""
MOST = 300
"""Modules that are timed: of a network with more of them the innermost are not."""


class Instruments:
    """Lets a clock hear of the parts of each step.

    Args:
        clock: what writes down.
        data: whose augmentation is timed.
    """

    def __init__(self, clock: Clock, data: Any) -> None:
        self.clock, self.data = clock, data
        self.kinds: dict[str, str] = {}
        """The class of each module that is timed, by its path."""
        self._taken_off = ExitStack()

    def attach(self, trainer: Trainer, module: LightningModule) -> None:
        """Before the first step, once every callback has heard of the start."""
        assert isinstance(module, Task)
        self._network(module.net)
        self._task(module)
        self._optimizers(trainer, module)
        self._around(trainer, module)
        self._batches(trainer)

    def take_off(self) -> None:
        """Leave nothing behind on what outlives the training."""
        self._taken_off.close()

    def _network(self, net: nn.Module) -> None:
        """The forward of each module; in one that is compiled, clocks would be compiled along."""
        compiled: list[str] = []
        for name, module in timed_modules(net).items():
            if any(name.startswith(f"{outer}.") or not outer for outer in compiled):
                continue
            self.kinds[name] = type(module).__name__
            if around_compiled(module, lambda call, name=name: self.clock.timed(call, FORWARD, name)):  # type: ignore[misc]
                compiled.append(name)
            else:
                self._hook(module, FORWARD, name)

    def _hook(self, module: nn.Module, part: str, name: str) -> None:
        """Time the forward of a module; its hooks are the outermost ones."""

        def begin(module: nn.Module, arguments: Any) -> None:
            self.clock.begin(part, name)

        def end(module: nn.Module, arguments: Any, output: Any) -> None:
            self.clock.end(part, name)

        self._taken_off.callback(module.register_forward_pre_hook(begin, prepend=True).remove)
        self._taken_off.callback(module.register_forward_hook(end).remove)

    def _task(self, module: Task) -> None:
        clock = self.clock
        self._time(module, "training_step", LOSS)
        if isinstance(module.loss, nn.Module):
            self._hook(module.loss, LOSS, type(module.loss).__name__)
        self._time(module, "clip_gradients", OPTIMIZER, "clipping")
        self._time(module.gathered["train"], "add", METRICS)
        if module.watch is not None:
            module.watch = clock.timed(module.watch, LOGGING, "divergence")
        if module.adversary is not None:
            module.adversary = clock.timed(module.adversary, AUGMENTATION)
        # The short loop has its own; Tensor.backward calls the second, penalties on gradients the third.
        for owner, name in ((loop, "backward"), (torch.autograd, "backward"), (torch.autograd, "grad")):
            self._patch(owner, name, clock.timed(getattr(owner, name), BACKWARD))

    def _optimizers(self, trainer: Trainer, module: Task) -> None:
        """The steps of the short loop, and Lightning's; an optimizer with hooks would step in another way."""
        names: dict[Optimizer, str] = {}
        for number, optimizer in enumerate(trainer.optimizers):
            names[optimizer] = type(optimizer).__name__
            if len(trainer.optimizers) > 1:
                names[optimizer] += f" of the {module.players[number]}" if module.players else f" {number + 1}"
        step_of: Callable[[Optimizer], Callable[[], object]] = vars(loop)["step_of"]
        lightnings = trainer.strategy.optimizer_step

        def timed_step_of(optimizer: Optimizer) -> Callable[[], object]:
            return self.clock.timed(step_of(optimizer), OPTIMIZER, names[optimizer])

        @wraps(lightnings)
        def optimizer_step(optimizer: Optimizer, *arguments: Any, **keys: Any) -> Any:
            with self.clock.span(OPTIMIZER, names[optimizer]):
                return lightnings(optimizer, *arguments, **keys)

        self._patch(loop, "step_of", timed_step_of)
        trainer.strategy.__dict__["optimizer_step"] = optimizer_step

    def _around(self, trainer: Trainer, module: Task) -> None:
        """Callbacks, the task's own hooks, and loggers."""
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        for callback in callbacks:
            for name in (*LISTENED, "between_steps"):
                hook = getattr(callback, name, None)
                if hook is not None and not _is_empty(callback, name):
                    self._time(callback, name, LOGGING, type(callback).__name__)
        for name in LISTENED:
            if getattr(type(module), name) is not getattr(LightningModule, name):
                self._time(module, name, LOGGING, "the task's hooks")
        for logger in trainer.loggers:
            self._time(logger, "log_metrics", LOGGING, type(logger).__name__)

    def _batches(self, trainer: Trainer) -> None:
        """The augmentation, which happens while a batch is waited for, and the way to the device."""
        self._time(trainer.strategy, "batch_to_device", TRANSFER)
        augmentation = getattr(self.data, "augmentation", None)
        if isinstance(augmentation, nn.Module):
            # Its first step may be done elsewhere, and then the others are asked one by one.
            for step in (augmentation, *augmentation.children()):
                if not isinstance(step, nn.Identity):
                    self._hook(step, AUGMENTATION, type(step).__name__ if step is not augmentation else "")
        elif callable(augmentation):
            self._patch(self.data, "augmentation", self.clock.timed(augmentation, AUGMENTATION))
        if self.clock.on_gpu:
            self._patch(Tensor, "to", self._moving(Tensor.to))

    def _moving(self, to: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """`Tensor.to` which tells of what changes the device while a batch is made."""
        clock = self.clock

        @wraps(to)
        def call(tensor: Tensor, *arguments: Any, **keys: Any) -> Tensor:
            if not clock.runs or not clock.is_in(LOADING):
                return to(tensor, *arguments, **keys)
            since = clock.now()
            moved = to(tensor, *arguments, **keys)
            if moved.device != tensor.device:
                clock.add(TRANSFER, "", since)
            return moved

        return call

    def _time(self, owner: Any, name: str, part: str, label: str = "") -> None:
        """Time a method of something that this training has of its own."""
        owner.__dict__[name] = self.clock.timed(getattr(owner, name), part, label)

    def _patch(self, owner: Any, name: str, instead: Any) -> None:
        """Put something in the place of what outlives this training, until its end."""
        self._taken_off.callback(setattr, owner, name, getattr(owner, name))
        setattr(owner, name, instead)


def timed_modules(net: nn.Module) -> dict[str, nn.Module]:
    """The modules of a network by their paths, the network itself as "", those far inside left out."""
    named = [(name, module) for name, module in net.named_modules() if name.count(".") < DEEPEST]
    while len(named) > MOST:
        deepest = max(name.count(".") for name, _ in named)
        if deepest == 0:
            break
        named = [(name, module) for name, module in named if name.count(".") < deepest]
    return dict(named)


def _is_empty(callback: Callback, name: str) -> bool:
    """Whether a hook is that of Lightning's base class, which does nothing."""
    base = getattr(Callback, name, None)
    return base is not None and getattr(getattr(callback, name), "__func__", None) is base
