"""`checkpoints/last.ckpt` and `checkpoints/best.ckpt`, each written whole or not at all."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint as CheckpointBase


class Checkpoint(CheckpointBase):
    """Saves the last state of every epoch and, when the monitored metric improves, keeps it as the best.

    Lightning's own `ModelCheckpoint(save_last=True)` lets `last.ckpt` trail behind when nothing else was saved at
    that step, and
    numbers files in a folder that is used again; here the two names always mean what they say. It derives from
    Lightning's base
    class because Lightning calls such callbacks after all others, when the epoch's metrics are complete.

    Args:
        monitor: the metric that decides which epoch is the best, such as `val/loss`.
        mode: `min` or `max`.
        every_n_steps: save `last.ckpt` within the epoch as well, every so many optimizer steps; null: at the end of
        an epoch only.
    """

    def __init__(self, monitor: str = "val/loss", mode: str = "min", every_n_steps: int | None = None) -> None:
        self.monitor = monitor
        self.mode = mode
        self.every_n_steps = every_n_steps
        self.best_value: float | None = None
        self.best_epoch: int | None = None
        self._saved_step = -1

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save within the epoch, where asked to."""
        step = trainer.global_step
        if self.every_n_steps and step % self.every_n_steps == 0 and step != self._saved_step:
            self.save_last(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the epoch, and keep it as the best if it is."""
        improved = self._improved(trainer)
        self.save_last(trainer)
        if improved and trainer.is_global_zero:
            _link(last_checkpoint(trainer), best_checkpoint(trainer))

    def _improved(self, trainer: Trainer) -> bool:
        if self.monitor not in trainer.callback_metrics:
            return False  # an epoch without validation (trainer.check_val_every_n_epoch)
        value = float(trainer.callback_metrics[self.monitor])
        if not math.isfinite(value):
            return False
        better = self.best_value is None or (value < self.best_value if self.mode == "min" else value > self.best_value)
        if better:
            self.best_value, self.best_epoch = value, trainer.current_epoch
        return better

    def save_last(self, trainer: Trainer) -> None:
        """Write `last.ckpt` under a temporary name and rename it: a kill in between leaves the previous one."""
        self._saved_step = trainer.global_step
        target = last_checkpoint(trainer)
        temporary = target.with_name(f".{target.name}")
        trainer.save_checkpoint(temporary)  # every process has a part in it, and waits until it is written
        if trainer.is_global_zero:
            temporary.replace(target)

    def state_dict(self) -> dict[str, Any]:
        """What decides about the best, stored in the checkpoint itself."""
        return {"best_value": self.best_value, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the state of a checkpoint."""
        self.best_value, self.best_epoch = state_dict["best_value"], state_dict["best_epoch"]


def last_checkpoint(trainer: Trainer) -> Path:
    """Where the run's last checkpoint is, or will be."""
    return Path(trainer.default_root_dir) / "checkpoints" / "last.ckpt"


def best_checkpoint(trainer: Trainer) -> Path:
    """Where the run's best checkpoint is, or will be."""
    return Path(trainer.default_root_dir) / "checkpoints" / "best.ckpt"


def _link(source: Path, target: Path) -> None:
    """Give the file a second name rather than write a large network twice; the next `last.ckpt` is a new file."""
    temporary = target.with_name(f".{target.name}")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:  # a file system without hard links
        temporary.write_bytes(source.read_bytes())
    temporary.replace(target)
