"""A column of a sweep as an axis of a chart: numbers where all values are numbers, categories otherwise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from couloir.artifacts.page import label

DECADES = 2
"""From so many powers of ten between the least and the largest value on, an axis may be logarithmic."""
LOW_MEDIAN = 0.2
"""It is where the median is below this share of the largest: a rate in [0, 0.5] with a draw near zero is not spread."""
MOST_TICKS = 14
CATEGORY = 20
"""Characters of a category's name."""
NONE = "—"
"""Where a key is under a condition that does not hold."""


@dataclass(frozen=True)
class Axis:
    """A column of a sweep.

    Attributes:
        name: the key, or the objective.
        values: of each trial: a number, or the text of a category; None where it has none.
        categories: the texts in their order; empty for numbers.
        log: whether its numbers are spread over powers of ten.
    """

    name: str
    values: list[float | str | None]
    categories: list[str]
    log: bool

    @property
    def numbers(self) -> list[float]:
        """The values that are numbers."""
        return [value for value in self.values if isinstance(value, float)]

    def layout(self) -> dict[str, Any]:
        """An axis of an ordinary chart."""
        title = {"text": label(self.name)}
        if self.categories:
            shown = (
                {"tickvals": [label(text, CATEGORY) for text in self.categories]}
                if len(self.categories) <= MOST_TICKS
                else {}
            )
            order = [label(text, CATEGORY) for text in self.categories]
            return {"title": title, "type": "category", "categoryorder": "array", "categoryarray": order, **shown}
        small = 0 < max(map(abs, self.numbers), default=1.0) < 0.01
        form = {"exponentformat": "e"} if small or self.log else {}  # 2e-4, which nobody types as 200µ
        return {"title": title, **({"type": "log", "dtick": 1} if self.log else {}), **form}

    def places(self) -> list[float | str | None]:
        """Where each trial is on an axis of an ordinary chart."""
        return [label(value, CATEGORY) if isinstance(value, str) else value for value in self.values]

    def dimension(self) -> dict[str, Any]:
        """An axis of parallel coordinates: places and their names; what is missing has a place of its own."""
        if self.categories:
            ticks = {text: float(place) for place, text in enumerate(self.categories)}
            places: list[float | None] = [ticks[value] if isinstance(value, str) else None for value in self.values]
        else:
            places = [None if value is None else self._place(float(value)) for value in self.values]
            ticks = self._ticks()
        known = [place for place in places if place is not None]
        least, most = min(known, default=0.0), max(known, default=1.0)
        if least == most:
            least, most = least - 0.5, most + 0.5
        if None in places:
            least -= 0.12 * (most - least)
            ticks = {NONE: least, **ticks}
        dimension: dict[str, Any] = {
            "label": label(self.name, 24),
            "values": [least if place is None else place for place in places],
            "range": [least, most],
        }
        if ticks:
            names = [text if len(text) <= 18 else f"{text[:17]}…" for text in _few(list(ticks))]
            dimension |= {"tickvals": [ticks[text] for text in _few(list(ticks))], "ticktext": names}
        return dimension

    def _place(self, number: float) -> float:
        return math.log10(number) if self.log else number

    def _ticks(self) -> dict[str, float]:
        """The powers of ten, or the ends; none where plotly's own will do."""
        numbers = self.numbers
        if not numbers:
            return {}
        if self.log:
            least, most = math.floor(math.log10(min(numbers))), math.ceil(math.log10(max(numbers)))
            return {f"1e{power}" if abs(power) > 3 else f"{10.0**power:g}": float(power)
                    for power in range(least, most + 1)
                    if math.log10(min(numbers)) <= power <= math.log10(max(numbers))}  # fmt: skip
        if len(set(numbers)) <= MOST_TICKS // 2 or None in self.values:
            return {f"{number:g}": number for number in sorted(set(numbers))}
        return {}


def axis(name: str, texts: Sequence[str | None]) -> Axis:
    """The axis of a key, from its values as they are typed."""
    given = [text for text in texts if text is not None]
    numbers = [number(text) for text in given]
    if given and None not in numbers:
        return of_numbers(name, [None if text is None else number(text) for text in texts])
    return Axis(name, list(texts), _ordered(given), False)


def of_numbers(name: str, numbers: Sequence[float | None]) -> Axis:
    """The axis of a column of numbers."""
    known = sorted(value for value in numbers if value is not None)
    wide = bool(known) and known[0] > 0 and known[-1] / known[0] >= 10**DECADES
    log = wide and known[(len(known) - 1) // 2] <= LOW_MEDIAN * known[-1]
    return Axis(name, list(numbers), [], log)


def number(text: str) -> float | None:
    """The finite number that a text stands for; None where it stands for none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in text else None


def _ordered(texts: Sequence[str]) -> list[str]:
    """Each text once; numbers among them by their size, before words."""
    return sorted(set(texts), key=lambda text: (number(text) is None, number(text) or 0.0, text))


def _few(names: list[str]) -> list[str]:
    step = math.ceil(len(names) / MOST_TICKS)
    return names[::step]
