"""How the columns of a table become compact rows, and what a network takes of them. No torch here.

A table in memory has one float32 column for a number or a category (its code), and one for a date's day and each of
its cyclic parts. NaN stands for a missing value, -1 for a category that the run does not know. `couloir.data.encoding`
makes of such rows what a network takes, a batch at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from couloir.data.cells import Cells
from couloir.data.columns import Decision, Described, at, count_texts, factor, known, no_column, unit_of
from couloir.data.dates import calendar

LOSS = 1e-5
"""What float32 may change a number by, in deviations of its column, before an offset is taken off first."""
EXACT = float(1 << 24)
"""Integers up to here are exact in float32."""
SAMPLED = 10_000
"""Values that a column's spread is estimated from."""
BLOCK = 4096
CYCLES = {"month": 12.0, "weekday": 7.0, "hour": 24.0}
"""The parts of a date that come round again, and after how many steps."""
UNKNOWN = -1.0


@dataclass(frozen=True)
class Feature:
    """How a column becomes inputs of a network; plain values, which a checkpoint keeps.

    Attributes:
        name: the column's name.
        kind: `number`, `category`, `boolean` or `date`.
        offset: what is taken off in float64 before numbers become float32.
        categories: the texts by their codes; of a boolean its words, in small letters.
        form: of a date; of numbers their unit, such as `currency €`.
        cycles: the parts of a date that vary, names of `CYCLES`.
        indicator: whether an input says that the value is missing.
    """

    name: str
    kind: str
    offset: float = 0.0
    categories: list[str] = field(default_factory=list)
    form: str = ""
    cycles: list[str] = field(default_factory=list)
    indicator: bool = False

    @property
    def width(self) -> int:
        """Columns of the table in memory."""
        return 1 + len(self.cycles)

    @property
    def inputs(self) -> list[str]:
        """The names of the network's inputs."""
        if self.kind == "category":
            names = [f"{self.name}={category}" for category in self.categories]
        else:
            waves = [f"{self.name}.{cycle}.{wave}" for cycle in self.cycles for wave in ("sin", "cos")]
            names = [self.name, *waves]
        return [*names, f"{self.name}.missing"] if self.indicator else names

    def plain(self) -> dict[str, Any]:
        """Its attributes, for a checkpoint."""
        return asdict(self)


def features_of(decisions: Iterable[Decision], rows: NDArray[np.int64], indicators: bool) -> list[Feature]:
    """How the columns that are used become inputs.

    Args:
        decisions: of `decide`.
        rows: the rows that are used.
        indicators: whether a column with missing values gets an input that says so.
    """
    return [_feature(each, rows, indicators) for each in decisions if each.used]


def _feature(decision: Decision, rows: NDArray[np.int64], indicators: bool) -> Feature:
    column, missing = decision.column, at(decision.missing, rows)
    indicator = indicators and bool(missing.any())
    if decision.kind == "category":
        there = np.zeros(len(decision.missing), dtype=bool)
        there[rows] = ~missing
        return Feature(column.name, "category", categories=sorted(count_texts(column, there)), indicator=indicator)
    assert decision.values is not None
    values = at(decision.values, rows)
    if decision.kind == "boolean":
        return Feature(column.name, "boolean", categories=list(decision.words), indicator=indicator)
    if decision.kind == "number":
        return Feature(column.name, "number", offset_of(values), form=unit_of(column), indicator=indicator)
    varies = [name for name, part in calendar(values).items() if len(np.unique(part[~missing])) > 1]
    # A date with all its parts is many digits: always near zero.
    offset = float(np.floor(np.nanmedian(values))) if len(values) > missing.sum() else 0.0
    return Feature(column.name, "date", offset, form=decision.form, cycles=varies, indicator=indicator)


