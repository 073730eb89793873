"""What a multirun leaves beside its runs: `comparison.png`, their curves in one picture, and `signals.png`, how large
the signals of their networks were before training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from couloir.artifacts.curves import NAMES
from couloir.artifacts.log_axis import wants_log
from couloir.config.metrics import facts, stated_metrics
from couloir.record.files import rename
from couloir.record.metrics import Row
from couloir.record.run_files import RunFiles
from couloir.record.signals import LayerSignal

SHOWN = 24
"""Runs in a picture at most: the best by the objective."""
MARKERS = "osD^vP*X"
LINES: dict[str, tuple[Literal["-", "--"], float, Literal["full", "none"]]] = {
    "train": ("-", 1.7, "full"),
    "val": ("--", 1.1, "none"),
}
"""Of each split: the line's style and width, and whether its markers are filled."""

Style = tuple[Any, str]
"""Colour and marker."""


@dataclass(frozen=True)
class SweptRun:
    """A completed run of a multirun.

    Attributes:
        files: what its folder holds.
        swept: its overrides that not all runs share, by key.
    """

    files: RunFiles
    swept: dict[str, str]

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.files.folder

    @property
    def rows(self) -> list[Row]:
        """Its `metrics.csv`."""
        return self.files.rows

    @property
    def label(self) -> str:
        """The overrides that tell it from the others; the folder's name where there are none."""
        return " ".join(f"{key}={value}" for key, value in self.swept.items()) or self.folder.name

    @cached_property
    def signals(self) -> list[LayerSignal]:
        """Its first measurement in `signals.csv`; none where it has no such file."""
        rows = self.files.signals
        return [row for row in rows if row.epoch == rows[0].epoch]


def draw_comparison(sweep: Path, folders: Iterable[Path], metric: str, of: int) -> list[Path]:
    """Draw the pictures of a multirun into its folder.

    Args:
        sweep: the folder of the multirun.
        folders: at most `SHOWN` of its runs' folders, the best first; those that did not complete are left out.
        metric: the name of the metric that ranks them.
        of: how many runs it has.

    Returns:
        The files: none without a completed run, and `signals.png` only where a run has measured signals.
    """
    runs = _completed(folders)
    files = []
    if runs:
        files.append(sweep / "comparison.png")
        _draw_curves(runs, files[-1], metric, of)
    measured = [run for run in runs if run.signals]
    if measured:
        files.append(sweep / "signals.png")
        _draw_signals(measured, files[-1])
    return files


def _completed(folders: Iterable[Path]) -> list[SweptRun]:
    every = [RunFiles(folder, strict=False) for folder in folders]
    done = [files for files in every if files.status.get("status") == "completed"]
    shared = set.intersection(*(set(files.words or ()) for files in done)) if done else set()
    runs = []
    for files in done:
        parts = [word.lstrip("+").partition("=") for word in files.words or () if word not in shared]
        runs.append(SweptRun(files, {key: value for key, _, value in parts}))
    return runs


