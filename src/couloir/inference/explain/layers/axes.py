"""What the units of a tensor see: intervals of pixels along both axes of the image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Axis:
    """The pixels that the units along one axis see.

    Attributes:
        low: the first pixel of each; pixels outside of the image have numbers below 0, or beyond its size.
        high: the last pixel of each.
        start: the place of unit 0 in both.
        dim: the tensor's dimension that the axis is, counted from the end, -1 for the last; None: all units of the
            tensor see the same.
    """

    low: Numbers
    high: Numbers
    start: int
    dim: int | None

    def taken(self, first: Numbers, last: Numbers, start: int, dim: int | None) -> Axis:
        """Units that each see what those from one to another see. Places beyond what is followed do not count; a unit
        that sees no others has the nearest one.
        """
        top = len(self.low) - 1
        return Axis(self.low[first.clip(0, top)], self.high[last.clip(0, top)], start, dim)

    def windows(self, kernel: int, stride: int, padding: int, dilation: int, count: int) -> Axis:
        """What units of windows see, of which `count` are real."""
        reach = dilation * (kernel - 1)
        least = min(0, -((self.start - padding) // stride))
        most = max(count - 1, (len(self.low) - 1 - reach + padding - self.start) // stride)
        first = self.start + np.arange(least, most + 1) * stride - padding
        before = np.maximum(0, -(first // dilation) * dilation)  # what of the window lies outside, tap by tap
        last = first + np.minimum(reach, (len(self.low) - 1 - first) // dilation * dilation)
        return self.taken(first + before, last, -least, self.dim)

    def repeated(self, factor: int) -> Axis:
        """Each unit as many times, one behind the other."""
        return replace(self, low=self.low.repeat(factor), high=self.high.repeat(factor), start=self.start * factor)

    def real(self, count: int) -> Axis:
        """Without what lies outside of the map."""
        there = slice(self.start, self.start + count)
        return replace(self, low=self.low[there], high=self.high[there], start=0)

    def hull(self, count: int) -> Axis:
        """What all `count` units see together."""
        real = self if self.dim is None else self.real(count)
        return Axis(real.low.min(keepdims=True), real.high.max(keepdims=True), 0, None)

    def at(self, unit: int) -> tuple[int, int]:
        """The first and the last pixel that one unit sees."""
        place = 0 if self.dim is None else min(max(0, self.start + unit), len(self.low) - 1)
        return int(self.low[place]), int(self.high[place])


@dataclass(frozen=True)
class Field:
    """What the units of one tensor see.

    Attributes:
        rows: of the image.
        columns: of the image.
        known: whether that is so of each unit; else it is so of all of them together.
    """

    rows: Axis
    columns: Axis
    known: bool = True

    def each(self, change: Callable[[Axis, int], Axis]) -> Field:
        """Change both axes, given 0 for rows and 1 for columns; one along which all units see the same stays so."""
        rows = self.rows if self.rows.dim is None else change(self.rows, 0)
        return replace(self, rows=rows, columns=self.columns if self.columns.dim is None else change(self.columns, 1))

    @property
    def is_placed(self) -> bool:
        """Whether a unit's row and column in the last two dimensions say what it sees."""
        return self.rows.dim in (-2, None) and self.columns.dim in (-1, None)


def constant(low: int, high: int) -> Axis:
    """An axis along which all units see the same."""
    return Axis(np.array([low]), np.array([high]), 0, None)
