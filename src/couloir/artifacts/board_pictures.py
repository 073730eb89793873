"""The pictures of a completed run that TensorBoard shows: its confusions, what it got most wrong, what it makes."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from couloir.artifacts.canvas import DPI, POINT, Canvas, legible, width_of
from couloir.record.tested import read_confusion, read_grid

NUMBERED, NAMED = 12, 40
"""Classes up to which a confusion matrix has its counts written in, and the classes' names beside it."""
ROWS, WIDEST = 4, 1200
"""Rows of the most wrong samples, and pixels of their picture's width, at most."""
FRAME = 2
"""Pixels above a tile that belong to it."""
LETTERS, SMALL = 6.5, 5.5
"""Points of the letters of a confusion matrix, and of its classes' names."""
LONGEST = 16
"""Letters of a class's name at most."""
SHADES = ((247, 251, 255), (198, 219, 239), (107, 174, 214), (33, 113, 181), (8, 48, 107))
"""From no share of a class to all of it, evenly spaced; after ColorBrewer's Blues."""
Picture = tuple[bytes, tuple[int, int]]
"""A PNG, and its width and height in pixels."""


def confusion_picture(run: Path) -> Picture | None:
    """The confusion matrix of `confusion.csv`, each row's shares as shades; None where there is none."""
    confusion = read_confusion(run)
    if confusion is None:
        return None
    drawing = confusion_drawing(confusion.classes, np.array(confusion.counts))
    return drawing.png(), (drawing.width, drawing.height)


def confusion_drawing(classes: list[str], counts: np.ndarray) -> Canvas:
    """A confusion matrix with a scale of its shades.

    Args:
        classes: their names.
        counts: a row for each true class, a column for each predicted one, (C, C).
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [_short(name) for name in legible(classes)] if len(classes) <= NAMED else []
    side = min(4.6, max(2.0, 0.2 * len(classes))) * DPI
    cell = side / len(classes)
    room = max((width_of(name, SMALL) for name in names), default=0.0)
    left, top = room + 22 * POINT, 6 * POINT
    upward = max(map(len, names), default=0) > 2
    below = (room if upward else LETTERS * POINT) + 26 * POINT
    canvas = Canvas(left + side + 48 * POINT, top + side + below)
    for (true, predicted), share in np.ndenumerate(shares):
        x, y = left + predicted * cell, top + true * cell
        canvas.box((x, y, x + cell, y + cell), fill=shade(float(share)))
        if len(classes) <= NUMBERED and counts[true, predicted]:
            colour = "#ffffff" if share > 0.5 else "#000000"
            canvas.write((x + cell / 2, y + cell / 2), f"{counts[true, predicted]:.0f}", LETTERS, colour)
    canvas.box((left, top, left + side, top + side), outline="#000000")
    for place, name in enumerate(names):
        middle = (place + 0.5) * cell
        canvas.write((left - 3 * POINT, top + middle), name, SMALL, anchor="end")
        at = left + middle, top + side + (3 if upward else 8) * POINT
        canvas.write(at, name, SMALL, anchor="end" if upward else "middle", upward=upward)
    canvas.write((left + side / 2, canvas.height - 8 * POINT), "predicted", LETTERS)
    canvas.write((8 * POINT, top + side / 2), "true", LETTERS, upward=True)
    _draw_scale(canvas, left + side + 10 * POINT, top, side)
    return canvas


def _draw_scale(canvas: Canvas, left: float, top: float, side: float) -> None:
    """What the shades mean, beside the matrix."""
    parts, width = 64, 8 * POINT
    for part in range(parts):
        upper = top + side * part / parts
        canvas.box((left, upper, left + width, upper + side / parts), fill=shade(1 - (part + 0.5) / parts))
    canvas.box((left, top, left + width, top + side), outline="#000000", width=0.5)
    for share in (0.0, 0.5, 1.0):
        canvas.write((left + width + 2 * POINT, top + side * (1 - share)), f"{share:g}", SMALL, anchor="start")
    canvas.write((left + width + 20 * POINT, top + side / 2), "share of the true class", SMALL, upward=True)


def shade(share: float) -> str:
    """The colour of a share between 0 and 1, as `#rrggbb`."""
    place = min(max(share, 0.0), 1.0) * (len(SHADES) - 1)
    below = min(int(place), len(SHADES) - 2)
    mixed = (round(a + (b - a) * (place - below)) for a, b in zip(SHADES[below], SHADES[below + 1], strict=True))
    return "#{:02x}{:02x}{:02x}".format(*mixed)


def mistakes_picture(run: Path) -> Picture | None:
    """The first rows of `mistakes.png`, the most wrong samples with their words; None where there are none."""
    picture, grid = run / "mistakes.png", read_grid(run, "mistakes")
    if grid is None or not picture.is_file():
        return None
    rows = min(ROWS, -(-grid.count // grid.columns))
    with Image.open(picture) as opened:
        end = grid.box(rows * grid.columns)[1] - FRAME  # where the next row would begin, had it one
        shown = opened.convert("RGB").crop((0, 0, opened.width, min(opened.height, end)))
    shown.thumbnail((WIDEST, shown.height))
    stream = io.BytesIO()
    shown.save(stream, format="PNG")
    return stream.getvalue(), shown.size


def drawn_picture(name: str) -> Callable[[Path], Picture | None]:
    """What finds the picture `NAME.png` of a run, with its width and height in pixels; None where there is none."""

    def found(run: Path) -> Picture | None:
        file = run / f"{name}.png"
        if read_grid(run, name) is None or not file.is_file():
            return None
        content = file.read_bytes()
        with Image.open(io.BytesIO(content)) as opened:
            return content, opened.size

    return found


def _short(name: str) -> str:
    """A name without its middle where it is long: names that begin alike often differ at their ends."""
    half = (LONGEST - 1) // 2
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1 - half]}…{name[-half:]}"
