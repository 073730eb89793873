"""How the dates of a series follow each other: their spacing, their gaps, their season. Nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from couloir.data.dates import MICROSECONDS

TIME, WORKDAYS, MONTHS = "time", "workdays", "months"
"""What a spacing counts: microseconds, the days from Monday to Friday, or months of the calendar."""
SHORTEST_MONTH = 28
"""Days."""
NAMES = {
    MICROSECONDS // 86_400: "every second", MICROSECONDS // 1440: "every minute", MICROSECONDS // 24: "hourly",
    MICROSECONDS: "daily", 7 * MICROSECONDS: "weekly",
}  # fmt: skip
MONTH_NAMES = {1: "monthly", 3: "quarterly", 12: "yearly"}
UNITS = (
    (MICROSECONDS, "days"), (MICROSECONDS // 24, "hours"), (MICROSECONDS // 1440, "minutes"),
    (MICROSECONDS // 86_400, "seconds"), (1, "microseconds"),
)  # fmt: skip
Days = NDArray[np.float64]
"""Days since 1970 with their fraction, (N,)."""


@dataclass(frozen=True)
class Spacing:
    """The step from one date to the next.

    Attributes:
        unit: one of `TIME`, `WORKDAYS` and `MONTHS`.
        size: microseconds, days or months.
        at_end: of months, whether each date is the last day of its month.
    """

    unit: str
    size: int
    at_end: bool = False

    @classmethod
    def of(cls, days: Days) -> Spacing:
        """The spacing that most dates have; two dates at least, ascending."""
        instants = _instants(days)
        differences = np.diff(instants.astype(np.int64))
        if differences.min() >= SHORTEST_MONTH * MICROSECONDS:
            whole, months = instants.astype("datetime64[D]"), instants.astype("datetime64[M]")
            within = instants - months.astype("datetime64[us]")
            last = bool(np.all((whole + 1).astype("datetime64[M]") > months))
            if last or bool(np.all(within == within[0])):
                return cls(MONTHS, _most_frequent(np.diff(months.astype(np.int64))), last)
        size = _most_frequent(differences)
        whole = instants.astype("datetime64[D]")
        # Two weeks without a weekend are no accident.
        if size == MICROSECONDS and len(days) >= 10 and bool(np.all(np.is_busday(whole))):
            return cls(WORKDAYS, 1)
        return cls(TIME, size)

    def places(self, days: Days) -> tuple[NDArray[np.int64], int | None]:
        """How many steps behind the first date each one is, (N,); and the first that lies between two steps, or None.

        Args:
            days: ascending.
        """
        instants = _instants(days)
        if self.unit == WORKDAYS:
            whole = instants.astype("datetime64[D]")
            odd = np.flatnonzero(~np.is_busday(whole))
            return np.busday_count(whole[0], whole).astype(np.int64), int(odd[0]) if len(odd) else None
        if self.unit == MONTHS:
            numbers = instants.astype("datetime64[M]").astype(np.int64)
        else:
            numbers = instants.astype(np.int64)
        places, rest = np.divmod(numbers - numbers[0], self.size)
        odd = np.flatnonzero(rest)
        return places, int(odd[0]) if len(odd) else None

    def after(self, day: float, count: int) -> Days:
        """The `count` dates that follow a date."""
        (instant,) = _instants(np.array([day]))
        steps = np.arange(1, count + 1)
        if self.unit == WORKDAYS:
            whole = instant.astype("datetime64[D]")
            dates = np.busday_offset(whole, steps).astype("datetime64[us]") + (instant - whole)
        elif self.unit == MONTHS:
            month = instant.astype("datetime64[M]")
            within = instant - month.astype("datetime64[us]")
            dates = (month + steps * self.size).astype("datetime64[us]") + within
            if self.at_end:
                clock = instant - instant.astype("datetime64[D]")
                ends = (month + steps * self.size + 1).astype("datetime64[D]") - 1
                dates = ends.astype("datetime64[us]") + clock
        else:
            dates = instant + (steps * self.size).astype("timedelta64[us]")
        found: Days = dates.astype(np.int64) / MICROSECONDS
        return found

    @property
    def season(self) -> int | None:
        """Steps of the season that such data most often has: a day, a week, a year; None: nothing is known of one.

        It is the day of what comes several times a day, the week of what comes daily, and else the year.
        """
        if self.unit == WORKDAYS:
            return 5
        if self.unit == MONTHS:
            return _parts(12, self.size)
        if self.size < MICROSECONDS:
            return _parts(MICROSECONDS, self.size)
        if self.size == 7 * MICROSECONDS:
            return 52
        return _parts(7 * MICROSECONDS, self.size)

    def in_words(self) -> str:
        """Such as `hourly`, or `every 15 minutes`."""
        if self.unit == WORKDAYS:
            return "every day from Monday to Friday"
        if self.unit == MONTHS:
            return MONTH_NAMES.get(self.size, f"every {self.size} months")
        if self.size in NAMES:
            return NAMES[self.size]
        size, unit = next((size, unit) for size, unit in UNITS if self.size % size == 0)
        return f"every {self.size // size:,} {unit}"


def as_texts(days: Days) -> list[str]:
    """Dates as people read them, with the time of the day where one of them has one."""
    instants = _instants(days)
    if bool(np.all(instants == instants.astype("datetime64[D]"))):
        return [str(day) for day in instants.astype("datetime64[D]")]
    unit = "s" if bool(np.all(instants == instants.astype("datetime64[s]"))) else "us"
    return [str(instant).replace("T", " ") for instant in instants.astype(f"datetime64[{unit}]")]


def _instants(days: Days) -> NDArray[np.datetime64]:
    return np.rint(days * MICROSECONDS).astype("datetime64[us]")


def _most_frequent(values: NDArray[Any]) -> int:
    """Of several that are as frequent, the least."""
    different, counts = np.unique(values, return_counts=True)
    return int(different[np.argmax(counts)])


def _parts(whole: int, size: int) -> int | None:
    count, rest = divmod(whole, size)
    return count if rest == 0 and count > 1 else None
