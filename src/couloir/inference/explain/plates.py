"""Plates of small numbered pictures: maps and filters, each enlarged without smoothing, tiny ones with their numbers.

They are put together by Pillow, pixel by pixel: a figure of 64 axes takes half a second, and a page has many plates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Pixels = NDArray[np.uint8]
"""A picture, (H, W) grey or (H, W, 3) colour."""
Values = NDArray[np.floating]
GAP, LETTERS, LINE = 4, 10, 13
"""Pixels between two pictures, of a label's letters, and of the line that it stands in."""
WIDTH, SIDE, LEAST = 540, 128, 48
"""Pixels of a plate's width, and of a picture's longer side at most and at least."""
CELL, FIGURES = 40, 11
"""Pixels of a square that holds a number, and of its letters."""
WHITE, INK = 255, 20


def shaded(values: Values, signed: bool = False) -> Pixels:
    """Numbers as grey, (..., H, W) -> the same shape: each picture from its smallest number, black, to its largest,
    white; a picture whose numbers are all the same is black, and mid-grey where signs count.

    Args:
        values: the numbers; what is none is black.
        signed: whether zero is mid-grey, and the number farthest from it black or white.
    """
    given = np.nan_to_num(np.asarray(values, dtype=np.float64), posinf=0.0, neginf=0.0)
    if signed:
        reach = np.abs(given).max(axis=(-2, -1), keepdims=True)
        shares = 0.5 + given / np.where(reach > 0, 2 * reach, 1)
    else:
        low, high = given.min(axis=(-2, -1), keepdims=True), given.max(axis=(-2, -1), keepdims=True)
        shares = (given - low) / np.where(high > low, high - low, 1)
    return np.asarray((shares * 255).round(), dtype=np.uint8)


def coloured_filters(weights: Values) -> Pixels:
    """Filters over three channels as colours, (N, 3, H, W) -> (N, H, W, 3): zero is mid-grey, and the weight farthest
    from it, whatever its channel, has the full colour.
    """
    flat = shaded(weights.reshape(len(weights), 3 * weights.shape[2], weights.shape[3]), signed=True)
    return flat.reshape(weights.shape).transpose(0, 2, 3, 1)


def resized(picture: Pixels, side: int) -> Pixels:
    """A picture whose longer side is about so many pixels: enlarged by a whole number, or made smaller by means."""
    height, width = picture.shape[:2]
    longer = max(height, width)
    if longer <= side:
        factor = max(1, side // longer)
        return picture.repeat(factor, axis=0).repeat(factor, axis=1)
    size = max(1, round(width * side / longer)), max(1, round(height * side / longer))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))


def side_for(columns: int) -> int:
    """Pixels of a picture's longer side, where so many stand beside each other."""
    return max(LEAST, min(SIDE, (WIDTH + GAP) // columns - GAP))


def plate(pictures: Sequence[Pixels], labels: Sequence[str], columns: int | None = None, side: int = 0) -> Pixels:
    """Pictures in rows, each above its label, all enlarged alike.

    Args:
        pictures: at least one, all grey or all in colour; a smaller one stands in the upper left of its place.
        labels: of each; where all are empty, nothing stands below.
        columns: pictures in a row; None: as many as make about a square.
        side: of a picture's longer side in pixels; 0: as the width of a plate allows.
    """
    columns = columns or math.ceil(math.sqrt(len(pictures)))
    shown = [resized(picture, side or side_for(columns)) for picture in _of_one_size(pictures)]
    height, width = shown[0].shape[:2]
    below = LINE if any(labels) else 0
    rows = -(-len(shown) // columns)
    columns = min(columns, len(shown))
    size = rows * (height + below + GAP) - GAP, columns * (width + GAP) - GAP
    sheet = np.full((*size, *shown[0].shape[2:]), WHITE, np.uint8)
    places = [(at // columns * (height + below + GAP), at % columns * (width + GAP)) for at in range(len(shown))]
    for (top, left), picture in zip(places, shown, strict=True):
        sheet[top : top + height, left : left + width] = picture
    if not below:
        return sheet
    image = Image.fromarray(sheet)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(LETTERS)
    ink = INK if sheet.ndim == 2 else (INK, INK, INK)
    for (top, left), label in zip(places, labels, strict=True):
        draw.text((left + 1, top + height), label, fill=ink, font=font)
    return np.asarray(image)


def _of_one_size(pictures: Sequence[Pixels]) -> list[Pixels]:
    """Pictures with white below and on the right, up to the most rows and columns that one of them has."""
    height, width = (max(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    colours = [(0, 0)] * (pictures[0].ndim - 2)
    return [
        np.pad(each, [(0, height - each.shape[0]), (0, width - each.shape[1]), *colours], constant_values=WHITE)
        for each in pictures
    ]


def cell_for(values: Values) -> int:
    """Pixels of a square that has room for each of some numbers."""
    font = ImageFont.load_default(FIGURES)
    return max(CELL, 8 + max(math.ceil(font.getlength(f"{value:.3g}")) for value in values.ravel()))


def numbered(values: Values, signed: bool = False, cell: int = 0) -> Pixels:
    """A small map (H, W) with the number of each place written into its square, of so many pixels; 0: as they need."""
    cell = cell or cell_for(values)
    font = ImageFont.load_default(FIGURES)
    image = Image.fromarray(shaded(values, signed).repeat(cell, axis=0).repeat(cell, axis=1))
    draw = ImageDraw.Draw(image)
    for top, row in enumerate(values):
        for left, value in enumerate(row):
            middle = (left + 0.5) * cell, (top + 0.5) * cell
            dark = image.getpixel((left * cell, top * cell))
            draw.text(
                middle,
                f"{value:.3g}",
                fill=WHITE if isinstance(dark, int) and dark < 128 else 0,
                font=font,
                anchor="mm",
            )
            draw.rectangle((left * cell, top * cell, (left + 1) * cell - 1, (top + 1) * cell - 1), outline=128)
    return np.asarray(image)


def boxed(picture: Pixels, box: tuple[int, int, int, int], colour: tuple[int, int, int]) -> Pixels:
    """A picture in colour with the outline of a box: its first and last row, its first and last column, all of them
    within it; what lies outside of the picture is cut off.
    """
    height, width = picture.shape[:2]
    shown = np.array(picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2))
    top, bottom, left, right = box
    rows = slice(max(0, top), min(height, bottom + 1)), slice(max(0, left), min(width, right + 1))
    for row in (top, bottom):
        if 0 <= row < height:
            shown[row, rows[1]] = colour
    for column in (left, right):
        if 0 <= column < width:
            shown[rows[0], column] = colour
    return shown
