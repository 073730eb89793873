"""Pictures that a network has made, in rows: as a grid, or one kind below the other, so that they can be compared.

Small pictures are enlarged, each pixel a square, so that a grid of 8 x 8 digits can be looked at as it is.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

Pixels = NDArray[np.uint8]
"""A picture, (H, W) grey or (H, W, 3) colour."""
GAP, BLOCK_GAP = 2, 12
"""Pixels between two pictures, and between two groups of rows."""
SMALL = 48
"""Pixels of a picture's longer side below which it is enlarged, by a whole number."""
WHITE = 255


def columns_for(count: int) -> int:
    """How many pictures a row has, so that so many of them make about a square."""
    return max(1, math.ceil(math.sqrt(count)))


def enlarged(height: int, width: int, least: int = SMALL) -> int:
    """How many pixels of the grid a pixel of such a picture has, so that its longer side has `least` or more."""
    return max(1, math.ceil(least / max(height, width)))


def tiles(pictures: Tensor, least: int = SMALL) -> Pixels:
    """Pictures as they stand in a grid, each by itself.

    Args:
        pictures: (N, C, H, W) in [0, 1]; one channel is grey, three are colour, of others the first is shown. What is
            no number is black.
        least: pixels of the longer side at least; 1: pictures stay at their own size.

    Returns:
        (N, h, w) or (N, h, w, 3), where h and w are whole multiples of H and W.
    """
    values = pictures.detach().float().nan_to_num(0.0).clamp(0, 1).mul(255).round().byte().cpu().numpy()
    values = values.transpose(0, 2, 3, 1) if values.shape[1] == 3 else values[:, 0]
    factor = enlarged(values.shape[1], values.shape[2], least)
    shown: Pixels = values.repeat(factor, axis=1).repeat(factor, axis=2)
    return shown


def grid(pictures: Tensor, columns: int | None = None, gap: int = GAP, least: int = SMALL) -> Pixels:
    """Pictures row by row, with a narrow white gap between two of them.

    Args:
        pictures: as `tiles` takes them, at least one.
        columns: pictures in a row; None: as many as make about a square.
        gap: pixels of the gap.
        least: of each picture, as `tiles` has it.
    """
    shown = tiles(pictures, least)
    columns = columns or columns_for(len(shown))
    count, height, width = shown.shape[:3]
    rows = -(-count // columns)
    size = rows * (height + gap) - gap, columns * (width + gap) - gap
    sheet = np.full((*size, *shown.shape[3:]), WHITE, np.uint8)
    for place, picture in enumerate(shown):
        top, left = place // columns * (height + gap), place % columns * (width + gap)
        sheet[top : top + height, left : left + width] = picture
    return sheet


def below(kinds: Sequence[Tensor], columns: int | None = None, least: int = SMALL) -> Pixels:
    """Several pictures of the same samples one below the other: a row of the first kind, below it the second, ...

    Args:
        kinds: for each kind the pictures of all samples, (N, C, H, W) in [0, 1], N the same.
        columns: samples in a row; None: as many as make about a square. Between two groups of rows is a wider gap.
        least: of each picture, as `tiles` has it.
    """
    count = len(kinds[0])
    columns = min(count, columns or columns_for(count * len(kinds)))
    parts: list[Pixels] = []
    for start in range(0, count, columns):
        for kind in kinds:
            row = grid(kind[start : start + columns], columns, least=least)
            parts += [row, np.full((GAP, *row.shape[1:]), WHITE, np.uint8)]
        parts[-1] = np.full((BLOCK_GAP, *row.shape[1:]), WHITE, np.uint8)
    return np.concatenate(parts[:-1])


def as_png(picture: Pixels) -> bytes:
    """A picture as a PNG file; the same picture gives the same bytes."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="PNG", optimize=True)
    return stream.getvalue()
