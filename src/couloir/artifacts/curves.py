"""`curves.png`: training and validation loss, the task's first metric, and the learning rate, over the epochs; of two
players the losses of each.

Small enough for a page's width, with type that can be read there; `curves.svg` is the same without pixels.
"""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from couloir.artifacts.log_axis import LOG_RANGE, wants_log
from couloir.config.metrics import BUILT_IN, Metric, facts, leading, ordered, together
from couloir.record.files import write_atomically
from couloir.record.metrics import Row

COLOURS = {"train": "#1f5fa8", "val": "#e07b2e", "lr": "#4d4d4d"}
"""Dark and light, so that they can be told apart in grey."""
NAMES = {"train": "training", "val": "validation"}
SPLITS = ("train/", "val/")
"""Beginnings of columns."""
MARKED = 25
"""Epochs below which each has a mark."""
BESIDE = ("#1f5fa8", "#e07b2e", "#4b7f52", "#8a5aa8", "#9a7b2e", "#777777")
"""Of columns that share a panel."""
NORMS, NO_NORMS = "gradients/", ("gradients/norm", "gradients/first_to_last", "gradients/dead_units")
"""What the columns of gradients begin with, and those that are no norm of one of several players."""
FEW = 6
"""Parts of a network whose rates are all drawn."""
STYLE: Any = {"font.size": 9, "axes.linewidth": 0.8, "svg.hashsalt": "couloir"}


def draw_curves(
    rows: list[Row],
    file: Path,
    best_epoch: float | None = None,
    title: str = "",
    svg: bool = False,
    chosen: Mapping[str, Any] | None = None,
    parts: Sequence[str] = (),
) -> str | None:
    """Draw the curves of a run into a PNG, and into an SVG beside it where that is wanted.

    Args:
        rows: one dictionary an epoch, as `metrics.csv` has it; NaN leaves a gap.
        file: where the PNG goes; it is written under a temporary name and renamed.
        best_epoch: the epoch to mark, if any.
        title: what stands above the picture.
        svg: whether there is to be an SVG as well.
        chosen: the node `metric` of the run's configuration.
        parts: the names of the losses that the task's loss is made of.

    Returns:
        None, or a sentence that says why there is no picture: it is no reason to end a run.

    Raises:
        OSError: it cannot be written.
    """
    suffixes = (".png", ".svg") if svg else (".png",)
    try:
        pictures = _rendered(rows, best_epoch, title, suffixes, chosen, parts)
    except Exception as error:  # noqa: BLE001  fonts, a matplotlibrc, whatever matplotlib stumbles over
        return f"{file.name} cannot be drawn: {type(error).__name__}: {' '.join(str(error).split())}"
    for suffix, picture in pictures.items():
        write_atomically(file.with_suffix(suffix), picture)
    return None


def _rendered(
    rows: list[Row],
    best_epoch: float | None,
    title: str,
    suffixes: tuple[str, ...],
    chosen: Mapping[str, Any] | None,
    parts: Sequence[str],
) -> dict[str, bytes]:
    pictures = {}
    with matplotlib.rc_context(STYLE):
        figure = curves_figure(rows, best_epoch, title, chosen, parts)
        for suffix in suffixes:
            stream = io.BytesIO()
            metadata = {"Date": None} if suffix == ".svg" else None
            figure.savefig(stream, format=suffix[1:], metadata=metadata)
            pictures[suffix] = stream.getvalue()
    return pictures


