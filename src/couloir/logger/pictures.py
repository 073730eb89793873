"""The pictures of a completed run that TensorBoard shows: its confusion matrix, and what it got most wrong."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

NUMBERED, NAMED = 12, 40
"""Classes up to which a confusion matrix has its counts written in, and the classes' names beside it."""
SHOWN, COLUMNS = 32, 8
"""Mistakes in the gallery at most, and in a row."""
LINE = 1.32
"""Height of a row with its text, where a tile and its margin are 1 wide."""


def confusion_figure(run: Path) -> Figure | None:
    """The confusion matrix of `confusion.csv`, each row's shares as shades; None where there is none."""
    file = run / "confusion.csv"
    if not file.is_file():
        return None
    with file.open(newline="", encoding="utf-8") as stream:
        header, *rows = csv.reader(stream)
    classes = header[1:]
    counts = np.array([[float(cell) for cell in row[1:]] for row in rows]).reshape(len(classes), len(classes))
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
    files = [run / name for name in ("pictures.json", "mistakes.csv", "mistakes.png")]
    if not all(file.is_file() for file in files):
        return None
    entry = json.loads(files[0].read_text(encoding="utf-8")).get("mistakes")
    with files[1].open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))[:SHOWN]
    if not entry or not rows:
        return None
    (width, height), columns = entry["tile"], entry["columns"]
    lines, columns_shown = -(-len(rows) // COLUMNS), min(COLUMNS, len(rows))
    figure = Figure(figsize=(1.25 * columns_shown, 1.25 * LINE * lines), dpi=110)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, columns_shown), ylim=(LINE * lines, 0))
    axes.set_axis_off()
    breadth, depth = (0.94 * side / max(width, height) for side in (width, height))
    with Image.open(files[2]) as grid:
        for number, row in enumerate(rows):
            left, top = number % columns * width, number // columns * height
            tile = np.asarray(grid.crop((left, top, left + width, top + height)).convert("RGB"))
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


def as_png(figure: Figure) -> tuple[bytes, tuple[int, int]]:
    """A figure's PNG, and its width and height in pixels."""
    canvas = FigureCanvasAgg(figure)
    stream = io.BytesIO()
    with matplotlib.rc_context({"text.usetex": False}):
        figure.savefig(stream, format="png")
    return stream.getvalue(), canvas.get_width_height()


def _short(name: str) -> str:
    return name if len(name) <= 16 else f"{name[:15]}…"
