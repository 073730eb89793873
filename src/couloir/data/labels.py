"""Photographs whose labels stand in a table, `data.labels=labels.csv`. Nothing here imports torch."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from couloir.data.cells import Cells, Column, read_cells
from couloir.data.listing import SPLIT_NAMES, Listing, Target, Walk, composed, likeliest, split_folders, unwrapped
from couloir.data.skipped import Skipped
from couloir.errors import CouloirError, as_typed, did_you_mean

FILE_COLUMNS = (
    "file", "filename", "file_name", "filepath", "file_path", "path", "image", "image_name", "image_id", "imageid",
    "image_path", "img", "img_name", "img_path", "photo", "picture", "id", "name",
)  # fmt: skip
LABEL_COLUMNS = (
    "label", "labels", "class", "classes", "class_name", "classname", "target", "targets", "category", "categories",
    "tag", "tags", "species", "breed", "diagnosis", "dx", "y",
)  # fmt: skip
SPLIT_COLUMNS = ("split", "set", "subset", "partition", "phase")
"""What columns are usually called, in small letters; the earlier name counts where a table has several."""
SEPARATORS = ";|"
MOST_CLASSES = 20
"""Integers of more different values than this are taken for values, as in tables."""
SELDOM = 0.05
"""Where a smaller share of the photographs has several labels, that is a mistake unless the task is stated."""
NO_ROW, NO_FILE, NO_LABEL, AGAIN = (
    "without a row of labels",
    "a row without its file",
    "a row without a label",
    "a row twice",
)


@dataclass
class Row:
    """A row of the table: where it stands, its photograph, and what it says of it."""

    place: tuple[str, int]
    path: Path
    labels: list[str]
    value: float
    split: str


def usual_table(root: Path) -> str | None:
    """The name of a table of labels in a folder without class folders, where it has the usual name; else None.

    Raises:
        CouloirError: a folder cannot be read.
    """
    root, _ = unwrapped(root)
    folders, files = Walk(skip=True).top(root)
    table = next((name for name in files if name.lower() in ("labels.csv", "labels.tsv")), None)
    if table is None:
        return None
    others = [name for name in folders if name.lower() not in SPLIT_NAMES]
    train = [root / name for name in folders if SPLIT_NAMES.get(name.lower()) == "train"]
    classes = Walk(skip=True).top(train[0])[0] if train else others
    return table if len(classes) < 2 else None


def list_labelled(
    root: Path,
    table: str,
    columns: Mapping[str, Any] | None = None,
    separator: str | None = None,
    task: str | None = None,
    skip: bool = False,
) -> Listing:
    """The photographs below a root that have a row in a table, in the order of its rows.

    Args:
        root: the folder, or one in which it lies alone.
        table: the table's file, below the root, or in the folder of each split.
        columns: the names of the columns `file`, `label` (or several of zeros and ones) and `split`; those that are
            left out have usual names.
        separator: what separates several labels in a cell; None: `;` or `|` where cells have it.
        task: what the set is for, where that is stated: `classification`, `multi_label` or `regression`.
        skip: leave out rows that cannot be used, instead of refusing them.

    Raises:
        CouloirError: the table or a column is not there, a row names no photograph, or no single one; a label is
            missing; what the labels mean is not clear; a class is not in the training split.
    """
    named = _named_columns(columns or {})
    root, notes = unwrapped(root)
    walk = Walk(skip)
    tables = _tables(root, table)
    images = walk.images(root)
    walk.left_out = [entry for entry in walk.left_out if Path(entry.file) not in tables.values()]
    places = _Places(root, images)
    rows: list[Row] = []
    kinds: list[tuple[Column | None, list[str]]] = []
    for split, file in tables.items():
        cells, names = _read(file, named, skip)
        kinds.append(_rows(rows, cells, names, separator, task, places, split, walk))
    listing = _listing(root, rows, kinds, task, separator, walk, next(iter(tables.values())))
    used = {path for samples in listing.splits.values() for path, _ in samples}
    for path in images:
        if path not in used:
            walk.leave_out(str(path), NO_ROW, reason=f"has no row in {table}")
    listing.left_out, listing.notes = walk.left_out, [*notes, *listing.notes]
    return listing


def _named_columns(columns: Mapping[str, Any]) -> dict[str, list[str]]:
    for key in columns:
        if key not in ("file", "label", "split"):
            raise CouloirError(
                f"data.label_columns has no '{key}'.",
                place="it has file, label and split",
                next_step=did_you_mean(str(key), ["file", "label", "split"]) or "data.label_columns={file:NAME}",
            )
    return {
        key: [str(name) for name in (value if isinstance(value, list) else [value])] for key, value in columns.items()
    }


def _tables(root: Path, table: str) -> dict[str, Path]:
    """The table, or one in the folder of each split."""
    stated = Path(table).expanduser()
    for file in (root / stated, stated):
        if file.is_file():
            return {"": file}
    folders, files = Walk(skip=True).top(root)
    splits = split_folders(root, folders)
    found = {split: root / name / stated for split, name in splits.items() if (root / name / stated).is_file()}
    if found:
        return found
    others = likeliest(name for name in files if name.lower().endswith((".csv", ".tsv", ".txt")))
    raise CouloirError(
        f"There is no table {table} in {root}.",
        place=f"tables there: {', '.join(others[:6])}" if others else None,
        next_step=as_typed([f"data.labels={others[0]}"])
        if others
        else "data.labels=FILE.csv, with a column for files and one for labels",
    )


class _Places:
    """Finds the photographs that a table names, with or without folders and endings."""

    def __init__(self, root: Path, images: Sequence[Path]) -> None:
        self.images = images
        skip = len(os.fspath(root)) + 1
        self.relative = [composed(os.fspath(path)[skip:].replace(os.sep, "/")) for path in images]
        self.by_name: dict[str, list[int]] = {}
        for number, path in enumerate(self.relative):
            name = path.rpartition("/")[2]
            for key in {name, name.rpartition(".")[0]}:
                self.by_name.setdefault(key, []).append(number)

    def find(self, value: str, split: str) -> list[Path]:
        """The photographs that a cell may mean."""
        wanted = composed(value.replace("\\", "/").removeprefix("./"))
        numbers = self.by_name.get(wanted.rpartition("/")[2], [])
        same, stems, matching = [], [], []
        for number in numbers:
            path = self.relative[number]
            stem = path.rpartition(".")[0]
            if path == wanted:
                same.append(number)
            elif stem == wanted:
                stems.append(number)
            elif any(form.endswith(f"/{wanted}") or wanted.endswith(f"/{form}") for form in (path, stem)):
                matching.append(number)
        matching = same or stems or matching
        if split and len(matching) > 1:
            matching = [
                number
                for number in matching
                if SPLIT_NAMES.get(self.relative[number].partition("/")[0].lower()) == split
            ]
        return [self.images[number] for number in matching]


def _read(file: Path, named: Mapping[str, list[str]], skip: bool) -> tuple[Cells, dict[str, list[str]]]:
    """A table, and the names of its columns for files, labels and splits."""
    names = read_cells(str(file), skip=skip).names
    chosen = {role: list(columns) for role, columns in named.items()}
    for column in (column for columns in chosen.values() for column in columns):
        if column not in names:
            raise CouloirError(
                f"{file} has no column '{column}'.",
                place=f"columns: {', '.join(names[:20])}",
                next_step=did_you_mean(column, names),
            )
    for role, usual in {"file": FILE_COLUMNS, "split": SPLIT_COLUMNS, "label": LABEL_COLUMNS}.items():
        if role not in chosen:
            taken = {name for columns in chosen.values() for name in columns}
            by_name = {name.lower().replace(" ", "_"): name for name in reversed(names) if name not in taken}
            found = next((by_name[name] for name in usual if name in by_name), None)
            if found is not None:
                chosen[role] = [found]
    left = [name for name in names if name not in {name for columns in chosen.values() for name in columns}]
    if "file" not in chosen:
        raise _no_column(file, "file", names)
    cells = read_cells(
        str(file),
        skip=skip,
        as_text=tuple(sorted({*chosen["file"], *chosen.get("label", ()), *chosen.get("split", ())})),
    )
    if "label" not in chosen:
        marks = [column.name for column in cells.columns if column.name in left and _is_mark(column)]
        if len(left) == 1:
            return _read(file, {**chosen, "label": left}, skip)
        if len(marks) < 2 or len(marks) != len(left):
            raise _no_column(file, "label", names)
        chosen["label"] = marks
    return cells, chosen


def _no_column(file: Path, role: str, names: Sequence[str]) -> CouloirError:
    return CouloirError(
        f"It is not clear which column of {file.name} holds the {'files' if role == 'file' else 'labels'}.",
        place=f"{file}, columns: {', '.join(names[:20])}",
        next_step=as_typed([f"data.label_columns={{{role}: {names[0 if role == 'file' else -1]}}}"]),
    )


def _is_mark(column: Column) -> bool:
    """Whether every cell is zero or one."""
    return column.is_numeric and not column.missing.any() and bool(np.isin(column.numbers, (0, 1)).all())


def _rows(
    rows: list[Row],
    cells: Cells,
    names: Mapping[str, list[str]],
    separator: str | None,
    task: str | None,
    places: _Places,
    split: str,
    walk: Walk,
) -> tuple[Column | None, list[str]]:
    """Add a table's rows; returns its column of labels, where there is one, and the columns of zeros and ones."""
    by_name = {column.name: column for column in cells.columns}
    files, labels = by_name[names["file"][0]], [by_name[name] for name in names["label"]]
    splits = by_name[names["split"][0]] if "split" in names else None
    several = len(labels) > 1
    if several and not all(map(_is_mark, labels)):
        wrong = next(column for column in labels if not _is_mark(column))
        raise CouloirError(
            f"The column '{wrong.name}' is one of several of labels, and holds other cells than 0 and 1.",
            place=str(cells.files[0]),
            next_step="name one column: data.label_columns={label:NAME}",
        )
    cut = separator or _separator(labels[0], cells)
    walk.left_out += [row._replace(kind="a row of another length") for row in cells.skipped]
    for number in range(len(files.missing)):
        place = (str(cells.file_of(number)), int(cells.lines[number]))
        value = files.cell(number)
        found = places.find(value, split) if value else []
        if len(found) != 1:
            fact = f"names {value!r}, and there is no such photograph" if value else "names no file"
            if len(found) > 1:
                fact = f"names {value!r}, which may be {found[0]} or {found[1]}"
            _refuse(walk, place, "", fact, NO_FILE, "correct the row")
            continue
        text = "" if several else labels[0].cell(number)
        if several:
            words = [column.name for column in labels if column.numbers[number] == 1]
        else:
            words = [word for part in (text.split(cut) if cut else [text]) if (word := part.strip())]
            if labels[0].missing[number]:
                words = []
        if not words and not several and not cut and task != "multi_label":
            _refuse(walk, place, "", f"{value!r} has no label", NO_LABEL, "correct the row")
            continue
        mine = split if splits is None else SPLIT_NAMES.get(splits.cell(number).lower(), "")
        if splits is not None and not mine:
            raise CouloirError(
                f"The split '{splits.cell(number)}' is not one of train, val and test.",
                place=f"{place[0]}, line {place[1]}",
                next_step="correct the cell, or name another column: data.label_columns={split:NAME}",
            )
        rows.append(Row(place, found[0], words, float("nan") if several else float(labels[0].numbers[number]), mine))
    return (None, [column.name for column in labels]) if several else (labels[0], [cut] if cut else [])


