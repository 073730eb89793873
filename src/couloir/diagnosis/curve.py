"""One curve over the epochs, and the numbers that rules are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from statistics import fmean, linear_regression, median
from typing import NamedTuple

QUARTER = 4
"""The tail of a curve is its last quarter."""
SHORTEST_TAIL = 3
WIDEST_WINDOW = 15
SURE, SURE_OF_ONE = 4.0, 6.0
"""Deviations that a rise must have: of the mean of several values six, and no more than four of a single one's."""


class Point(NamedTuple):
    """One value of a curve as `metrics.csv` has it, and its epoch: what a sentence may quote."""

    epoch: int
    value: float


@dataclass(frozen=True)
class Line:
    """A straight line through the end of a curve.

    Attributes:
        slope: change an epoch.
        error: the slope's standard error.
        change: what the line rises over its points, each of which stands for the step that leads to it.
        points: how many values it goes through.
    """

    slope: float
    error: float
    change: float
    points: int


@dataclass(frozen=True)
class Curve:
    """Finite values of one quantity, at least one, in the order of their epochs.

    Attributes:
        epochs: counted from one; those without a value are left out.
        values: one for each.
    """

    epochs: tuple[int, ...]
    values: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def first(self) -> float:
        """The value of the first epoch."""
        return self.values[0]

    @property
    def newest(self) -> Point:
        """The last value."""
        return Point(self.epochs[-1], self.values[-1])

    @property
    def least(self) -> Point:
        """The least value, the first of several."""
        return self._point(self.values.index(min(self.values)))

    @property
    def largest(self) -> Point:
        """The largest value, the first of several."""
        return self._point(self.values.index(max(self.values)))

    @property
    def steepest(self) -> tuple[Point, Point]:
        """The largest step upwards after the first fifth, as the values before and after it; needs two values."""
        begin = min(len(self) // 5, len(self) - 2)
        place = max(range(begin, len(self) - 1), key=lambda place: self.values[place + 1] - self.values[place])
        return self._point(place), self._point(place + 1)

    def near(self, epoch: int) -> Point:
        """The value of an epoch, or of the last one before it that has a value."""
        return self._point(max(0, sum(own <= epoch for own in self.epochs) - 1))

    def _point(self, place: int) -> Point:
        return Point(self.epochs[place], self.values[place])

    @property
    def last(self) -> int:
        """How many values the level at the end is taken from: the last fifth of fifteen or more, else the last one."""
        return len(self) // 5 if len(self) >= 15 else 1

    @cached_property
    def end(self) -> float:
        """The level at the end, a median."""
        return median(self.values[-self.last :])

    @cached_property
    def smooth(self) -> tuple[float, ...]:
        """The means of windows of a tenth of the curve around each epoch, which become narrower towards both ends."""
        reach = min(len(self) // 10, WIDEST_WINDOW) // 2 + (len(self) >= 10)
        near = [min(reach, place, len(self) - 1 - place) for place in range(len(self))]
        return tuple(fmean(self.values[place - wide : place + wide + 1]) for place, wide in enumerate(near))

    @cached_property
    def lowest(self) -> int:
        """The place of the smoothed curve's least value, the first of several."""
        return self.smooth.index(min(self.smooth))

    @property
    def rise(self) -> float:
        """How far the end lies above the smoothed curve's least value; 0 where that is the end."""
        return max(0.0, self.end - self.smooth[self.lowest])

    @property
    def rise_for_noise(self) -> float:
        """What a rise must exceed so that it is not the noise of the values that the end is taken from."""
        return min(SURE, SURE_OF_ONE / math.sqrt(self.last)) * self.noise

    @cached_property
    def noise(self) -> float:
        """The deviation of single epochs from the mean of their neighbours, as that of independent values.

        The first fifth is left out, where curves are steep; 0 for fewer than five epochs.
        """
        if len(self) < 5:
            return 0.0
        begin = max(1, len(self) // 5)
        bends = [
            abs(self.values[place] - (self.values[place - 1] + self.values[place + 1]) / 2)
            for place in range(begin, len(self) - 1)
        ]
        # Of independent values with deviation 1 a bend has sqrt(3/2); their mean absolute value is sqrt(2/pi).
        return fmean(bends) / math.sqrt(3 / 2) * math.sqrt(math.pi / 2)

    def turns(self) -> float:
        """The share of epochs after the first fifth at which the curve changes its direction; 2/3 for pure noise."""
        steps = [after - before for before, after in pairwise(self.values[len(self) // 5 :])]
        return fmean([one * other < 0 for one, other in pairwise(steps)]) if len(steps) > 1 else 0.0

    @property
    def descent(self) -> float:
        """The share of steps that lead downwards."""
        return fmean([after < before for before, after in pairwise(self.values)]) if len(self) > 1 else 0.0

    def tail(self, share: int = QUARTER) -> Line:
        """The line of least squares through the last quarter, or another share, of at least three epochs."""
        count = min(len(self), max(SHORTEST_TAIL, round(len(self) / share)))
        if count < 2:
            return Line(0.0, 0.0, 0.0, count)
        return _line(self.epochs[-count:], self.values[-count:], self.noise)

    def at(self, epoch: int) -> float:
        """The smoothed curve at an epoch, or at the last one before it that has a value."""
        return self.smooth[self.epochs.index(self.near(epoch).epoch)]


def _line(epochs: Sequence[int], values: Sequence[float], noise: float) -> Line:
    """The line through some points; what lies between them may be closer to it by chance than the curve's noise."""
    slope, start = linear_regression(epochs, values)
    left = sum((value - start - slope * epoch) ** 2 for epoch, value in zip(epochs, values, strict=True))
    middle = fmean(epochs)
    spread = sum((epoch - middle) ** 2 for epoch in epochs)
    deviation = math.sqrt(left / (len(epochs) - 2)) if len(epochs) > 2 else 0.0
    error = max(deviation, noise) / math.sqrt(spread)
    between = (epochs[-1] - epochs[0]) / (len(epochs) - 1)
    return Line(slope, error, slope * between * len(epochs), len(epochs))
