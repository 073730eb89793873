"""The pictures of a completed run that TensorBoard shows: its confusions, what it got most wrong, what it makes."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from couloir.record.tested import read_confusion, read_grid, read_mistakes

NUMBERED, NAMED = 12, 40
"""Classes up to which a confusion matrix has its counts written in, and the classes' names beside it."""
SHOWN, COLUMNS = 32, 8
"""Mistakes in the gallery at most, and in a row."""
LINE = 1.32
"""Height of a row with its text, where a tile and its margin are 1 wide."""


def confusion_figure(run: Path) -> Figure | None:
    """The confusion matrix of `confusion.csv`, each row's shares as shades; None where there is none."""
    confusion = read_confusion(run)
    if confusion is None:
        return None
    classes, counts = confusion.classes, np.array(confusion.counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(8.0, max(3.6, 0.32 * len(classes) + 1.4))
    figure = Figure(figsize=(side + 0.6, side), dpi=110, layout="constrained")
    axes = figure.subplots()
    shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(shown, ax=axes, shrink=0.8, label="share of the true class")
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if len(classes) <= NAMED:
        axes.set_xticks(range(len(classes)), classes, rotation=90 if max(map(len, classes)) > 2 else 0, fontsize=8)
        axes.set_yticks(range(len(classes)), classes, fontsize=8)
    if len(classes) <= NUMBERED:
        for (true, predicted), count in np.ndenumerate(counts):
            colour = "white" if shares[true, predicted] > 0.5 else "black"
            if count:
                axes.text(predicted, true, f"{count:.0f}", ha="center", va="center", fontsize=8, color=colour)
    return figure


def mistakes_figure(run: Path) -> Figure | None:
    """The first tiles of `mistakes.png`, each with its label and what it was taken for; None where there are none."""
    picture, grid, rows = run / "mistakes.png", read_grid(run, "mistakes"), read_mistakes(run)[:SHOWN]
    if grid is None or not rows or not picture.is_file():
        return None
    width, height = grid.tile
    lines, columns_shown = -(-len(rows) // COLUMNS), min(COLUMNS, len(rows))
    figure = Figure(figsize=(1.25 * columns_shown, 1.25 * LINE * lines), dpi=110)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, columns_shown), ylim=(LINE * lines, 0))
    axes.set_axis_off()
    breadth, depth = (0.94 * side / max(width, height) for side in (width, height))
    with Image.open(picture) as tiles:
        for number, row in enumerate(rows):
            tile = np.asarray(tiles.crop(grid.box(number)).convert("RGB"))
            middle, above = number % COLUMNS + 0.5, number // COLUMNS * LINE + 0.03
            # One panel for all: each of its own would take longer to draw than the whole picture.
            axes.imshow(tile, extent=(middle - breadth / 2, middle + breadth / 2, above + depth, above), aspect="auto")
            axes.text(
                middle, above + depth + 0.03,
                f"{_short(row['label'])}, taken for\n{_short(row['prediction'])} ({float(row['confidence']):.0%})",
                ha="center", va="top", fontsize=7,
            )  # fmt: skip
    axes.set(xlim=(0, columns_shown), ylim=(LINE * lines, 0))  # which each image has changed
    return figure


def drawn_picture(name: str) -> Callable[[Path], tuple[bytes, tuple[int, int]] | None]:
    """What finds the picture `NAME.png` of a run, with its width and height in pixels; None where there is none."""

    def found(run: Path) -> tuple[bytes, tuple[int, int]] | None:
        file = run / f"{name}.png"
        if read_grid(run, name) is None or not file.is_file():
            return None
        content = file.read_bytes()
        with Image.open(io.BytesIO(content)) as opened:
            return content, opened.size

    return found


def as_png(figure: Figure) -> tuple[bytes, tuple[int, int]]:
    """A figure's PNG, and its width and height in pixels."""
    canvas = FigureCanvasAgg(figure)
    stream = io.BytesIO()
    with matplotlib.rc_context({"text.usetex": False}):
        figure.savefig(stream, format="png")
    return stream.getvalue(), canvas.get_width_height()


def _short(name: str) -> str:
    return name if len(name) <= 16 else f"{name[:15]}…"