def _draw_curves(runs: list[SweptRun], file: Path, metric: str, of: int) -> None:
    value, told = _measure(runs, metric)
    figure, axes = _figure(len(runs), columns=1)
    styles = _styles(runs)
    values: list[float] = []
    for run in runs:
        colour, marker = styles[run.folder]
        for split, (line, width, fill) in LINES.items():
            points = _points(run.rows, f"{split}/{metric}", value)
            if points:
                values += [height for _, height in points]
                axes[0].plot(
                    *zip(*points, strict=True), color=colour, linestyle=line, linewidth=width,
                    marker=marker, markersize=4, fillstyle=fill, markevery=max(1, len(points) // 12),
                )  # fmt: skip
    _scale(axes[0], values)
    goal = _goal(runs, f"train/{metric}")
    if goal is not None:
        axes[0].axhline(value(goal), color="#777777", linestyle=":", linewidth=1.2)
    axes[0].set_xlabel("epoch")
    axes[0].set_ylabel(told)
    if all(len(run.rows) == 1 for run in runs):
        axes[0].set_xlim(0, 2)  # around a single point, matplotlib would split the epoch into thousandths
    lines = [
        Line2D([], [], color="#444444", linestyle=line, marker="o", markersize=4, fillstyle=fill, label=NAMES[split])
        for split, (line, _, fill) in LINES.items()
    ]
    if goal is not None:
        lines.append(Line2D([], [], color="#777777", linestyle=":", label=f"the goal, {value(goal):g}"))
    _finish(figure, axes, [*lines, *_legend(runs, styles)], file, of if of > SHOWN else None)


def _draw_signals(runs: list[SweptRun], file: Path) -> None:
    figure, axes = _figure(len(runs), columns=2)
    styles = _styles(runs)
    for panel, name, column, rows_of in (
        (axes[0], "activations", "activation_variance", _activation_rows),
        (axes[1], "gradients of the loss", "gradient_variance", _weighted_rows),
    ):
        heights: list[float] = []
        for run in runs:
            points = [(depth, getattr(row, column)) for depth, row in enumerate(rows_of(run.signals), 1)]
            points = [(depth, height) for depth, height in points if height and math.isfinite(height)]
            heights += [height for _, height in points]
            if points:
                colour, marker = styles[run.folder]
                panel.plot(*zip(*points, strict=True), color=colour, marker=marker, markersize=4, linewidth=1.4)
        if heights:
            panel.set_yscale("log")
        panel.set_xlabel("layer")
        panel.set_ylabel("variance")
        panel.set_title(f"{name}, before training", fontsize=10)
    _finish(figure, axes, _legend(runs, styles), file)


def _activation_rows(signals: list[LayerSignal]) -> list[LayerSignal]:
    """The activation functions' outputs, or the weighted layers' where a network has no such modules."""
    return [row for row in signals if row.weight_gradient_variance is None] or signals


def _weighted_rows(signals: list[LayerSignal]) -> list[LayerSignal]:
    return [row for row in signals if row.weight_gradient_variance is not None]


def _measure(runs: list[SweptRun], metric: str) -> tuple[Callable[[float], float], str]:
    """What is drawn of a metric's values, and the name of the axis: the error, where it is a share of right samples."""
    known = facts(metric, stated_metrics(runs[0].files.config or {}))
    return (_error, f"error, 1 − {known.label}") if known.counts_samples else (float, known.label)


def _error(share: float) -> float:
    return 1 - share


def _points(rows: list[Row], column: str, value: Callable[[float], float]) -> list[tuple[float, float]]:
    return [(row["epoch"], value(row[column])) for row in rows if math.isfinite(row.get(column, math.nan))]


def _goal(runs: list[SweptRun], column: str) -> float | None:
    """The value of `column` at which all runs were to stop (callbacks.stop_at), if there is one."""
    goals = set()
    for run in runs:
        keys = run.files.flat
        stops = keys.get("callbacks.stop_at.monitor") == column
        goals.add(keys.get("callbacks.stop_at.threshold") if stops else None)
    return goals.pop() if len(goals) == 1 else None


def _figure(count: int, columns: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(5.2 * columns + 3.0, max(4.2, 0.21 * count + 1.2)), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def _scale(axes: Axes, values: list[float]) -> None:
    if wants_log(values):
        axes.set_yscale("log")


def _factors(runs: list[SweptRun]) -> tuple[str, str] | None:
    """The two keys of a sweep over two, the one with more values first; None for other sweeps."""
    keys = list(dict.fromkeys(key for run in runs for key in run.swept))
    if len(keys) != 2 or any(len(run.swept) != 2 for run in runs):
        return None
    first, second = sorted(keys, key=lambda key: -len(_values(runs, key)))
    fits = len(_values(runs, first)) <= 10 and len(_values(runs, second)) <= len(MARKERS)
    return (first, second) if fits else None


def _values(runs: list[SweptRun], key: str) -> list[str]:
    return list(dict.fromkeys(run.swept[key] for run in runs))


def _styles(runs: list[SweptRun]) -> dict[Path, Style]:
    """A colour and a marker for each run; in a sweep over two keys the colour tells the one, the marker the other."""
    colours: Any = matplotlib.colormaps["tab10"]
    factors = _factors(runs)
    if factors is None:
        places = {run.folder: (number % 10, number // 10) for number, run in enumerate(runs)}
    else:
        first, second = (_values(runs, key) for key in factors)
        places = {run.folder: (first.index(run.swept[factors[0]]), second.index(run.swept[factors[1]])) for run in runs}
    return {folder: (colours(colour), MARKERS[marker % len(MARKERS)]) for folder, (colour, marker) in places.items()}


def _legend(runs: list[SweptRun], styles: dict[Path, Style]) -> list[Line2D]:
    factors = _factors(runs)
    if factors is None:
        return [_key(run.label, *styles[run.folder]) for run in runs]
    entries = []
    for number, key in enumerate(factors):
        for value in _values(runs, key):
            colour, marker = styles[next(run.folder for run in runs if run.swept[key] == value)]
            # A grey marker without a line and a line without a marker: each entry shows what it stands for.
            entries.append(
                _key(f"{key}={value}", colour, "")
                if number == 0
                else _key(f"{key}={value}", "#444444", marker, line="")
            )
    return entries


def _key(label: str, colour: Any, marker: str, line: Literal["-", ""] = "-") -> Line2D:
    return Line2D([], [], color=colour, marker=marker, markersize=5, linestyle=line, label=label)


def _finish(figure: Figure, axes: list[Axes], entries: list[Line2D], file: Path, of: int | None = None) -> None:
    for panel in axes:
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    figure.legend(handles=entries, loc="outside right upper", frameon=False, fontsize=8)
    if of is not None:
        figure.suptitle(f"the best {SHOWN} of {of} runs", fontsize=10)
    temporary = file.with_name(f".{file.name}")
    figure.savefig(temporary, format="png")
    rename(temporary, file)
