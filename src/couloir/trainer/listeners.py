"""Who listens to Lightning's hooks: a hook that nobody has overridden need not be called."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import LearningRateMonitor

Hook = Callable[..., Any]

TRANSFER = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
"""Hooks by which a module, or the data, has a say in how a batch reaches the device."""


def listeners(trainer: Trainer, name: str) -> list[Hook]:
    """The callbacks' hooks of a name that are overridden, in order, then the module's."""
    module = trainer.lightning_module
    hooks: list[Hook] = [
        partial(getattr(callback, name), trainer, module)
        for callback in trainer.callbacks  # type: ignore[attr-defined]
        if overrides(callback, name, Callback)
    ]
    return [*hooks, getattr(module, name)] if overrides(module, name, LightningModule) else hooks


def is_foreign(hook: Hook) -> bool:
    """Whether a hook is neither Couloir's, which log once an epoch, nor one that goes past `self.log`."""
    function = hook.func if isinstance(hook, partial) else hook
    module = str(getattr(function, "__module__", ""))
    return not module.startswith(("couloir.", LearningRateMonitor.__module__))


def overrides(instance: Any, name: str, base: type) -> bool:
    """Whether a hook is another than that of Lightning's base class, on the instance's class or on itself."""
    if instance is None:
        return False
    return getattr(getattr(instance, name), "__func__", None) is not getattr(base, name)
