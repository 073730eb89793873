"""Your own table: its columns, as `couloir.data.columns` takes them, and one or several of them to predict."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from couloir.data import targets
from couloir.data.cells import Cells, Column, read_cells
from couloir.data.columns import (
    Decision,
    Described,
    decide,
    in_words,
    is_infinite,
    no_column,
    reason,
)
from couloir.data.features import UNKNOWN, Feature, blocks, decided_before, describe, encode, features_of, texts_needed
from couloir.data.groups import counted
from couloir.data.named import ignoring, stated_kinds, stating
from couloir.data.skipped import Skipped
from couloir.data.targets import Target, read_target
from couloir.errors import CouloirError
from couloir.log import say

if TYPE_CHECKING:
    from couloir.data.samples import Samples
    from couloir.data.source import Loaded

LEAST_ROWS = 5
TASK_OF = {"category": "classification", "boolean": "classification", "number": "regression"}
"""What a target is for that `data.columns` names."""
READING = ("val_path", "test_path", "delimiter", "decimal", "encoding", "comment", "header", "missing_words")
"""Keys that say how a file is read: arguments of `read_cells`."""
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Wanted:
    """What was stated about a table.

    Attributes:
        path: the file.
        targets: the columns to predict.
        columns: the kinds of columns that are stated.
        missing: `refuse`, `impute` or `drop`.
        indicators: whether columns with missing values get an input that says so.
        skip: whether rows that cannot be used are left out.
        task: the task, None: what the target says.
        group: the column whose rows of one value stay in one split; None: each row may go anywhere.
        reading: how the file is read, arguments of `read_cells`.
    """

    path: str
    targets: tuple[str, ...]
    columns: Mapping[str, str]
    missing: str
    indicators: bool
    skip: bool
    task: str | None
    group: str | None
    reading: Mapping[str, Any]

    @classmethod
    def of(cls, keys: Mapping[str, Any]) -> Wanted:
        """What the keys of a data node say.

        Raises:
            CouloirError: they do not say it in the form that they should.
        """
        target, stated, skip = keys["target"], stated_kinds(keys.get("columns")), keys.get("on_error") == "skip"
        numbered = keys.get("header") is False  # the columns are called c1, c2, ...: c2 is 2 as well

        def named(name: object) -> str:
            return f"c{name}" if numbered and str(name).isdecimal() else str(name)

        names = [named(name) for name in ([target] if isinstance(target, str | int | float) else target)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if not names or twice is not None:
            raise CouloirError(
                "data.target names no column." if not names else f"data.target names '{twice}' twice.",
                next_step="data.target=NAME, or data.target=[NAME,NAME] for several",
            )
        columns = {named(name): kind for name, kind in stated.items()}
        group = None if keys.get("group") is None else named(keys["group"])
        if group is not None and (group in names or columns.get(group, "ignore") not in ("ignore", "identifier")):
            use = "data.target predicts it" if group in names else f"data.columns makes it a {columns[group]}"
            raise CouloirError(
                f"data.group={group} says which rows belong together, and {use}.",
                next_step="use a column for one of them",
            )
        ignored = [*map(named, keys.get("ignore") or ()), *([] if group is None else [group])]
        columns |= dict.fromkeys(ignored, "ignore")
        odd = next((name for name in names if columns.get(name, "number") not in TASK_OF), None)
        if odd is not None:
            raise CouloirError(
                f"'{odd}' is the target, and {columns[odd]} by data.ignore or data.columns.",
                next_step="a target is a number, a category or a boolean; or name another column with data.target=...",
            )
        task = keys.get("task") or next(
            (TASK_OF[columns[name]] for name in names if columns.get(name) in TASK_OF), None
        )
        return cls(
            path=str(keys["path"]),
            targets=tuple(names),
            columns=columns,
            missing=keys.get("missing") or ("drop" if skip else "impute"),
            indicators=bool(keys.get("missing_indicator")),
            skip=skip,
            task=task if task is None or len(names) == 1 else keys.get("task"),
            group=group,
            reading={name: keys[name] for name in READING if keys.get(name) is not None},
        )


@dataclass(frozen=True)
class Table:
    """A table that was read.

    Attributes:
        cells: where its rows stand.
        rows: the rows that are used, N of their numbers.
        features: what the columns become.
        compact: the columns in memory, (N, C).
        target: what is learned.
        described: all columns, as they are shown.
        skipped: the rows that are left out.
        groups: of the rows that are used, (N,); None: there are none.
    """

    cells: Cells
    rows: Rows
    features: list[Feature]
    compact: NDArray[np.float32]
    target: Target
    described: list[Described]
    skipped: list[Skipped]
    groups: NDArray[Any] | None = None

    def groups_by_split(self) -> dict[str, NDArray[Any]]:
        """The groups of the rows of each split that there is; empty where there are none."""
        return {} if self.groups is None else {name: self.groups[part] for name, part in _splits(self).items()}


def table(
    path: str,
    target: str | list[str],
    ignore: list[str],
    delimiter: str | None = None,
    *,
    task: str,
    classes: list[str],
    columns: Mapping[str, str] | None = None,
    missing: str | None = None,
    missing_indicator: bool = False,
    on_error: str = "raise",
    group: str | None = None,
    categories: list[list[int]] | None = None,
    val_path: str | None = None,
    test_path: str | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
    comment: str | None = None,
    header: bool | int | None = None,
    missing_words: list[Any] | None = None,
    **keys: Any,
) -> Samples:
    """The table as `Samples`; a row's label is the place of its target in `classes`, which `inspect` finds.

    `categories`, where the one-hot inputs of each category are, is for the model.
    """
    from couloir.data.samples import Samples

    wanted = Wanted.of({
        "path": path, "target": target, "ignore": ignore, "delimiter": delimiter, "task": task, "columns": columns,
        "missing": missing, "missing_indicator": missing_indicator, "on_error": on_error, "group": group,
        "val_path": val_path, "test_path": test_path, "decimal": decimal, "encoding": encoding, "comment": comment,
        "header": header, "missing_words": missing_words,
    })  # fmt: skip
    return Samples(_Load(wanted, classes), task=task, **keys)


class _Load:
    """Reads the table, when it is called.

    Args:
        wanted: what was stated.
        classes: the names of the classes, in the order of their labels.
    """

    def __init__(self, wanted: Wanted, classes: list[str]) -> None:
        self.wanted, self.classes = wanted, classes
        self.state: Sequence[Mapping[str, Any]] | None = None

    def as_before(self, statistics: Mapping[str, Any]) -> None:
        """Take the columns as a run has taken them: its categories, its offsets, what stands for missing values.

        Args:
            statistics: of a checkpoint of the run.
        """
        self.state = statistics.get("columns")

    def __call__(self) -> Loaded:
        """The rows of the splits that there are, and what they mean."""
        from couloir.data.encoding import Encoding
        from couloir.data.source import ArraySource, Loaded

        state = self.state
        before = None if state is None else Encoding.of_plain(state)
        found = read_table(self.wanted, None if before is None else before.features)
        if before is not None:
            for line in unknown_categories(found):
                say.warning("%s", f"warning: {line}")
        gaps = bool(np.isnan(found.compact).any())
        encoding = Encoding(found.features, None if before is None else before.fills, gaps)
        target, names = found.target, list(self.wanted.targets)
        labelled = target.task == "classification"
        y = target.codes(self.classes, found.rows) if labelled else target.values(found.rows)
        if labelled and (y < 0).any():  # only a run's classes are settled before its table is read
            row = int(found.rows[np.argmax(y < 0)])
            raise CouloirError(
                f"The class '{target.columns[0].cell(row)}' is none of the run's: {', '.join(self.classes[:12])}.",
                place=found.cells.place(row),
                next_step="correct the cell or remove the row; a new class needs a new training",
            )
        splits = _splits(found)
        sources = {}
        for name, part in splits.items():
            sources[name] = ArraySource(found.compact[part], y[part])
            sources[name].lines = found.cells.lines[found.rows[part]]
        return Loaded(
            sources["train"],
            val=sources.get("val"),
            test=sources.get("test"),
            groups=found.groups_by_split().get("train"),
            classes=self.classes if labelled else names if target.task == "multi_label" else [],
            skipped=found.skipped,
            targets=names if target.task == "regression" else [],
            encoding=encoding,
            columns=found.described,
            notes=list(in_sentences(found, self.wanted)),
        )


def unknown_categories(found: Table) -> Iterator[str]:
    """A sentence for each category column with texts that the run does not know."""
    place = 0
    for feature in found.features:
        unknown = np.flatnonzero(found.compact[:, place] == UNKNOWN)
        if feature.kind == "category" and len(unknown):
            column = next(column for column in found.cells.columns if column.name == feature.name)
            yield (
                f"{len(unknown):,} of {len(found.rows):,} rows have a '{feature.name}' that the run does not know, for "
                f"example '{column.cell(int(found.rows[unknown[0]]))}': they count as none of its categories"
            )
        place += feature.width


def _splits(found: Table) -> dict[str, slice]:
    """The rows of each split among those that are used, where files say so; else all are to train."""
    if not found.cells.splits:
        return {"train": slice(None)}
    bounds = {name: (part.start, part.stop) for name, part in found.cells.splits.items()}
    return {name: slice(*np.searchsorted(found.rows, bound).tolist()) for name, bound in bounds.items()}


def inspect(target: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Read the table and say what it is for: task, number of inputs and classes.

    Raises:
        CouloirError: the file or a column is missing, a cell is not of its column's kind, the target does not say what
            it is for, the classes do not fit what was stated, or no row of a class can be used.
    """
    wanted = Wanted.of(keys)
    found = read_table(wanted)
    task = found.target.task
    kinds = ("row", {"regression": "value", "multi_label": "labels"}.get(task, "label"))
    facts: dict[str, Any] = {
        "task": task, "fields": dict(zip(kinds, kinds, strict=True)),
        "channels": sum(len(feature.inputs) for feature in found.features), "categories": blocks(found.features),
    }  # fmt: skip
    if task != "classification":
        names = list(wanted.targets)
        return {**facts, "num_classes": len(names), "classes": names if task == "multi_label" else []}
    classes = settled(found, keys.get("classes")) or class_names(found, keys.get("num_classes"))
    _check_left(found)
    return {**facts, "num_classes": len(classes), "classes": classes}


