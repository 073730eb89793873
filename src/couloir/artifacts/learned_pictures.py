"""`fit.png`, `predictions.png` and `regions.png`: a fitted curve over its data, what is predicted of test samples
against what is true, and the regions of the plane that a network gives to each class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from couloir.artifacts.learned import Rows, Values, wider
from couloir.artifacts.sample_grid import Pixels
from couloir.artifacts.scene import STYLE, Scene
from couloir.palette import palette

DPI = 100
SIZE = (5.2, 3.9)
"""Inches of a picture of a curve, and of regions."""
PANEL = (3.1, 4.6)
"""Inches of what is predicted of one value."""
CURVE = "#c03a2b"
SPLITS = {
    "train": ("training", "#8aa1b8", "o", 3.0),
    "val": ("validation", "#e08a1e", "D", 3.6),
    "test": ("test", "#22303c", "^", 4.4),
}
"""What the samples of a split are called, and how they are drawn: colour, mark and size in points."""
NAMED = 10
"""Classes that a legend names at most."""
PALEST, STRONGEST = 0.12, 0.6
"""How much of its class's colour a point of the plane has where the network is undecided, and where it is sure."""
CLOUD = 4000
"""Samples of `predictions.png` at most; its numbers are of all."""
VALUES_SHOWN = 6
"""Values that `predictions.png` has a panel for at most."""


