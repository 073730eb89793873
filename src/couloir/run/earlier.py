"""A run that goes on: from which checkpoint, with what changed."""

from __future__ import annotations

import copy
import os
import warnings
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, LightningModule, Trainer
from torch.optim import Optimizer

from couloir.log import say
from couloir.record.configuration import dotted
from couloir.record.differences import announced, differences, own_packages, refuse
from couloir.record.folder import RunFolder
from couloir.record.metrics import FILE as METRICS
from couloir.record.provenance import add_resumption, devices, environment, read_provenance, write_provenance

RATES = ("lr", "initial_lr", "max_lr", "min_lr")
"""Where the groups of an optimizer, and the schedules, keep rates."""

ASK_FOR_MORE = (
    "trainer.max_epochs", "trainer.max_steps", "trainer.max_time", "callbacks.early_stopping.", "callbacks.stop_at.",
)  # fmt: skip
"""Keys after whose change a run that was told to end is to go on."""


@dataclass(frozen=True)
class Earlier:
    """What a run has done before it goes on.

    Attributes:
        checkpoint: what it goes on from; None: nothing was saved, and it begins anew.
        overrides: what is changed from now on.
        damaged: checkpoints that could not be used.
    """

    checkpoint: Path | None
    overrides: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    def take_up(
        self,
        folder: RunFolder,
        command: list[str],
        cfg: DictConfig,
        data: dict[str, Any],
        weights: dict[str, str] | None,
        classifier: dict[str, str] | None,
    ) -> None:
        """Check that the data is what it was, say what is not, and add to the provenance how the run goes on.

        Raises:
            CouloirError: the samples are others than before.
        """
        then = read_provenance(folder.path)
        if then:
            files = {"weights": weights or {}, "classifier": classifier or {}}
            now = {**environment()[0], "seed": cfg.seed, "data": data, **files}
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
            write_provenance(folder, command, cfg.seed, data, weights, classifier)
        folder.write_status("running", pid=os.getpid(), error=None, signal=None, ended=None)
        self._say_from_where(folder)

    def _say_from_where(self, folder: RunFolder) -> None:
        for name in self.damaged:
            say.warning("%s is damaged and is not used", name)
        if self.checkpoint is None:
            say.info("nothing was saved: the run starts again")
            for file in (folder.path / METRICS, *(folder.path / "tensorboard").glob("events.out.tfevents.*")):
                file.unlink(missing_ok=True)
        for override in self.overrides:
            say.info("changed: %s", override)


class Amended(Callback):
    """Brings what has changed since a checkpoint was saved into the state that it holds.

    The checkpoint says with which configuration it was saved. So a change is made once, in every process, also where
    the run was killed before it could save anything after it.

    Args:
        cfg: the configuration that the run goes on with.
    """

    def __init__(self, cfg: DictConfig) -> None:
        self.cfg = cfg
        self._then: dict[str, Any] | None = None

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Know how it was saved; a test changes nothing."""
        if trainer.state.fn == "fit":
            self._then = dotted(dict(checkpoint.get("hyper_parameters") or {}))

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let a run that was told to end go on, where more is asked for; the loop has not yet looked at it."""
        if self._then is None:
            return
        names = {*self._then, *dotted(OmegaConf.to_container(self.cfg, resolve=True))}
        if any(name.startswith(ASK_FOR_MORE) and self._changed(name) for name in names):
            trainer.should_stop = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Once optimizers and schedules have their state back."""
        if self._then is None:
            return
        if self._then.get("optimizer.lr") and self._changed("optimizer.lr"):
            _multiply_rates(trainer, float(self.cfg.optimizer.lr) / float(self._then["optimizer.lr"]))
        epochs = OmegaConf.select(self.cfg, "scheduler.epochs")
        ends = self._changed("trainer.max_steps") and epochs == self.cfg.trainer.max_epochs
        changed = epochs is not None and (ends or self._changed("scheduler.epochs"))
        if changed and self.cfg.get("on_new_length", "stretch") == "stretch":
            stretch(trainer, pl_module)
        self._then = None

    def _changed(self, name: str) -> bool:
        assert self._then is not None
        return bool(self._then.get(name) != OmegaConf.select(self.cfg, name))


def _multiply_rates(trainer: Trainer, factor: float) -> None:
    """Multiply the learning rates of all optimizers, and all that their schedules know of rates."""
    for optimizer in trainer.optimizers:
        for group in optimizer.param_groups:
            group.update({name: group[name] * factor for name in RATES if group.get(name) is not None})
    for config in trainer.lr_scheduler_configs:
        scheduler = config.scheduler
        for name in ("base_lrs", "_last_lr"):
            if hasattr(scheduler, name):
                setattr(scheduler, name, [rate * factor for rate in getattr(scheduler, name)])


def stretch(trainer: Trainer, module: Any) -> None:
    """Put each schedule where a run of the new length would have it now; from here on the rates are those of that run.

    Args:
        trainer: its optimizers and schedules stand as they were saved.
        module: the task, whose `make_scheduler` knows the new length.
    """
    for config in trainer.lr_scheduler_configs:
        old: Any = config.scheduler
        optimizer: Optimizer = old.optimizer
        before = float(optimizer.param_groups[0]["lr"])
        twin = copy.copy(optimizer)
        # Without parameters, so that nothing but rates and momenta changes; with the rate that the run began with.
        twin.param_groups = [
            {**group, "params": [], "lr": group.get("max_lr", group["initial_lr"])} for group in optimizer.param_groups
        ]
        fresh = module.make_scheduler(twin)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")  # the twin takes no steps
            for _ in range(old.last_epoch):
                fresh.step()
        for group, stretched in zip(optimizer.param_groups, twin.param_groups, strict=True):
            group.update({name: value for name, value in stretched.items() if name not in ("params", "ahead")})
        old.load_state_dict(fresh.state_dict())
        if hasattr(optimizer, "look_ahead"):
            optimizer.look_ahead()
        after = float(optimizer.param_groups[0]["lr"])
        say.info(
            "the schedule now spans the run's new length: the rate goes on at %.4g, not at %.4g; "
            "on_new_length=keep leaves the schedule as it was",
            after,
            before,
        )
