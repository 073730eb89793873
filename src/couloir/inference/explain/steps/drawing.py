"""How numbers of steps are shown: tokens on coloured ground, and plates with the steps as columns."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from couloir.artifacts.page import text
from couloir.inference.explain.heat import ONE_SIGN, TWO_SIGNS
from couloir.inference.explain.plates import Pixels

Values = NDArray[np.floating[Any]]
DPI = 110
NAMED_STEPS, LETTERS = 48, 12
"""Steps that a plate names each at most, and letters of such a name."""
ROWS = 64
"""Rows that a plate shows at most."""
NAMED_ROWS = 32
"""Rows up to which each has its name."""
WIDEST, COLUMN = 11.0, 0.17
"""Inches of a plate at most, and of a column."""
LINES = 4
"""Lines of a series that a plate draws in colours of their own."""
SPECIAL = str.maketrans({"\n": "↵", "\t": "⇥", "\r": "␍", " ": "␣"})
"""Signs that stand for what is not seen."""
STYLE = """
.tokens { font-family: ui-monospace, monospace; font-size: 14px; line-height: 1.9; white-space: pre-wrap; overflow-wrap: anywhere; max-width: 105ch; margin: 6px 0 10px; }
.tokens span { padding: 2px 0; border-radius: 2px; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.tokens.apart { overflow-wrap: break-word; }
.tokens.apart span { padding: 2px 3px; }
[data-method="neighbours"] td { overflow-wrap: anywhere; min-width: 12ch; }
[data-method="neighbours"] .scroll { max-height: none; }
[data-method="attention"] .tiles li, [data-method="hidden_states"] .tiles li { overflow-x: auto; max-width: 100%; }
[data-method="attention"] .tiles img, [data-method="hidden_states"] .tiles img { width: auto; max-width: max(100%, min(var(--side), 720px)); }
.tokens .note { font-family: inherit; }
"""  # noqa: E501
WARM, COLD = "232 92 84", "92 156 228"
"""Of values above and below zero; how strong they are says the size."""


def coloured(words: Sequence[str], values: Sequence[float] | Values, apart: bool = False, limit: float = 0.0) -> str:
    """Tokens as HTML, each on a ground whose colour says how large its number is: red above zero, blue below.

    Args:
        words: the tokens.
        values: a number each; what is none has no colour.
        apart: whether tokens stand apart, as words do.
        limit: the size that has the full colour; 0: that of the largest number.
    """
    numbers = np.nan_to_num(np.asarray(values, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    most = limit or float(np.abs(numbers).max(initial=0.0)) or 1.0
    parts = []
    for word, value in zip(words, numbers.tolist(), strict=True):
        strength = min(1.0, abs(value) / most)
        colour = WARM if value > 0 else COLD
        shown = "↵\n" if word == "\n" else word
        ground = f' style="background: rgb({colour} / {strength:.2f})"' if strength >= 0.005 else ""
        parts.append(f'<span{ground} title="{text(visible(word))}: {value:.4g}">{text(shown)}</span>')
    return f'<div class="tokens{" apart" * apart}">{(" " * apart).join(parts)}</div>'


def visible(word: str) -> str:
    """A token with signs for what is not seen, shortened."""
    found = word.translate(SPECIAL) or "∅"
    return found if len(found) <= LETTERS else f"{found[: LETTERS - 1]}…"


def plate(
    values: Values, steps: Sequence[str], rows: Sequence[str] = (), signed: bool = True, lines: Values | None = None,
    names: Sequence[str] = (), label: str = "", limit: float = 0.0, widest: float = WIDEST,
) -> Pixels:  # fmt: skip
    """Numbers of each step as colours, the steps as columns, and below them the series that they belong to.

    Args:
        values: (R, T); the first `ROWS` rows are shown.
        steps: what stands at each step, (T,).
        rows: names of the rows; none: they have none.
        signed: whether colours go from blue below zero to red above.
        lines: a series of the same steps, (T, F), drawn below; None: there is none.
        names: of its channels.
        label: what the rows are.
        limit: the size that has the full colour; 0: that of the largest number.
        widest: inches of the picture at most.
    """
    shown = np.asarray(values[:ROWS], dtype=np.float64)
    most = limit or float(np.abs(shown[np.isfinite(shown)]).max(initial=0.0)) or 1.0
    width = min(widest, max(4.2, 1.6 + COLUMN * len(steps)))
    high = min(6.0, max(1.1, 0.13 * len(shown) + 0.6))
    count = 1 if lines is None else 2
    figure = Figure((width, high + 1.5 * (count - 1)), dpi=DPI, facecolor="white", layout="constrained")
    heights = [high] if lines is None else [high, 1.3]
    grid = figure.subplots(count, 1, sharex=True, squeeze=False, height_ratios=heights)
    axes: Axes = grid[0][0]
    image = axes.imshow(
        shown, aspect="auto", interpolation="nearest", cmap=TWO_SIGNS if signed else ONE_SIGN,
        vmin=-most if signed else 0.0, vmax=most,
    )  # fmt: skip
    figure.colorbar(image, ax=axes, pad=0.01, fraction=0.05).ax.tick_params(labelsize=7)
    if rows and len(shown) <= NAMED_ROWS:
        axes.set_yticks(range(len(shown)), [plain(name) for name in rows[: len(shown)]], fontsize=7)
    elif len(shown) == 1:
        axes.set_yticks([])
    else:
        axes.tick_params(axis="y", labelsize=7)
    axes.set_ylabel(label, fontsize=8)
    if lines is not None:
        _draw_lines(grid[1][0], lines, names)
    name_steps(grid[-1][0], steps)
    return drawn(figure)


def series(values: Values, names: Sequence[str] = ()) -> Pixels:
    """A series (T, F) as lines over its steps."""
    figure = Figure((min(WIDEST, max(4.2, 1.0 + COLUMN * len(values) / 2)), 1.7), dpi=DPI, facecolor="white",
                    layout="constrained")  # fmt: skip
    _draw_lines(figure.add_subplot(), values, names)
    return drawn(figure)


def _draw_lines(axes: Axes, lines: Values, names: Sequence[str]) -> None:
    """A series, a line a channel; of many all are grey."""
    many = lines.shape[1] > LINES
    for channel in range(lines.shape[1]):
        named = plain(names[channel]) if channel < len(names) and not many else None
        axes.plot(lines[:, channel], lw=0.7 if many else 1.1, color="0.45" if many else None, alpha=0.6 if many else 1,
                  label=named)  # fmt: skip
    if names and not many:
        axes.legend(fontsize=6, frameon=False, loc="upper left", ncols=LINES)
    axes.tick_params(labelsize=7)
    axes.margins(x=0.5 / max(1, len(lines)))


def name_steps(axes: Axes, steps: Sequence[str], vertical: bool = False) -> None:
    """Write what stands at each step below an axis, or beside it; where there are many, the steps' numbers."""
    axis = axes.yaxis if vertical else axes.xaxis
    if len(steps) > NAMED_STEPS or not any(steps):
        axis.set_tick_params(labelsize=7)
        return
    found = [plain(visible(step)) for step in steps]
    turned = not vertical and max(map(len, found)) > 2
    axis.set_ticks(range(len(steps)), found, fontsize=7)
    if turned:
        axes.tick_params(axis="x", rotation=90)


def plain(name: str) -> str:
    """A name that Matplotlib shows as it is."""
    return name.replace("$", r"\$")


def drawn(figure: Figure) -> Pixels:
    """A figure as a picture (H, W, 3)."""
    FigureCanvasAgg(figure)
    stream = io.BytesIO()
    with matplotlib.rc_context({"text.usetex": False}):
        figure.savefig(stream, format="png")
    return np.asarray(Image.open(stream).convert("RGB"))
