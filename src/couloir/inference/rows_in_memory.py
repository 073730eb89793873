"""Rows that are in memory, as a finished run takes them: mappings, columns by name, frames of whatever library."""

from __future__ import annotations

import csv
import datetime
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from couloir.data.features import Feature
from couloir.data.unseen import InMemory, RowsWanted, rows_of
from couloir.errors import CouloirError

WRITTEN = {
    "YYYYMMDD": "%Y%m%d", "day.month.year": "%d.%m.%Y", "day/month/year": "%d/%m/%Y", "month/day/year": "%m/%d/%Y",
    "day month year": "%d %B %Y", "year-month-day": "%Y-%m-%d",
}  # fmt: skip
"""How a date of a form of `couloir.data.dates` is written."""
ROW = "couloir row"
"""A column without a meaning, so that a row of gaps is no empty line."""


def is_column(value: Any) -> bool:
    """Whether a value of a mapping is a column, and not one cell."""
    return hasattr(value, "__len__") and not isinstance(value, str | bytes) and getattr(value, "ndim", 1) > 0


def columns_of(samples: Any) -> dict[str, list[Any]] | None:
    """The columns of a mapping of columns, or of a DataFrame of whatever library; None of anything else.

    Raises:
        CouloirError: the columns of a mapping have different lengths.
    """
    if hasattr(samples, "to_pydict"):  # an Arrow table
        samples = samples.to_pydict()
    if isinstance(samples, Mapping):
        counts = {str(name): len(values) if is_column(values) else None for name, values in samples.items()}
        if len(set(counts.values())) > 1:
            told = ", ".join(f"{name}: {'one value' if count is None else count}" for name, count in counts.items())
            raise CouloirError(
                f"The columns have different lengths: {told}.",
                next_step="give one row, a value for each column, or as many values in each",
            )
        return {str(name): list(values) for name, values in samples.items()}
    if hasattr(samples, "columns") and hasattr(samples, "__getitem__"):
        return {str(name): list(samples[name]) for name in samples.columns}
    return None


def table_of(
    rows: Sequence[Mapping[Any, Any]], names: list[str], features: Mapping[str, Feature], wanted: RowsWanted
) -> tuple[InMemory, list[str]]:
    """Rows, by way of a file, since cells mean the same wherever they come from; and what a run does not know."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.csv"
        with file.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow([*names, *([ROW] if features else [])])
            for number, row in enumerate(rows):
                by_name = {str(name): value for name, value in row.items()}
                cells = [_cell(by_name.get(name), features.get(name)) for name in names]
                writer.writerow([*cells, *([str(number)] if features else [])])
        reading = {"delimiter": ",", "decimal": ".", "encoding": "utf-8", "header": True, "comment": None}
        try:
            samples, notes = rows_of(file, wanted, **reading)
        except CouloirError as error:
            place = None if error.place is None else error.place.replace(str(file), "the rows")
            place = (
                None if place is None else re.sub(r", line (\d+)", lambda found: f", row {int(found[1]) - 1}", place)
            )
            fact = error.fact.replace(str(file), "The table of the rows")
            raise CouloirError(fact, place=place, next_step="correct the value, or leave the row out") from error
    if len(samples) != len(rows):
        left_out = samples.skipped[0]
        raise CouloirError(left_out.reason, place=f"the rows, row {(left_out.line or 1) - 1}")
    return samples, notes


def _cell(value: Any, feature: Feature | None) -> str:
    """A value as a table has it: gaps empty, numbers in full, yes and no in the words of the training."""
    if value is None or str(value) in ("nan", "NaT", "<NA>"):
        return ""
    kind = "" if feature is None else feature.kind
    if (
        feature is not None
        and kind == "boolean"
        and isinstance(value, bool | np.bool_)
        and len(feature.categories) == 2
    ):
        return feature.categories[int(value)]
    if isinstance(value, np.datetime64):
        value = value.astype("datetime64[us]").item()
    if isinstance(value, datetime.date):
        form = WRITTEN.get("" if feature is None else feature.form, "" if feature is None else feature.form)
        midnight = not isinstance(value, datetime.datetime) or value.time() == datetime.time()
        return value.strftime(form or "%Y-%m-%d") + ("" if midnight else value.strftime(" %H:%M:%S"))
    if isinstance(value, bool | np.bool_):
        return str(int(value)) if kind == "number" else str(value)
    if isinstance(value, float | np.floating):
        text = repr(float(value)) if isinstance(value, float) else str(value)
        whole = text.removesuffix(".0")
        return whole if feature is not None and kind == "category" and text not in feature.categories else text
    return str(value)
