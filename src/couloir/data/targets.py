"""What a table is for: the classes, labels or values of its target columns. Nothing here imports torch.

Labels are texts until every one is an integer: 1.3 and 1.7 are two classes, and 1, 1.0 and 01 are one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from couloir.data.cells import Cells, Column
from couloir.data.columns import (
    BOOLEANS,
    FEW,
    LARGEST,
    count_texts,
    factor,
    is_few_texts_a_mistake,
    is_infinite,
    refuse_cells,
    two_words,
    zero_and_one,
)
from couloir.data.features import offset_of
from couloir.errors import CouloirError

INTEGER = re.compile(r"[+-]?\d+(\.0*)?", re.ASCII)
"""An integer as people and programs write it; not 5E2, which may be a name."""
EXACT = 2.0**53
"""Integers from here on may lose digits in float64."""
OTHER = "name another column with data.target=..."


@dataclass(frozen=True)
class Target:
    """What is learned.

    Attributes:
        columns: the target columns, all of their rows.
        task: `classification`, `multi_label` or `regression`.
        why: in a few words.
        labels: of a classification, the class of each different text; empty otherwise.
    """

    columns: list[Column]
    task: str
    why: str
    labels: list[str] = field(default_factory=list)

    def names(self, rows: NDArray[np.int64]) -> list[str]:
        """The classes of some rows in the order of their labels: numbers by their value, then texts."""
        return sorted({self.labels[code] for code in factor(self.columns[0]).used(rows)}, key=_number_first)

    def codes(self, classes: Sequence[str], rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The label of some rows, (N,): the place of their class among `classes`; -1 where it is none of them."""
        index = {name: label for label, name in enumerate(classes)}
        found = factor(self.columns[0]).mapped([index.get(name, -1) for name in self.labels], np.int64)
        return found[rows]

    def values(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """The values, or the labels as zeros and ones, of some rows, (N, K): float32, or float64 where it blurs."""
        numbers = []
        for column in self.columns:
            labels = as_zero_and_one(column) if self.task == "multi_label" else None
            numbers.append((column.numbers if labels is None else labels)[rows])
        blurred = any(map(offset_of, numbers))  # they are scaled in float64 before they become float32
        return np.stack(numbers, axis=1).astype(np.float64 if blurred else np.float32)


def read_target(columns: list[Column], cells: Cells, rows: NDArray[np.int64], task: str | None) -> Target:
    """What the target columns are for, decided over all rows that are used.

    Args:
        columns: the target columns.
        cells: the table.
        rows: the rows that are used; each has a target.
        task: what was stated; None: what the columns say.

    Raises:
        CouloirError: the columns do not say what they are for, or cannot be what was stated.
    """
    if len(columns) > 1:
        return _several(columns, cells, rows, task)
    (column,) = columns
    if task == "multi_label":
        if as_zero_and_one(column) is None:
            raise not_labels(column, cells, rows)
        return Target(columns, task, "stated")
    if task == "regression":
        _check_numbers(column, cells, rows, "a regression predicts numbers", "leave data.task out, or " + OTHER)
        return Target(columns, task, _noted("stated", column))
    if task not in (None, "classification"):
        raise CouloirError(
            f"A table has no targets for the task '{task}'.",
            next_step="data.task=classification, data.task=multi_label or data.task=regression",
        )
    return _one(column, cells, rows, stated=task is not None)


def _one(column: Column, cells: Cells, rows: NDArray[np.int64], stated: bool) -> Target:
    there = _of(rows, len(column.missing))
    if _numeric(column, rows):
        numbers = column.numbers[rows]
        integers = bool(np.all(numbers == np.floor(numbers)))
        exact = bool(np.abs(numbers).max() < EXACT)
        different = len(np.unique(numbers) if exact else factor(column).used(rows))
        if not stated and (not integers or different > FEW or different == 1):
            _check_numbers(column, cells, rows, "", OTHER)
            what = "fractions" if not integers else f"integers of {different:,} values"
            if different == 1:
                what = f"always {column.cell(int(rows[0]))}: there is nothing to learn"
            return Target([column], "regression", _noted(what, column))
        why = _noted(f"integers of {different:,} values" if integers else f"{different:,} different numbers", column)
    else:
        counts = count_texts(column, there)
        if not stated and is_few_texts_a_mistake(column, counts, there):
            refuse_cells(
                column, there & ~np.isfinite(column.numbers), cells,
                "which is not a number, and most of its cells are",
                "correct the cells, or leave their rows out with data.on_error=skip; data.task=classification makes "
                "each different cell a class",
                of="The target",
            )  # fmt: skip
        why = _noted(f"{len(counts):,} different texts", column)
    labels = class_names(column, rows)
    different = len({labels[code] for code in factor(column).used(rows)})
    _check_classes(column, cells, rows, different, stated)
    return Target([column], "classification", "stated" if stated else why, labels)


def _of(rows: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    there = np.zeros(count, dtype=bool)
    there[rows] = True
    return there


def _noted(why: str, column: Column) -> str:
    return ", ".join([why, *column.notes])


def _numeric(column: Column, rows: NDArray[np.int64]) -> bool:
    return bool(np.all(np.isfinite(column.numbers[rows])))


def class_names(column: Column, rows: NDArray[np.int64]) -> list[str]:
    """The class of each different text of a column: integers by their value, everything else as it is written.

    Words such as no and yes that are written in several ways, `yes` and `Yes`, are two classes all the same.

    Args:
        column: the target.
        rows: the rows that are used; they decide.
    """
    texts = factor(column).texts
    used = [texts[code] for code in factor(column).used(rows)]
    if all(map(INTEGER.fullmatch, used)):
        return [by_value(text) for text in texts]
    words = {text.lower() for text in used}
    is_boolean = any(words <= pair for pair in BOOLEANS)
    return [text.lower() for text in texts] if is_boolean and len(words) < len(used) else texts


def in_two_cases(names: Sequence[str]) -> tuple[str, str] | None:
    """Two classes that differ only in the case of their letters."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            return other, name
    return None


def by_value(text: str) -> str:
    """The one name of an integer: of 1, 1.0 and 01; any other text as it is."""
    return str(int(text.partition(".")[0])) if INTEGER.fullmatch(text) else text


def wrong(column: Column, task: str | None, skip: bool) -> NDArray[np.bool_]:
    """(N,) the rows whose target cannot be used: it is infinite or, where rows may be skipped, text among numbers."""
    texts = factor(column)
    infinite = texts.mapped([is_infinite(text) for text in texts.texts], np.bool_)
    found = infinite & ~column.missing
    there = ~column.missing & ~found
    counts = count_texts(column, there)
    if skip and (task == "regression" or is_few_texts_a_mistake(column, counts, there)):
        found |= there & ~np.isfinite(column.numbers)
    return found


def _check_classes(column: Column, cells: Cells, rows: NDArray[np.int64], different: int, stated: bool) -> None:
    """There are several classes, and not nearly one a row."""
    count, place = len(rows), cells.place(int(rows[0]))
    if different == 1:
        raise CouloirError(
            f"The target '{column.name}' is always '{column.cell(int(rows[0]))}': there is nothing to learn.",
            place=place,
            next_step=OTHER,
        )
    if different == count or (different > FEW and different * 2 > count and not stated):
        raise CouloirError(
            f"The target '{column.name}' has {different:,} different texts in {count:,} rows: nearly each row would be "
            "a class of its own.",
            place=place,
            next_step=f"{OTHER}; the rows' names are no classes",
        )


def _check_numbers(column: Column, cells: Cells, rows: NDArray[np.int64], why: str, next_step: str) -> None:
    there = _of(rows, len(column.missing))
    texts = there & ~np.isfinite(column.numbers)
    if texts.any():
        refuse_cells(column, texts, cells, f"which is text; {why}", next_step, of="The target")
    large = there & (np.abs(column.numbers) > LARGEST)
    if large.any():
        refuse_cells(column, large, cells, "which is infinite in 32 bits", "correct the cell", of="The target")


def as_zero_and_one(column: Column) -> NDArray[np.float64] | None:
    """A column of two words such as no and yes, or of 0 and 1, as numbers; None where it is something else."""
    if bool(np.all(np.isin(column.numbers[~column.missing], (0.0, 1.0)))):
        return column.numbers
    words = two_words(column, column.missing)
    return None if words is None else zero_and_one(column, words)


def not_labels(column: Column, cells: Cells, rows: NDArray[np.int64]) -> CouloirError:
    """What is said of a column that is to hold labels, and does not."""
    return CouloirError(
        f"The target '{column.name}' is neither 0 and 1 nor two words such as no and yes.",
        place=cells.place(int(rows[0])),
        next_step="several labels a row are a column of 0 and 1 each; leave data.task out, or " + OTHER,
    )


def _several(columns: list[Column], cells: Cells, rows: NDArray[np.int64], task: str | None) -> Target:
    named = ", ".join(column.name for column in columns)
    if task == "classification":
        raise CouloirError(
            f"A classification has one target, and data.target names {len(columns)}: {named}.",
            next_step="data.task=multi_label for columns of 0 and 1, or one data.target",
        )
    others = [column for column in columns if as_zero_and_one(column) is None]
    if task == "multi_label" or (task is None and not others):
        if others:
            raise not_labels(others[0], cells, rows)
        return Target(columns, "multi_label", "0 and 1, or two words, in each column" if task is None else "stated")
    for column in columns:
        _check_numbers(
            column, cells, rows, "several targets are all numbers, or all 0 and 1 or two words",
            f"leave {column.name} out of data.target",
        )  # fmt: skip
    return Target(columns, "regression", "numbers" if task is None else "stated")


def _number_first(name: str) -> tuple[int, float, str]:
    if INTEGER.fullmatch(name):
        return (0, int(name.partition(".")[0]), name)
    if re.fullmatch(r"[+-]?\d+(\.\d+)?", name, re.ASCII):
        return (0, float(name), name)
    return (1, 0.0, name)
