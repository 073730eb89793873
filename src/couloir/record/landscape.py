"""What is kept of a training's way through its weights: `path/epoch_0001.npy` and so on, `loss_surface.npz`, and
`bowl.npz`. Nothing here imports torch, and NumPy only who reads or writes numbers.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from couloir.record.files import rename, write_atomically

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FOLDER = "path"
POINT = re.compile(r"epoch_(\d{4,})\.npy")
SURFACE, BOWL = "loss_surface", "bowl"
"""The names of the pictures and of the numbers behind them, without an ending."""


def write_point(run: Path, epoch: int, weights: NDArray[np.float32]) -> None:
    """Write the weights at the end of an epoch, in place of those that are there.

    Args:
        run: the run's folder.
        epoch: counted from one; 0: before the first step.
        weights: all weights in one row, (P,).

    Raises:
        OSError: they cannot be written.
    """
    import numpy as np

    folder = run / FOLDER
    folder.mkdir(exist_ok=True)
    temporary = folder / f".epoch_{epoch:04d}.npy"
    np.save(temporary, weights)
    # Not flushed to the disk: that would take longer than the epochs of a small network. Who reads leaves out what a
    # power failure has torn.
    rename(temporary, folder / temporary.name.removeprefix("."))


def read_path(run: Path, size: int) -> tuple[list[int], NDArray[np.float32]]:
    """The epochs whose weights are kept, and the weights, (E, P), in the order of the epochs.

    Args:
        run: the run's folder.
        size: the number of weights P; what has another is left out.
    """
    import numpy as np

    found = sorted((int(match[1]), file) for file in (run / FOLDER).glob("epoch_*.npy")
                   if (match := POINT.fullmatch(file.name)) is not None)  # fmt: skip
    epochs, points = [], []
    for epoch, file in found:
        try:
            weights = np.load(file, allow_pickle=False)
        except (OSError, ValueError):
            continue
        if weights.shape == (size,):
            epochs.append(epoch)
            points.append(weights)
    return epochs, np.stack(points) if points else np.empty((0, size), np.float32)


def write_numbers(run: Path, name: str, numbers: Mapping[str, Any]) -> None:
    """Write the arrays behind a picture as `NAME.npz`.

    Raises:
        OSError: they cannot be written.
    """
    import numpy as np

    with io.BytesIO() as stream:
        np.savez_compressed(stream, **numbers)
        write_atomically(run / f"{name}.npz", stream.getvalue())
