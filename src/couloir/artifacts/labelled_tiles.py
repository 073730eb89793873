"""Small pictures in rows with words below each: enlarged, each pixel a square, so that they can be looked at.

They are drawn by Pillow in some milliseconds, where Matplotlib takes seconds for hundreds of words.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from couloir.artifacts.canvas import fitted, letters
from couloir.artifacts.sample_grid import enlarged
from couloir.record.tested import Grid

Colour = tuple[int, int, int]
WHITE, BLACK, GREY, RED = (255, 255, 255), (0, 0, 0), (110, 110, 110), (176, 0, 32)
MARGIN, GAP = 8, 8
"""Pixels around all, and between two tiles."""
LINE, HEAD = 14, 24
"""Pixels of a line of words, and of the heading."""
SIZE = 11
"""Of the letters, in pixels."""
QUICK = 3
"""How hard zlib tries, of 9: more takes longer than it saves."""


class Word(NamedTuple):
    """A line below a tile."""

    text: str
    colour: Colour = BLACK


def labelled_tiles(
    tiles: NDArray[np.uint8], words: Sequence[Sequence[Word]], columns: int, least: int, heading: str, layer: str = ""
) -> tuple[bytes, Grid]:
    """Tiles in rows, each with its lines of words, as a PNG file, and where each tile stands in it.

    Args:
        tiles: (N, h, w) grey or (N, h, w, 3) colour, at least one.
        words: the lines below each tile; all have the same number of lines.
        columns: tiles in a row.
        least: pixels of a shown tile's longer side at least; a tile is enlarged by a whole number.
        heading: what stands above all.
        layer: of filters, the layer's name.
    """
    grid = tile_grid(tiles, len(words[0]), columns, least, layer)
    shown = tiles.repeat(grid.scale, axis=1).repeat(grid.scale, axis=2)
    pitch = grid.pitch or grid.tile
    title = letters(SIZE + 1, bold=True)
    size = (
        max(2 * MARGIN + grid.columns * pitch[0] - GAP, round(title.getlength(heading)) + 2 * MARGIN),
        MARGIN + HEAD + -(-grid.count // grid.columns) * pitch[1],
    )
    page = Image.new("RGB", size, WHITE)
    draw, font = ImageDraw.Draw(page), letters(SIZE)
    draw.text((MARGIN, MARGIN), heading, BLACK, title)
    for place, (picture, lines) in enumerate(zip(shown, words, strict=True)):
        left, top, right, bottom = grid.box(place)
        page.paste(Image.fromarray(picture), (left, top))
        draw.rectangle((left - 1, top - 1, right, bottom), outline=GREY)
        for number, word in enumerate(lines):
            at = (left + right) / 2, bottom + 2 + LINE * number
            draw.text(at, fitted(word.text, font, pitch[0] - 2), word.colour, font, anchor="ma")
    return quick_png(np.asarray(page)), grid


def tile_grid(tiles: NDArray[np.uint8], lines: int, columns: int, least: int, layer: str = "") -> Grid:
    """Where tiles stand in the picture of `labelled_tiles`.

    Args:
        tiles: as there.
        lines: of words below each tile.
        columns: tiles in a row.
        least: pixels of a shown tile's longer side at least.
        layer: of filters, the layer's name.
    """
    count, height, width = tiles.shape[:3]
    factor = enlarged(height, width, least)
    tile = (width * factor, height * factor)
    cell = max(tile[0], least)
    pitch = (cell + GAP, tile[1] + LINE * lines + GAP + 2)
    first = (MARGIN + (cell - tile[0]) // 2, MARGIN + HEAD)
    return Grid(min(columns, count), tile, count, layer, first=first, pitch=pitch, scale=factor)


def quick_png(pixels: NDArray[np.uint8]) -> bytes:
    """A picture (H, W, 3) as a PNG file: a little larger than that of `sample_grid.as_png`, and ten times as fast."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG", compress_level=QUICK)
    return stream.getvalue()


def shown_channels(images: Any) -> NDArray[np.uint8]:
    """Images (N, C, h, w) as tiles: what is no colour is shown by its first channel."""
    array: NDArray[np.uint8] = np.asarray(images)
    return array.transpose(0, 2, 3, 1) if array.shape[1] == 3 else array[:, 0]
