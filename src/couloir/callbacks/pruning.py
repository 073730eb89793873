"""What a trial of a sweep tells about itself after each epoch, and how it ends where the others were better."""

from __future__ import annotations

from collections.abc import Callable

from pytorch_lightning import Callback, Trainer

from couloir.errors import Pruned
from couloir.trainer.resumption import within_epoch


class Pruning(Callback):
    """Reports a metric after every epoch, and ends the run where the answer is that it should.

    The epoch is wholly over then: its row is written, its checkpoint saved. After the last one there is nothing to end.

    Args:
        monitor: the metric, such as `val/accuracy`.
        report: takes the epoch, counted from one, and the value; whether the run should end.
    """

    def __init__(self, monitor: str, report: Callable[[int, float], bool]) -> None:
        self.monitor, self.report = monitor, report

    def between_steps(self, trainer: Trainer, epoch_over: bool) -> None:
        """Report, and end.

        Raises:
            Pruned: others were better at this epoch.
        """
        if not epoch_over or within_epoch(trainer) or self.monitor not in trainer.callback_metrics:
            return
        epoch = trainer.current_epoch
        ends = self.report(epoch, float(trainer.callback_metrics[self.monitor]))
        if ends and epoch < (trainer.max_epochs or 0):
            raise Pruned(epoch)
