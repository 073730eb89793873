"""Ends of a run before its last epoch: early stopping, and a metric that is good enough. Both are off by default."""

from __future__ import annotations

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import EarlyStopping

from couloir.log import say
from couloir.trainer.resumption import epoch_reached, within_epoch


def early_stopping(
    monitor: str = "val/loss", mode: str = "min", patience: int | None = None, min_delta: float = 0.0
) -> EarlyStopping | None:
    """Lightning's EarlyStopping, or None when `patience` is None; it counts validations, not epochs.

    Args:
        monitor: the metric that must go on improving.
        mode: `min` or `max`.
        patience: validations (of a training metric, epochs) without improvement before the run ends.
        min_delta: what counts as an improvement, in the metric's unit.
    """
    if patience is None:
        return None
    return EarlyStopping(
        monitor=monitor, mode=mode, patience=patience, min_delta=min_delta, check_finite=False, verbose=False,
        check_on_train_epoch_end=monitor.startswith("train/"),
    )  # fmt: skip


def stop_at(threshold: float | None = None, monitor: str = "train/loss", mode: str = "min") -> StopAt | None:
    """A `StopAt`, or None when `threshold` is None.

    Args:
        threshold: the value that is good enough, in the metric's unit.
        monitor: the metric.
        mode: `min`: at most the threshold; `max`: at least.
    """
    return None if threshold is None else StopAt(threshold, monitor, mode)


class StopAt(Callback):
    """Ends the run after the first epoch whose metric is good enough, as in comparisons of epochs until then.

    The threshold of Lightning's EarlyStopping comes with a patience, and two of them that watch one metric are refused.

    Args:
        threshold: the value that is good enough.
        monitor: the metric.
        mode: `min`: at most the threshold; `max`: at least.
    """

    def __init__(self, threshold: float, monitor: str, mode: str) -> None:
        self.threshold, self.monitor, self.mode = threshold, monitor, mode

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the epoch's metric; an epoch that does not have it (no validation) decides nothing."""
        self._look(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at a validation within the epoch as well."""
        if trainer.state.fn == "fit" and within_epoch(trainer):
            self._look(trainer, pl_module)

    def _look(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Lightning's copy is in float32, in which 0.9 is less than 0.9.
        metrics = {**trainer.callback_metrics, **getattr(pl_module, "measured", {})}
        if self.monitor not in metrics or trainer.should_stop:
            return
        value = float(metrics[self.monitor])
        if value >= self.threshold if self.mode == "max" else value <= self.threshold:
            trainer.should_stop = True
            say.info("%s is %.4f after epoch %g: stopping", self.monitor, value, epoch_reached(trainer))
