"""Ctrl-C and SIGTERM: the step ends, a checkpoint is saved, the run says so and leaves with the signal's code."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from couloir.callbacks.checkpoint import Checkpoint
from couloir.errors import Interrupted
from couloir.log import say
from couloir.trainer.agreement import highest


class StopOnSignal(Callback):
    """Ends the run after the step in which a signal came; a second signal ends it at once."""

    def __init__(self) -> None:
        self.received: int | None = None
        self.checkpoint: Checkpoint | None = None
        """Saves the state before the run stops; set once the callbacks are built."""

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM for the length of a run; in another thread than the main one, leave them alone."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = {number: signal.signal(number, self._receive) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if self.received is not None:
            raise Interrupted(number)
        self.received = number
        say.info("stopping after this step (again to stop at once)")

    def _stop(self, trainer: Trainer) -> None:
        self.received = highest(self.received or 0) or None  # all processes stop, after the same step
        if self.received is None:
            return
        if self.checkpoint is not None and trainer.global_step > 0 and not trainer.testing:
            self.checkpoint.save_last(trainer)
        raise Interrupted(self.received)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop between two training steps."""
        self._stop(trainer)

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
        self._stop(trainer)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Stop between two test batches."""
        self._stop(trainer)
