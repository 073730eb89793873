"""Series out of a table: which columns they are, how their dates follow each other, where training, validation and test
lie in time. Nothing here imports torch.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from couloir.data.cells import Cells, Column, read_cells
from couloir.data.columns import no_column
from couloir.data.dates import calendar
from couloir.data.named import ignoring
from couloir.data.sequence.parts_of_time import Series, divided
from couloir.data.sequence.series_columns import PERIODS, Wanted, date_column, days_of, value_columns
from couloir.data.sequence.spacing import Days, Spacing, as_texts
from couloir.errors import CouloirError


@dataclass(frozen=True)
class SeriesTable:
    """Series that were read.

    Attributes:
        file: what messages call the place.
        channels: the names of what a step has: the targets first, then covariates, then what the calendar says.
        targets: the names of the K targets.
        values: (L, F) float64, the steps of one series after those of another.
        days: (L,) the dates, days since 1970; None: there are none.
        made: (L,) whether something of a step was interpolated.
        series: where each series and its parts lie among the steps.
        spacing: from one date to the next; None: there are no dates.
        notes: sentences for the console.
    """

    file: str
    channels: list[str]
    targets: list[str]
    values: NDArray[np.float64]
    days: Days | None
    made: NDArray[np.bool_]
    series: list[Series]
    spacing: Spacing | None
    notes: list[str] = field(default_factory=list)

    @property
    def season(self) -> int | None:
        """Steps of the season that the spacing of the dates suggests."""
        return None if self.spacing is None else self.spacing.season

    def training(self) -> NDArray[np.int64]:
        """The steps of the training part, all series together."""
        return np.concatenate([np.arange(each.start, each.train_end) for each in self.series])

    def naive_errors(self, season: int | None) -> list[float]:
        """The mean absolute error of the seasonal naive forecast over the training part, of each target.

        Hyndman and Koehler, 2006, Another Look at Measures of Forecast Accuracy, section 2.4. Of a series without a
        season it is that of the naive forecast.
        """
        step, count = season or 1, len(self.targets)
        total, steps = np.zeros(count), 0
        for each in self.series:
            values = self.values[each.start : each.train_end, :count]
            total += np.abs(values[step:] - values[:-step]).sum(axis=0)
            steps += max(0, len(values) - step)
        found: list[float] = (total / max(1, steps)).tolist()
        return found


_remembered: dict[str, tuple[weakref.ref[Cells], SeriesTable]] = {}
REMEMBERED = 4
"""Tables that are kept."""


def read_series(wanted: Wanted, without: str = "name one of these columns") -> SeriesTable:
    """Read a table of series; the same file is read once, however often it is asked for.

    Args:
        wanted: what was stated about it.
        without: what to do where a column is not there.

    Raises:
        CouloirError: a column is not there or no numbers; a date is out of order, doubled or lacks; a value lacks; the
            parts of time are not there.
    """
    named = [name for name in (wanted.date, wanted.series) if name is not None]
    cells = read_cells(wanted.path, as_text=sorted(named), ignore=sorted(wanted.ignore), **wanted.reading)
    key = repr(wanted)
    known, found = _remembered.get(key, (None, None))
    if known is not None and known() is cells and found is not None:
        return found
    table = _read(cells, wanted, without)
    while len(_remembered) >= REMEMBERED:
        del _remembered[next(iter(_remembered))]
    _remembered[key] = weakref.ref(cells), table
    return table


def _read(cells: Cells, wanted: Wanted, without: str) -> SeriesTable:
    if cells.splits:
        raise CouloirError(
            f"{wanted.path} has parts called {', '.join(cells.splits)}, and a series is split by time.",
            next_step="name one file with data.path=FILE, and the parts with data.split",
        )
    if not len(cells.lines):
        raise CouloirError(f"{cells.files[0]} has no row below its header.", next_step="name a table with rows")
    by_name = {column.name: column for column in cells.columns if column.name not in wanted.ignore}
    for name in (*(wanted.targets or ()), *(wanted.covariates or ()), *filter(None, (wanted.date, wanted.series))):
        if name not in by_name:
            raise no_column(cells, name, without)
    date = date_column(by_name, wanted)
    days = None if date is None else days_of(date, cells, wanted.date_format)
    if days is None and wanted.calendar:
        raise CouloirError(
            f"data.calendar tells the network about dates, and {cells.files[0]} has no column of dates.",
            next_step="data.date=COLUMN, or leave data.calendar out",
        )
    columns, targets = value_columns(by_name, date, cells, wanted)
    rows = _by_series(by_name.get(wanted.series or ""), cells)
    spacing, places = _in_order(rows, days, cells, wanted)
    return _assembled(cells, wanted, columns, targets, rows, days, spacing, places)


def _by_series(column: Column | None, cells: Cells) -> list[tuple[str, NDArray[np.int64]]]:
    """The rows of each series by its name, in the order of the file.

    Raises:
        CouloirError: a row does not say which series it belongs to.
    """
    if column is None:
        return [("", np.arange(len(cells.lines)))]
    if column.missing.any():
        row = int(np.argmax(column.missing))
        raise CouloirError(f"The series '{column.name}' is empty.", place=cells.place(row), next_step="write its name")
    texts = np.array([column.cell(row) for row in range(len(cells.lines))])
    names = list(dict.fromkeys(texts.tolist()))
    return [(name, np.flatnonzero(texts == name)) for name in names]


def _in_order(
    rows: Sequence[tuple[str, NDArray[np.int64]]], days: Days | None, cells: Cells, wanted: Wanted
) -> tuple[Spacing | None, list[NDArray[np.int64]]]:
    """The spacing of the dates, and the place of each row among the steps of its series.

    Raises:
        CouloirError: a date is out of order, doubled, between two steps, or lacks.
    """
    without = [np.arange(len(each)) for _, each in rows]
    if days is None:
        return None, without
    for name, each in rows:
        wrong = np.flatnonzero(np.diff(days[each]) <= 0)
        if len(wrong):
            before, row = each[wrong[0] : wrong[0] + 2].tolist()
            first, second = as_texts(days[[before, row]])
            of = f" of series '{name}'" if name else ""
            named = wanted.series is not None
            raise CouloirError(
                f"The date {second}{of} is there twice."
                if days[row] == days[before]
                else f"The date {second}{of} comes after {first}: the rows are not in the order of time.",
                place=cells.place(row),
                next_step=("remove one of the rows" if days[row] == days[before] else "sort the rows by their dates")
                + ("" if named else "; data.series=COLUMN if a column says which of several series a row belongs to"),
            )
    longest = max((each for _, each in rows), key=len)
    if len(longest) < 2:
        raise CouloirError(
            f"{cells.files[0]} has one date; a series has several.", next_step="name a table with more rows"
        )
    spacing = Spacing.of(days[longest])
    if wanted.gaps == "ignore":
        return spacing, without
    found = []
    for _, each in rows:
        places, odd = spacing.places(days[each])
        if odd is not None:
            row = int(each[odd])
            raise CouloirError(
                f"The dates are {spacing.in_words()}, and {as_texts(days[[row]])[0]} lies between two of them.",
                place=cells.place(row),
                next_step="correct the date; data.gaps=ignore takes row after row, whatever lies between their dates",
            )
        gap = np.flatnonzero(np.diff(places) > 1)
        if len(gap) and wanted.gaps == "refuse":
            before, row = each[gap[0] : gap[0] + 2].tolist()
            first, second = as_texts(days[[before, row]])
            lacking = int(places[gap[0] + 1] - places[gap[0]] - 1)
            more = f", and {len(gap) - 1:,} more gaps" if len(gap) > 1 else ""
            raise CouloirError(
                f"The dates are {spacing.in_words()}, and between {first} and {second} "
                f"{'1 lacks' if lacking == 1 else f'{lacking:,} lack'}.",
                place=f"{cells.place(row)}{more}",
                next_step="data.gaps=interpolate fills gaps on straight lines; data.gaps=ignore takes row after row",
            )
        found.append(places)
    return spacing, found


def _assembled(
    cells: Cells,
    wanted: Wanted,
    columns: Sequence[Column],
    targets: list[str],
    rows: Sequence[tuple[str, NDArray[np.int64]]],
    days: Days | None,
    spacing: Spacing | None,
    places: Sequence[NDArray[np.int64]],
) -> SeriesTable:
    values, dates, made, bounds, start = [], [], [], [], 0
    for (name, each), at in zip(rows, places, strict=True):
        count = int(at[-1]) + 1
        filled = np.full((count, len(columns)), np.nan)
        filled[at] = np.stack([column.numbers[each] for column in columns], axis=1)
        lacks = np.isnan(filled)
        _check_values(columns, cells, each, at, lacks, wanted.gaps)
        steps = np.arange(count)
        for place in np.flatnonzero(lacks.any(axis=0)).tolist():
            there = ~lacks[:, place]
            filled[:, place] = np.interp(steps, steps[there], filled[there, place])
        values.append(filled)
        made.append(lacks.any(axis=1))
        if days is not None and spacing is not None:
            stepped = np.empty(count)
            if count > len(at):
                stepped[1:], stepped[0] = spacing.after(float(days[each[0]]), count - 1), days[each[0]]
            stepped[at] = days[each]
            dates.append(stepped)
        bounds.append((name, start, start + count))
        start += count
    whole = np.concatenate(values)
    whole_days = np.concatenate(dates) if dates else None
    interpolated = np.concatenate(made)
    channels = [column.name for column in columns]
    if whole_days is not None and wanted.calendar:
        parts = calendar(whole_days)
        for name in wanted.calendar:
            angle = 2 * np.pi * parts[name] / PERIODS[name]
            whole = np.column_stack([whole, np.sin(angle), np.cos(angle)])
            channels += [f"{name} (sine)", f"{name} (cosine)"]
    file = cells.files[0].name if len(cells.files) == 1 else f"{cells.files[0].name} and {len(cells.files) - 1} more"
    series, told = divided(bounds, whole_days, interpolated, wanted.cuts, str(cells.files[0]))
    notes = [*_told(file, cells, bounds, whole_days, spacing, interpolated), *told]
    return SeriesTable(file, channels, targets, whole, whole_days, interpolated, series, spacing, notes)


def _check_values(
    columns: Sequence[Column],
    cells: Cells,
    rows: NDArray[np.int64],
    at: NDArray[np.int64],
    lacks: NDArray[np.bool_],
    gaps: str,
) -> None:
    """Values that lack can be interpolated, where that is wanted.

    Raises:
        CouloirError: they are not to be, or there is nothing before or behind them.
    """
    for place, column in enumerate(columns):
        gone = lacks[at, place]
        if not gone.any():
            continue
        row = int(rows[np.argmax(gone)])
        more = f", and {int(gone.sum()) - 1:,} more" if gone.sum() > 1 else ""
        if gaps != "interpolate":
            raise CouloirError(
                f"'{column.name}' is {column.cell(row) or 'empty'}, and a series has a value at each step.",
                place=f"{cells.place(row)}{more}",
                next_step="data.gaps=interpolate puts such values on straight lines between their neighbours; "
                f"{ignoring(column.name)} leaves the column out",
            )
        for end, side in ((0, "before"), (-1, "behind")):
            if gone[end]:
                row = int(rows[end])
                raise CouloirError(
                    f"'{column.name}' is {column.cell(row) or 'empty'}, and there is no value {side} it to interpolate "
                    "from.",
                    place=cells.place(row),
                    next_step="remove the row, or write a value",
                )


def _told(
    file: str,
    cells: Cells,
    bounds: Sequence[tuple[str, int, int]],
    days: Days | None,
    spacing: Spacing | None,
    made: NDArray[np.bool_],
) -> list[str]:
    noted = f" ({', '.join(cells.notes)})" if cells.notes else ""
    several = f"{len(bounds):,} series, " if len(bounds) > 1 else ""
    dates = "no dates"
    if days is not None and spacing is not None:
        first, last = as_texts(np.array([days.min(), days.max()]))
        dates = f"{spacing.in_words()}, {first} to {last}"
    notes = [f"{file}{noted}: {several}{len(made):,} steps, {dates}"]
    if made.any():
        notes.append(
            f"  {int(made.sum()):,} steps lack or have an empty cell, and lie on straight lines between others"
        )
    return notes