def count(keys: Mapping[str, Any]) -> tuple[int, int | None]:
    """How many rows folds are made of, and how many groups these are in; None: there are no groups.

    Raises:
        CouloirError: a group is in two splits.
    """
    found = read_table(Wanted.of(keys))
    groups = counted(found.groups_by_split(), keys.get("folds") is not None, str(keys["path"]))
    return len(found.rows[_splits(found)["train"]]), groups


def columns_of(keys: Mapping[str, Any]) -> list[Described]:
    """What each column of a table is, for whoever shows it without training.

    Args:
        keys: of the data node, as `inspect` takes them.
    """
    return read_table(Wanted.of(keys)).described


def read_table(wanted: Wanted, features: Sequence[Feature] | None = None) -> Table:
    """Read a table; the same file is read once, however often it is asked for.

    Args:
        wanted: what was stated.
        features: how a run has taken the columns; None: as they are.

    Raises:
        CouloirError: the file is not there or empty, a column is missing, too few rows are left, or, unless they are
            skipped, a row cannot be used.
    """
    as_text = [
        *wanted.targets,
        *([] if wanted.group is None else [wanted.group]),
        *texts_needed(wanted.columns, features or ()),
    ]
    unread = sorted(name for name, kind in wanted.columns.items() if kind == "ignore" and name != wanted.group)
    cells = read_cells(wanted.path, as_text=sorted({*as_text}), ignore=unread, skip=wanted.skip, **wanted.reading)
    stated, unstated = repr((wanted, features)), repr((replace(wanted, task=None), features))
    for key in (unstated, stated):  # what the check has read before the task was settled is the same table
        known, found = _remembered.get(key, (None, None))
        if known is not None and known() is cells and found is not None and wanted.task in (None, found.target.task):
            return found
    found = _read_table(cells, wanted, features)
    while len(_remembered) >= REMEMBERED:
        del _remembered[next(iter(_remembered))]
    _remembered[stated] = weakref.ref(cells), found
    return found


