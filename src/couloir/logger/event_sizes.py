"""TensorBoard's event files, cut back to what they held when a checkpoint was saved."""

from __future__ import annotations

from pathlib import Path

from pytorch_lightning.loggers import Logger, TensorBoardLogger

FOLDER = "tensorboard"


def event_sizes(loggers: list[Logger]) -> dict[str, int]:
    """The size of each event file in bytes, all that was logged so far being in them."""
    sizes: dict[str, int] = {}
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.flush()
            sizes |= {file.name: file.stat().st_size for file in _files(Path(logger.log_dir))}
    return sizes


def cut_back(run: Path, sizes: dict[str, int]) -> None:
    """Take from a run's event files whatever came later, so that nothing stands there twice when it comes again."""
    for file in _files(run / FOLDER):
        size = sizes.get(file.name, 0)
        if size == 0:
            file.unlink()
        elif file.stat().st_size > size:
            with file.open("r+b") as stream:
                stream.truncate(size)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("events.out.tfevents.*"))
