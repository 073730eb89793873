"""What a learning-rate range test shows: the loss over the rate, the rate at which it falls fastest, and a picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from couloir.record.files import rename

Numbers = NDArray[np.float64]

BANDWIDTH = 0.04
"""The deviation of the smoothing kernel, as a share of the test's length."""
CLEAR = 8.0
"""A descent counts from so many standard errors of the smoothed loss on: a curve of mere noise spans up to about seven.
"""
PLATEAU = 0.15
"""The share of the descent that still counts as the plateau before it, where slopes are noise."""
FEWEST = 8
"""Losses below which a curve says nothing."""


@dataclass(frozen=True)
class RateCurve:
    """The losses of a range test, and what they suggest.

    Attributes:
        rates: the learning rate of each step.
        losses: the loss of each step, before the step was taken; the last may be infinite or NaN.
        smoothed: the smoothed loss; NaN where the loss is not finite.
        steepest: the rate at which the smoothed loss falls fastest; None where it does not clearly fall.
        lowest: the rate at which the smoothed loss is least; None likewise.
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    steepest: float | None
    lowest: float | None

    @property
    def conservative(self) -> float | None:
        """A tenth of the rate at which the loss is least."""
        return None if self.lowest is None else self.lowest / 10


def exponential_rates(low: float, high: float, steps: int) -> list[float]:
    """`steps` rates from `low` to `high`, each the same multiple of the one before."""
    return [low * (high / low) ** (step / (steps - 1)) for step in range(steps)]


def read_curve(rates: list[float], losses: list[float]) -> RateCurve:
    """Find the rate of steepest descent: where the loss falls most for the same factor of the rate.

    The loss over log(rate) is freed of single outliers (a running median of five) and capped at twice the height of
    its descent, so that the explosion at the end does not reach back. At each point a line is fitted to its
    neighbours, weighted by a normal curve: its height is the smoothed loss, its slope the descent. Both look
    ahead as far as back, so that, other than a running mean's, they do not lag behind the rate. The steepest slope is
    sought between the plateau of the small rates and the least loss.

    Args:
        rates: the rate of each step, growing by a constant factor.
        losses: the loss of each step.
    """
    finite = next((index for index, loss in enumerate(losses) if not math.isfinite(loss)), len(losses))
    nothing = [math.nan] * len(losses)
    if finite < FEWEST:
        return RateCurve(rates, losses, nothing, None, None)
    values = np.asarray(losses[:finite], dtype=np.float64)
    clean = _without_outliers(values)
    start = float(np.median(clean[:5]))
    capped = np.minimum(clean, start + max(2 * (start - float(clean.min())), float(np.ptp(clean[:5]))))
    width = max(1.5, BANDWIDTH * finite)
    heights, slopes = _local_lines(capped, width)
    smoothed = [*heights.tolist(), *nothing[finite:]]
    least = int(heights.argmin())
    noise = 1.4826 * float(np.median(np.abs(values - heights)[: least + 1]))
    error = noise / math.sqrt(2 * math.sqrt(math.pi) * width)
    fall = float(heights[: least + 1].max() - heights[least])
    if least == 0 or fall <= CLEAR * error or fall <= 1e-9 * abs(start):
        return RateCurve(rates, losses, smoothed, None, None)
    begun = int(np.flatnonzero(heights[: least + 1] >= heights[: least + 1].max() - PLATEAU * fall)[-1])
    steepest = begun + int(slopes[begun : least + 1].argmin())
    return RateCurve(rates, losses, smoothed, rates[steepest], rates[least])


def _without_outliers(values: Numbers) -> Numbers:
    padded = np.pad(values, 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 5)
    medians: Numbers = np.median(windows, axis=1)
    return medians


def _local_lines(values: Numbers, width: float) -> tuple[Numbers, Numbers]:
    """Height and slope, per step, of the line through each point's neighbourhood; weights normal, deviation `width`."""
    position = np.arange(len(values), dtype=np.float64)
    distance = position[None, :] - position[:, None]
    weights = np.exp(-0.5 * (distance / width) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    middle = (weights * distance).sum(axis=1, keepdims=True)
    mean = weights @ values
    spread = (weights * (distance - middle) ** 2).sum(axis=1)
    slopes = (weights * (distance - middle) * (values[None, :] - mean[:, None])).sum(axis=1) / spread
    return mean - slopes * middle[:, 0], slopes


def draw_rate_curve(curve: RateCurve, file: Path, title: str = "") -> None:
    """Draw the losses, the smoothed loss and the suggestion into a PNG, written under a temporary name and renamed."""
    figure = Figure(figsize=(7.2, 4.4), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot(curve.rates, curve.losses, color="#9dbfdc", marker="o", markersize=3, linewidth=0.7, label="loss")
    axes.plot(curve.rates, curve.smoothed, color="#1f6fb4", linewidth=2.2, label="smoothed")
    axes.set_xscale("log")
    axes.set_xlim(curve.rates[0], curve.rates[-1])
    _limit_height(axes, curve)
    if curve.steepest is not None and curve.lowest is not None and curve.conservative is not None:
        height = dict(zip(curve.rates, curve.smoothed, strict=True))
        axes.axvline(curve.steepest, color="#d1571b", linewidth=1.4, label=f"steepest descent: {curve.steepest:.3g}")
        axes.plot([curve.steepest], [height[curve.steepest]], "o", color="#d1571b", markersize=7)
        axes.plot([curve.lowest], [height[curve.lowest]], "v", color="#555555", markersize=7, label="least loss")
        if curve.conservative > curve.rates[0]:
            label = f"a tenth of its rate: {curve.conservative:.3g}"
            axes.axvline(curve.conservative, color="#777777", linestyle=":", linewidth=1.4, label=label)
    axes.set_xlabel("learning rate")
    axes.set_ylabel("training loss")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=9, loc="best", framealpha=0.85, edgecolor="none")
    if title:
        figure.suptitle(title, fontsize=10)
    temporary = file.with_name(f".{file.name}")
    figure.savefig(temporary, format="png")
    rename(temporary, file)


def _limit_height(axes: Axes, curve: RateCurve) -> None:
    """Keep the descent visible where the loss explodes behind it."""
    heights = [value for value in curve.smoothed if math.isfinite(value)]
    losses = [value for value in curve.losses if math.isfinite(value)]
    if not heights or not losses:
        return
    reach = max(heights) - min(heights) or abs(heights[0]) or 1.0
    top = min(max(losses), max(heights) + 0.6 * reach)
    axes.set_ylim(min(min(losses), min(heights)) - 0.05 * reach, top + 0.05 * reach)