def curves_figure(
    rows: list[Row],
    best_epoch: float | None = None,
    title: str = "",
    chosen: Mapping[str, Any] | None = None,
    parts: Sequence[str] = (),
) -> Figure:
    """The picture: a panel for the loss, one for the metric if there is one, one for the rate where it changes.

    What is seen best together shares a panel, in further lines: the parts of a loss, the accuracies of a discriminator,
    the gradients of several players. Where the loss is a sum that says nothing, its parts stand in its place. The
    metrics that the user has chosen have panels of their own.

    Args:
        rows: one dictionary an epoch.
        best_epoch: the epoch to mark, if any.
        title: what stands above it.
        chosen: the node `metric` of the run's configuration.
        parts: the names of the losses that the task's loss is made of.
    """
    there = dict.fromkeys(column for row in rows for column in row)
    metric = leading(column for column in there if column.startswith(SPLITS))
    if metric is not None and all(_points(rows, split + metric) == _points(rows, f"{split}loss") for split in SPLITS):
        metric = None  # it is the loss
    further = [name for name in chosen or () if any(f"{split}{name}" in there for split in SPLITS)]
    rates = _points(rows, "lr")
    of_parts = {name: _points(rows, name) for name in there if name.startswith("lr/")}
    changes = any(len({rate for _, rate in points}) > 1 for points in (rates, *of_parts.values()))
    groups = _groups(there, parts)
    players = next((names for _, names, instead in groups if instead), None)
    below = [group for group in groups if group[1] is not players]
    beside = metric or (below.pop(0) if below else None)
    widths = [3.6, *([3.6] if beside else []), *([2.3] if changes else [])]
    lines = 1 + -(-(len(below) + len(further)) // len(widths))
    width, height = sum(widths), 2.9 * lines + (0.25 if title else 0.0)
    figure = Figure(figsize=(width, height), dpi=160)
    FigureCanvasAgg(figure)
    # Set by hand: matplotlib's layouts draw everything twice, and a picture is drawn while training waits.
    panels = iter(figure.subplots(lines, len(widths), squeeze=False, width_ratios=widths).flat)
    figure.subplots_adjust(
        left=0.66 / width, right=1 - 0.12 / width, bottom=0.48 / height, top=1 - (0.54 if title else 0.27) / height,
        wspace=0.72 * len(widths) / (width - 0.78 - 0.72 * (len(widths) - 1)),
        hspace=0.75 * lines / (height - 0.75 * lines - (0.25 if title else 0.0)),
    )  # fmt: skip
    loss = next(panels)
    if players is not None:
        _draw_together(loss, rows, players, "loss of each player", best_epoch)
    else:
        _draw(loss, rows, "loss", best_epoch)
        if wants_log(losses(rows)):
            _make_log(loss, losses(rows))
    if isinstance(beside, str):
        _draw_metric(next(panels), rows, facts(beside), best_epoch)
    elif beside is not None:
        _draw_together(next(panels), rows, beside[1], beside[0], best_epoch)
    if changes:
        _draw_rate(next(panels), rates, of_parts)
    elif rates:
        loss.set_title(f"learning rate {rates[0][1]:g}", loc="right", fontsize=8, color=COLOURS["lr"])
    for label, names, _ in below:
        _draw_together(next(panels), rows, names, label, best_epoch)
    for name in further:
        _draw_metric(next(panels), rows, facts(name, chosen), best_epoch)
    for panel in panels:
        panel.set_visible(False)
    if title:
        figure.suptitle(title, fontsize=10)
    return figure


def _groups(columns: Iterable[str], parts: Sequence[str]) -> list[tuple[str, tuple[str, ...], bool]]:
    """What shares a panel: the label of its axis, the columns (without their split), whether it replaces the loss."""
    there = list(columns)
    groups = [(group.label, group.names, group.instead_of_loss) for group in together(there)]
    own = tuple(name for name in parts if name not in BUILT_IN and any(f"{split}{name}" in there for split in SPLITS))
    players = ordered(name.removeprefix(NORMS) for name in there if name.startswith(NORMS) and name not in NO_NORMS)
    norms = tuple(f"{NORMS}{name}" for name in players)
    groups += [("parts of the loss", own, False)] if own else []
    return [*groups, *([("norm of the gradients", norms, False)] if len(norms) > 1 else [])]


def losses(rows: list[Row]) -> list[float]:
    """All losses of both splits that are numbers."""
    values = (row.get(f"{split}/loss", math.nan) for row in rows for split in NAMES)
    return [value for value in values if math.isfinite(value)]


def _points(rows: list[Row], column: str) -> list[tuple[float, float]]:
    return [(row["epoch"], row[column]) for row in rows if column in row]


def _draw(axes: Axes, rows: list[Row], metric: str, best_epoch: float | None) -> None:
    for split, name in NAMES.items():
        points = _points(rows, f"{split}/{metric}")
        if points:
            epochs, values = zip(*points, strict=True)
            axes.plot(
                epochs, values, color=COLOURS[split], label=name, linewidth=1.4,
                marker="o", markersize=3, markevery=_marked(values),
            )  # fmt: skip
    if best_epoch is not None:
        _mark_best(axes, rows, metric, best_epoch)
    axes.set_ylabel(metric)
    _finish(axes, rows)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, framealpha=0.75, edgecolor="none", borderaxespad=0.2)


def _draw_together(axes: Axes, rows: list[Row], names: Sequence[str], label: str, best_epoch: float | None) -> None:
    """Columns in one panel, a colour each: validation as a line, training dotted where there is both."""
    drawn: list[float] = []
    both = False
    for name, colour in zip(names, itertools.cycle(BESIDE), strict=False):
        columns = [name] if name.startswith(NORMS) else [f"val/{name}", f"train/{name}"]
        found = [points for column in columns if (points := _points(rows, column))]
        for place, points in enumerate(found):
            epochs, values = zip(*points, strict=True)
            axes.plot(
                epochs, values, color=colour, linewidth=1.1 if place else 1.4, linestyle=":" if place else "-",
                label=None if place else _told(name),
                marker=None if place else "o", markersize=3, markevery=_marked(values),
            )  # fmt: skip
            drawn += [value for value in values if math.isfinite(value)]
        both |= len(found) > 1
    if both:
        axes.plot([], [], color="#777777", linewidth=1.1, linestyle=":", label="training")
    if best_epoch is not None:
        axes.axvline(best_epoch, color="#777777", linestyle=":", linewidth=1.1, zorder=1)
    if all(facts(name).low == 0 and facts(name).high == 1 for name in names):
        axes.set_ylim(-0.03, 1.03)
    elif wants_log(drawn):
        _make_log(axes, drawn)
    axes.set_ylabel(label)
    _finish(axes, rows)
    axes.legend(fontsize=8, framealpha=0.75, edgecolor="none", borderaxespad=0.2)


