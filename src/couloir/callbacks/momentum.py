"""Setting the optimizer's momentum before each step."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from couloir.errors import CouloirError
from couloir.momentum_schedule.rules import Rule, check_momentum


class MomentumSchedule(Callback):
    """The momentum is a function of the step alone, so a run that is taken up again goes on with the right one.

    Args:
        rule: maps the number of steps taken to the momentum of the next.
    """

    def __init__(self, rule: Rule) -> None:
        self.rule = rule

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say at once where there is no momentum to set, or where it would be unclear whose steps are counted."""
        if len(trainer.optimizers) > 1:
            raise CouloirError(
                f"momentum_schedule follows the steps of one optimizer, and {type(pl_module).__name__} has "
                f"{len(trainer.optimizers)}.",
                next_step="momentum_schedule=none; optimizer.momentum sets it for all steps",
            )
        check_momentum(trainer.optimizers[0].param_groups)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Set it for the step that this batch belongs to."""
        momentum = self.rule(trainer.global_step)
        optimizer = trainer.optimizers[0]
        for group in optimizer.param_groups:
            group["momentum"] = momentum
        if hasattr(optimizer, "look_ahead"):  # Nesterov's gradient is taken where this step's momentum leads to
            optimizer.look_ahead()
