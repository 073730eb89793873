"""Any numeric table: a CSV file with a header, one column of which is the target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from couloir.data.cells import Cells, Column, read_cells
from couloir.data.skipped import Skipped
from couloir.errors import CouloirError, did_you_mean

if TYPE_CHECKING:
    from couloir.data.samples import Samples

MOST_CLASSES = 20
"""Integer targets with more different values than this are taken for a regression."""
LEAST_ROWS = 5
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Table:
    """A table that was read: features (N, F), the target column's cells, the rows' lines, and what was left out."""

    file: Path
    features: NDArray[np.float32]
    names: list[str]
    target: list[str]
    lines: list[int]
    skipped: list[Skipped]

    def target_numbers(self) -> NDArray[np.float64] | None:
        """The target as numbers, or None where a cell is text."""
        try:
            return np.array([float(cell) for cell in self.target])
        except ValueError:
            return None


def table(
    path: str,
    target: str,
    ignore: list[str],
    delimiter: str | None,
    task: str,
    classes: list[str],
    on_error: str = "raise",
    **keys: Any,
) -> Samples:
    """The table as `Samples`; a row's label is the place of its target in `classes`, which `inspect` finds."""
    from couloir.data.samples import Samples
    from couloir.data.source import ArraySource, Loaded

    def load() -> Loaded:
        found = read_table(path, target, ignore, delimiter, skip=on_error == "skip")
        if task == "regression":
            numbers = found.target_numbers()
            assert numbers is not None, "inspect refuses a regression on text"
            values = numbers.astype(np.float32)[:, None]
            return Loaded(ArraySource(found.features, values), skipped=found.skipped)
        index = {name: label for label, name in enumerate(classes)}
        labels = np.array([index[_class_name(cell)] for cell in found.target], dtype=np.int64)
        return Loaded(ArraySource(found.features, labels), classes=classes, skipped=found.skipped)

    return Samples(load, task=task, **keys)