def _told(name: str) -> str:
    """What a column is called in a legend; the gradients of a player by its name alone."""
    return name.removeprefix(NORMS) if name.startswith(NORMS) else facts(name).label


def _marked(values: tuple[float, ...]) -> list[int]:
    """The places to mark: all of few, and of many those that no line leads to."""
    if len(values) < MARKED:
        return list(range(len(values)))
    finite = [False, *(math.isfinite(value) for value in values), False]
    return [place for place in range(len(values)) if finite[place + 1] and not (finite[place] or finite[place + 2])]


def _mark_best(axes: Axes, rows: list[Row], metric: str, best_epoch: float) -> None:
    best = next((row for row in rows if row["epoch"] == best_epoch), {})
    split = next((split for split in ("val", "train") if f"{split}/{metric}" in best), None)
    value = math.nan if split is None else best[f"{split}/{metric}"]
    shown = f": {value:.4g}" if math.isfinite(value) else ""
    axes.axvline(
        best_epoch, color="#777777", linestyle=":", linewidth=1.1, label=f"best epoch ({best_epoch:g}){shown}", zorder=1
    )
    if split is not None and math.isfinite(value):
        axes.plot(best_epoch, value, marker="o", markersize=6, markerfacecolor="none", color="#333333", linestyle="")


def _draw_metric(axes: Axes, rows: list[Row], metric: Metric, best_epoch: float | None) -> None:
    """A metric's panel; R² and its like have no lower bound, and their first epochs would leave the rest no height."""
    _draw(axes, rows, metric.name, best_epoch)
    axes.set_ylabel(metric.label)
    if metric.low is not None or metric.high is None or metric.guess is None or metric.guess_per_class:
        return
    values = [value for split in NAMES for _, value in _points(rows, f"{split}/{metric.name}") if math.isfinite(value)]
    lowest = 2 * metric.guess - metric.high  # as far below guessing as the best is above it
    if values and min(values) < lowest and max(values) > metric.guess:
        axes.set_ylim(lowest - 0.05, max(values) + 0.05)
        axes.set_ylabel(f"{metric.label}, from {lowest:g} on".replace("-", "−"))


def _draw_rate(axes: Axes, rates: list[tuple[float, float]], parts: Mapping[str, list[tuple[float, float]]]) -> None:
    """The schedule's rate, or those of parts; of many the first and the last, the fastest and the slowest."""
    epochs, values = zip(*rates, strict=True)
    if not parts:
        axes.plot(
            epochs, values, color=COLOURS["lr"], linewidth=1.4, marker="o", markersize=3, markevery=_marked(values)
        )
    names = list(parts)
    for name in names if len(names) <= FEW else (names[0], names[-1]):
        x, y = zip(*parts[name], strict=True)
        axes.plot(x, y, linewidth=1.4, marker="o", markersize=3, markevery=_marked(y), label=name.partition("/")[2])
        values = (*values, *y)
    if parts:
        axes.legend(fontsize=7, frameon=False)
    # A cosine's last epochs are no reason, a third of the run on the bottom line is.
    hidden = sum(value * LOG_RANGE < max(values) for value in values)
    if min(values) > 0 and hidden > len(values) / 5:
        _make_log(axes, list(values))
    else:
        axes.set_ylim(bottom=0)
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 4))
    axes.set_ylabel("learning rate")
    _finish(axes, [{"epoch": epoch} for epoch in epochs])


def _make_log(axes: Axes, values: list[float]) -> None:
    """A logarithmic axis, whose numbers stand closer than at powers of ten where there would be few of these."""
    axes.set_yscale("log")
    if max(values) / min(values) < 2000 and min(values) > 1e-5 and max(values) < 1e5:
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())


def _finish(axes: Axes, rows: list[Row]) -> None:
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, steps=[1, 2, 5, 10]))
    if len(rows) == 1:
        axes.set_xlim(rows[0]["epoch"] - 1, rows[0]["epoch"] + 1)  # matplotlib would split the epoch into thousandths
    if axes.get_yscale() == "linear":
        axes.yaxis.get_major_formatter().set_useOffset(False)  # type: ignore[attr-defined]
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
