"""`samples/epoch_0001.png` and so on: what a network makes after each epoch. Nothing here imports torch."""

from __future__ import annotations

import re
from pathlib import Path

from couloir.record.files import write_atomically

FOLDER = "samples"
FRAME = re.compile(r"epoch_(\d{4,})\.png")


def write_frame(run: Path, epoch: int, picture: bytes) -> None:
    """Write the picture of an epoch, in place of the one that is there.

    Args:
        run: the run's folder.
        epoch: counted from one.
        picture: a PNG file.

    Raises:
        OSError: it cannot be written.
    """
    folder = run / FOLDER
    folder.mkdir(exist_ok=True)
    write_atomically(folder / f"epoch_{epoch:04d}.png", picture)


def frames(run: Path) -> list[tuple[int, Path]]:
    """The epochs that have a picture, and the pictures, in the order of the epochs; none where there is no film."""
    found = ((FRAME.fullmatch(file.name), file) for file in (run / FOLDER).glob("epoch_*.png"))
    return sorted((int(match[1]), file) for match, file in found if match is not None)
