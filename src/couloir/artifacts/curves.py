"""`curves.png`: training and validation loss, the task's first metric, and the learning rate, over the epochs; of two
players the losses of each.

Small enough for a page's width, with type that can be read there; `curves.svg` is the same without pixels.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from couloir.artifacts.chart import Line, Panel, chart
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
WIDE, NARROW = 3.6, 2.3
"""Inches of a panel, and of the one of the rate where it stands beside others."""


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
    try:
        drawing = chart(curve_panels(rows, best_epoch, chosen, parts), title)
        pictures = {".png": drawing.png(), **({".svg": drawing.svg()} if svg else {})}
    except Exception as error:  # noqa: BLE001  fonts that are not there, whatever Pillow stumbles over
        return f"{file.name} cannot be drawn: {type(error).__name__}: {' '.join(str(error).split())}"
    for suffix, picture in pictures.items():
        write_atomically(file.with_suffix(suffix), picture)
    return None


def curve_panels(
    rows: list[Row],
    best_epoch: float | None = None,
    chosen: Mapping[str, Any] | None = None,
    parts: Sequence[str] = (),
) -> list[list[Panel]]:
    """The panels, row by row: one for the loss, one for the metric if there is one, one for the rate where it changes.

    What is seen best together shares a panel, in further lines: the parts of a loss, the accuracies of a discriminator,
    the gradients of several players. Where the loss is a sum that says nothing, its parts stand in its place. The
    metrics that the user has chosen have panels of their own.

    Args:
        rows: one dictionary an epoch.
        best_epoch: the epoch to mark, if any.
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
    if players is not None:
        loss = _together(rows, players, "loss of each player", best_epoch)
    else:
        loss = _splits(rows, "loss", "loss", best_epoch)
        loss.log = wants_log(losses(rows))
    first = [loss]
    if isinstance(beside, str):
        first.append(_of_metric(rows, facts(beside), best_epoch))
    elif beside is not None:
        first.append(_together(rows, beside[1], beside[0], best_epoch))
    if changes:
        first.append(_of_rate(rates, of_parts))
    elif rates:
        loss.note = f"learning rate {rates[0][1]:g}"
    others = [_together(rows, names, label, best_epoch) for label, names, _ in below]
    others += [_of_metric(rows, facts(name, chosen), best_epoch) for name in further]
    return [first, *(others[at : at + len(first)] for at in range(0, len(others), len(first)))]


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


def _line(points: list[tuple[float, float]], colour: str, label: str | None = None, dotted: bool = False) -> Line:
    """A line with its marks or, dotted, a thinner one without."""
    x, y = (tuple(point[axis] for point in points) for axis in (0, 1))
    marked = () if dotted else _marked(y)
    return Line(x, y, colour, label, width=1.1 if dotted else 1.4, dotted=dotted, marked=marked)


def _splits(rows: list[Row], metric: str, label: str, best_epoch: float | None) -> Panel:
    """A column of both splits, with the best epoch and its value."""
    panel = Panel(label)
    for split, name in NAMES.items():
        if points := _points(rows, f"{split}/{metric}"):
            panel.lines.append(_line(points, COLOURS[split], label=name))
    if best_epoch is not None:
        best = next((row for row in rows if row["epoch"] == best_epoch), {})
        value = next((best[column] for column in (f"val/{metric}", f"train/{metric}") if column in best), math.nan)
        shown = f": {value:.4g}" if math.isfinite(value) else ""
        panel.best, panel.best_label = best_epoch, f"best epoch ({best_epoch:g}){shown}"
        panel.ring = (best_epoch, value) if math.isfinite(value) else None
    return panel


def _together(rows: list[Row], names: Sequence[str], label: str, best_epoch: float | None) -> Panel:
    """Columns in one panel, a colour each: validation as a line, training dotted where there is both."""
    panel = Panel(label, best=best_epoch)
    both = False
    for name, colour in zip(names, itertools.cycle(BESIDE), strict=False):
        columns = [name] if name.startswith(NORMS) else [f"val/{name}", f"train/{name}"]
        found = [points for column in columns if (points := _points(rows, column))]
        for points in found[:1]:
            panel.lines.append(_line(points, colour, label=_told(name)))
        for points in found[1:]:
            panel.lines.append(_line(points, colour, dotted=True))
        both |= len(found) > 1
    drawn = [value for line in panel.lines for value in line.y if math.isfinite(value)]
    if both:
        panel.lines.append(Line((), (), "#777777", label="training", width=1.1, dotted=True))
    if all(facts(name).low == 0 and facts(name).high == 1 for name in names):
        panel.low, panel.high = -0.03, 1.03
    else:
        panel.log = wants_log(drawn)
    return panel


def _told(name: str) -> str:
    """What a column is called in a legend; the gradients of a player by its name alone."""
    return name.removeprefix(NORMS) if name.startswith(NORMS) else facts(name).label


def _marked(values: Sequence[float]) -> tuple[int, ...]:
    """The places to mark: all of few, and of many those that no line leads to."""
    if len(values) < MARKED:
        return tuple(range(len(values)))
    finite = [False, *(math.isfinite(value) for value in values), False]
    return tuple(
        place for place in range(len(values)) if finite[place + 1] and not (finite[place] or finite[place + 2])
    )


def _of_metric(rows: list[Row], metric: Metric, best_epoch: float | None) -> Panel:
    """A metric's panel; R² and its like have no lower bound, and their first epochs would leave the rest no height."""
    panel = _splits(rows, metric.name, metric.label, best_epoch)
    if metric.low is not None or metric.high is None or metric.guess is None or metric.guess_per_class:
        return panel
    values = [value for line in panel.lines for value in line.y if math.isfinite(value)]
    lowest = 2 * metric.guess - metric.high  # as far below guessing as the best is above it
    if values and min(values) < lowest and max(values) > metric.guess:
        panel.low, panel.high = lowest - 0.05, max(values) + 0.05
        panel.label = f"{metric.label}, from {lowest:g} on".replace("-", "−")
    return panel


def _of_rate(rates: list[tuple[float, float]], parts: Mapping[str, list[tuple[float, float]]]) -> Panel:
    """The schedule's rate, or those of parts; of many the first and the last, the fastest and the slowest."""
    panel = Panel("learning rate", width=NARROW)
    names = list(parts)
    for part, colour in zip(names if len(names) <= FEW else (names[0], names[-1]), BESIDE, strict=False):
        panel.lines.append(_line(parts[part], colour, label=part.partition("/")[2]))
    if not parts:
        panel.lines.append(_line(rates, COLOURS["lr"]))
    values = [value for _, value in rates] + [value for line in panel.lines if parts for value in line.y]
    # A cosine's last epochs are no reason, a third of the run on the bottom line is.
    hidden = sum(value * LOG_RANGE < max(values) for value in values)
    panel.log = min(values) > 0 and hidden > len(values) / 5
    if not panel.log:
        panel.low = 0.0
    return panel