def _refuse(walk: Walk, place: tuple[str, int], label: str, fact: str, kind: str, step: str) -> None:
    if not walk.skip:
        raise CouloirError(
            f"The row {fact}.",
            place=f"{place[0]}, line {place[1]}",
            next_step=f"{step}; data.on_error=skip leaves such rows out",
        )
    walk.left_out.append(Skipped("", place[0], place[1], label, fact, kind=kind))


def _separator(column: Column, cells: Cells) -> str | None:
    texts: Any = [] if column.texts is None or column.is_numeric else column.texts
    counts = {cut: sum(cut in text for text in texts) for cut in SEPARATORS}
    best = max(counts, key=lambda cut: counts[cut])
    return best if counts[best] else None


def _listing(
    root: Path,
    rows: list[Row],
    kinds: list[tuple[Column | None, list[str]]],
    task: str | None,
    separator: str | None,
    walk: Walk,
    table: Path,
) -> Listing:
    if not rows:
        raise CouloirError(f"No row of {table} can be used.", place=str(table), next_step="correct the table")
    column = kinds[0][0]
    by_file: dict[Path, list[Row]] = {}
    for row in rows:
        by_file.setdefault(row.path, []).append(row)
    for path, mine in by_file.items():
        other = next((row for row in mine if row.split != mine[0].split), None)
        if other is not None:
            raise CouloirError(
                f"{path.name} is in two splits, {mine[0].split} and {other.split}.",
                place=f"{other.place[0]}, line {other.place[1]}",
                next_step="leave one of the rows out",
            )
    numbers = np.array([row.value for row in rows])
    numeric = column is not None and not kinds[0][1] and bool(np.isfinite(numbers).all())
    values = numeric and (not np.all(numbers == np.floor(numbers)) or len(np.unique(numbers)) > MOST_CLASSES)
    if task == "regression" or (values and task not in ("classification", "multi_label")):
        return _values(root, by_file, numeric, walk, table)
    if column is not None and not kinds[0][1] and task is None:
        _refuse_unclear(column.name, rows, numbers)
    whole = numeric and bool(np.all(numbers == np.floor(numbers)))
    labels = {
        path: list(
            dict.fromkeys(str(int(row.value)) if whole and row.labels else word for row in mine for word in row.labels)
        )
        for path, mine in by_file.items()
    }
    return _classes(root, by_file, labels, kinds, task, separator, whole, walk, table)


