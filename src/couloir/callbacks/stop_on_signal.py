"""Ctrl-C and SIGTERM: the step ends, a checkpoint is saved, the run says so and leaves with the signal's code."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from couloir.callbacks.checkpoint import Checkpoint
from couloir.distributed import highest
from couloir.errors import Interrupted
from couloir.log import say
from couloir.machine import WARNINGS, taken


class StopOnSignal(Callback):
    """Ends the run after the step in which a signal came; a second signal ends it at once.

    While nothing is trained or measured (the data is loaded, the network is built) there is no step to end, and a
    signal ends the run at once.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.checkpoint: Checkpoint | None = None
        """Saves the state before the run stops; set once the callbacks are built."""
        self._at_work = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals for the length of a run; in another thread than the main one, leave them alone."""
        numbers = [signal.SIGINT, signal.SIGTERM]
        numbers += [number for number in WARNINGS if signal.getsignal(number) is signal.SIG_DFL]
        with taken(numbers, self._receive):
            yield

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if number in WARNINGS:
            number = signal.SIGTERM
        again = self.received is not None
        self.received = number
        if again or not self._at_work:
            raise Interrupted(number)
        say.info("stopping after this step (again to stop at once)")

    def stop_if_asked(self) -> None:
        """End work that is no training, between two of its parts.

        Raises:
            Interrupted: a signal has come.
        """
        if self.received is not None:
            raise Interrupted(self.received)

    def _stop(self, trainer: Trainer, saved: bool) -> None:
        agreed = highest(self.received or 0)  # all processes stop, after the same step
        if not agreed:
            return  # `received` is left alone: a signal may have come while the processes spoke
        self.received = agreed
        if self.checkpoint is not None:
            if not saved:
                self.checkpoint.save(trainer)
            self.checkpoint.wait()
        raise Interrupted(self.received)

    def between_steps(self, trainer: Trainer, epoch_over: bool) -> None:
        """Stop between two training steps; after an epoch the state has just been saved."""
        self._stop(trainer, saved=epoch_over)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From here on there are steps to wait for."""
        self._at_work = True

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From here on there are batches to wait for."""
        self._at_work = True

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Stop between two validation batches."""
        self._stop(trainer, saved=False)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Stop between two test batches; nothing has been learned since the last checkpoint."""
        self._stop(trainer, saved=True)
