"""What a completed run adds to TensorBoard: its row of the HParams tab with numbers, and its pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from tensorboard.compat.proto.event_pb2 import Event

from couloir.artifacts.board_pictures import Picture, confusion_picture, drawn_picture, mistakes_picture
from couloir.log import note
from couloir.logger.event_sizes import FOLDER
from couloir.logger.events import image, scalar, session_end, session_start, write_events
from couloir.logger.hyperparameters import comparable
from couloir.logger.tensorboard import trial_name
from couloir.record.find import TRIAL_FILE

COMPARED = ("best/", "test/", "tta/")
"""The numbers that runs are compared by: of the best epoch, and of the test split."""
PICTURES: dict[str, Callable[[Path], Picture | None]] = {
    "test/confusion": confusion_picture, "test/most wrong": mistakes_picture, "test/worst maps": drawn_picture("maps"),
    "test/samples": drawn_picture("samples"), "test/nearest training images": drawn_picture("neighbours"),
}  # fmt: skip
"""What draws each picture, or finds it drawn: its PNG, and its width and height."""


def conclude_on_board(run: Path, cfg: DictConfig, numbers: dict[str, float], step: int) -> None:
    """Write a completed run's numbers and pictures for TensorBoard, where it has logged for it.

    The trials of a sweep, which may take less time than such a picture, have numbers alone: their reports show both.

    Args:
        run: its folder, everything else in it written.
        cfg: its configuration.
        numbers: those of `result.json`.
        step: the step at which it ended.

    Raises:
        OSError: they cannot be written.
    """
    folder = run / FOLDER
    if not folder.is_dir():
        return
    hyperparameters = comparable(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]
    write_events(
        folder,
        "result",
        [
            session_start(trial_name(run), hyperparameters),
            *(scalar(name, value, step) for name, value in numbers.items() if name.startswith(COMPARED)),
            *([] if (run / TRIAL_FILE).is_file() else _pictures(run, step)),
            session_end(),
        ],
        instead_of=("begun",),
    )


def _pictures(run: Path, step: int) -> list[Event]:
    """What there is to see; a picture that cannot be drawn is noted, and no reason to fail."""
    events = []
    for name, draw in PICTURES.items():
        try:
            found = draw(run)
            if found is not None:
                events.append(image(name, *found, step=step))
        except Exception as error:  # noqa: BLE001  fonts, a matplotlibrc, a file that is not what it was
            reason = " ".join(str(error).split())
            note.info("%s cannot be drawn for TensorBoard: %s: %s", name, type(error).__name__, reason)
    return events