def _refuse_unclear(column: str, rows: list[Row], numbers: NDArray[np.float64]) -> None:
    """Refuse labels that are neither values nor classes: numbers among which stand texts, or a class a photograph."""
    words = Counter(row.labels[0] for row in rows if row.labels)
    texts = np.flatnonzero(~np.isfinite(numbers))
    if len(words) > MOST_CLASSES and 0 < len(texts) < len(rows) / 2:
        row = rows[texts[0]]
        more = f", and {len(texts) - 1} more" if len(texts) > 1 else ""
        raise CouloirError(
            f"The column '{column}' holds numbers, but also {' '.join(row.labels)!r}.",
            place=f"{row.place[0]}, line {row.place[1]}{more}",
            next_step="correct the cell, or data.task=classification: each text is a class",
        )
    if len(words) > MOST_CLASSES and len(texts) and 2 * len(words) > len(rows):
        raise CouloirError(
            f"The column '{column}' has {len(words):,} different texts in {len(rows):,} rows, too many for classes.",
            place=rows[0].place[0],
            next_step="name another column with data.label_columns={label:NAME}, or data.task=classification",
        )


def _values(root: Path, by_file: dict[Path, list[Row]], numeric: bool, walk: Walk, table: Path) -> Listing:
    for path, mine in by_file.items():
        wrong = next((row for row in mine if not np.isfinite(row.value)), None)
        if wrong is not None or not numeric:
            wrong = wrong or mine[0]
            raise CouloirError(
                f"The label {' '.join(wrong.labels)!r} is not a number; a regression predicts numbers.",
                place=f"{wrong.place[0]}, line {wrong.place[1]}",
                next_step="correct the cell, or leave data.task out",
            )
        if len({row.value for row in mine}) > 1:
            raise CouloirError(
                f"{path.name} has {len(mine)} rows with different values.",
                place=f"{mine[1].place[0]}, line {mine[1].place[1]}",
                next_step="leave all but one of the rows out",
            )
        _leave_out_doubles(walk, mine)
    targets: dict[Path, Target] = {path: float(mine[0].value) for path, mine in by_file.items()}
    notes = [f"{table.name}: the labels are numbers, so this is a regression"]
    return Listing([], _by_split(root, by_file, targets), "value", notes=notes)