REMEMBERED = 4
"""Tables that are kept."""
_remembered: dict[str, tuple[weakref.ref[Cells], Table]] = {}


def _read_table(cells: Cells, wanted: Wanted, features: Sequence[Feature] | None) -> Table:
    by_name = {column.name: column for column in cells.columns}
    for name in wanted.targets:
        if name not in by_name:
            raise no_column(cells, name)
    if wanted.group is not None and wanted.group not in by_name:
        raise no_column(cells, wanted.group)
    answers = [by_name[name] for name in wanted.targets]
    group = None if wanted.group is None else by_name[wanted.group]
    if features is None:
        decisions = decide(cells, wanted.targets, wanted.columns, wanted.skip)
    else:
        decisions = decided_before(features, cells)
    used = [each for each in decisions if each.used]
    if not used and len(cells.lines):
        unstated = [each.column.name for each in decisions if each.why != "stated"]
        keep = f"{stating(unstated[0])} keeps it" if unstated else "name fewer columns in data.ignore or data.columns"
        why = "; ".join(f"{each.column.name} is left out: {each.why}" for each in decisions)
        raise CouloirError(
            f"{cells.files[0]} has no column besides {' and '.join(map(repr, wanted.targets))} to learn from.",
            place=why or None,
            next_step=keep if decisions else None,
        )
    rows, left_out = usable(cells, wanted, used, answers, group)
    skipped = sorted([*cells.skipped, *left_out], key=lambda row: (row.file, row.line or 0))
    if len(rows) < LEAST_ROWS:
        raise CouloirError(
            f"{cells.files[0]} has {len(rows)} {'usable ' * bool(skipped)}rows below its header, too few to train on.",
            place=f"line {skipped[0].line}: {skipped[0].reason}" if skipped else None,
            next_step=f"give it {LEAST_ROWS} rows or more, a line each, with a value of {wanted.targets[0]!r} in each",
        )
    target = read_target(answers, cells, rows, wanted.task)
    if features is None:
        features = features_of(used, rows, wanted.indicators)
    described = [*describe(decisions, features, rows), *_targets_described(target)]
    groups = None if group is None else _groups(group, rows)
    if group is not None and groups is not None:
        described = [each for each in described if each.name != group.name]
        described.append(Described(group.name, "group", f"{len(np.unique(groups)):,} groups", 0))
    order = {name: place for place, name in enumerate(cells.names)}
    described.sort(key=lambda each: order[each.name])
    return Table(cells, rows, list(features), encode(features, used, rows), target, described, skipped, groups)


