"""How a run shows itself while it goes on: a bar on a terminal, a line an epoch elsewhere."""

from __future__ import annotations

import time
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from rich import get_console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from couloir.config.metrics import BUILT_IN, facts, leading, ordered
from couloir.data.batches import samples_in
from couloir.log import note, on_a_terminal, say
from couloir.task.task import step_loss
from couloir.trainer.resumption import epoch_reached, within_epoch

CHOSEN = 4
"""Metrics of the user's choice in the line of an epoch, beside the one that decides about the best epoch."""


class Progress(Callback):
    """A progress bar with loss, metric, samples/s and the time left; off a terminal, one line an epoch.

    The loss is read from the device only when the bar is drawn, so that no step waits for it.

    Args:
        refresh: seconds between two drawings of the bar.
    """

    def __init__(self, refresh: float = 0.25) -> None:
        self.refresh = refresh
        self._bar: Bar | None = None
        self._drawn = 0.0
        self._validated = ""
        """What the newest validation has measured, for the bar."""
        self._epoch_started = 0.0
        self._samples = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar where somebody watches."""
        self._epoch_started = time.perf_counter()  # an epoch that is taken up does not start
        if not on_a_terminal() or not trainer.is_global_zero:
            return
        steps = int(trainer.num_training_batches) * (trainer.max_epochs or 1)
        if trainer.max_steps > 0:
            steps = min(steps, trainer.max_steps * trainer.accumulate_grad_batches)
        self._bar = Bar(
            TextColumn("epoch {task.fields[epoch]}"), BarColumn(bar_width=16),
            TextColumn("{task.fields[numbers]}"), TimeRemainingColumn(compact=True),
            console=get_console(), transient=True, auto_refresh=False,
        )  # fmt: skip
        self._task = self._bar.add_task("train", total=steps, epoch=1, numbers="")
        self._bar.start()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the epoch's clock."""
        self._epoch_started = time.perf_counter()
        self._samples = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Draw, when it is time to."""
        if self._bar is None:
            return
        self._samples += samples_in(batch, trainer.world_size)
        now = time.perf_counter()
        if now - self._drawn < self.refresh:
            return
        self._drawn = now
        rate = self._samples / max(now - self._epoch_started, 1e-9)
        numbers = f"loss {float(step_loss(pl_module, outputs)):.4f}{self._validated}"
        done = trainer.current_epoch * int(trainer.num_training_batches) + batch_idx + 1
        self._bar.update(
            self._task, completed=done, epoch=trainer.current_epoch + 1, numbers=f"{numbers}  {rate:,.0f} samples/s"
        )
        self._bar.refresh()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep what the bar shows until the next validation; one within an epoch has a line."""
        if trainer.state.fn != "fit":
            return
        values = [f"  {name} {float(trainer.callback_metrics[name]):.4f}" for name in _shown(trainer)]
        epoch = epoch_reached(trainer)
        self._validated = f"{''.join(values)} (epoch {epoch:g})" if values else ""
        if within_epoch(trainer) and not trainer.fit_loop.epoch_loop.ends_run:
            self._line(trainer, ("val",))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """One line for the epoch: into the file always, onto the console where there is no bar."""
        self._line(trainer, ("train", "val"))

    def _line(self, trainer: Trainer, splits: tuple[str, ...]) -> None:
        line = epoch_line(trainer, time.perf_counter() - self._epoch_started, splits)
        (say if self._bar is None else note).info(line)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the bar away."""
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Take the bar away, so that the message stands on a clean line."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _shown(trainer: Trainer) -> list[str]:
    """What the bar shows beside the loss: the metric that leads, and the one that decides about the best epoch."""
    first = leading(trainer.callback_metrics)
    monitored = [getattr(callback, "monitor", None) for callback in trainer.checkpoint_callbacks]
    names = dict.fromkeys([f"val/{first}", *monitored])
    return [name for name in names if name in trainer.callback_metrics and name != "val/loss"]


def shown_number(value: float) -> str:
    """Four decimals, or four digits where that would be a long row of them."""
    return f"{value:.4f}" if abs(value) < 10_000 else f"{value:.4g}"


def epoch_line(trainer: Trainer, seconds: float, splits: tuple[str, ...] = ("train", "val")) -> str:
    """`epoch 3/20  train/loss 0.1234  val/loss 0.1500  val/accuracy 0.9500  1.2 s`, of what the epoch has measured."""
    metrics = trainer.callback_metrics
    there = ordered(name.partition("/")[2] for name in metrics if name.startswith(("train/", "val/")))
    # Of metrics that the user has chosen, a few, and of validation alone: the line is long enough.
    chosen = [name for name in there if name not in BUILT_IN]
    deciding = [getattr(callback, "monitor", None) for callback in trainer.checkpoint_callbacks]
    left_out = [name for name in chosen[CHOSEN:] if f"val/{name}" not in deciding]
    names = [f"{split}/{name}" for name in there for split in splits if name in BUILT_IN or split == "val"]
    names = [name for name in names if name.partition("/")[2] not in left_out]
    shown = [f"{name} {shown_number(float(metrics[name]))}" for name in names if name in metrics and facts(name).brief]
    return f"epoch {epoch_reached(trainer):g}/{trainer.max_epochs}  " + "  ".join(shown) + f"  {seconds:.1f} s"
