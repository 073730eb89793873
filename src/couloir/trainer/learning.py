"""Keeping the parts of a network that `finetune` fixes as they are, epoch by epoch."""

from __future__ import annotations

from pytorch_lightning import Callback, LightningModule, Trainer

from couloir.finetune.parts import Learning
from couloir.task.task import Task


class FixedParts(Callback):
    """Has each epoch train the parts that it is to train; before anything else sees the epoch begin.

    What is fixed follows from the epoch alone, so this callback has no state, and a run that is resumed within an
    epoch begins it here again.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The epoch that a run begins with, or goes on with."""
        self._begin(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Each further epoch."""
        self._begin(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Whoever has looked at the network may have put all of it back into training."""
        if trainer.state.fn == "fit":
            self._begin(trainer, pl_module)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Whoever uses the network now has all of it."""
        self._end(pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Lightning tears nothing down then."""
        self._end(pl_module)

    def _end(self, module: LightningModule) -> None:
        if (learning := learning_of(module)) is not None:
            assert isinstance(module, Task)
            learning.end(module.net)

    def _begin(self, trainer: Trainer, module: LightningModule) -> None:
        learning = learning_of(module)
        if learning is not None:
            assert isinstance(module, Task)
            learning.begin(module.net, trainer.current_epoch, trainer.optimizers)


def learning_of(module: LightningModule) -> Learning | None:
    """What of a module's network learns; None: all of it."""
    return module.learning if isinstance(module, Task) else None
