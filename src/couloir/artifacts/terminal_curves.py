"""The loss over the epochs, drawn into the terminal at the end of a run; of two players the loss of each."""

from __future__ import annotations

import math

from rich import get_console
from rich.text import Text

from couloir.artifacts.curves import NAMES
from couloir.artifacts.log_axis import wants_log
from couloir.config.metrics import together
from couloir.log import note, on_a_terminal
from couloir.record.metrics import Row

WIDEST, NARROWEST = 100, 40
"""Columns of a chart; a narrower terminal gets none."""
LINES = 13
COLOURS = ("cyan", "orange")
"""Of the terminal's own sixteen, as its theme has them: readable on light and dark."""
BLACK_AND_WHITE = "*o"
ASCII = str.maketrans("┌┐└┘├┤┬┴┼│─", "+++++++++|-")


def show_chart(rows: list[Row]) -> None:
    """Draw the losses where a person watches; what keeps them from being drawn is noted, and no reason to fail."""
    if not on_a_terminal():
        return
    console = get_console()
    try:
        chart = loss_chart(
            rows, console.width, colour=bool(console.color_system) and not console.no_color,
            plain=console.options.ascii_only,
        )  # fmt: skip
    except Exception as error:  # noqa: BLE001  a library's stumble over strange values ends no run
        note.info("no chart in the terminal: %s: %s", type(error).__name__, error)
        return
    if chart:
        console.print(Text.from_ansi(chart), soft_wrap=True)


def loss_chart(rows: list[Row], width: int = 80, colour: bool = True, plain: bool = False) -> str:
    """Training and validation loss over the epochs, or the training losses of two players, a heading and `LINES` lines.

    Args:
        rows: one dictionary an epoch, as `metrics.csv` has it; what is no number is left out.
        width: columns of the terminal.
        colour: whether it has colours, as ANSI escapes; otherwise the curves differ in their characters.
        plain: whether it takes ASCII alone.

    Returns:
        the lines, or nothing where there are not two epochs or not enough columns.
    """
    groups = [group for group in together({column for row in rows for column in row}) if group.instead_of_loss]
    named = {f"{split}/loss": name for split, name in NAMES.items()}
    for group in groups:
        named = {f"train/{name}": name for name in group.names}
    curves = {name: points for column, name in named.items() if (points := _points(rows, column))}
    epochs = sorted({epoch for points in curves.values() for epoch, _ in points})
    if len(epochs) < 2 or width < NARROWEST:
        return ""
    import plotext  # a quarter of a second, which runs that nobody watches do without

    plotext.clear_figure()
    plotext.theme("clear")
    plotext.limit_size(False, False)
    plotext.plot_size(min(width, WIDEST), LINES)
    logarithmic = wants_log([value for points in curves.values() for _, value in points])
    if logarithmic:
        plotext.yscale("log")
    names = []
    for (called, points), shade, sign in zip(curves.items(), COLOURS, BLACK_AND_WHITE, strict=False):
        marker = "braille" if colour and not plain else sign
        plotext.plot(*zip(*points, strict=True), marker=marker, color=shade if colour else None)
        name = f"{'⠒⠒' if marker == 'braille' else 2 * marker} {called}"
        names.append(plotext.colorize(name, shade) if colour else name)
    plotext.xlabel("epoch")
    plotext.xticks(_ticks(int(epochs[0]), int(epochs[-1]), at_most=max(2, min(width, WIDEST) // 12)))
    plotext.yticks(*_heights([value for points in curves.values() for _, value in points], logarithmic))
    drawn = plotext.build()
    if not colour:
        drawn = plotext.uncolorize(drawn)
    heading = f"{'loss (log)' if logarithmic else 'loss'}   {'  '.join(names)}"
    lines = "\n".join(line.rstrip() for line in [heading, *drawn.splitlines()])
    return lines.translate(ASCII) if plain else lines


def _points(rows: list[Row], column: str) -> list[tuple[float, float]]:
    return [(row["epoch"], row[column]) for row in rows if math.isfinite(row.get(column, math.nan))]


def _ticks(first: int, last: int, at_most: int) -> list[int]:
    """Round epochs, with the first and the last."""
    steps = (factor * 10**power for power in range(10) for factor in (1, 2, 5))
    step = next(step for step in steps if (last - first) / step < at_most - 1)
    between = [epoch for epoch in range(step, last, step) if epoch > first and last - epoch >= 0.6 * step]
    return [first, *between, last]


def _heights(values: list[float], logarithmic: bool) -> tuple[list[float], list[str]]:
    """Five values from the least to the largest, and what they are called: as short as tells them apart."""
    low, high = min(values), max(values)
    if low == high:
        return [low], [f"{low:.4g}"]
    parts = [part / 4 for part in range(5)]
    if logarithmic:
        heights = [low ** (1 - part) * high**part for part in parts]
    else:
        heights = [low * (1 - part) + high * part for part in parts]
    called = ([f"{height:.{digits}g}" for height in heights] for digits in range(3, 18))
    return heights, next((names for names in called if len(set(names)) == len(heights)), [""] * len(heights))
