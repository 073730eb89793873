"""An array in a `.npy` file, which stays on the disk. Nothing here imports torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from couloir.errors import CouloirError


def opened_array(file: Path) -> NDArray[Any]:
    """An array in a `.npy` file, which stays on the disk.

    Raises:
        CouloirError: it cannot be read as one.
    """
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("it is an archive of several")
    except (OSError, ValueError, EOFError) as error:
        reason = " ".join(str(error).split()) if not isinstance(error, OSError) else str(error.strerror)
        if "pickle" in reason or "Python objects" in reason:  # NumPy advises to load what may run code
            reason = "it is no array of numbers"
        raise CouloirError(
            f"{file.name} cannot be read as an array: {reason}",
            place=str(file),
            next_step="save one array of numbers with numpy.save",
        ) from error
    return array
