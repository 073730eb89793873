"""`forecasts.png`, `worst_forecasts.png` and `forecast_steps.png`: forecasts over what came, with what was before, and
their errors at each step to come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from numpy.typing import NDArray

from couloir.artifacts.sample_grid import Pixels
from couloir.artifacts.scene import STYLE, Scene
from couloir.data.sequence.spacing import Days
from couloir.record.forecast import KINDS, MODEL, NAIVE, SEASONAL, ByStep

DPI = 100
PANEL = (4.6, 2.1)
"""Inches of the panel of a window."""
MARGINS = (0.62, 0.12, 0.5, 0.42)
"""Inches around a panel: left, right, above, below."""
KNOWN, TRUTH = "#8aa1b8", "#22303c"
COLOURS = {MODEL: "#c03a2b", NAIVE: "#9a9a9a", SEASONAL: "#0072b2"}
BEFORE = 3
"""Steps before are shown for each step to come at most, and `LEAST` at least."""
LEAST = 24
MEASURES = {"mse": "mean squared error (standardised)", "mase": "MASE (1: the naive error in training)"}

_DATES: Any = AutoDateLocator
_CONCISE: Any = ConciseDateFormatter


@dataclass(frozen=True)
class Window:
    """A window of one series, in the data's units.

    Attributes:
        title: of its panel.
        days: the dates of all its T + H steps, days since 1970; None: their numbers are shown, 0 for the last known.
        known: what was before, (T,).
        truth: what came, (H,); None: nobody knows.
        forecasts: of each of `KINDS` that there is, (H,).
    """

    title: str
    days: Days | None
    known: NDArray[np.float64]
    truth: NDArray[np.float64] | None
    forecasts: Mapping[str, NDArray[np.float64]]


def windows_picture(windows: Sequence[Window], columns: int) -> Pixels:
    """A panel for each window, so many in a row."""
    columns = min(columns, len(windows))
    rows = -(-len(windows) // columns)
    left, right, above, below = MARGINS
    breadth, height = left + PANEL[0] + right, above + PANEL[1] + below
    foot = 0.3
    size = columns * breadth, rows * height + foot
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, dpi=DPI, facecolor="white")
        named: dict[str, Any] = {}
        for place, window in enumerate(windows):
            row, column = divmod(place, columns)
            corner = column * breadth + left, size[1] - (row + 1) * height + below
            axes = figure.add_axes((corner[0] / size[0], corner[1] / size[1], PANEL[0] / size[0], PANEL[1] / size[1]))
            _draw(axes, window)
            for line, name in zip(*axes.get_legend_handles_labels(), strict=True):
                named.setdefault(name, line)
        figure.legend(
            named.values(), named.keys(), loc="lower center", ncols=len(named), frameon=False, fontsize=8.5,
            borderaxespad=0.2,
        )  # fmt: skip
        return Scene(figure, [], lambda: None).picture()


def _draw(axes: Any, window: Window) -> None:
    horizon = len(next(iter(window.forecasts.values())))
    before = min(len(window.known), max(BEFORE * horizon, LEAST))
    steps: NDArray[np.float64]
    if window.days is None:
        steps = np.arange(1 - before, horizon + 1, dtype=np.float64)
    else:
        steps = window.days[len(window.known) - before :]
    known, last = window.known[-before:], window.known[-1:]
    coming = steps[before - 1 :]
    single = horizon == 1
    axes.axvline(steps[before - 1], color="#cccccc", linewidth=0.8)
    axes.plot(steps[:before], known, color=KNOWN, linewidth=1.2, label="known")
    if window.truth is not None:
        axes.plot(coming, np.r_[last, window.truth], color=TRUTH, linewidth=1.3, label="truth")
    for kind in (NAIVE, SEASONAL, MODEL):
        if kind not in window.forecasts:
            continue
        own = kind == MODEL
        axes.plot(
            coming, np.r_[last, window.forecasts[kind]], color=COLOURS[kind], linewidth=1.6 if own else 1.0,
            linestyle="-" if own else "--", marker="o" if single else None, markersize=4, label=KINDS[kind],
            zorder=3 if own else 1.5,
        )  # fmt: skip
    axes.set_title(window.title, fontsize=8.5, loc="left", parse_math=False)
    axes.set_xlim(steps[0], steps[-1])
    axes.tick_params(labelsize=7.5)
    axes.locator_params(axis="y", nbins=5)
    if window.days is not None:
        locator = _DATES(minticks=3, maxticks=6)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(_CONCISE(locator))
        axes.xaxis.get_offset_text().set_size(7.5)


def steps_picture(errors: ByStep) -> Pixels:
    """The errors at each step to come, of the network and the naive forecasts."""
    shown = [name for name in MEASURES if any(value == value for value in errors.get(MODEL, {}).get(name, ()))]
    width, height = 4.9, 3.1
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width * len(shown), height), dpi=DPI, facecolor="white")
        for place, name in enumerate(shown):
            axes = figure.add_axes(
                ((place * width + 0.62) / (width * len(shown)), 0.15, 4.1 / (width * len(shown)), 0.74)
            )
            for kind, label in KINDS.items():
                values = errors.get(kind, {}).get(name)
                if values is not None:
                    axes.plot(
                        np.arange(1, len(values) + 1), values, color=COLOURS[kind],
                        linewidth=1.8 if kind == MODEL else 1.2, linestyle="-" if kind == MODEL else "--",
                        marker="o" if len(values) == 1 else None, label=label,
                    )  # fmt: skip
            axes.set_ylim(bottom=0)
            axes.set_title(MEASURES[name], fontsize=9)
            axes.set_xlabel("step to come")
            axes.tick_params(labelsize=7.5)
            axes.legend(fontsize=8, framealpha=0.9)
        return Scene(figure, [], lambda: None).picture()
