"""The columns of a table: what each one is, its values in numbers, and how it goes together with the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from couloir.data.columns import Described
from couloir.data.features import Feature
from couloir.data.samples import Samples
from couloir.data.source import CHUNK
from couloir.inspect.dataset.numbers import (
    Numbers,
    correlation_ratio,
    correlations,
    cramers_v,
    crossed,
    measures,
)  # fmt: skip
from couloir.inspect.dataset.targets import as_columns, value_names

FREQUENT = 20
"""Categories of a column that are counted by name, the most frequent ones."""
CODES = 20
"""Different numbers up to which a column of them is compared with the target as categories, too."""
COMPARED = 200
"""Columns of numbers at most that are compared with each other."""
CELLS = 20_000_000
"""Numbers at most that are held at once to compare columns with each other."""
LEAK = 0.999
"""A column that goes together with the target more closely than this is likely to be made from it."""


@dataclass(frozen=True)
class Seen:
    """One column over all rows that are used, N of them.

    Attributes:
        name: its name.
        kind: what it is taken for: `number`, `category`, `boolean`, `date`, `identifier`, `ignore` or `target`.
        why: in a few words.
        numbers: (N,), NaN where there is no value, of a date days since 1970; None where it holds no numbers.
        codes: (N,) of a category, the places of its values among `words`, -1 where there is none; None for numbers.
        words: the categories' names.
        gaps: the rows without a value, of a column that the network does not see.
    """

    name: str
    kind: str
    why: str
    numbers: Numbers | None
    codes: NDArray[np.int64] | None = None
    words: list[str] = field(default_factory=list)
    gaps: int = 0

    @property
    def used(self) -> bool:
        """Whether the network sees it."""
        return self.numbers is not None or self.codes is not None

    @property
    def missing(self) -> NDArray[np.bool_]:
        """(N,) the rows without a value."""
        if self.codes is not None:
            return self.codes < 0
        assert self.numbers is not None
        return ~np.isfinite(self.numbers)

    def facts(self) -> dict[str, Any]:
        """The column in numbers."""
        told: dict[str, Any] = {"name": self.name, "kind": self.kind, "why": self.why, "used": self.used}
        if not self.used:
            return told | {"missing": self.gaps, "distinct": None}
        missing = self.missing
        told |= {"missing": int(missing.sum())}
        if self.codes is not None:
            counts = np.bincount(self.codes[~missing], minlength=len(self.words))
            order = np.argsort(-counts, kind="stable")[:FREQUENT].tolist()
            told |= {"distinct": int((counts > 0).sum())}
            told |= {"frequent": [{"value": self.words[at], "count": int(counts[at])} for at in order if counts[at]]}
        else:
            assert self.numbers is not None
            told |= {"distinct": len(np.unique(self.numbers[~missing])), **measures(self.numbers)}
            if self.kind == "date" and told["min"] is not None:
                told |= {"first": _day(told["min"]), "last": _day(told["max"])}
        return told


def _day(days: float) -> str:
    """A day as year, month and day."""
    return str(np.datetime64(int(np.floor(days)), "D"))


@dataclass(frozen=True)
class Target:
    """What is learned from the columns, over the same rows.

    Attributes:
        name: its name.
        classes: (N,) the classes' numbers; None for values.
        values: (N, K) values; None for classes.
        names: the classes' or the values' names.
    """

    name: str
    classes: NDArray[np.int64] | None
    values: Numbers | None
    names: list[str]


def columns_of(data: Samples) -> list[Seen]:
    """The columns of a table over all splits, one after the other, in the order of the file."""
    rows = np.concatenate([_rows(split.source, split.indices) for split in data.splits.values()])
    if data.encoding is None:
        named = [each for each in data.columns if each.inputs]
        if len(named) != rows.shape[1]:
            named = [Described(f"column {at + 1}", "number", "", 0) for at in range(rows.shape[1])]
        found = {each.name: Seen(each.name, "number", each.why, rows[:, at].astype(np.float64))
                 for at, each in enumerate(named)}  # fmt: skip
    else:
        why = {each.name: each.why for each in data.columns}
        found, place = {}, 0
        for feature in data.encoding.features:
            found[feature.name] = _seen(feature, why.get(feature.name, ""), rows[:, place].astype(np.float64))
            place += feature.width
    rest = {each.name: Seen(each.name, each.kind, each.why, None, gaps=each.missing) for each in data.columns}
    return list((rest | found).values())


def _seen(feature: Feature, why: str, values: Numbers) -> Seen:
    """A column by what stands for it in memory."""
    if feature.kind in ("category", "boolean"):
        codes = np.where(np.isnan(values), -1.0, values).astype(np.int64)
        return Seen(feature.name, feature.kind, why, None, codes, feature.categories)
    return Seen(feature.name, feature.kind, why, values + feature.offset)


def _rows(source: Any, indices: NDArray[np.int64]) -> NDArray[Any]:
    parts = [source.fetch(torch.from_numpy(indices[at : at + CHUNK])).cpu() for at in range(0, len(indices), CHUNK)]
    found: NDArray[Any] = torch.cat(parts).numpy()
    return found.reshape(len(indices), -1)


def target_of(data: Samples) -> Target | None:
    """What is learned, over all splits, one after the other; None where it is neither a class nor values."""
    targets = np.concatenate([split.targets for split in data.splits.values()])
    if data.kind == "label":
        labels = targets.astype(np.int64)
        number = max(data.num_classes or 0, int(labels.max()) + 1)
        names = [data.classes[at] if at < len(data.classes) else str(at) for at in range(number)]
        return Target(data.target, labels, None, names)
    if data.kind == "value" and data.target != data.input:
        columns = as_columns(targets)
        return Target(data.target, None, columns, value_names(data, columns.shape[1]))
    return None


def with_target(column: Seen, target: Target) -> dict[str, Any] | None:
    """How closely a column goes together with the target: the measure, its value in [-1, 1], and of which value.

    Numbers with values: Pearson's correlation; numbers with classes, and categories with values: the correlation
    ratio; categories with classes: Cramér's V. None where it cannot be told.
    """
    if not column.used:
        return None
    there = ~column.missing
    found: list[tuple[float, str]] = []
    if target.classes is not None:
        classes = target.classes[there]
        if column.codes is not None:
            measure, found = "Cramér's V", [(cramers_v(column.codes[there], classes), "")]
        else:
            assert column.numbers is not None
            measure, found = "correlation ratio", [(correlation_ratio(classes, column.numbers[there]), "")]
    else:
        assert target.values is not None
        for name, values in zip(target.names, target.values.T, strict=True):
            if column.codes is not None:
                measure, value = "correlation ratio", correlation_ratio(column.codes[there], values[there])
            else:
                assert column.numbers is not None
                pair = np.stack([column.numbers, values], axis=1)
                measure, value = "correlation", float(correlations(pair)[0, 1])
            found.append((value, name))
    known = [entry for entry in found if np.isfinite(entry[0])]
    if not known:
        return None
    value, of = max(known, key=lambda entry: abs(entry[0]))
    return {"measure": measure, "value": value, "with": of or target.name}


def determines(column: Seen, target: Target) -> bool:
    """Whether a column's category, or one of few numbers, says the class of each row, and each comes twice or more."""
    if target.classes is None or not column.used:
        return False
    there = ~column.missing
    codes = column.codes
    if codes is None:
        assert column.numbers is not None
        different, inverse = np.unique(column.numbers[there], return_inverse=True)
        if len(different) > CODES:
            return False
        codes = inverse.reshape(-1)
    else:
        codes = codes[there]
    if not len(codes) or not bool(there.all()):
        return False
    table = crossed(codes.astype(np.int64), target.classes[there])
    table = table[table.sum(axis=1) > 0]
    several = int((table.sum(axis=0) > 0).sum()) > 1
    return several and 2 * len(table) <= len(codes) and bool(np.all((table > 0).sum(axis=1) == 1))


def compared(columns: Sequence[Seen], target: Target | None) -> dict[str, Any] | None:
    """The correlations of the columns of numbers with each other and with the values to predict; None: there are none.

    Numbers that do not vary have none: null. Of a large table some rows are compared, evenly spaced.
    """
    chosen = [column for column in columns if column.numbers is not None][:COMPARED]
    names, numbers = [column.name for column in chosen], [column.numbers for column in chosen]
    if target is not None and target.values is not None:
        names += target.names
        numbers += list(target.values.T)
    if len(names) < 2:
        return None
    filled = [each for each in numbers if each is not None]
    step = max(1, -(-len(filled[0]) * len(filled) // CELLS))
    matrix = correlations(np.stack([each[::step] for each in filled], axis=1))
    told = [[_told(value) for value in row] for row in matrix.tolist()]
    return {"names": names, "rows": len(filled[0][::step]), "matrix": told}


def _told(value: float) -> float | None:
    return value if np.isfinite(value) else None
