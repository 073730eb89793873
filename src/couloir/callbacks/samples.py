"""What a network makes after each epoch, as pictures or as text: a run is a film."""

from __future__ import annotations

import textwrap
from pathlib import Path

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.strategies import FSDPStrategy

from couloir.artifacts.made_pictures import first_samples, made_picture, makes_pictures
from couloir.artifacts.made_text import Begun, begun, made_text
from couloir.artifacts.sample_grid import as_png
from couloir.data.batches import Batch
from couloir.errors import CouloirError
from couloir.record.film import write_frame, write_text
from couloir.task.generative import Generative
from couloir.task.next_token import NextToken
from couloir.trainer.resumption import within_epoch

TAG = "samples"
"""What the pictures and texts are called in TensorBoard."""


def samples(
    every_n_epochs: int | None = 1, count: int = 64, tokens: int | None = None, seed: int = 0
) -> Samples | None:
    """A `Samples`, or None when `every_n_epochs` is None.

    Args:
        every_n_epochs: epochs between two pictures or texts.
        count: pictures in one of them.
        tokens: of a text; None: 200, or 100 of a network that keeps no state and so is slower.
        seed: of the codes, and of the draws of tokens.
    """
    return None if every_n_epochs is None else Samples(every_n_epochs, count, tokens, seed)


class Samples(Callback):
    """Draws `samples/epoch_0001.png` and so on at the end of a validation, with the weights that are validated; of a
    network that predicts the next token it writes `samples/epoch_0001.txt`.

    Pictures show the same codes every time, or the same validation samples; texts continue the first characters of the
    validation text. A run that was resumed makes the same. Nothing is made of an epoch that is not validated, nor
    within an epoch, nor where a task makes neither images nor text.

    Args:
        every_n_epochs: epochs between two pictures or texts.
        count: pictures in one of them.
        tokens: of a text; None: 200, or 100 of a network that keeps no state and so is slower.
        seed: of the codes, and of the draws of tokens.
    """

    def __init__(self, every_n_epochs: int, count: int, tokens: int | None, seed: int) -> None:
        self.every_n_epochs, self.count, self.tokens, self.seed = every_n_epochs, count, tokens, seed
        self._shown: Batch | None = None
        self._begun: Begun | None = None
        self._chosen = False

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw, in the first process; weights that are cut into shares (fsdp) cannot be asked for one part alone."""
        epoch = trainer.current_epoch + 1
        if trainer.state.fn != "fit" or within_epoch(trainer) or epoch % self.every_n_epochs:
            return
        if isinstance(trainer.strategy, FSDPStrategy) or not trainer.is_global_zero:
            return
        if isinstance(pl_module, NextToken):
            self._write(trainer, pl_module, epoch)
        elif makes_pictures(pl_module):
            assert isinstance(pl_module, Generative)
            self._draw(trainer, pl_module, epoch)

    def _draw(self, trainer: Trainer, task: Generative, epoch: int) -> None:
        if not self._chosen:
            data = trainer.datamodule  # type: ignore[attr-defined]
            self._shown, self._chosen = first_samples(task, data, self.count), True
        picture, _ = made_picture(task, self._shown, self.count, self.seed)
        write_frame(Path(trainer.default_root_dir), epoch, as_png(picture))
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                form = "HWC" if picture.ndim == 3 else "HW"
                logger.experiment.add_image(TAG, picture, trainer.global_step, dataformats=form)

    def _write(self, trainer: Trainer, task: NextToken, epoch: int) -> None:
        if not self._chosen:
            self._begun, self._chosen = begun(task, trainer.datamodule), True  # type: ignore[attr-defined]
        if self._begun is None:
            return
        try:
            written = made_text(task, self._begun, self.tokens, self.seed)
        except CouloirError:
            return  # scores that are not finite: what becomes of the run is said elsewhere
        write_text(Path(trainer.default_root_dir), epoch, written)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                shown = textwrap.indent(
                    written.prompt + written.text, "    ", lambda line: True
                )  # as it is, in Markdown
                logger.experiment.add_text(TAG, shown, trainer.global_step)