def inspect(target: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Read the table and say what it is for: task, number of columns and classes.

    Raises:
        CouloirError: the file or a column is missing, a cell is not a number, the classes do not fit what was stated,
            or no row of a class can be used.
    """
    found = read_table(
        str(keys["path"]),
        str(keys["target"]),
        list(keys.get("ignore") or []),
        keys.get("delimiter"),
        skip=keys.get("on_error") == "skip",
    )
    numbers = found.target_numbers()
    task = keys.get("task") or infer_task(numbers)
    kinds = ("row", "value" if task == "regression" else "label")
    facts: dict[str, Any] = {
        "task": task, "fields": dict(zip(kinds, kinds, strict=True)), "channels": found.features.shape[1],
    }  # fmt: skip
    if task == "regression":
        if numbers is None:
            raise CouloirError(
                f"The target column '{keys['target']}' holds text; a regression predicts numbers.",
                place=str(found.file),
                next_step="leave data.task out, or name a numeric column with data.target=...",
            )
        return {**facts, "num_classes": 1, "classes": []}
    if numbers is not None and not _are_integers(numbers):
        raise CouloirError(
            f"The target column '{keys['target']}' holds fractions; classes are integers or text.",
            place=str(found.file),
            next_step="data.task=regression, or name another column with data.target=...",
        )
    classes = _settled(found, keys.get("classes")) or class_names(found, keys.get("num_classes"))
    _check_left(found)
    return {**facts, "num_classes": len(classes), "classes": classes}


def _settled(found: Table, classes: list[str] | None) -> list[str]:
    """The classes that a run's configuration has settled, where the table has no other ones; none before a run.

    Raises:
        CouloirError: the table has a class that the configuration does not know.
    """
    names = {_class_name(cell) for cell in found.target}
    if classes and (unknown := sorted(names - set(classes))):
        raise CouloirError(
            f"The class '{unknown[0]}' is not one of data.classes: {', '.join(classes[:12])}.",
            place=str(found.file),
            next_step="correct the table, or leave data.classes out: Couloir reads the classes from the table",
        )
    return list(classes or [])


def _check_left(found: Table) -> None:
    """A class does not vanish with the rows that are left out."""
    left = {_class_name(cell) for cell in found.target}
    lost = [row for row in found.skipped if row.label and _class_name(row.label) not in left]
    if lost:
        name = lost[0].label
        raise CouloirError(
            f"None of the {sum(row.label == name for row in lost)} rows of the class '{name}' can be used: "
            f"{lost[0].reason}",
            place=f"{found.file}, line {lost[0].line}",
            next_step="correct the rows, leave a column out with data.ignore=[...], or remove the class",
        )


def infer_task(numbers: NDArray[np.float64] | None) -> str:
    """`classification` for text and for integers of few different values, else `regression`."""
    few = numbers is None or (_are_integers(numbers) and len(np.unique(numbers)) <= MOST_CLASSES)
    return "classification" if few else "regression"


def _are_integers(numbers: NDArray[np.float64]) -> bool:
    return bool(np.all(numbers == np.floor(numbers)))


def _class_name(cell: str) -> str:
    """One name for a class, however its number is written: `1`, `1.0`, `01`."""
    try:
        return str(int(float(cell)))
    except ValueError:
        return cell


def class_names(found: Table, stated: int | None) -> list[str]:
    """The classes in the order of their labels.

    Integers that lie in 0..C-1, C being the stated number, keep their values as labels.

    Raises:
        CouloirError: a label outside of 0..C-1, or more classes than stated.
    """
    names = sorted({_class_name(cell) for cell in found.target}, key=_number_first)
    if stated is None:
        return names
    numbers = found.target_numbers()
    if numbers is not None:
        outside = next((row for row, value in enumerate(numbers) if not 0 <= value < stated), None)
        if outside is not None:
            raise CouloirError(
                f"Label {found.target[outside]} is outside of the {stated} classes 0..{stated - 1}.",
                place=f"{found.file}, line {found.lines[outside]}",
                next_step="correct the cell, or leave data.num_classes out: Couloir counts the classes",
            )
        return [str(label) for label in range(stated)]
    if len(names) != stated:
        raise CouloirError(
            f"There are {len(names)} classes, not {stated}: {', '.join(names[:12])}.",
            place=str(found.file),
            next_step="leave data.num_classes out: Couloir counts the classes",
        )
    return names


def _number_first(name: str) -> tuple[int, float, str]:
    try:
        return (0, float(name), name)
    except ValueError:
        return (1, 0.0, name)


def read_table(path: str, target: str, ignore: list[str], delimiter: str | None, skip: bool = False) -> Table:
    """Read a table; the same file is read once, however often it is asked for.

    Args:
        path: the file.
        target: the column to predict.
        ignore: columns to leave out.
        delimiter: what separates cells; None: what the header holds most of.
        skip: leave out rows with a cell that is empty, not a number or infinite, and those of another length.

    Raises:
        CouloirError: the file is not there or empty, a column is missing, too few rows are left, or, unless they are
            skipped, a row cannot be used.
    """
    cells = read_cells(path, delimiter=delimiter, as_text=(target,), skip=skip)
    file, names = cells.files[0], cells.names
    for name in (target, *ignore):
        if name not in names:
            hint = did_you_mean(name, names)
            raise CouloirError(
                f"{file} has no column '{name}'.", place=f"columns: {', '.join(names[:20])}", next_step=hint
            )
    used = [column for column in cells.columns if column.name != target and column.name not in ignore]
    if not used:
        raise CouloirError(f"{file} has no column besides '{target}' to learn from.")
    goal = cells.columns[names.index(target)]
    assert goal.texts is not None, "it was asked for as text"
    bad = np.array([not _is_usable(cell) for cell in goal.texts], dtype=bool)
    for column in used:
        bad |= ~(np.abs(column.numbers) <= LARGEST)
    skipped = [*cells.skipped]
    for row in np.flatnonzero(bad).tolist():
        label = goal.cell(row)
        wrong = next((column for column in used if not abs(column.numbers[row]) <= LARGEST), None)
        error = _bad_target(cells, goal, row) if wrong is None else _bad_cell(cells, wrong, row)
        if not skip:
            raise error
        line = int(cells.lines[row])
        skipped.append(Skipped("", str(file), line, label if _is_usable(label) else "", error.fact))
    skipped.sort(key=lambda row: row.line or 0)
    left = ~bad
    if left.sum() < LEAST_ROWS:
        raise CouloirError(
            f"{file} has {left.sum()} {'usable ' if skipped else ''}rows below its header, too few to train on.",
            place=f"line {skipped[0].line}: {skipped[0].reason}" if skipped else None,
        )
    features = np.empty((int(left.sum()), len(used)), dtype=np.float32)
    for position, column in enumerate(used):
        features[:, position] = column.numbers[left]
    return Table(
        file, features, [column.name for column in used], goal.texts[left].tolist(), cells.lines[left].tolist(), skipped
    )


def _bad_cell(cells: Cells, column: Column, row: int) -> CouloirError:
    cell = column.cell(row)
    kind = "infinite in 32 bits" if _is_infinite(cell) else "not a number"
    fact = f"holds '{cell}', which is {kind}" if cell else "is empty"
    return CouloirError(
        f"Column '{column.name}' {fact}.",
        place=cells.place(row),
        next_step=f"correct the cell, or leave the column out with data.ignore=[{column.name}]",
    )


def _is_infinite(cell: str) -> bool:
    try:
        return abs(float(cell)) > LARGEST
    except ValueError:
        return False


def _bad_target(cells: Cells, column: Column, row: int) -> CouloirError:
    return CouloirError(
        f"The target '{column.name}' is {column.cell(row) or 'empty'}.",
        place=cells.place(row),
        next_step="correct the cell or remove the row",
    )


def _is_usable(cell: str) -> bool:
    """Whether a target is text, or a number that is finite in 32 bits."""
    try:
        return abs(float(cell)) <= LARGEST
    except ValueError:
        return bool(cell)
