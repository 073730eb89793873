"""Pages of a film: blocks of small pictures below each other, and films made of pages."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from couloir.artifacts.canvas import letters
from couloir.artifacts.labelled_tiles import BLACK, GREY, LINE, MARGIN, SIZE, WHITE
from couloir.artifacts.sample_grid import Pixels, enlarged

COLUMNS = 8
"""Tiles in a row of a page."""
SPACE = 4
"""Pixels between two tiles."""
NEGATIVE, POSITIVE = np.array([33, 102, 172], np.float32), np.array([178, 24, 43], np.float32)
"""The colours of the least and the greatest value; 0 is white."""
STRIP, IN_A_ROW = 6, 3
"""Pages of a strip at most, and in a row of it."""
PAGES, COLOURS, GREYS, SIGNED = 60, 80, 16, 32
"""Pages of a GIF at most, its colours that follow from the pages, its greys from black to white, and those of `signed`:
of what is rare in the pages as well, so that the deepest red is no black.
"""
WHOLE, SLOWEST, FASTEST, LAST = 6000, 500, 60, 1500
"""Milliseconds: of a GIF at about, of a page at most and at least, and of the last one."""


@dataclass(frozen=True)
class Block:
    """Small pictures of one size with some words above them.

    Attributes:
        told: the words.
        tiles: uint8 (N, h, w, 3).
        least: pixels of a shown tile's longer side at least.
        numbered: whether each has its number below it.
    """

    told: str
    tiles: NDArray[np.uint8]
    least: int
    numbered: bool = False


def signed(values: NDArray[np.float32], edge: float) -> NDArray[np.uint8]:
    """Values (..., h, w) as colours (..., h, w, 3): blue below 0, red above, deepest at `edge` and beyond."""
    share = np.clip(np.nan_to_num(values) / edge, -1, 1)[..., None]
    deep = np.where(share < 0, NEGATIVE, POSITIVE)
    return np.asarray((255 + np.abs(share) * (deep - 255)).round(), np.uint8)


def page_of(title: str, blocks: Sequence[Block], note: str = "") -> Pixels:
    """Blocks below each other as one picture, (H, W, 3).

    Args:
        title: what stands above all.
        blocks: from above to below.
        note: what stands below the title.
    """
    head, font = letters(SIZE + 2, bold=True), letters(SIZE)
    shown = [_enlarged(block) for block in blocks]
    wide = [min(len(tiles), COLUMNS) * (tiles.shape[2] + SPACE) - SPACE for tiles in shown]
    words = [head.getlength(title), font.getlength(note), *(font.getlength(block.told) for block in blocks)]
    down = [_step(block, tiles) * -(-len(tiles) // COLUMNS) for block, tiles in zip(blocks, shown, strict=True)]
    width = round(max([*wide, *words])) + 2 * MARGIN
    height = 2 * MARGIN + 2 * LINE + 6 + sum(LINE + 8 + room for room in down)
    page = Image.new("RGB", (width, height), WHITE)
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, MARGIN), title, BLACK, head)
    draw.text((MARGIN, MARGIN + LINE + 4), note, GREY, font)
    top = MARGIN + 2 * LINE + 12
    for block, tiles, room in zip(blocks, shown, down, strict=True):
        draw.text((MARGIN, top), block.told, BLACK, font)
        for place, tile in enumerate(tiles):
            left = MARGIN + place % COLUMNS * (tile.shape[1] + SPACE)
            above = top + LINE + 2 + place // COLUMNS * _step(block, tiles)
            page.paste(Image.fromarray(tile), (left, above))
            if block.numbered:
                middle = left + tile.shape[1] / 2
                draw.text((middle, above + tile.shape[0] + 1), str(place + 1), GREY, font, anchor="ma")
        top += LINE + 8 + room
    return np.asarray(page)


def _enlarged(block: Block) -> NDArray[np.uint8]:
    factor = enlarged(block.tiles.shape[1], block.tiles.shape[2], block.least)
    return block.tiles.repeat(factor, axis=1).repeat(factor, axis=2)


def _step(block: Block, tiles: NDArray[np.uint8]) -> int:
    """Pixels from one row of a block to the next."""
    return int(tiles.shape[1]) + SPACE + (LINE if block.numbered else 0)


def of_one_size(pages: Sequence[Pixels]) -> list[Pixels]:
    """Pages as high and wide as the largest one, white beside and below."""
    height, width = (max(page.shape[axis] for page in pages) for axis in (0, 1))
    full = []
    for page in pages:
        whole = np.full((height, width, 3), 255, np.uint8)
        whole[: page.shape[0], : page.shape[1]] = page
        full.append(whole)
    return full


def spread(count: int, most: int) -> list[int]:
    """Some of so many places, the first and the last among them."""
    return sorted({round(place * (count - 1) / max(1, most - 1)) for place in range(most)}) if count else []


def strip_of(pages: Sequence[Pixels]) -> Pixels:
    """Some of the pages of one size beside each other, row by row, the first and the last among them."""
    chosen = [pages[place] for place in spread(len(pages), min(STRIP, len(pages)))]
    columns = min(IN_A_ROW, len(chosen))
    height, width = chosen[0].shape[:2]
    whole = np.full((-(-len(chosen) // columns) * height, columns * width, 3), 255, np.uint8)
    for place, page in enumerate(chosen):
        row, column = divmod(place, columns)
        whole[row * height : (row + 1) * height, column * width : (column + 1) * width] = page
    return whole


def gif_of(pages: Sequence[Pixels]) -> bytes:
    """Pages of one size one after the other, again and again, as a GIF file; of many, some from all over."""
    chosen = [Image.fromarray(pages[place]) for place in spread(len(pages), min(PAGES, len(pages)))]
    found = Image.fromarray(strip_of([np.asarray(page) for page in chosen])).quantize(COLOURS)
    greys = np.repeat(np.linspace(0, 255, GREYS).round().astype(int), 3)
    ramp = signed(np.linspace(-1, 1, SIGNED, dtype=np.float32), 1.0)
    all_colours = Image.new("P", (1, 1))
    all_colours.putpalette([*greys.tolist(), *ramp.ravel().tolist(), *(found.getpalette() or [])[: 3 * COLOURS]])
    flat = [page.quantize(palette=all_colours, dither=Image.Dither.NONE) for page in chosen]
    each = min(SLOWEST, max(FASTEST, WHOLE // len(flat)))
    stream = io.BytesIO()
    options: dict[str, Any] = {"duration": [*[each] * (len(flat) - 1), LAST], "loop": 0, "optimize": True}
    flat[0].save(stream, "GIF", save_all=True, append_images=flat[1:], **options)
    return stream.getvalue()