def _groups(column: Column, rows: Rows) -> NDArray[Any]:
    """The cells of some rows of a column, which are the same where they are one number: 7 and 7.0."""
    if column.is_numeric:
        return column.numbers[rows].astype(np.int64) if column.integers else column.numbers[rows]
    assert column.texts is not None, "texts are asked for"
    return column.texts[rows].astype(str)


def _targets_described(target: Target) -> Iterator[Described]:
    for column in target.columns:
        yield Described(column.name, "target", f"{target.task.replace('_', '-')}, {target.why}", 0)


def usable(
    cells: Cells, wanted: Wanted, used: Sequence[Decision], answers: list[Column], group: Column | None
) -> tuple[Rows, list[Skipped]]:
    """The rows that can be used, and the others.

    Args:
        cells: the table.
        wanted: what was stated.
        used: what is known of the columns that become inputs.
        answers: the columns to predict, each of which a row must have.
        group: the column of the groups, which a row must have.

    Raises:
        CouloirError: a cell is wrong, and rows are not to be skipped; or a value is missing, and is to be refused.
    """
    reasons: dict[int, str] = {}
    by: dict[int, str] = {}

    def leave_out(rows: NDArray[np.bool_], why: Any, key: str) -> None:
        for row in np.flatnonzero(rows).tolist():
            if row not in reasons:
                reasons[row], by[row] = why(row), key

    for decision in used:
        name = decision.column.name
        wrong = decision.wrong
        if wrong.any():
            row = int(np.argmax(wrong))
            if not wanted.skip:
                raise CouloirError(
                    reason(decision, row),
                    place=_places(cells, wrong),
                    next_step=f"correct the cell, or leave the column out with {ignoring(name)}",
                )
            leave_out(wrong, lambda row, of=decision: reason(of, row), "data.on_error=skip")
        if decision.missing.any() and wanted.missing != "impute":
            row = int(np.argmax(decision.missing))
            if wanted.missing == "refuse":
                raise CouloirError(
                    reason(decision, row),
                    place=_places(cells, decision.missing),
                    next_step="data.missing=impute (the training split's median or most frequent value), "
                    f"data.missing=drop (without such rows), or {ignoring(name)}",
                )
            key = "data.missing=drop" if not wanted.skip else "data.on_error=skip"
            leave_out(decision.missing, lambda row, of=decision: reason(of, row), key)
    for column in answers:
        gone, wrong = column.missing, targets.wrong(column, wanted.task, wanted.skip)
        bad = gone | wrong
        if not bad.any():
            continue
        row = int(np.argmax(bad))
        if not (wanted.skip or (wanted.missing == "drop" and not wrong.any())):
            leave = "data.on_error=skip" if wrong.any() else "data.missing=drop"
            raise CouloirError(
                f"The target '{column.name}' is {column.cell(row) or 'empty'}.",
                place=_places(cells, bad),
                next_step=f"correct the cell or remove the row; {leave} leaves such rows out",
            )
        key = "data.on_error=skip" if wanted.skip else "data.missing=drop"
        leave_out(bad, lambda row, of=column: f"The target '{of.name}' is {of.cell(row) or 'empty'}.", key)
    if group is not None and group.missing.any():
        row = int(np.argmax(group.missing))
        if not wanted.skip and wanted.missing != "drop":
            raise CouloirError(
                f"The group '{group.name}' is {group.cell(row) or 'empty'}.",
                place=cells.place(row),
                next_step="correct the cell or remove the row; data.missing=drop leaves such rows out",
            )
        key = "data.on_error=skip" if wanted.skip else "data.missing=drop"
        leave_out(group.missing, lambda row: f"The group '{group.name}' is empty.", key)
    kept = np.ones(len(cells.lines), dtype=bool)
    kept[list(reasons)] = False
    skipped = [
        Skipped("", str(cells.file_of(row)), int(cells.lines[row]), _label(answers, row), why, by[row])
        for row, why in reasons.items()
    ]
    return np.flatnonzero(kept), skipped