def _classes(
    root: Path,
    by_file: dict[Path, list[Row]],
    labels: dict[Path, list[str]],
    kinds: list[tuple[Column | None, list[str]]],
    task: str | None,
    separator: str | None,
    whole: bool,
    walk: Walk,
    table: Path,
) -> Listing:
    marks = kinds[0][1] if kinds[0][0] is None else []
    words = {word for mine in labels.values() for word in mine} | set(marks)
    classes = marks or sorted(words, key=lambda word: (int(word), word) if whole else (0, word))
    several = [path for path, mine in labels.items() if len(mine) > 1]
    one_each = all(len(mine) == 1 for mine in labels.values())
    multi = task == "multi_label" or (not one_each and task != "classification")
    if not one_each and task != "multi_label":
        rare = len(several) < SELDOM * len(labels)
        if several and (task == "classification" or (rare and separator is None and not marks)):
            row = by_file[several[0]][-1]
            raise CouloirError(
                f"{several[0].name} has several labels, {', '.join(labels[several[0]][:4])}"
                + (f", and {len(several)} of {len(labels):,} photographs have." if rare else "."),
                place=f"{row.place[0]}, line {row.place[1]}",
                next_step="correct the row, or data.task=multi_label: several labels a photograph",
            )
    if len(classes) < 2:
        raise CouloirError(
            f"All photographs have the one label '{classes[0] if classes else ''}': a classifier needs two or more.",
            place=str(table),
            next_step="name another column with data.label_columns={label:NAME}",
        )
    index = {word: label for label, word in enumerate(classes)}
    if multi:
        targets: dict[Path, Target] = {
            path: tuple(sorted(index[word] for word in mine)) for path, mine in labels.items()
        }
    else:
        bare = next((path for path, mine in labels.items() if not mine), None)
        if bare is not None:
            row = by_file[bare][0]
            raise CouloirError(
                f"{bare.name} has no label.", place=f"{row.place[0]}, line {row.place[1]}", next_step="correct the row"
            )
        targets = {path: index[mine[0]] for path, mine in labels.items()}
        for mine_ in by_file.values():
            _leave_out_doubles(walk, mine_)
    splits = _by_split(root, by_file, targets)
    if not multi:
        known = {target for _, target in splits["train"]}
        for split in splits:
            for path, target in splits[split]:
                if target not in known:
                    raise CouloirError(
                        f"The class '{classes[target]}' is in {split} but not in train.",
                        place=f"{table}: {path.name}",
                        next_step="give the training split photographs of it, or leave it out",
                    )
    note = (
        f"{table.name}: {len(classes)} classes, {'several labels a photograph' if multi else 'one label a photograph'}"
    )
    return Listing(classes, splits, "labels" if multi else "label", notes=[note])


