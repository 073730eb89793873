"""Which columns of a table of series are dates, which are to be forecast, and which are looked at besides.

Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from couloir.data.cells import Cells, Column
from couloir.data.dates import read_dates
from couloir.data.named import ignoring
from couloir.data.sequence.parts_of_time import Cuts
from couloir.data.sequence.spacing import Days
from couloir.data.table import READING
from couloir.errors import CouloirError

PERIODS = {"hour": 24, "weekday": 7, "month": 12}
"""What `data.calendar` may name, and after how much of it the same comes again."""
YEARS = (1000, 3000)
"""Numbers that may be years."""
EPOCHS = ((1e8, 1e11, 1.0), (1e11, 1e14, 1e3))
"""Whole numbers that may be seconds since 1970, and milliseconds: from, up to, how many are a second."""
DAY = 86400.0
"""Seconds."""


@dataclass(frozen=True)
class Wanted:
    """What was stated about a table of series.

    Attributes:
        path: the file, or a folder of files with the same columns.
        date: the column of the dates; None: the first that reads as dates, if there is one.
        date_format: how its dates are written, `%d/%m/%y`, say; None: recognised.
        targets: the columns to forecast; None: all of numbers.
        covariates: further inputs; None: all other columns of numbers, where targets are stated.
        ignore: columns that are left out.
        series: the column that says which series a row belongs to; None: all rows are one.
        calendar: what the network is told of each date, of `PERIODS`.
        gaps: `refuse`, `interpolate` or `ignore`: what is done about dates and values that lack.
        cuts: where the parts of time end.
        reading: how the file is read, arguments of `read_cells`.
    """

    path: str
    date: str | None
    date_format: str | None
    targets: tuple[str, ...] | None
    covariates: tuple[str, ...] | None
    ignore: tuple[str, ...]
    series: str | None
    calendar: tuple[str, ...]
    gaps: str
    cuts: Cuts
    reading: Mapping[str, Any]

    @classmethod
    def of(cls, keys: Mapping[str, Any]) -> Wanted:
        """What the keys of a data node say.

        Raises:
            CouloirError: they do not say it in the form that they should.
        """
        named = {name: _names(keys.get(name)) for name in ("target", "covariates", "ignore", "calendar")}
        odd = [name for name in named["calendar"] or () if name not in PERIODS]
        if odd:
            raise CouloirError(
                f"data.calendar has no '{odd[0]}'.", next_step=f"any of {', '.join(PERIODS)}: data.calendar=[hour]"
            )
        if named["target"] == ():
            raise CouloirError("data.target names no column.", next_step="data.target=NAME, or leave it out")
        taken = [(name, key) for key in ("target", "covariates", "ignore") for name in named[key] or ()]
        taken += [(str(keys[key]), key) for key in ("date", "series") if keys.get(key) is not None]
        uses: dict[str, str] = {}
        for name, key in taken:
            if name in uses:
                raise CouloirError(
                    f"Column '{name}' is named by data.{uses[name]} and by data.{key}."
                    if uses[name] != key
                    else f"data.{key} names '{name}' twice.",
                    next_step="name it once",
                )
            uses[name] = key
        return cls(
            path=str(keys["path"]),
            date=None if keys.get("date") is None else str(keys["date"]),
            date_format=keys.get("date_format"),
            targets=named["target"],
            covariates=named["covariates"],
            ignore=named["ignore"] or (),
            series=None if keys.get("series") is None else str(keys["series"]),
            calendar=named["calendar"] or (),
            gaps=str(keys.get("gaps") or "refuse"),
            cuts=Cuts.of(keys),
            reading={name: keys[name] for name in READING if keys.get(name) is not None and "path" not in name},
        )


def _names(value: Any) -> tuple[str, ...] | None:
    """The columns that a key names, one or a list; None: it names none."""
    if value is None:
        return None
    return (str(value),) if isinstance(value, str | int | float) else tuple(str(name) for name in value)


def date_column(by_name: Mapping[str, Column], wanted: Wanted) -> Column | None:
    """The column of the dates: the one that is stated, or the first that reads as dates; None: there is none."""
    if wanted.date is not None:
        return by_name[wanted.date]
    used = {wanted.series, *(wanted.targets or ()), *(wanted.covariates or ())}
    for column in by_name.values():
        if column.name not in used and column.texts is not None and not column.is_numeric:
            dates = read_dates([str(text) for text in column.texts[~column.missing]])
            if dates.ambiguous is not None or (dates.mostly and bool(np.isfinite(dates.days).any())):
                return column
    return None


def days_of(column: Column, cells: Cells, form: str | None) -> Days:
    """The dates of all rows.

    Raises:
        CouloirError: one lacks or is none, or they may be read in two ways.
    """
    if column.missing.any():
        row = int(np.argmax(column.missing))
        raise CouloirError(
            f"The date '{column.name}' is empty.", place=cells.place(row), next_step="write the date, or remove the row"
        )
    texts = [column.cell(row) for row in range(len(cells.lines))]
    numbers = form is None and bool(np.all(np.isfinite(column.numbers)))
    years = numbers and _are_years(column.numbers)
    since_1970 = _since_1970(column.numbers) if numbers else None
    if since_1970 is not None:
        return since_1970
    dates = read_dates([f"{text}-01-01" for text in texts] if years else texts, form, digits=True)
    if dates.ambiguous is not None:
        raise CouloirError(
            f"The date '{dates.ambiguous}' in column '{column.name}' may be day/month or month/day, and no other date "
            "shows which.",
            place=str(cells.files[0]),
            next_step="data.date_format=%d/%m/%Y or data.date_format=%m/%d/%Y",
        )
    wrong = ~np.isfinite(dates.days)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise CouloirError(
            f"'{texts[row]}' in column '{column.name}' is no date of the form {dates.form}."
            if dates.mostly
            else f"Column '{column.name}' holds '{texts[row]}', which is no date.",
            place=cells.place(row),
            next_step="correct the cell; or data.date_format=%d.%m.%Y, as the dates are written; or data.date=COLUMN",
        )
    return dates.days


def _are_years(numbers: NDArray[np.float64]) -> bool:
    return bool(np.all((numbers == np.floor(numbers)) & (numbers >= YEARS[0]) & (numbers < YEARS[1])))


def _since_1970(numbers: NDArray[np.float64]) -> Days | None:
    """The days since 1970 of seconds or milliseconds since then; None: the numbers are neither."""
    if np.all(numbers == np.floor(numbers)):
        for least, end, second in EPOCHS:
            if np.all((numbers >= least) & (numbers < end)):
                days: Days = numbers / second / DAY
                return days
    return None


def _only_counts(column: Column) -> bool:
    """Whether numbers rise by the same step from row to row, as those of rows, years and seconds do."""
    steps = np.diff(column.numbers)
    return len(steps) > 1 and bool(np.all(steps == steps[0])) and steps[0] > 0


def value_columns(
    by_name: Mapping[str, Column], date: Column | None, cells: Cells, wanted: Wanted
) -> tuple[list[Column], list[str]]:
    """The columns of numbers, the targets first, and the names of these.

    Raises:
        CouloirError: a column that is named holds texts, one that is not named only counts, or none has numbers.
    """
    stated = [*(wanted.targets or ()), *(wanted.covariates or ())]
    for name in stated:
        if not by_name[name].is_numeric:
            raise _no_numbers(by_name[name], cells)
    aside = {wanted.series, None if date is None else date.name}
    free = [column for column in by_name.values() if column.name not in aside and column.name not in stated]
    if wanted.targets is None or wanted.covariates is None:
        odd = next((column for column in free if not column.is_numeric), None)
        if odd is not None:
            raise _no_numbers(odd, cells)
        counter = next(filter(_only_counts, free), None) if len(free) + len(stated) > 1 else None
        if counter is not None:
            name, step = counter.name, counter.numbers[1] - counter.numbers[0]
            dates = f"; data.date={name} if it is the time" if date is None else ""
            key = "target" if wanted.targets is None else "covariates"
            raise CouloirError(
                f"The numbers of column '{name}' rise by {step:g} from row to row: they count, and are no series.",
                place=cells.place(0),
                next_step=f"{ignoring(name)} leaves the column out{dates}; data.{key}=[...] names the columns to take",
            )
    targets = list(wanted.targets or (column.name for column in free))
    if wanted.covariates is not None:
        inputs = list(wanted.covariates)
    else:
        inputs = [] if wanted.targets is None else [column.name for column in free]
    if not targets:
        raise CouloirError(
            f"{cells.files[0]} has no column of numbers to forecast.",
            place=f"columns: {', '.join(cells.names[:20])}",
            next_step="name one with data.target=COLUMN",
        )
    return [by_name[name] for name in (*targets, *inputs)], targets


def _no_numbers(column: Column, cells: Cells) -> CouloirError:
    wrong = ~column.missing & ~np.isfinite(column.numbers)
    if not wrong.any():
        return CouloirError(
            f"Column '{column.name}' has no value.", place=str(cells.files[0]), next_step=ignoring(column.name)
        )
    row = int(np.argmax(wrong))
    return CouloirError(
        f"Column '{column.name}' holds '{column.cell(row)}', which is not a number; a series has numbers alone.",
        place=cells.place(row),
        next_step=f"correct the cell; {ignoring(column.name)} leaves the column out; "
        f"data.series={column.name} if it says which series a row belongs to",
    )
