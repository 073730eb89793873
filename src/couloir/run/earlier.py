"""A run that goes on: from which checkpoint, with what changed."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from pytorch_lightning import Callback, LightningModule, Trainer

from couloir.log import say
from couloir.record.differences import announced, differences, own_packages, refuse
from couloir.record.folder import RunFolder
from couloir.record.metrics import FILE as METRICS
from couloir.record.provenance import add_resumption, devices, environment, read_provenance, write_provenance

RATES = ("lr", "initial_lr", "max_lr", "min_lr")
"""Where the groups of an optimizer, and the schedules, keep rates."""

ASK_FOR_MORE = ("trainer.max_epochs=", "callbacks.early_stopping.", "callbacks.stop_at.")
"""Changes after which a run that was told to end is to go on."""


@dataclass(frozen=True)
class Earlier:
    """What a run has done before it goes on.

    Attributes:
        checkpoint: what it goes on from; None: nothing was saved, and it begins anew.
        overrides: what is changed from now on.
        rate: the factor by which the learning rate changes.
        damaged: checkpoints that could not be used.
    """

    checkpoint: Path | None
    overrides: list[str] = field(default_factory=list)
    rate: float = 1.0
    damaged: list[str] = field(default_factory=list)

    def take_up(self, folder: RunFolder, command: list[str], cfg: DictConfig, data: dict[str, Any]) -> None:
        """Check that the data is what it was, say what is not, and add to the provenance how the run goes on.

        Raises:
            CouloirError: the samples are others than before.
        """
        then = read_provenance(folder.path)
        if then:
            now = {**environment()[0], "seed": cfg.seed, "data": data}
            now["hardware"] |= devices()
            found = differences(then, now, also=own_packages(cfg))
            refuse(found, folder.path, strict=False)
            changed = [difference for difference in found if difference.matters]
            told = {
                "command": command,
                "time": datetime.now().astimezone().isoformat(timespec="seconds"),
                "checkpoint": None if self.checkpoint is None else self.checkpoint.name,
                "overrides": self.overrides,
                "differences": [difference.as_json() for difference in changed],
            }
            add_resumption(folder, then, told)
            for line in announced(changed, known=True):
                say.warning("%s", line)
        else:  # the run was killed before it was written
            write_provenance(folder, command, cfg.seed, data)
        folder.write_status("running", pid=os.getpid(), error=None, signal=None, ended=None)
        self._say_from_where(folder)

    def _say_from_where(self, folder: RunFolder) -> None:
        for name in self.damaged:
            say.warning("%s is damaged and left out", name)
        if self.checkpoint is None:
            say.info("nothing was saved: the run begins anew")
            for file in (folder.path / METRICS, *(folder.path / "tensorboard").glob("events.out.tfevents.*")):
                file.unlink(missing_ok=True)
        for override in self.overrides:
            say.info("changed: %s", override)

    def callbacks(self) -> list[Callback]:
        """What brings the changes into the state of the checkpoint."""
        asks_for_more = any(override.startswith(ASK_FOR_MORE) for override in self.overrides)
        return [
            *([] if self.rate == 1.0 else [NewRate(self.rate)]),
            *([Onward()] if asks_for_more else []),
        ]


class NewRate(Callback):
    """Multiplies the learning rate of a checkpoint's optimizer, and all that its schedule knows of rates.

    Args:
        factor: what they are multiplied by.
    """

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Once the optimizer has its state back."""
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                group.update({name: group[name] * self.factor for name in RATES if group.get(name) is not None})
        for config in trainer.lr_scheduler_configs:
            scheduler = config.scheduler
            for name in ("base_lrs", "_last_lr"):
                if hasattr(scheduler, name):
                    setattr(scheduler, name, [rate * self.factor for rate in getattr(scheduler, name)])


class Onward(Callback):
    """Lets a run that early stopping had ended go on until it ends it again."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After the checkpoint is loaded, and before the loop asks whether there is anything to do."""
        trainer.should_stop = False
