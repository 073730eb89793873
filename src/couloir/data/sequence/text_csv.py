"""Your own table of texts: one column has a text, another one the class."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from couloir.data.cells import Cells, Column, read_cells
from couloir.data.columns import no_column
from couloir.data.sequence.labelled import Labelled, LabelledTexts
from couloir.data.skipped import Skipped
from couloir.data.table import READING, Table, Wanted, class_names, settled, usable
from couloir.data.targets import read_target
from couloir.errors import CouloirError

if TYPE_CHECKING:
    from couloir.data.sequence.sequences import Sequences

WORDS_OF_A_TEXT = 3
"""Words of a cell, in the mean of a column, from which on it is taken for a text."""
LOOKED_AT = 200
"""Cells of a column that are looked at for that."""


def text_csv(
    path: str,
    text: str | None = None,
    target: str | None = None,
    tokens: str = "word",
    lowercase: bool = True,
    min_count: int = 1,
    max_words: int | None = None,
    length: int | None = None,
    vocabulary_size: int | None = None,
    *,
    task: str,
    classes: list[str],
    val_path: str | None = None,
    test_path: str | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    comment: str | None = None,
    header: bool | int | None = None,
    on_error: str = "raise",
    image_size: None = None,
    **keys: Any,
) -> Sequences:
    """The texts as `Sequences`; `keys` are those of `couloir.data.sequence.sequences.Sequences`.

    Args:
        path: the file, or a folder, as `couloir.data.cells.read_cells` takes it; so are `val_path`, `test_path`,
            `delimiter`, `encoding`, `comment` and `header`.
        text: the column of the texts; None: the only one whose cells are texts.
        target: the column of the classes; None: the other one.
        tokens: `word` or `character`.
        lowercase: whether small and large letters are the same.
        min_count: how often a token must be in the training split.
        max_words: tokens of the vocabulary at most.
        length: tokens that a text is cut to.
        vocabulary_size: different tokens that the network is made for.
        task: what the texts are for.
        classes: names of the classes, in the order of their labels.
        on_error: `raise` or `skip`: what a row without a text or a class does.
        image_size: there are no images.
    """
    from couloir.data.sequence.sequences import Sequences

    node = {
        **keys, "path": path, "text": text, "target": target, "tokens": tokens, "lowercase": lowercase,
        "min_count": min_count, "max_words": max_words, "length": length, "classes": classes, "val_path": val_path,
        "test_path": test_path, "delimiter": delimiter, "encoding": encoding, "comment": comment, "header": header,
        "on_error": on_error,
    }  # fmt: skip
    return Sequences(LabelledTexts(lambda: read_texts(node), node, vocabulary_size), task=task, **keys)


def inspect(target: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Read the texts and say how many different tokens the training split has, and which classes there are.

    Raises:
        CouloirError: as `read_texts`; or there are too few texts for the splits.
    """
    found = read_texts(keys)
    return {**found.facts(keys), "text": found.columns[0], "target": found.columns[1]}


def count(keys: Mapping[str, Any]) -> tuple[int, int | None]:
    """How many texts folds are made of; they are in no groups."""
    found = read_texts(keys)
    return len(found.labels[found.of_split("train") or slice(None)]), None


def read_texts(keys: Mapping[str, Any]) -> Labelled:
    """Read the table; the same file is read once, however often it is asked for.

    Args:
        keys: of the data node.

    Raises:
        CouloirError: the file or a column is missing; it is not clear which column is which; a text is empty or a class
            is missing, and rows are not to be left out; or there are not several classes.
    """
    reading = {name: keys[name] for name in READING if keys.get(name) is not None}
    stated = [str(keys[name]) for name in ("text", "target") if keys.get(name) is not None]
    skip = keys.get("on_error") == "skip"
    cells = read_cells(str(keys["path"]), as_text=sorted(stated), skip=skip, **reading)
    if not len(cells.lines) and not cells.skipped:
        raise CouloirError(
            f"{cells.files[0]} has no text below its header.", place="data.path", next_step="a table with rows"
        )
    text, target = columns_of(cells, keys.get("text"), keys.get("target"))
    if len(stated) < 2:  # the texts of all that is guessed are needed as well
        cells = read_cells(str(keys["path"]), as_text=sorted((text, target)), skip=skip, **reading)
    key = repr((text, target, skip, keys.get("classes"), keys.get("num_classes")))
    known, found = _remembered.get(key, (None, None))
    if known is not None and known() is cells and found is not None:
        return found
    found = _read(cells, text, target, keys, skip)
    while len(_remembered) >= REMEMBERED:
        del _remembered[next(iter(_remembered))]
    _remembered[key] = weakref.ref(cells), found
    return found


REMEMBERED = 4
"""Tables that are kept."""
_remembered: dict[str, tuple[weakref.ref[Cells], Labelled]] = {}


