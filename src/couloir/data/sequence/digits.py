"""scikit-learn's handwritten digits as sequences: read row by row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from couloir.data.classes import check_choice
from couloir.data.digits import CLASSES, arrays
from couloir.errors import CouloirError

SIDE = 8
"""Rows of a digit, and values of a row."""

if TYPE_CHECKING:
    from couloir.data.sequence.sequences import Sequences
    from couloir.data.source import Loaded


def digits_rows(length: int, image_size: None, **keys: Any) -> Sequences:
    """A digit as 8 steps of 8 numbers; `keys` are those of `couloir.data.sequence.sequences.Sequences`."""
    from couloir.data.sequence.sequences import Sequences

    return Sequences(_rows, **keys)


def _rows() -> Loaded:
    from couloir.data.sequence.stretches import Stretch, Stretches
    from couloir.data.source import Loaded

    images, labels = arrays()
    rows = images[:, 0].reshape(-1, images.shape[-1]).astype(np.float32) / 255
    starts = np.arange(len(images)) * images.shape[-2]
    return Loaded(Stretches({"series": Stretch(rows, starts, images.shape[-2])}, labels), classes=CLASSES)


def inspect(target: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Check which classes take part, and that a digit has the steps that it has.

    Raises:
        CouloirError: as `couloir.data.classes.check_choice`; another number of steps is stated.
    """
    check_choice(keys, CLASSES)
    if keys.get("length", SIDE) != SIDE:
        raise CouloirError(
            f"A digit has {SIDE} rows, not {keys['length']}.", place="data.length", next_step="leave data.length out"
        )
    return {}
