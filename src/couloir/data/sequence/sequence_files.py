"""Your own sequences of numbers, each with a class or a number: one file a sequence, or groups of rows in one table.

Nothing here imports torch at the top.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from couloir.data.cells import Cells, Column, read_cells
from couloir.data.columns import FEW, no_column
from couloir.data.named import ignoring
from couloir.data.table import READING
from couloir.data.tabular.source import SUFFIXES
from couloir.data.targets import INTEGER, by_value
from couloir.errors import CouloirError

if TYPE_CHECKING:
    from couloir.data.sequence.sequences import Sequences
    from couloir.data.source import Loaded

FILE = "file"
"""The column of a table of labels that names the files."""
CLASSIFICATION, REGRESSION = "sequence_classification", "regression"


@dataclass(frozen=True)
class Wanted:
    """What was stated about files of sequences.

    Attributes:
        path: a folder of files, or a file with groups of rows.
        target: the column of the classes or numbers, of the table with the groups or of that of labels; None: the
            folders of the files are the classes, or labels have one other column.
        group: the column whose rows of one value are a sequence; None: a file is one.
        labels: the table that says the class or the number of each file; None: there is none.
        ignore: columns that are left out.
        length: steps that a sequence is cut to; None: none is cut.
        task: what was stated; None: what the targets say.
        reading: how files are read, arguments of `read_cells`.
    """

    path: str
    target: str | None
    group: str | None
    labels: str | None
    ignore: tuple[str, ...]
    length: int | None
    task: str | None
    reading: tuple[tuple[str, Any], ...]

    @classmethod
    def of(cls, keys: Mapping[str, Any]) -> Wanted:
        """What the keys of a data node say.

        Raises:
            CouloirError: they do not go together.
        """
        names = {name: None if keys.get(name) is None else str(keys[name]) for name in ("target", "group", "labels")}
        if names["group"] is not None and names["target"] is None:
            raise CouloirError(
                "data.group says which rows are a sequence, and nothing says its class.", next_step="data.target=COLUMN"
            )
        if names["group"] is not None and names["labels"] is not None:
            raise CouloirError(
                "data.labels says the classes of files, and with data.group sequences are rows of one table.",
                next_step="data.target=COLUMN for the class of a group; leave data.labels out",
            )
        if names["target"] is not None and names["group"] is None and names["labels"] is None:
            raise CouloirError(
                f"data.target={names['target']} is a column of a table with groups, or of a table of labels.",
                next_step="data.group=COLUMN, which says the rows of a sequence; or data.labels=FILE",
            )
        words = keys.get("missing_words")
        reading = {name: keys[name] for name in READING if keys.get(name) is not None and "path" not in name}
        if words is not None:
            reading["missing_words"] = tuple(map(str, words))
        task = keys.get("task")
        return cls(
            str(keys["path"]), names["target"], names["group"], names["labels"],
            tuple(str(name) for name in keys.get("ignore") or ()), keys.get("length"),
            None if task is None else str(task), tuple(sorted(reading.items())),
        )  # fmt: skip


@dataclass(frozen=True)
class Found:
    """Sequences that were read.

    Attributes:
        place: what messages call the file or folder.
        columns: the names of what a step has, F.
        values: of each sequence, (t, F) float64.
        told: the class or the number of each, as it is written; empty where nobody says it.
        files: the file of each.
        lines: the line of each one's first row.
        notes: sentences for the console.
    """

    place: str
    columns: list[str]
    values: list[NDArray[np.float64]]
    told: list[str]
    files: list[Path]
    lines: list[int]
    notes: list[str] = field(default_factory=list)


def sequences_csv(
    path: str,
    target: str | None,
    group: str | None,
    labels: str | None,
    ignore: list[str],
    length: int | None,
    *,
    task: str,
    classes: list[str],
    delimiter: str | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
    comment: str | None = None,
    header: bool | int | None = None,
    missing_words: list[Any] | None = None,
    image_size: None = None,
    **keys: Any,
) -> Sequences:
    """The sequences of files; `keys` are those of `couloir.data.sequence.sequences.Sequences`."""
    from couloir.data.sequence.sequences import Sequences

    wanted = Wanted.of({
        "path": path, "target": target, "group": group, "labels": labels, "ignore": ignore, "length": length,
        "task": task, "delimiter": delimiter, "decimal": decimal, "encoding": encoding, "comment": comment,
        "header": header, "missing_words": missing_words,
    })  # fmt: skip
    return Sequences(lambda: _loaded(wanted, classes), task=task, **keys)


def _loaded(wanted: Wanted, classes: Sequence[str]) -> Loaded:
    from couloir.data.sequence.stretches import Stretch, Stretches
    from couloir.data.source import Loaded

    found = read_sequences(wanted)
    if classes:
        names = _class_names(found)
        targets: NDArray[Any] = np.array([list(classes).index(name) for name in names], dtype=np.int64)
    else:
        targets = np.array([[float(text)] for text in found.told], dtype=np.float64)
    one_each = len(set(found.files)) == len(found.files)
    source = Stretches({"series": Stretch.of(found.values)}, targets, found.files if one_each else None)
    lengths = [len(each) for each in found.values]
    notes = [
        *found.notes,
        f"{len(lengths):,} sequences of {min(lengths):,} to {max(lengths):,} steps; a step has {len(found.columns)} "
        f"numbers: {', '.join(found.columns[:12])}",
    ]
    facts = {"channels": found.columns, "sequences": True}
    return Loaded(source, classes=list(classes), targets=[] if classes else ["value"], notes=notes, facts=facts)


def inspect(target: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """What the sequences are: task, numbers of a step, classes.

    Raises:
        CouloirError: as `read_sequences`; or the targets are not of one kind, or of one class.
    """
    wanted = Wanted.of(keys)
    found = read_sequences(wanted)
    lengths = {len(each) for each in found.values}
    facts = {"channels": len(found.columns), "length": max(lengths)}
    task = wanted.task or (REGRESSION if _are_values(found.told) else CLASSIFICATION)
    if task == REGRESSION:
        odd = next((place for place, text in enumerate(found.told) if not _is_number(text)), None)
        if odd is not None:
            raise CouloirError(
                f"'{found.told[odd]}' is not a number, and a regression predicts numbers.",
                place=f"{found.files[odd]}, line {found.lines[odd]}",
                next_step="leave data.task out: then texts are classes",
            )
        return {**facts, "task": task, "fields": {"series": "series", "value": "value"}, "classes": [],
                "num_classes": 1}  # fmt: skip
    names = sorted(
        set(_class_names(found)), key=lambda name: (not _is_number(name), float(name) if _is_number(name) else 0, name)
    )
    if len(names) < 2:
        raise CouloirError(
            f"All sequences are of one class, '{names[0]}': there is nothing to learn.", place=found.place,
            next_step="name another column with data.target, or add sequences of another class",
        )  # fmt: skip
    return {**facts, "task": task, "fields": {"series": "series", "label": "label"}, "classes": names,
            "num_classes": len(names)}  # fmt: skip


def count(keys: Mapping[str, Any]) -> tuple[int, int | None]:
    """How many sequences folds are made of; they are in no groups."""
    return len(read_sequences(Wanted.of(keys)).values), None


def _class_names(found: Found) -> list[str]:
    """The class of each sequence; integers by their value, so that 1 and 1.0 are one."""
    integers = all(map(INTEGER.fullmatch, found.told))
    return [by_value(text) for text in found.told] if integers else found.told


def _are_values(told: Sequence[str]) -> bool:
    """Whether targets are numbers to predict, as `couloir.data.targets` has it: fractions, or many integers."""
    if not all(map(_is_number, told)):
        return False
    numbers = [float(text) for text in told]
    return any(not number.is_integer() for number in numbers) or len(set(numbers)) > FEW


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def read_sequences(wanted: Wanted) -> Found:
    """Read files of sequences; the same files are read once, however often they are asked for.

    Raises:
        CouloirError: a file or a column is not there; a cell is empty or no number; files have other columns; a file
            has no class, or a group several; there is no sequence.
    """
    path = Path(wanted.path).expanduser()
    if not path.exists():
        raise CouloirError(f"There is no file or folder {path}.", next_step="data.path=FOLDER, or data.path=FILE")
    if wanted.group is None and not path.is_dir():
        raise CouloirError(
            f"{path} is one file, and nothing says which of its rows are a sequence.",
            next_step="data.group=COLUMN data.target=COLUMN; or data.path=FOLDER, with a file for each sequence",
        )
    files = [path] if wanted.group is not None else tables_in(path)
    if wanted.labels is not None:
        files = [file for file in files if file.resolve() != Path(wanted.labels).expanduser().resolve()]
    stamps = tuple((str(file), file.stat().st_mtime_ns) for file in files if file.is_file())
    return _read(wanted, tuple(files), stamps)


@lru_cache(maxsize=4)
def _read(wanted: Wanted, files: tuple[Path, ...], stamps: tuple[tuple[str, int], ...]) -> Found:
    if wanted.group is not None:
        texts, ignored = sorted({wanted.group, str(wanted.target)}), sorted(wanted.ignore)
        return _groups(read_cells(wanted.path, as_text=texts, ignore=ignored, **dict(wanted.reading)), wanted)
    folder = Path(wanted.path).expanduser()
    if not files:
        raise CouloirError(
            f"There is no table in {folder} or its folders.",
            place=f"looked for {', '.join(f'*{each}' for each in SUFFIXES)}",
            next_step="put a file for each sequence into a folder for each class",
        )
    told = _of_folders(folder, files) if wanted.labels is None else _of_labels(folder, files, wanted)
    values, lines = [], []
    columns: list[str] = []
    for file in files:
        found, names, first = one_sequence(file, wanted, columns)
        columns = columns or names
        values.append(found)
        lines.append(first)
    return Found(str(folder), columns, values, told, list(files), lines)


def one_sequence(file: Path, wanted: Wanted, columns: Sequence[str] = ()) -> tuple[NDArray[np.float64], list[str], int]:
    """The steps of a file, (t, F), the names of its columns, and the line of the first step.

    Args:
        file: the table.
        wanted: how it is read, and what is left out.
        columns: those that it must have, in their order; empty: all.

    Raises:
        CouloirError: it has other columns, no row, or a cell that is no number.
    """
    cells = read_cells(str(file), ignore=sorted(wanted.ignore), **dict(wanted.reading))
    by_name = {column.name: column for column in cells.columns if column.name not in wanted.ignore}
    names = list(columns) or list(by_name)
    for name in names:
        if name not in by_name:
            raise no_column(cells, name, "give all files the same columns, in any order")
    more = next((name for name in by_name if name not in names), None)
    if more is not None:
        raise CouloirError(
            f"{file} has the additional column '{more}'; the others have {', '.join(names[:12])}.",
            next_step=f"{ignoring(more)}, or give all files the same columns",
        )
    if not len(cells.lines) or not names:
        raise CouloirError(f"{file} has no {'row below its header' if names else 'column of numbers'}.",
                           next_step="remove the file")  # fmt: skip
    rows = np.arange(len(cells.lines))[: wanted.length]
    return _numbers([by_name[name] for name in names], rows, cells), names, int(cells.lines[0])


def _numbers(columns: Sequence[Column], rows: NDArray[np.int64], cells: Cells) -> NDArray[np.float64]:
    """The steps of some rows, (t, F).

    Raises:
        CouloirError: a cell is empty or no number.
    """
    for column in columns:
        wrong = ~np.isfinite(column.numbers[rows])
        if wrong.any():
            row = int(rows[np.argmax(wrong)])
            told = f"'{column.cell(row)}', which is not a number" if not column.missing[row] else "empty"
            raise CouloirError(
                f"'{column.name}' is {told}; a sequence has a number at each step.",
                place=cells.place(row),
                next_step=f"correct the cell, or leave the column out with {ignoring(column.name)}",
            )
    return np.stack([column.numbers[rows] for column in columns], axis=1)


def unseen(file: Path, wanted: Wanted, columns: Sequence[str]) -> tuple[list[NDArray[np.float64]], list[int]]:
    """The sequences of a file as a run takes them: the groups of its rows, or all of them; and their first lines.

    Args:
        file: the table, which may have other columns.
        wanted: as the run was trained.
        columns: those of the training.

    Raises:
        CouloirError: a column is not there, or a cell is no number.
    """
    texts = [] if wanted.group is None else [wanted.group]
    cells = read_cells(str(file), as_text=texts, ignore=sorted(wanted.ignore), **dict(wanted.reading))
    by_name = {column.name: column for column in cells.columns}
    for name in (*columns, *texts):
        if name not in by_name:
            raise no_column(cells, name, "give the table the columns of the training")
    rows = [np.arange(len(cells.lines))] if len(cells.lines) else []
    if wanted.group is not None:
        names = np.array([by_name[wanted.group].cell(row) for row in range(len(cells.lines))])
        rows = [np.flatnonzero(names == name) for name in dict.fromkeys(names.tolist())]
    values = [_numbers([by_name[name] for name in columns], each[: wanted.length], cells) for each in rows]
    return values, [int(cells.lines[each[0]]) for each in rows]


def _groups(cells: Cells, wanted: Wanted) -> Found:
    by_name = {column.name: column for column in cells.columns if column.name not in wanted.ignore}
    for name in (wanted.group, wanted.target):
        if name is not None and name not in by_name:
            raise no_column(cells, name, "name one of these columns")
    group, target = by_name[str(wanted.group)], by_name[str(wanted.target)]
    for column, what in ((group, "group"), (target, "class")):
        if column.missing.any():
            row = int(np.argmax(column.missing))
            raise CouloirError(
                f"The {what} '{column.name}' is empty.", place=cells.place(row), next_step="write it, or remove the row"
            )
    columns = [column for name, column in by_name.items() if name not in (group.name, target.name)]
    if not columns:
        raise CouloirError(f"{cells.files[0]} has no column of numbers besides group and class.")
    names = np.array([group.cell(row) for row in range(len(cells.lines))])
    values, told, lines = [], [], []
    for name in dict.fromkeys(names.tolist()):
        rows = np.flatnonzero(names == name)
        classes = [target.cell(row) for row in rows.tolist()]
        other = next((place for place, each in enumerate(classes) if each != classes[0]), None)
        if other is not None:
            raise CouloirError(
                f"The group '{name}' has the classes '{classes[0]}' and '{classes[other]}'; a sequence has one.",
                place=cells.place(int(rows[other])),
                next_step="correct the cell, or name another column with data.target",
            )
        values.append(_numbers(columns, rows[: wanted.length], cells))
        told.append(classes[0])
        lines.append(int(cells.lines[rows[0]]))
    files = [cells.files[0]] * len(values)
    return Found(
        str(cells.files[0]), [column.name for column in columns], values, told, files, lines, list(cells.notes)
    )


def tables_in(folder: Path) -> list[Path]:
    """The tables in a folder and its folders, in the order of their names."""
    files = (file for file in folder.rglob("*") if file.is_file() and file.suffix.lower() in SUFFIXES)
    return sorted(file for file in files if not any(part.startswith(".") for part in file.relative_to(folder).parts))


def _of_folders(folder: Path, files: Sequence[Path]) -> list[str]:
    """The class of each file: the folder below the named one."""
    loose = next((file for file in files if file.parent == folder), None)
    if loose is not None:
        raise CouloirError(
            f"{loose.name} lies in no folder of a class.", place=str(folder),
            next_step="put the files of a class into a folder of its name, or data.labels=FILE",
        )  # fmt: skip
    return [file.relative_to(folder).parts[0] for file in files]


def _of_labels(folder: Path, files: Sequence[Path], wanted: Wanted) -> list[str]:
    """The class of each file, out of a table.

    Raises:
        CouloirError: it has no such columns, names a file twice or one that is not there, or does not name one.
    """
    table = read_cells(str(Path(str(wanted.labels)).expanduser()), as_text=sorted(filter(None, (FILE, wanted.target))))
    by_name = {column.name: column for column in table.columns}
    if FILE not in by_name:
        raise no_column(table, FILE, f"call the column that names the files '{FILE}'")
    others = [name for name in by_name if name != FILE]
    name = wanted.target or (others[0] if len(others) == 1 else None)
    if name is None or name not in by_name:
        raise no_column(table, name or "?", "data.target=COLUMN names the one with the classes")
    told: dict[str, str] = {}
    known = {file.relative_to(folder).as_posix() for file in files}
    for row in range(len(table.lines)):
        file, label = by_name[FILE].cell(row), by_name[name].cell(row)
        fact = None
        if file not in known:
            fact = f"There is no file {folder / file}."
        elif file in told:
            fact = f"The file {file} is named twice."
        elif by_name[name].missing[row]:
            fact = f"The class of {file} is empty."
        if fact is not None:
            raise CouloirError(fact, place=table.place(row), next_step="correct the table of labels")
        told[file] = label
    lacking = sorted(known - told.keys())
    if lacking:
        raise CouloirError(
            f"{wanted.labels} has no row for {len(lacking):,} of {len(known):,} files, such as {lacking[0]}.",
            next_step="add rows to the table of labels, or remove the files",
        )
    return [told[file.relative_to(folder).as_posix()] for file in files]
