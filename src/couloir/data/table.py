"""Any numeric table: a CSV file with a header, one column of which is the target."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

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
    file = Path(path).expanduser()
    if not file.is_file():
        raise CouloirError(f"There is no file {path}.", next_step="name the table with data.path=FILE.csv")
    return _read_table(file, file.stat().st_mtime_ns, target, tuple(ignore), delimiter, skip)


@lru_cache(maxsize=4)
def _read_table(
    file: Path, _changed: int, target: str, ignore: tuple[str, ...], delimiter: str | None, skip: bool
) -> Table:
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, delimiter=delimiter or _sniff(stream.readline()))
            stream.seek(0)
            # The line of a record is where it ends: a quoted cell may hold line breaks.
            rows = [(reader.line_num, row) for row in reader if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise CouloirError(f"{file} cannot be read as a table: {error}", next_step="save it as CSV in UTF-8") from error
    if not rows:
        raise CouloirError(f"{file} is empty.", next_step="name a table with a header and rows")
    names = [name.strip() for name in rows[0][1]]
    for column in (target, *ignore):
        if column not in names:
            hint = did_you_mean(column, names)
            raise CouloirError(
                f"{file} has no column '{column}'.", place=f"columns: {', '.join(names[:20])}", next_step=hint
            )
    position = names.index(target)
    used = [index for index, name in enumerate(names) if name != target and name not in ignore]
    if not used:
        raise CouloirError(f"{file} has no column besides '{target}' to learn from.")
    cells: list[str] = []
    lines: list[int] = []
    skipped: list[Skipped] = []
    features = np.empty((len(rows) - 1, len(used)), dtype=np.float32)
    for line, row in rows[1:]:
        label = row[position].strip() if len(row) == len(names) else ""
        try:
            if len(row) != len(names):
                raise CouloirError(
                    f"A row has {len(row)} cells, the header has {len(names)}.", place=f"{file}, line {line}"
                )
            features[len(cells)] = [_number(row[index], names[index], file, line) for index in used]
            cells.append(_target_cell(label, target, file, line))
            lines.append(line)
        except CouloirError as error:
            if not skip:
                raise
            skipped.append(Skipped("", str(file), line, label if _is_usable(label) else "", error.fact))
    if len(cells) < LEAST_ROWS:
        raise CouloirError(
            f"{file} has {len(cells)} {'usable ' if skipped else ''}rows below its header, too few to train on.",
            place=f"line {skipped[0].line}: {skipped[0].reason}" if skipped else None,
        )
    return Table(file, features[: len(cells)], [names[index] for index in used], cells, lines, skipped)


def _sniff(header: str) -> str:
    """The delimiter that the header holds most of."""
    return max(",;\t|", key=header.count)


def _number(cell: str, column: str, file: Path, line: int) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if abs(value) <= LARGEST:
        return value
    kind = "not a number" if math.isnan(value) else "infinite in 32 bits"
    fact = f"holds '{cell}', which is {kind}" if cell.strip() else "is empty"
    raise CouloirError(
        f"Column '{column}' {fact}.",
        place=f"{file}, line {line}",
        next_step=f"correct the cell, or leave the column out with data.ignore=[{column}]",
    )


def _target_cell(cell: str, column: str, file: Path, line: int) -> str:
    if _is_usable(cell):
        return cell
    raise CouloirError(
        f"The target '{column}' is {cell or 'empty'}.",
        place=f"{file}, line {line}",
        next_step="correct the cell or remove the row",
    )


def _is_usable(cell: str) -> bool:
    """Whether a target is text, or a number that is finite in 32 bits."""
    try:
        return abs(float(cell)) <= LARGEST
    except ValueError:
        return bool(cell)