def _places(cells: Cells, rows: NDArray[np.bool_]) -> str:
    """Where the first of some rows is, and how many others there are."""
    more = int(rows.sum()) - 1
    return cells.place(int(np.argmax(rows))) + (f", and {more:,} more" if more else "")


def _label(answers: list[Column], row: int) -> str:
    """The class of a row that is left out, where it has one."""
    if len(answers) != 1:
        return ""
    column = answers[0]
    if column.missing[row] or is_infinite(column.cell(row)):
        return ""
    return column.cell(row)


def in_sentences(found: Table, wanted: Wanted) -> Iterator[str]:
    """What the console says of a table: its rows, its target, and what each column is."""
    files = [file.name for file in found.cells.files]
    name = files[0] if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"
    noted = f" ({', '.join(found.cells.notes)})" if found.cells.notes else ""
    yield f"{name}{noted}: {len(found.rows):,} rows; target {', '.join(wanted.targets)}: " + (
        f"{found.target.task.replace('_', '-')} ({found.target.why})"
    )
    if found.groups is not None:
        yield f"  {len(np.unique(found.groups)):,} groups by {wanted.group}: no group is in two splits"
    for line in in_words(found.described):
        yield f"  {line}"
    for feature in found.features:
        if feature.kind == "category" and (pair := targets.in_two_cases(feature.categories)):
            yield f"  warning: '{pair[0]}' and '{pair[1]}' in '{feature.name}' differ only in the case of their letters"
    if found.target.labels and (pair := targets.in_two_cases(found.target.names(found.rows))):
        yield f"  warning: the classes {pair[0]} and {pair[1]} differ only in the case of their letters"


def settled(found: Table, classes: Collection[str] | None) -> list[str]:
    """The classes that a run's configuration has settled, where the table has no other ones; none before a run.

    Raises:
        CouloirError: the table has a class that the configuration does not know.
    """
    names = found.target.names(found.rows)
    if classes and (unknown := sorted(set(names) - set(classes))):
        raise CouloirError(
            f"The class '{unknown[0]}' is not one of data.classes: {', '.join(list(classes)[:12])}.",
            place=str(found.cells.files[0]),
            next_step="correct the table, or leave data.classes out: Couloir reads the classes from the table",
        )
    return list(classes or [])


def _check_left(found: Table) -> None:
    """A class does not vanish with the rows that are left out."""
    left = set(found.target.names(found.rows))
    lost = [row for row in found.skipped if row.label and not {row.label, targets.by_value(row.label)} & left]
    if lost:
        name = lost[0].label
        raise CouloirError(
            f"None of the {sum(row.label == name for row in lost)} rows of the class '{name}' can be used: "
            f"{lost[0].reason}",
            place=f"{lost[0].file}, line {lost[0].line}",
            next_step="correct the rows, leave a column out with data.ignore=[...], or remove the class",
        )


def class_names(found: Table, stated: int | None) -> list[str]:
    """The classes in the order of their labels.

    Integers that lie in 0..C-1, C being the stated number, keep their values as labels.

    Raises:
        CouloirError: a label outside of 0..C-1, or more classes than stated.
    """
    names = found.target.names(found.rows)
    if stated is None:
        return names
    place = str(found.cells.files[0])
    if all(targets.INTEGER.fullmatch(name) for name in names):
        outside = next((name for name in names if not 0 <= int(name) < stated), None)
        if outside is not None:
            row = int(found.rows[np.argmax(found.target.codes([outside], found.rows) == 0)])
            raise CouloirError(
                f"Label {outside} is outside of the {stated} classes 0..{stated - 1}.",
                place=found.cells.place(row),
                next_step="correct the cell, or leave data.num_classes out: Couloir counts the classes",
            )
        return [str(label) for label in range(stated)]
    if len(names) != stated:
        raise CouloirError(
            f"There are {len(names)} classes, not {stated}: {', '.join(names[:12])}.",
            place=place,
            next_step="leave data.num_classes out: Couloir counts the classes",
        )
    return names
