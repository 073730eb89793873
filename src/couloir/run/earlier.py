"""A run that goes on: from which checkpoint, with what changed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from couloir.errors import CouloirError
from couloir.log import say
from couloir.run.folder import RunFolder

RATES = ("lr", "initial_lr", "max_lr", "min_lr")
"""Where the groups of an optimizer, and the schedules, keep rates."""


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

    def take_up(self, folder: RunFolder, command: list[str], data: dict[str, Any]) -> None:
        """Check that the data is what it was, add to the provenance how the run goes on, and say so.

        Raises:
            CouloirError: the samples are others than before.
        """
        provenance = _provenance(folder)
        before = provenance.get("data", {}).get("fingerprint")
        if before is not None and before != data["fingerprint"]:
            raise CouloirError(
                "The data is not what the run has trained on so far: its fingerprint has changed.",
                place=f"{before[:19]} ... in provenance.json, {data['fingerprint'][:19]} ... now",
                next_step="put the data back as it was, or train anew",
            )
        told = {
            "command": command,
            "time": datetime.now().astimezone().isoformat(timespec="seconds"),
            "checkpoint": None if self.checkpoint is None else self.checkpoint.name,
            "overrides": self.overrides,
        }
        folder.write_json("provenance.json", {**provenance, "resumed": [*provenance.get("resumed", []), told]})
        folder.write_status("running", error=None, signal=None, ended=None)
        for name in self.damaged:
            say.warning("%s is damaged and left out", name)
        if self.checkpoint is None:
            say.info("nothing was saved: the run begins anew")
            for file in (folder.metrics_file, *(folder.path / "tensorboard").glob("events.out.tfevents.*")):
                file.unlink(missing_ok=True)
        for override in self.overrides:
            say.info("changed: %s", override)

    def callbacks(self) -> list[Callback]:
        """What brings the changes into the state of the checkpoint."""
        return [] if self.rate == 1.0 else [NewRate(self.rate)]


def _provenance(folder: RunFolder) -> dict[str, Any]:
    try:
        content = json.loads((folder.path / "provenance.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # the run was killed before it was written
    return content if isinstance(content, dict) else {}


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