def offset_of(values: NDArray[np.float64]) -> float:
    """What is taken off a column before it becomes float32; 0 where float32 keeps what its values differ by.

    Integers stay exact where their range allows it. YYYYMMDD, for one, needs 25 bits, and float32 has 24.

    Args:
        values: (N,), NaN where there is none.
    """
    low, high = float(np.fmin.reduce(values)), float(np.fmax.reduce(values))
    largest = max(abs(low), abs(high))
    if low == high or np.isnan(low):
        return 0.0
    some = values[:: max(1, len(values) // SAMPLED)]
    spread = float(np.std(some[np.isfinite(some)])) if np.isfinite(some).any() else 0.0
    if largest < EXACT and largest / EXACT <= LOSS * spread:  # half of a unit in the last place, at most
        return 0.0
    values = values[np.isfinite(values)]
    lost = _lost(values)
    if lost == 0.0 or (lost <= LOSS * float(values.std()) and not bool(np.all(values == np.floor(values)))):
        return 0.0
    offset = float(np.floor(low / 2 + high / 2))
    return offset if _lost(values - offset) < lost else 0.0


def _lost(values: NDArray[np.float64]) -> float:
    return float(np.abs(values.astype(np.float32) - values).max())


def encode(features: Sequence[Feature], decisions: Sequence[Decision], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Some rows as the compact table, (N, C) float32; NaN is missing, -1 an unknown category.

    Args:
        features: what the columns become.
        decisions: what is known of the column of each.
        rows: which rows.
    """
    columns: list[tuple[NDArray[Any], float]] = []
    for feature, decision in zip(features, decisions, strict=True):
        if feature.kind == "category":
            columns.append((_codes(feature, decision, rows), 0.0))
            continue
        assert decision.values is not None
        values = at(decision.values, rows)
        columns.append((values, feature.offset))
        if feature.cycles:
            parts = calendar(values)
            columns += [(parts[cycle].astype(np.float32), 0.0) for cycle in feature.cycles]
    table = np.empty((len(rows), len(columns)), dtype=np.float32)
    for start in range(0, len(rows), BLOCK):  # a block of rows fits into the cache, a column does not
        part = slice(start, start + BLOCK)
        for place, (values, offset) in enumerate(columns):
            table[part, place] = values[part] - offset if offset else values[part]
    return table


def _codes(feature: Feature, decision: Decision, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    index = {category: float(code) for code, category in enumerate(feature.categories)}
    texts = factor(decision.column)
    codes = texts.mapped([index.get(text, UNKNOWN) for text in texts.texts], np.float32)
    codes[decision.missing] = np.nan
    return at(codes, rows)


def decided_before(features: Sequence[Feature], cells: Cells) -> list[Decision]:
    """The columns of another table as the features of a run take them.

    Raises:
        CouloirError: a column is not there.
    """
    by_name = {column.name: column for column in cells.columns}
    for feature in features:
        if feature.name not in by_name:
            raise no_column(cells, feature.name)
    return [known(by_name[each.name], each.kind, each.form, each.categories, cells) for each in features]


def texts_needed(stated: Mapping[str, str], features: Sequence[Feature] = ()) -> list[str]:
    """The columns whose cells are needed as they are written."""
    by_word = [name for name, kind in stated.items() if kind not in ("number", "identifier", "ignore")]
    return [*by_word, *(feature.name for feature in features if feature.kind != "number")]


def describe(decisions: Sequence[Decision], features: Sequence[Feature], rows: NDArray[np.int64]) -> list[Described]:
    """The columns as they are shown, in their order."""
    inputs = {feature.name: feature.inputs for feature in features}
    return [
        Described(
            each.column.name, each.kind, each.why, int(at(each.missing, rows).sum()), inputs.get(each.column.name, [])
        )
        for each in decisions
    ]


def blocks(features: Sequence[Feature]) -> list[list[int]]:
    """Where the one-hot inputs of each category begin, and how many they are."""
    found, place = [], 0
    for feature in features:
        if feature.kind == "category":
            found.append([place, len(feature.categories)])
        place += len(feature.inputs)
    return found
