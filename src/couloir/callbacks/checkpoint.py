"""`checkpoints/last.ckpt`, `previous.ckpt`, `best.ckpt`, and those of single epochs; each is whole, or is not there."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Collection
from concurrent import futures
from functools import partial
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint as CheckpointBase

from couloir.distributed import highest
from couloir.log import say
from couloir.record.background import Background
from couloir.record.checkpoint import BEST, FOLDER, LAST, PREVIOUS, epoch_checkpoint, kept_epochs
from couloir.record.files import flush, rename
from couloir.trainer.checkpoint_io import save_unflushed
from couloir.trainer.learning import learning_of
from couloir.trainer.resumption import epoch_reached, within_epoch

USUAL_COUNT = 3
"""Epochs that `keep=top_k` keeps where nothing else is said."""


class Checkpoint(CheckpointBase):
    """Saves the state after every epoch and, when the monitored metric improves, keeps it as the best, also within an
    epoch.

    Lightning's own `ModelCheckpoint(save_last=True)` lets `last.ckpt` trail behind when nothing else was saved at that
    step, and numbers files in a folder that is used again; here the names always mean what they say. It derives from
    Lightning's base class because Lightning calls such callbacks after all others, when the epoch's metrics are
    complete.

    Args:
        monitor: the metric that decides which epoch is the best, such as `val/loss`.
        mode: `min` or `max`.
        every_n_steps: save within the epoch as well, every so many optimizer steps; None: after an epoch only.
        every_n_minutes: save within the epoch as well, when the last time is so long ago; None: after an epoch only.
        keep: what stays beside `last.ckpt` and `previous.ckpt`: `best`: `best.ckpt`; `last`: nothing; `top_k`:
            `best.ckpt`, and the `k` epochs with the best values at their end; `every_n`: `best.ckpt`, and each
            `every_n_epochs`-th epoch.
        k: how many epochs `top_k` keeps; None: three.
        every_n_epochs: `every_n` keeps each epoch that it divides.

    Attributes:
        kept: the epochs that have a file of their own, counted from one, and the metric's value; None: it has none.
        background: sees the files onto the disk and gives them their names while the training goes on. It is waited for
            before the next checkpoint is written, and before anybody says that one is there.
    """

    def __init__(
        self,
        monitor: str = "val/loss",
        mode: str = "min",
        every_n_steps: int | None = None,
        every_n_minutes: float | None = None,
        keep: str = "best",
        k: int | None = None,
        every_n_epochs: int | None = None,
    ) -> None:
        self.monitor, self.mode = monitor, mode
        self.every_n_steps, self.every_n_minutes = every_n_steps, every_n_minutes
        self.best_value: float | None = None
        self.best_epoch: float | None = None
        self.keep, self.k, self.every_n_epochs = keep, USUAL_COUNT if k is None else k, every_n_epochs
        self.kept: dict[int, float | None] = {}
        self.background = Background()
        self._naming: futures.Future[None] | None = None
        self._improved = False
        self._ended: int | None = None
        self._looked_at_step = 0
        self._saved_at = time.monotonic()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove what a run that was killed had no time to remove."""
        if trainer.is_global_zero:
            self._remove_others(Path(trainer.default_root_dir), self.kept)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Decide whether the epoch is the best so far, and whether it gets a file of its own."""
        self._compare(trainer)
        if not within_epoch(trainer):  # of one that the run's end cuts short, last.ckpt is enough
            self._ended = trainer.current_epoch + 1
            self._choose(trainer, self._ended)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Decide the same of a validation within an epoch."""
        if trainer.state.fn == "fit" and within_epoch(trainer):
            self._compare(trainer)

    def _compare(self, trainer: Trainer) -> None:
        value = self._measured(trainer)
        if value is None:
            return
        if self.best_value is None or (value < self.best_value if self.mode == "min" else value > self.best_value):
            self.best_value, self.best_epoch = value, epoch_reached(trainer)
            self._improved = True

    def _measured(self, trainer: Trainer) -> float | None:
        """The metric's value; None where it is not finite, the epoch was not validated, or layers are still to come."""
        learning = learning_of(trainer.lightning_module)
        if learning is not None and not learning.is_whole(trainer.current_epoch):
            return None
        value = float(trainer.callback_metrics.get(self.monitor, math.nan))
        return value if math.isfinite(value) else None

    def _choose(self, trainer: Trainer, epoch: int) -> None:
        """Which epochs keep their files from now on; of two that are equally good the earlier one."""
        value = self._measured(trainer)
        if self.keep == "every_n" and self.every_n_epochs is not None and epoch % self.every_n_epochs == 0:
            self.kept[epoch] = value
        elif self.keep == "top_k" and value is not None:
            self._settle()
            # A run that goes on from `previous.ckpt` may name files that are gone.
            there = kept_epochs(Path(trainer.default_root_dir))
            values = {other: kept for other, kept in self.kept.items() if other in there and kept is not None}
            values[epoch] = value
            sign = 1 if self.mode == "min" else -1
            ranked = sorted(values, key=lambda other: (sign * values[other], other))
            self.kept = {other: values[other] for other in sorted(ranked[: self.k])}

    def between_steps(self, trainer: Trainer, epoch_over: bool) -> None:
        """Save what stands now, after an epoch, where it is the best so far, or where asked to."""
        if epoch_over or self._is_due(trainer) or self._improved:
            self.save(trainer)

    def _is_due(self, trainer: Trainer) -> bool:
        if not (self.every_n_steps or self.every_n_minutes):
            return False
        before, self._looked_at_step = self._looked_at_step, trainer.global_step
        if self.every_n_steps and trainer.global_step // self.every_n_steps > before // self.every_n_steps:
            return True  # a multiple has been reached; a batch may take several steps
        if not self.every_n_minutes:
            return False
        # The processes' clocks differ, and all must save together.
        return bool(highest(time.monotonic() - self._saved_at >= 60 * self.every_n_minutes))

    def save(self, trainer: Trainer) -> None:
        """Write `last.ckpt` under a temporary name and, in the background, see it onto the disk and rename it.

        The one before becomes `previous.ckpt`. Whenever the run is killed, `last.ckpt` is whole, `best.ckpt` is not
        older than what it says of the best, and the epochs that it says are kept have their files.

        Raises:
            OSError: it cannot be written, or the one before could not be.
        """
        self._settle()  # the temporary name is free after it
        last = last_checkpoint(trainer)
        temporary = last.with_name(f".{last.name}")
        save_unflushed(trainer, temporary)  # every process has a part in it, and waits until it is written
        self._saved_at = time.monotonic()
        improved, self._improved = self._improved, False
        ended, self._ended = self._ended, None
        if not trainer.is_global_zero:
            return
        names = [best_checkpoint(trainer)] if improved and self.keep != "last" else []
        if ended is not None and ended in self.kept:
            names.append(last.with_name(epoch_checkpoint(ended)))
        self._naming = self.background.do(partial(self._name, temporary, last, names, set(self.kept)))

    def wait(self) -> None:
        """Until what was saved has its name, and would survive a power cut.

        Raises:
            OSError: it could not be written.
        """
        self.background.wait()

    def _settle(self) -> None:
        """Until the checkpoint before has its names; what else is written in the background may go on."""
        if self._naming is not None:
            futures.wait([self._naming])
            self._naming = None
            self.background.check()

    def _name(self, temporary: Path, last: Path, names: list[Path], kept: Collection[int]) -> None:
        """Make a checkpoint that is written the last one, and give it further names."""
        try:
            flush(temporary)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        for name in names:
            _give_name(temporary, name)
        if last.exists():
            _give_name(last, last.with_name(PREVIOUS))
        rename(temporary, last)
        self._remove_others(last.parents[1], kept)
        _flush(last.parent)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From here on others read the files."""
        self.wait()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """A run that is broken off leaves its newest checkpoint; what has ended it has the last word."""
        try:
            self.wait()
        except OSError as error:
            say.warning("warning: the last checkpoint could not be written: %s", error)

    def _remove_others(self, run: Path, kept: Collection[int]) -> None:
        """Remove the files of epochs that are not kept any more."""
        if self.keep in ("top_k", "every_n"):
            for epoch, file in kept_epochs(run).items():
                if epoch not in kept:
                    file.unlink(missing_ok=True)

    def state_dict(self) -> dict[str, Any]:
        """What decides about the best and the kept ones, stored in the checkpoint itself."""
        return {"best_value": self.best_value, "best_epoch": self.best_epoch, "kept": dict(self.kept)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the state of a checkpoint."""
        self.best_value, self.best_epoch = state_dict["best_value"], state_dict["best_epoch"]
        self.kept = dict(state_dict.get("kept", {}))  # older checkpoints do not know it


def last_checkpoint(trainer: Trainer) -> Path:
    """Where the run's last checkpoint is, or will be."""
    return Path(trainer.default_root_dir) / FOLDER / LAST


def best_checkpoint(trainer: Trainer) -> Path:
    """Where the run's best checkpoint is, or will be."""
    return Path(trainer.default_root_dir) / FOLDER / BEST


def _give_name(file: Path, name: Path) -> None:
    """Give the file a second name rather than write a large network twice; the next `last.ckpt` is a new file."""
    temporary = name.with_name(f".{name.name}")
    temporary.unlink(missing_ok=True)
    try:
        os.link(file, temporary)
    except OSError:  # a file system without hard links
        try:
            with file.open("rb") as source, temporary.open("wb") as copy:
                while block := source.read(1 << 22):
                    copy.write(block)
                copy.flush()
                os.fsync(copy.fileno())
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
    rename(temporary, name)


def _flush(folder: Path) -> None:
    """See the names onto the disk, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
