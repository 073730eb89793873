"""The record of a run as it goes on: a row of `metrics.csv` an epoch, `curves.png`, and the place in `status.json`.

Epochs are counted from one, as people count them: row 1 is the state after the first pass over the training split. A
validation within an epoch has a row of its own, whose epoch is a fraction, and so has an epoch that the run's end cuts
short. A row has what was measured for it and nothing else.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from couloir.artifacts.curves import draw_curves
from couloir.callbacks.gradients import PREFIX
from couloir.config.metrics import ordered
from couloir.data.batches import samples_in
from couloir.log import note
from couloir.logger.event_sizes import cut_back, event_sizes
from couloir.record.folder import RunFolder
from couloir.record.metrics import LAYERS, TIMES, Row, best_row, write_metrics
from couloir.trainer.learning import learning_of
from couloir.trainer.resumption import epoch_reached, seconds_waited, within_epoch

RATE = "lr"
"""The column of the rate that the schedule gives; `lr/NAME` is that of a part of the network, the factor in it."""
CURVES_SHARE = 0.02
"""The share of a run's time that redrawing the curves may take."""
FIRST_DRAWING = 0.06
"""Seconds that the first drawing is taken for."""


class Record(Callback):
    """Writes down every epoch.

    Args:
        folder: the run's folder.
        monitor: the column that decides about the best epoch.
        mode: `min` or `max`.
        svg: whether `curves.svg` is drawn beside `curves.png`.
        chosen: the node `metric` of the run's configuration.
    """

    def __init__(
        self, folder: RunFolder, monitor: str, mode: str, svg: bool = False, chosen: Mapping[str, Any] | None = None
    ) -> None:
        self.folder, self.chosen = folder, chosen
        self.monitor, self.mode = monitor, mode
        self.svg = svg
        self.parts: tuple[str, ...] = ()
        """The losses that the task's is made of."""
        self.rows: list[Row] = []
        self.samples_per_second: list[float] = []
        self.earlier_seconds = 0.0
        """How long the run went on before it was taken up, as far as that is kept."""
        self._started = time.perf_counter()
        self._drawing, self._last_drawing, self._drawn = 0.0, FIRST_DRAWING, 0
        self._undrawn: str | None = None
        self._lr, self._samples, self._epoch_started = 0.0, 0, self._started
        self._rates: Row = {}
        """The rate of each part of the network, where there are several, and how many layers, where some join later."""
        self._waited = 0.0
        """Seconds that this epoch waited for batches before it was taken up."""
        self._waiting = 0.0
        self._validating = self._validation_started = 0.0
        """Seconds that validations within this epoch took, and when the newest began."""
        self._trained = False

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """The record so far belongs to the state: what a killed run wrote after it will be written again."""
        now = time.perf_counter()
        checkpoint["record"] = {
            "rows": [dict(row) for row in self.rows],
            "samples_per_second": list(self.samples_per_second),
            "seconds": self.earlier_seconds + now - self._started,
            "epoch": {
                "lr": self._lr,
                "rates": dict(self._rates),
                "samples": self._samples,
                "seconds": now - self._epoch_started,
                "waited": self._waited + seconds_waited(trainer),
                "validating": self._validating,
            },
            "events": event_sizes(trainer.loggers) if trainer.is_global_zero else {},
        }

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Go on with the record of a checkpoint, and cut the files back to it; a test has no record of its own."""
        if trainer.state.fn != "fit" or "record" not in checkpoint:
            return
        saved = checkpoint["record"]
        self.rows = [dict(row) for row in saved["rows"]]
        self.samples_per_second = list(saved["samples_per_second"])
        self.earlier_seconds = saved["seconds"]
        self._lr, self._samples = saved["epoch"]["lr"], saved["epoch"]["samples"]
        self._rates = dict(saved["epoch"].get("rates", {}))
        self._waited = saved["epoch"].get("waited", 0.0)  # earlier checkpoints do not know it
        self._validating = saved["epoch"].get("validating", 0.0)
        self._epoch_started = time.perf_counter() - saved["epoch"]["seconds"]
        if trainer.is_global_zero:
            write_metrics(self.folder, self.rows)
            cut_back(self.folder.path, saved["events"])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Where an epoch that the run's end had cut short goes on: of its row, a validation alone remains."""
        if not self.rows or "seconds" not in self.rows[-1] or float(self.rows[-1]["epoch"]).is_integer():
            return
        row = self.rows.pop()
        self.samples_per_second.pop()
        row = {name: value for name, value in row.items() if not name.startswith("train/") and name not in TIMES}
        if any(name.startswith("val/") for name in row):
            self.rows.append(row)
        if trainer.is_global_zero:
            write_metrics(self.folder, self.rows)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the epoch's clock, and note the rate that its first step takes."""
        self.parts = tuple(getattr(pl_module, "parts", ()))
        self._lr = float(trainer.optimizers[0].param_groups[0]["lr"])
        learning = learning_of(pl_module)
        rates = {} if learning is None else learning.rates(trainer.optimizers, trainer.current_epoch)
        self._rates = {f"{RATE}/{name}": rate for name, rate in rates.items()}
        if learning is not None and (layers := learning.layers(trainer.current_epoch)) is not None:
            self._rates[LAYERS] = layers
        self._samples, self._waited, self._validating = 0, 0.0, 0.0
        self._epoch_started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count samples, and stop the clock before validation begins."""
        if not self._trained and trainer.is_global_zero:
            self.folder.trained()
        self._trained = True
        self._samples += samples_in(batch, trainer.world_size)
        if trainer.is_last_batch:
            self._stop_clock(trainer, pl_module)

    def _stop_clock(self, trainer: Trainer, module: LightningModule) -> None:
        """Note how fast the epoch's training was, validations left out."""
        if module.device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - self._epoch_started - self._validating
        self.samples_per_second.append(self._samples / seconds)
        self._waiting = min(1.0, (self._waited + seconds_waited(trainer)) / seconds)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the time of a validation within the epoch out of that of its training."""
        self._validation_started = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write down a validation within an epoch; that of a whole one belongs to the epoch's row."""
        if trainer.state.fn != "fit" or not within_epoch(trainer):
            return
        self._validating += time.perf_counter() - self._validation_started
        if trainer.is_global_zero:
            self.rows.append(self._row(trainer, pl_module, ("val",)))
            write_metrics(self.folder, self.rows)

    def _row(self, trainer: Trainer, module: LightningModule, splits: tuple[str, ...]) -> Row:
        """What has been measured on some splits until now."""
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        measured = getattr(module, "measured", {})
        metrics |= measured  # the same in float64; Lightning logs in float32
        there = ordered(sorted(name.partition("/")[2] for name in metrics if name.startswith(("train/", "val/"))))
        names = [f"{split}/{name}" for name in there for split in splits]
        names += sorted(name for name in measured if name.startswith(PREFIX))
        row: Row = {"epoch": epoch_reached(trainer), "step": trainer.global_step, RATE: self._lr, **self._rates}
        return row | {name: metrics[name] for name in names if name in metrics}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the epoch's row, the place in the status, and from time to time the curves."""
        if within_epoch(trainer):
            self._stop_clock(trainer, pl_module)
        if not trainer.is_global_zero:
            return
        row = self._row(trainer, pl_module, ("train", "val"))
        row["waiting"] = self._waiting
        row["seconds"] = time.perf_counter() - self._epoch_started
        if self.rows and self.rows[-1]["epoch"] == row["epoch"]:  # the validation of an epoch that is cut short
            self.rows.pop()
        self.rows.append(row)
        self.folder.background.do(partial(self._write, list(self.rows), trainer.global_step))
        if self._drawing + self._last_drawing < CURVES_SHARE * (time.perf_counter() - self._started):
            self.draw()

    def _write(self, rows: list[Row], step: int) -> None:
        write_metrics(self.folder, rows)
        self.folder.write_status("running", epoch=rows[-1]["epoch"], step=step)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Draw what there is of a run that is stopped, pruned or has diverged; what has ended it has the last word."""
        if trainer.is_global_zero:
            with suppress(OSError):
                self.draw()

    def draw(self) -> None:
        """Redraw `curves.png`, where an epoch has come since; why it cannot be drawn is said once."""
        if self._drawn == len(self.rows):
            return
        began, self._drawn = time.perf_counter(), len(self.rows)
        best = self.best
        best_epoch = best["epoch"] if best else None
        file = self.folder.path / "curves.png"
        undrawn = draw_curves(
            self.rows, file, best_epoch=best_epoch, svg=self.svg, chosen=self.chosen, parts=self.parts
        )
        if undrawn is not None and undrawn != self._undrawn:
            note.info("%s", undrawn)
        self._undrawn = undrawn
        self._last_drawing = time.perf_counter() - began
        self._drawing += self._last_drawing

    @property
    def best(self) -> Row | None:
        """The row of the best epoch."""
        return best_row(self.rows, self.monitor, self.mode)

    @property
    def throughput(self) -> float | None:
        """Samples per second: the median over the epochs after the first, or the first where it is the only one."""
        later = self.samples_per_second[1:] or self.samples_per_second
        return statistics.median(later) if later else None