def _read(cells: Cells, text: str, target: str, keys: Mapping[str, Any], skip: bool) -> Labelled:
    by_name = {column.name: column for column in cells.columns}
    wanted = Wanted.of({**keys, "target": target, "columns": None, "task": "classification", "ignore": []})
    rows, left_out = usable(cells, wanted, [], [by_name[target]], None)
    texts = [by_name[text].cell(int(row)).strip() for row in rows]
    empty = np.array([not each for each in texts], dtype=bool)
    if empty.any() and not skip:
        row, more = int(rows[np.argmax(empty)]), int(empty.sum()) - 1
        raise CouloirError(
            f"The text in '{text}' is empty.",
            place=cells.place(row) + (f", and {more:,} more" if more else ""),
            next_step="write the text or remove the row; data.on_error=skip leaves such rows out",
        )
    why = f"The text in '{text}' is empty."
    left_out += [
        Skipped(
            "", str(cells.file_of(row)), int(cells.lines[row]), by_name[target].cell(row), why, "data.on_error=skip"
        )
        for row in rows[empty].tolist()
    ]
    rows, texts = rows[~empty], [each for each in texts if each]
    skipped = sorted([*cells.skipped, *left_out], key=lambda each: (each.file, each.line or 0))
    if not len(rows):
        raise CouloirError(
            f"{cells.files[0]} has no {'usable ' * bool(skipped)}text below its header.",
            place=f"line {skipped[0].line}: {skipped[0].reason}" if skipped else None,
        )
    answer = read_target([by_name[target]], cells, rows, "classification")
    table = Table(cells, rows, [], np.empty((len(rows), 0), np.float32), answer, [], skipped)
    classes = settled(table, keys.get("classes")) or class_names(table, keys.get("num_classes"))
    bounds = {name: np.searchsorted(rows, [part.start, part.stop]).tolist() for name, part in cells.splits.items()}
    noted = f" ({', '.join(cells.notes)})" if cells.notes else ""
    several = f" and {len(cells.files) - 1} more" if len(cells.files) > 1 else ""
    return Labelled(
        place=str(cells.files[0]),
        texts=texts,
        labels=answer.codes(classes, rows),
        classes=classes,
        splits={name: slice(*bound) for name, bound in bounds.items()},
        skipped=skipped,
        columns=(text, target),
        notes=[
            f"{cells.files[0].name}{several}{noted}: {len(rows):,} texts of the column '{text}'; {len(classes)} "
            f"classes of the column '{target}'"
        ],
    )


def columns_of(cells: Cells, text: Any, target: Any) -> tuple[str, str]:
    """The names of the columns of the texts and of the classes.

    Args:
        cells: the table.
        text: what was stated; None: the only column besides the target whose cells are of several words.
        target: what was stated; None: the only column besides the text.

    Raises:
        CouloirError: there is no such column, both are one, or it is not clear which is meant.
    """
    names = cells.names
    chosen = {}
    for key, name in (("text", text), ("target", target)):
        if name is not None:
            numbered = f"c{name}"  # without a header, columns are called c1, c2, ...
            chosen[key] = numbered if str(name) not in names and numbered in names else str(name)
            if chosen[key] not in names:
                raise no_column(cells, chosen[key])
    if len(chosen) == 2 and chosen["text"] == chosen["target"]:
        raise CouloirError(
            f"data.text and data.target name one column, '{chosen['text']}'.",
            next_step=f"columns of the file: {', '.join(names[:20])}",
        )
    if "text" not in chosen:
        likely = [each.name for each in cells.columns if each.name != chosen.get("target") and is_text(each)]
        named = next((each for each in cells.columns if each.name == chosen.get("target")), None)
        if not likely and named is not None and is_text(named):
            others = [name for name in names if name != named.name]
            raise CouloirError(
                f"data.target names the column of the texts, '{named.name}': no other one looks like texts.",
                place=f"columns: {', '.join(names[:20])}",
                next_step=f"data.target={others[0]}"
                if len(others) == 1
                else "data.target=COLUMN, and data.text=COLUMN",
            )
        if len(likely) != 1:
            raise _unclear("text", likely, names)
        chosen["text"] = likely[0]
    if "target" not in chosen:
        others = [name for name in names if name != chosen["text"]]
        if len(others) != 1:
            raise _unclear("target", others, names)
        chosen["target"] = others[0]
    return chosen["text"], chosen["target"]


def is_text(column: Column) -> bool:
    """Whether the cells of a column look like texts: of several words each."""
    if column.texts is None:
        return False
    there = [cell for cell in map(str, column.texts[:LOOKED_AT]) if cell]
    return bool(there) and sum(len(cell.split()) for cell in there) >= WORDS_OF_A_TEXT * len(there)


def _unclear(key: str, likely: Sequence[str], names: Sequence[str]) -> CouloirError:
    what = {"text": "the texts", "target": "the classes"}[key]
    which = f"{len(likely)} may: {', '.join(likely[:12])}" if likely else "none looks like it"
    return CouloirError(
        f"It is not clear which column has {what}: {which}.",
        place=f"columns: {', '.join(names[:20])}",
        next_step=f"data.{key}={likely[0] if likely else 'COLUMN'}",
    )