def fit_scene(rows: Rows, x: Values) -> Scene:
    """The samples, and a curve that moves; `picture` takes its values at `x`, (P,), and a title.

    Args:
        rows: the samples.
        x: where the curve has values, (P, 1).
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=SIZE, dpi=DPI, facecolor="white")
        axes = figure.add_axes((0.14, 0.13, 0.83, 0.78))
        for split, values in rows.x.items():
            name, colour, mark, size = SPLITS[split]
            axes.plot(values[:, 0], rows.y[split], mark, color=colour, markersize=size, markeredgewidth=0, label=name)
        (line,) = axes.plot([], [], color=CURVE, linewidth=2, label="the network")
        axes.set(xlim=rows.limits(0), ylim=wider(np.concatenate(list(rows.y.values()))))
        _named(axes, rows.inputs[0], rows.target)
        axes.locator_params(nbins=6)
        title = axes.set_title("", fontsize=10)
        axes.legend(fontsize=8, framealpha=0.9)

    def change(y: Values, told: str) -> None:
        line.set_data(x[:, 0], y)
        title.set_text(told)

    return Scene(figure, [line, title], change)


def regions_scene(rows: Rows, wrong: Mapping[str, NDArray[np.bool_]] | None = None) -> Scene:
    """The samples, and regions that move; `picture` takes the probabilities (S, S, C) of a grid, and a title.

    Args:
        rows: the samples.
        wrong: of a split which samples the network takes for another class, (N,); they are crossed.
    """
    colours = class_colours(len(rows.classes))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=SIZE, dpi=DPI, facecolor="white")
        axes = figure.add_axes((0.14, 0.13, 0.67, 0.78))
        limits = rows.limits(0), rows.limits(1)
        axes.set(xlim=limits[0], ylim=limits[1])
        extent = (*limits[0], *limits[1])
        image = axes.imshow(
            np.ones((1, 1, 3)), extent=extent, origin="lower", aspect="auto", interpolation="bilinear", zorder=0
        )
        moving: list[Any] = [image]
        for split, x in rows.x.items():
            _, _, mark, size = SPLITS[split]
            looked_at = wrong is not None and split in wrong
            for label in range(len(rows.classes)):
                chosen = rows.y[split] == label
                moving += axes.plot(
                    x[chosen, 0], x[chosen, 1], mark, color=colours[label], markersize=size if looked_at else 3.2,
                    markeredgecolor="#22303c" if looked_at else "white", markeredgewidth=0.6 if looked_at else 0.3,
                    label=rows.classes[label] if split == next(iter(rows.x)) and label < NAMED else None,
                )  # fmt: skip
        for split in rows.x:
            name, _, mark, size = SPLITS[split]
            axes.plot([], [], mark, color="#777777", markersize=size, markeredgewidth=0, label=name)
        for split, crossed in (wrong or {}).items():
            if crossed.any():
                x, told = rows.x[split][crossed], f"wrong ({int(crossed.sum())})"
                moving += axes.plot(x[:, 0], x[:, 1], "x", color="black", markersize=8, markeredgewidth=1.8, label=told)
        _named(axes, rows.inputs[0], rows.inputs[1])
        axes.locator_params(nbins=6)
        title = axes.set_title("", fontsize=10)
        legend = axes.legend(
            loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=8, frameon=False, handletextpad=0.2, borderpad=0
        )
        for text in legend.get_texts():
            text.set_parse_math(False)

    def change(probabilities: NDArray[Any], told: str) -> None:
        image.set_data(shaded(probabilities, colours))
        title.set_text(told)

    return Scene(figure, [*moving, *axes.spines.values(), title], change)


def class_colours(count: int) -> NDArray[np.float64]:
    """The colour of each class, (C, 3) in [0, 1]: those of masks, but for the pale one of a background."""
    colours = palette()[:-1].astype(np.float64) / 255
    return colours[1 + np.arange(count) % (len(colours) - 1)]


def shaded(probabilities: NDArray[Any], colours: NDArray[np.float64]) -> NDArray[np.float64]:
    """The plane in the colours of the likeliest classes, pale where the network is undecided.

    Args:
        probabilities: (S, S, C).
        colours: (C, 3).

    Returns:
        (S, S, 3) in [0, 1].
    """
    p = np.nan_to_num(probabilities.astype(np.float64))
    sure = (p.max(axis=-1) * p.shape[-1] - 1) / (p.shape[-1] - 1)  # 0: all classes alike; 1: one alone
    share = PALEST + (STRONGEST - PALEST) * np.clip(sure, 0, 1)[..., None]
    return np.asarray(1 - share + share * colours[p.argmax(axis=-1)])


def predictions_picture(named: Mapping[str, tuple[Values, Values]]) -> Pixels:
    """Truth against prediction, and the residuals below, of each value.

    Args:
        named: truth and prediction of the test samples by the value's name, in the data's units, (N,) each; the first
            `VALUES_SHOWN` are shown.
    """
    shown = dict(list(named.items())[:VALUES_SHOWN])
    with matplotlib.rc_context(STYLE):
        width, height = PANEL[0] * len(shown), PANEL[1]
        figure = Figure(figsize=(width + 0.3, height), dpi=DPI, facecolor="white")
        for place, (name, (truth, prediction)) in enumerate(shown.items()):
            left, breadth = (place * PANEL[0] + 0.65) / (width + 0.3), 2.4 / (width + 0.3)
            above = figure.add_axes((left, 0.44, breadth, 0.46))
            below = figure.add_axes((left, 0.11, breadth, 0.24))
            _panel(above, below, name, truth, prediction, first=place == 0)
        return Scene(figure, [], lambda: None).picture()


def _panel(above: Any, below: Any, name: str, truth: Values, prediction: Values, first: bool) -> None:
    """One value: what is predicted over what is true, with the line where both are the same, and the difference."""
    finite = np.isfinite(truth) & np.isfinite(prediction)
    truth, prediction = truth[finite], prediction[finite]
    residual = prediction - truth
    squares = float(((truth - truth.mean()) ** 2).sum()) if len(truth) else 0.0
    told = f"RMSE {_shown(float(np.sqrt((residual**2).mean())))}" if len(truth) else "no finite number"
    told += f", R² {1 - float((residual**2).sum()) / squares:.3f}" if squares else ""
    places = np.linspace(0, len(truth) - 1, min(CLOUD, len(truth))).astype(np.int64)
    cloud = {"color": "#1f6f9f", "markersize": 3.2, "markeredgewidth": 0, "alpha": 0.6 if len(places) > 200 else 0.85}
    both = wider(np.concatenate([truth, prediction])) if len(truth) else (0.0, 1.0)
    above.plot(both, both, color="#888888", linewidth=1)
    above.plot(truth[places], prediction[places], "o", **cloud)
    above.set(xlim=both, ylim=both)
    below.axhline(0, color="#888888", linewidth=1)
    below.plot(truth[places], residual[places], "o", **cloud)
    below.set_xlim(both)
    above.set_title(f"{name}\n{told}" if name else told, fontsize=9, parse_math=False)
    below.set_xlabel("truth")
    if first:
        above.set_ylabel("prediction")
        below.set_ylabel("residual")
    for axes in (above, below):
        axes.tick_params(labelsize=7.5)
        axes.locator_params(nbins=5)


def _shown(value: float) -> str:
    """A number with four digits, and none behind the point where it has more before it."""
    return f"{value:,.0f}" if 1e4 <= value < 1e9 else f"{value:.4g}"


def _named(axes: Any, across: str, up: str) -> None:
    axes.set_xlabel(across, parse_math=False)
    axes.set_ylabel(up, parse_math=False)
