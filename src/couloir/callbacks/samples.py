"""What a network makes after each epoch, as pictures: a run is a film."""

from __future__ import annotations

from pathlib import Path

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.strategies import FSDPStrategy

from couloir.artifacts.made_pictures import first_samples, made_picture, makes_pictures
from couloir.artifacts.sample_grid import as_png
from couloir.data.batches import Batch
from couloir.record.film import write_frame
from couloir.task.generative import Generative
from couloir.trainer.resumption import within_epoch

TAG = "samples"
"""What the pictures are called in TensorBoard."""


def samples(every_n_epochs: int | None = 1, count: int = 64, seed: int = 0) -> Samples | None:
    """A `Samples`, or None when `every_n_epochs` is None.

    Args:
        every_n_epochs: epochs between two pictures.
        count: pictures in one of them.
        seed: of the codes.
    """
    return None if every_n_epochs is None else Samples(every_n_epochs, count, seed)


class Samples(Callback):
    """Draws `samples/epoch_0001.png` and so on at the end of a validation, with the weights that are validated.

    They show the same codes every time, or the same validation samples; a run that was resumed draws the same. Nothing
    is drawn of an epoch that is not validated, nor within an epoch, nor where a task makes no images.

    Args:
        every_n_epochs: epochs between two pictures.
        count: pictures in one of them.
        seed: of the codes.
    """

    def __init__(self, every_n_epochs: int, count: int, seed: int) -> None:
        self.every_n_epochs, self.count, self.seed = every_n_epochs, count, seed
        self._shown: Batch | None = None
        self._chosen = False

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw, in the first process; weights that are cut into shares (fsdp) cannot be asked for one part alone."""
        epoch = trainer.current_epoch + 1
        if trainer.state.fn != "fit" or within_epoch(trainer) or epoch % self.every_n_epochs:
            return
        if not makes_pictures(pl_module) or isinstance(trainer.strategy, FSDPStrategy):
            return
        assert isinstance(pl_module, Generative)
        if not trainer.is_global_zero:
            return
        if not self._chosen:
            data = trainer.datamodule  # type: ignore[attr-defined]
            self._shown, self._chosen = first_samples(pl_module, data, self.count), True
        picture, _ = made_picture(pl_module, self._shown, self.count, self.seed)
        write_frame(Path(trainer.default_root_dir), epoch, as_png(picture))
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                form = "HWC" if picture.ndim == 3 else "HW"
                logger.experiment.add_image(TAG, picture, trainer.global_step, dataformats=form)
