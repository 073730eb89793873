"""A film of what a network learns: the fitted curve, the regions of classes, feature maps and filters by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import TensorBoardLogger

from couloir.log import note, say
from couloir.record.film import frames, read_values, write_film, write_frame, write_values
from couloir.task.task import Task
from couloir.trainer.resumption import within_epoch

if TYPE_CHECKING:
    from couloir.artifacts.sample_grid import Pixels
    from couloir.artifacts.shots import Shot

STEP = "step"
"""The steps of training before the picture, among its numbers."""
NOTHING = (
    "callbacks.film=true: there is nothing to film here. It films a fitted curve (one input, one value), the regions "
    "of classes (two inputs), and filters and feature maps of networks that see images."
)


def filming(draw: bool = False, every_n_epochs: int = 1) -> Filming | None:
    """A `Filming`, or None where nothing is to be filmed.

    Args:
        draw: whether there is a film.
        every_n_epochs: epochs between two pictures.
    """
    return Filming(every_n_epochs) if draw else None


class Filming(Callback):
    """Measures what the pictures show before the first step and at the end of validations, with the weights that are
    validated, and draws them when training ends: `fit/epoch_0001.png`, `fit/film.png`, `fit/film.gif` and so on.

    The numbers lie in the run's folder, so that the film of a run that was resumed is that of one that was not.

    Args:
        every_n_epochs: epochs between two pictures; 0 is before the first step.
    """

    def __init__(self, every_n_epochs: int) -> None:
        self.every_n_epochs = every_n_epochs
        self._shots: list[Shot] | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure the network as it is before it learns; a resumed run has done so."""
        if trainer.is_global_zero and trainer.global_step == 0:
            self._take(trainer, pl_module, epoch=0)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure after an epoch, in the first process; a mean of weights is in place."""
        epoch = trainer.current_epoch + 1
        if trainer.state.fn != "fit" or within_epoch(trainer) or epoch % self.every_n_epochs:
            return
        if trainer.is_global_zero:
            self._take(trainer, pl_module, epoch)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw, in the first process; what cannot be drawn is noted, and is no reason to end a run.

        Raises:
            OSError: a picture cannot be written.
        """
        if not trainer.is_global_zero:
            return
        from couloir.artifacts.labelled_tiles import quick_png
        from couloir.artifacts.value_tiles import gif_of, of_one_size, strip_of

        run = Path(trainer.default_root_dir)
        for shot in self._chosen(trainer, pl_module):
            measured = read_values(run, shot.kind)
            if not measured:
                continue
            steps = [int(numbers.pop(STEP)) for _, numbers in measured]
            titles = [f"epoch {epoch}" if epoch else "before training" for epoch, _ in measured]
            try:
                drawn = shot.draw([(title, numbers) for title, (_, numbers) in zip(titles, measured, strict=True)])
                pages = of_one_size(drawn)
                strip, moving = quick_png(strip_of(pages)), gif_of(pages)
            except Exception as error:  # noqa: BLE001  fonts, a matplotlibrc, whatever a picture stumbles over
                reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
                note.info("the film in %s/ cannot be drawn: %s", shot.kind, reason)
                continue
            had = {epoch for epoch, _ in frames(run, shot.kind)}
            for (epoch, _), page in zip(measured, pages, strict=True):
                write_frame(run, epoch, quick_png(page), shot.kind)
            write_film(run, shot.kind, strip, moving)
            new = [place for place, (epoch, _) in enumerate(measured) if epoch not in had]
            _show_on_board(trainer, shot.kind, [(steps[place], pages[place]) for place in new])

    def _take(self, trainer: Trainer, module: LightningModule, epoch: int) -> None:
        assert isinstance(module, Task)
        for shot in self._chosen(trainer, module):
            numbers = {**shot.measure(module), STEP: np.array(trainer.global_step)}
            write_values(Path(trainer.default_root_dir), epoch, shot.kind, numbers)

    def _chosen(self, trainer: Trainer, module: LightningModule) -> list[Shot]:
        if self._shots is None:
            from couloir.artifacts.shots import shots_of  # Matplotlib, which no step waits for

            assert isinstance(module, Task)
            self._shots = shots_of(module, trainer.datamodule)  # type: ignore[attr-defined]
            if not self._shots:
                say.info("%s", NOTHING)
        return self._shots


def _show_on_board(trainer: Trainer, kind: str, pages: Sequence[tuple[int, Pixels]]) -> None:
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            for step, page in pages:
                logger.experiment.add_image(kind, page, step, dataformats="HWC")
