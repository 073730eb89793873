"""What `couloir data` says of series to forecast: their dates, their columns, where the parts of time lie."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import matplotlib
import numpy as np
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from couloir.artifacts.sample_grid import Pixels
from couloir.artifacts.scene import STYLE, Scene
from couloir.data.health import WORDS
from couloir.data.sequence.dated import DatedWindows
from couloir.data.sequence.parts_of_time import SPLITS
from couloir.data.sequence.series_table import SeriesTable
from couloir.data.sequence.spacing import as_texts

PANELS = 8
"""Columns and series that are drawn at most."""
COLOURS = {"train": "#1f6f9f", "val": "#e08a1e", "test": "#c03a2b"}
POINTS = 4000
"""Of a series in a picture: of more, the least and the largest of each stretch."""
MEASURES = ("min", "mean", "std", "max")
_DATES: Any = AutoDateLocator
_CONCISE: Any = ConciseDateFormatter


def table_of(data: Any) -> SeriesTable | None:
    """The series of a data set that has some with a future; None: it has none."""
    split = getattr(data, "splits", {}).get("train")
    return split.source.table if split is not None and isinstance(split.source, DatedWindows) else None


def series(data: Any) -> dict[str, Any] | None:
    """Their facts as plain values; None where there are none."""
    table = table_of(data)
    if table is None:
        return None
    source = data.splits["train"].source
    parts = {}
    for split in SPLITS:
        bounds = [each.bounds(split) for each in table.series]
        steps = np.concatenate([np.arange(first, stop) for first, stop in bounds])
        parts[split] = {"steps": len(steps), **_from_to(table, steps)}
    roles = ["target"] * len(table.targets) + ["input"] * (len(table.channels) - len(table.targets))
    columns = [
        {"name": name, "role": role, "min": float(values.min()), "mean": float(values.mean()),
         "std": float(values.std()), "max": float(values.max())}
        for name, role, values in zip(table.channels, roles, table.values.T, strict=True)
    ]  # fmt: skip
    return {
        "steps": len(table.values), **_from_to(table, np.arange(len(table.values))),
        "series": [each.name for each in table.series] if len(table.series) > 1 else [],
        "spacing": None if table.spacing is None else table.spacing.in_words(),
        "season": data.season, "interpolated": int(table.made.sum()), "length": source.length,
        "horizon": source.horizon, "parts": parts, "columns": columns,
    }  # fmt: skip


def _from_to(table: SeriesTable, steps: Any) -> dict[str, str | None]:
    if table.days is None or not len(steps):
        return {"from": None, "to": None}
    first, last = as_texts(np.array([table.days[steps].min(), table.days[steps].max()]))
    return {"from": first, "to": last}


def picture(table: SeriesTable) -> Pixels:
    """The targets over time, each part in its colour, `PANELS` at most."""
    panels = [(each, place) for each in table.series for place in range(len(table.targets))][:PANELS]
    width, height = 9.6, 1.35
    size = width, height * len(panels) + 0.55
    longest = max(each.stop - each.start for each in table.series)
    across = (0, longest) if table.days is None else (table.days.min(), table.days.max())
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, dpi=100, facecolor="white")
        for number, (each, place) in enumerate(panels):
            bottom = size[1] - (number + 1) * height + 0.1
            axes = figure.add_axes((0.065, bottom / size[1], 0.925, (height - 0.38) / size[1]))
            for split in SPLITS:
                first, stop = each.bounds(split)
                if stop > first:
                    steps = thinned(table.values[first:stop, place]) + first
                    x = steps - each.start if table.days is None else table.days[steps]
                    axes.plot(x, table.values[steps, place], color=COLOURS[split], linewidth=0.8, label=WORDS[split])
            name = ", ".join(filter(None, (each.name, table.targets[place])))
            axes.set_title(name, fontsize=8.5, loc="left", pad=3, parse_math=False)
            axes.set_xlim(*across)
            axes.tick_params(labelsize=7.5)
            axes.locator_params(axis="y", nbins=4)
            if table.days is not None:
                locator = _DATES(minticks=3, maxticks=8)
                axes.xaxis.set_major_locator(locator)
                axes.xaxis.set_major_formatter(_CONCISE(locator))
                axes.xaxis.get_offset_text().set_visible(False)
            if number < len(panels) - 1:
                axes.set_xticklabels([])
        lines, names = figure.axes[0].get_legend_handles_labels()
        figure.legend(lines, names, loc="lower center", ncols=3, frameon=False, fontsize=8.5, borderaxespad=0.1)
        return Scene(figure, [], lambda: None).picture()


def thinned(values: Any) -> Any:
    """The places of values that a line shows: all, or of many the least and the largest of each stretch, in order."""
    if len(values) <= POINTS:
        return np.arange(len(values))
    edges = np.linspace(0, len(values), POINTS // 2 + 1).astype(np.int64)
    places = [
        (start + values[start:end].argmin(), start + values[start:end].argmax()) for start, end in pairwise(edges)
    ]
    return np.unique(places)