def _leave_out_doubles(walk: Walk, rows: list[Row]) -> None:
    for row in rows[1:]:
        walk.left_out.append(
            Skipped(row.split, row.place[0], row.place[1], ";".join(row.labels), "repeats an earlier row", kind=AGAIN)
        )


def _by_split(
    root: Path, by_file: dict[Path, list[Row]], targets: dict[Path, Target]
) -> dict[str, list[tuple[Path, Any]]]:
    """Samples by split: as a column says, or tables in the splits' folders, or the folders of the photographs."""
    skip = len(os.fspath(root)) + 1
    stated = {path: mine[0].split for path, mine in by_file.items()}
    if not any(stated.values()):
        tops = {path: os.fspath(path)[skip:].replace(os.sep, "/").partition("/")[0].lower() for path in by_file}
        if all(top in SPLIT_NAMES for top in tops.values()) and "train" in {SPLIT_NAMES[top] for top in tops.values()}:
            stated = {path: SPLIT_NAMES[top] for path, top in tops.items()}
    counts = Counter(split or "train" for split in stated.values())
    if "train" not in counts:
        raise CouloirError(
            "No photograph is in the split train.", place=str(root), next_step="correct the column of splits"
        )
    splits: dict[str, list[tuple[Path, Any]]] = {name: [] for name in ("train", "val", "test") if counts[name]}
    for path in by_file:
        splits[stated[path] or "train"].append((path, targets[path]))
    return splits
