"""`curves.png`: training and validation loss, and the task's first metric, over the epochs."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from couloir.run.folder import write_atomically

Row = dict[str, float]

COLOURS = {"train": "#1f6fb4", "val": "#d1571b"}
NAMES = {"train": "training", "val": "validation"}
METRIC_NAMES = {"accuracy": "accuracy", "r2": "R²"}


def read_rows(metrics_file: Path) -> list[Row]:
    """The rows of a `metrics.csv` as numbers; empty cells are left out."""
    with metrics_file.open(newline="", encoding="utf-8") as stream:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(stream)]


def draw_curves(rows: list[Row], file: Path, best_epoch: int | None = None, title: str = "") -> None:
    """Draw the curves of a run into a PNG.

    Args:
        rows: one dictionary an epoch, as `metrics.csv` has it; NaN and missing values leave gaps.
        file: where the picture goes; it is written under a temporary name and renamed.
        best_epoch: the epoch to mark, if any.
        title: what stands above the picture.
    """
    metric = next((name for name in METRIC_NAMES if any(f"val/{name}" in row for row in rows)), None)
    columns = 1 if metric is None else 2
    figure = Figure(figsize=(5.4 * columns, 4.0), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, columns, squeeze=False)[0]
    _draw(axes[0], rows, "loss", best_epoch)
    values = [row[f"{split}/loss"] for row in rows for split in NAMES if row.get(f"{split}/loss", 0.0) > 0]
    everywhere_positive = all(row.get(f"{split}/loss", 1.0) > 0 for row in rows for split in NAMES)
    if values and everywhere_positive and max(values) / min(values) > 30:
        axes[0].set_yscale("log")
    if metric is not None:
        _draw(axes[1], rows, metric, best_epoch)
    if title:
        figure.suptitle(title, fontsize=10)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    write_atomically(file, picture.getvalue())


def _draw(axes: Axes, rows: list[Row], metric: str, best_epoch: int | None) -> None:
    for split, name in NAMES.items():
        points = [(row["epoch"], row[f"{split}/{metric}"]) for row in rows if f"{split}/{metric}" in row]
        if points:
            epochs, values = zip(*points, strict=True)
            marker = "o" if len(points) < 25 else None
            axes.plot(epochs, values, color=COLOURS[split], label=name, marker=marker, markersize=3, linewidth=1.6)
    if best_epoch is not None:
        axes.axvline(best_epoch, color="#777777", linestyle=":", linewidth=1.2, label=f"best epoch ({best_epoch})")
    axes.set_xlabel("epoch")
    axes.set_ylabel(METRIC_NAMES.get(metric, metric))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
