"""From files to columns: the cells of a table as numbers, as texts and as gaps. What they mean is decided elsewhere.

Nothing here imports torch: the check before a run reads the same table as the run.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from couloir.data.named import ignoring
from couloir.data.skipped import Skipped
from couloir.data.tabular import arrays, plain
from couloir.data.tabular.columns import Found, Gathering, of_numbers, of_texts, only_texts
from couloir.data.tabular.layout import SAMPLE_LINES, Layout, layout_of
from couloir.data.tabular.records import Chunk, chunks
from couloir.data.tabular.source import Sources, sources_of
from couloir.data.tabular.text import blocks, encoding_of, line_ends
from couloir.errors import CouloirError

MISSING_WORDS = (
    "", "NA", "N/A", "n/a", "na", "N.A.", "n.a.", "NaN", "nan", "-nan", "-NaN", "NAN", "NaT", "null", "NULL", "Null",
    "(null)", "None", "none", "nil", "<NA>", "#N/A", "#NA", "#N/A N/A", "#DIV/0!", "#VALUE!", "#REF!", "#NUM!",
    "1.#QNAN", "-1.#IND", "missing", "Missing", "?", "-", "--", "–", "—", ".", "..",
)  # fmt: skip
"""What a cell without a value holds, where `data.missing_words` does not say otherwise."""
MAYBE_WORDS = frozenset(("NA", "na", "None", "none", "nil", "missing", "Missing"))
"""Missing in a column of numbers. In a column of texts they are texts like others (Namibia's code is NA), unless
`data.missing_words` is stated. Who takes a column of texts for dates or the like treats them as missing."""


@dataclass(frozen=True)
class Column:
    """One column, N cells.

    Attributes:
        name: as the header has it, without spaces around it.
        numbers: (N,) float64; NaN where the cell is missing or not a finite number. It is not to be changed.
        texts: (N,) the cells as written, without spaces around them; None where every cell that is not missing is a
            number, unless the column was asked for as text, or is of integers with leading zeros or beyond 2**53.
        missing: (N,) whether the cell is empty or one of the words that mean missing.
        integers: whether there are numbers, and each is written as an integer: `7` or `1,000`, not `7.0` or `5E2`.
        notes: what was recognised, such as "decimal comma", "thousands comma", "per cent" (12% is 12), "currency $",
            "leading zeros".
        word_of: the words in the missing cells, by row; rows whose cell is empty are left out.
    """

    name: str
    numbers: NDArray[np.float64]
    texts: NDArray[Any] | None
    missing: NDArray[np.bool_]
    integers: bool
    notes: list[str] = field(default_factory=list)
    word_of: dict[int, str] = field(default_factory=dict)

    @property
    def is_numeric(self) -> bool:
        """Whether every cell that is not missing is a number, and there is one."""
        return bool(len(self.numbers)) and bool(np.all(self.missing ^ np.isfinite(self.numbers))) and not self.is_empty

    @property
    def is_empty(self) -> bool:
        """Whether every cell is missing."""
        return bool(np.all(self.missing))

    def cell(self, row: int) -> str:
        """A cell as written, or, in a column of numbers whose texts are not kept, the number."""
        if self.texts is not None:
            return str(self.texts[row])
        return self.word_of.get(row, "") if self.missing[row] else repr(float(self.numbers[row])).removesuffix(".0")


@dataclass(frozen=True)
class Cells:
    """A table: its columns, and where its N rows stand.

    Attributes:
        files: the files that were read.
        columns: in the order of the first file.
        lines: (N,) the line of each row in its file, from one; where a row takes several lines, the last of them.
        starts: the number of the first row of each file, ascending.
        splits: the rows of `train`, `val` and `test`, where files of their own say so; else empty.
        skipped: the rows that were left out.
        notes: what was recognised in the files, such as "separator ;" or "Windows-1252, since it is not UTF-8".
    """

    files: list[Path]
    columns: list[Column]
    lines: NDArray[np.int64]
    starts: list[int] = field(default_factory=lambda: [0])
    splits: dict[str, slice] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The columns' names, no two the same."""
        return [column.name for column in self.columns]

    def file_of(self, row: int) -> Path:
        """The file that a row stands in."""
        return self.files[bisect_right(self.starts, row) - 1]

    def place(self, row: int) -> str:
        """Where a row stands, as messages say it: `t.csv, line 7`."""
        return f"{self.file_of(row)}, line {self.lines[row]}"


@dataclass(frozen=True)
class _Manner:
    """How files are read: the arguments of `read_cells` but for the files."""

    delimiter: str | None
    decimal: str | None
    encoding: str | None
    comment: str | None
    header: bool | int | None
    missing_words: tuple[str, ...] | None
    as_text: tuple[str, ...]
    ignore: tuple[str, ...]
    skip: bool

    @property
    def words(self) -> frozenset[str]:
        """The words that mean missing."""
        return frozenset(MISSING_WORDS if self.missing_words is None else (*self.missing_words, ""))

    @property
    def maybe_words(self) -> frozenset[str]:
        """Those of them that are texts among texts."""
        return MAYBE_WORDS if self.missing_words is None else frozenset()


def read_cells(
    path: str,
    *,
    val_path: str | None = None,
    test_path: str | None = None,
    delimiter: str | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
    comment: str | None = None,
    header: bool | int | None = None,
    missing_words: Collection[object] | None = None,
    as_text: Collection[str] = (),
    ignore: Collection[str] = (),
    skip: bool = False,
) -> Cells:
    """Read a table; the same files are read once, however often they are asked for.

    A file is text (plain, gzip, or a zip of one file), a NumPy `.npz`, or Parquet. A folder holds files of the same
    columns, or `train`, `val` and `test` as files or folders. A column is one of numbers where most of its cells are
    numbers in one style. Nothing depends on how many rows are read at a time.

    Args:
        path: the file, or a folder.
        val_path: the file or folder with the rows to validate on.
        test_path: that with the rows to test on.
        delimiter: what separates cells, or one of the words comma, semicolon, tab, space, pipe and whitespace (runs of
            spaces and tabs); None: recognised over the first 200 lines.
        decimal: `comma` or `dot`: what cells such as 1,234 or 1.234 mean in columns that do not show it themselves;
            None: recognised, or refused.
        encoding: of the files; None: UTF-8, UTF-16 by its mark or zero bytes, else Windows-1252 where that gives
            Western European letters.
        comment: what lines begin with that are no rows; None: # in the lines before the header.
        header: whether there is one, or the number of its line; None: there is, and a first line that looks like a row
            is refused. Without one the columns are called c1, c2, ...
        missing_words: cells that mean missing, instead of `MISSING_WORDS`; the empty cell always does. A number means
            all cells of its value.
        as_text: names of columns whose texts are kept in any case; unknown ones do not matter.
        ignore: names of columns that are read as texts and nothing else, so that nothing in them is refused; unknown
            ones do not matter.
        skip: leave out rows that have more or fewer cells than the header.

    Raises:
        CouloirError: the file is not there, empty, or not a table; it is not clear what it means (two columns have one
            name, the first line looks like a row, 1,234 may be 1234 or 1.234); files do not have the same columns; or,
            unless they are skipped, a row has more or fewer cells than the header.
    """
    words = None if missing_words is None else tuple(str(word).strip() for word in missing_words)
    manner = _Manner(
        delimiter, {"comma": ",", "dot": "."}.get(decimal or "", decimal), encoding, comment, header, words,
        tuple(as_text), tuple(ignore), skip,
    )  # fmt: skip
    sources = sources_of(path, val_path, test_path)
    stamps = tuple((stamp.st_mtime_ns, stamp.st_size) for stamp in map(Path.stat, sources.files))
    return _read(sources, stamps, manner)


@lru_cache(maxsize=2)
def _read(sources: Sources, stamps: tuple[tuple[int, int], ...], manner: _Manner) -> Cells:
    """Read the columns; those whose texts turn out to be needed after some rows are read again, as texts."""
    kinds = [arrays.kind_of(file) for file in sources.files]
    if any(kinds):
        return _of_arrays(sources, kinds, manner)
    texts: set[str] = set(manner.as_text)
    large = any(size >= plain.LEAST for _, size in stamps)
    while True:
        with plain.one_thread() if large else nullcontext():
            reading = _Reading(sources, manner, texts)
        late = {column.name for column in reading.columns if column.late}
        if not late:
            found, late = reading.found()
        if not late:
            return reading.cells(found)
        texts |= late


def _first_lines(file: Path, encoding: str) -> str:
    found: list[str] = []
    count = 0
    for block in blocks(file, encoding):
        found.append(block)
        count += line_ends(block)
        if count > SAMPLE_LINES:
            break
    return "".join(found)


class _Reading:
    """One way through the files."""

    def __init__(self, sources: Sources, manner: _Manner, texts: set[str]) -> None:
        self.sources, self.manner = sources, manner
        self.columns: list[Gathering] = []
        self.names: list[str] = []
        self.unnamed: set[str] = set()
        self.lines: list[NDArray[np.int64]] = []
        self.starts: list[int] = []
        self.count = 0
        self.skipped: list[Skipped] = []
        self.notes: list[str] = []
        for file in sources.files:
            self._read(file, texts)

    def _read(self, file: Path, texts: set[str]) -> None:
        encoding, notes = encoding_of(file, self.manner.encoding)
        manner = self.manner
        layout = layout_of(file, _first_lines(file, encoding), manner.delimiter, manner.comment, manner.header)
        if not self.starts:
            self.names, self.unnamed = layout.names, set(layout.unnamed)
            texts = texts | set(manner.ignore)
            self.columns = [Gathering(name, manner.words, name in texts) for name in layout.names]
        else:
            _same_columns(self.sources.files[0], self.names, file, layout.names)
        for note in (*notes, *layout.notes):
            if note not in self.notes:
                self.notes.append(note)
        by_name = {column.name: column for column in self.columns}
        here = {position: by_name[name] for position, name in enumerate(layout.names)}
        behind = set(range(layout.width)) - set(here)
        self.starts.append(self.count)

        def wanted() -> list[int]:
            return sorted(behind | {position for position, column in here.items() if column.needs_texts})

        blank = 0
        for chunk in chunks(file, encoding, layout, manner.comment, wanted):
            blank += chunk.blank
            if isinstance(chunk.rows, plain.Block):
                if self.count == self.starts[-1]:
                    likely = int(1.02 * chunk.rows.rows * file.stat().st_size / chunk.characters)
                    for column in self.columns:
                        column.room = self.count + likely
                self._add_block(chunk.lines, chunk.rows, layout, here)
            else:
                self._add_rows(file, chunk, layout, here)
        if blank:
            self.notes.append(f"{blank} line{'s' if blank > 1 else ''} without values")

    def _add_block(
        self, lines: NDArray[np.int64], block: plain.Block, layout: Layout, here: dict[int, Gathering]
    ) -> None:
        numeric = [position for position in range(layout.width) if position not in block.texts]
        for index, position in enumerate(numeric):
            here[position].add_block(block.numbers[index], block.integers[index], block.odd[index])
        for position, cells in block.texts.items():
            if position in here:
                here[position].add(cells)
        self.lines.append(lines)
        self.count += block.rows

    def _add_rows(self, file: Path, chunk: Chunk, layout: Layout, here: dict[int, Gathering]) -> None:
        rows, lines = chunk.rows, chunk.lines
        assert isinstance(rows, list)
        trailing = layout.width > len(layout.names)
        if set(map(len, rows)) - {layout.width} or (trailing and any(row[-1].strip() for row in rows)):
            left = [index for index, row in enumerate(rows) if self._fits(file, row, int(lines[index]), layout)]
            rows, lines = [rows[index] for index in left], lines[left]
        for position, cells in enumerate(zip(*rows, strict=True)):
            if position in here:
                here[position].add(cells)
        self.lines.append(lines)
        self.count += len(rows)

    def _fits(self, file: Path, row: Sequence[str], line: int, layout: Layout) -> bool:
        """Whether a row has as many cells as the header; the last one may be empty where it is in all of them."""
        names = len(layout.names)
        if len(row) == layout.width and (layout.width == names or not row[-1].strip()):
            return True
        fact = f"A row has {len(row)} cells, the header has {names}."
        if not self.manner.skip:
            raise CouloirError(
                fact,
                place=f"{file}, line {line}",
                next_step="correct the row, or leave such rows out with data.on_error=skip; "
                "name the separator with data.delimiter=... if it is another one",
            )
        self.skipped.append(Skipped("", str(file), line, "", fact))
        return False

    def found(self) -> tuple[dict[str, Found], set[str]]:
        """What the columns are; and the names of those that must be read again as texts to tell."""
        maybe, stated = self.manner.maybe_words, self.manner.decimal
        found: dict[str, Found] = {}
        for column in self.columns:
            if column.name in self.manner.ignore:
                found[column.name] = only_texts(column)
            elif column.is_text:
                as_text = column.name in self.manner.as_text
                found[column.name] = of_texts(column, maybe, as_text, stated, False)
                if not found[column.name].open:
                    column.texts = []
        comma = any(column.comma for column in found.values())
        late: set[str] = set()
        for column in self.columns:
            name = column.name
            if not column.is_text:
                found[name] = of_numbers(column)
                if (comma or stated == ",") and _may_be_thousands(found[name].numbers):
                    late.add(name)
            elif comma and found[name].open:
                found[name] = of_texts(column, maybe, name in self.manner.as_text, stated, True)
            column.texts = []
        return found, late

    def cells(self, found: dict[str, Found]) -> Cells:
        """The table.

        Raises:
            CouloirError: what cells of a column mean is open.
        """
        columns, notes = [], [*self.sources.notes, *self.notes]
        for position, name in enumerate(self.names):
            column = found.get(name)
            if column is None:
                continue
            if name in self.unnamed:
                if bool(np.all(column.missing)):
                    notes.append(f"column {position + 1} has neither name nor values, and is left out")
                    continue
                notes.append(f"column {position + 1} has no name, and is called {name}")
            columns.append(_column(name, column))
        lines = np.concatenate(self.lines) if self.lines else np.empty(0, np.int64)
        starts, files = self.starts, list(self.sources.files)
        table = Cells(
            files, columns, lines, starts, _splits(self.sources.splits, starts, self.count), self.skipped, notes
        )
        for name, column in found.items():
            if column.doubt is not None:
                raise _doubt(table, name, name in self.manner.as_text, *column.doubt)
        return table


def _column(name: str, found: Found) -> Column:
    found.numbers.flags.writeable = found.missing.flags.writeable = False  # the table is remembered
    return Column(name, found.numbers, found.texts, found.missing, found.integers, found.notes, found.word_of)


def _doubt(table: Cells, name: str, needed: bool, row: int, cell: str, mark: str) -> CouloirError:
    word = "comma" if mark == "," else "dot"
    other = {"comma": "dot", "dot": "comma"}[word]
    return CouloirError(
        f"Column '{name}' holds '{cell}': the {word} may separate thousands or be the decimal mark, and no cell of the "
        "column shows which.",
        place=table.place(row),
        next_step=f"data.decimal={word} or data.decimal={other}"
        + ("" if needed else f"; {ignoring(name)} leaves the column out"),
    )


def _splits(splits: Sequence[str], starts: Sequence[int], count: int) -> dict[str, slice]:
    """The rows of each split; the files of a split stand one after the other."""
    found: dict[str, slice] = {}
    for split, start, end in zip(splits, starts, [*starts[1:], count], strict=True):
        if split:
            found[split] = slice(found[split].start if split in found else start, end)
    return found


def _may_be_thousands(numbers: NDArray[np.float64]) -> bool:
    """Whether numbers with a dot may be thousands: each is from 1 to 999, and has at most three decimals."""
    size = np.abs(numbers[np.isfinite(numbers)])
    size = size[size != np.floor(size)]
    return bool(size.size) and bool(np.all((size >= 1) & (size < 1000) & (np.round(size * 1000) / 1000 == size)))


def _same_columns(first: Path, names: list[str], file: Path, other: list[str]) -> None:
    lacking, more = [name for name in names if name not in other], [name for name in other if name not in names]
    if lacking or more:
        kind, name = ("no", lacking[0]) if lacking else ("the additional", more[0])
        raise CouloirError(
            f"{file} has {kind} column '{name}'; {first.name}{' has one' if lacking else ' has none'}.",
            place=f"columns of {file.name}: {', '.join(other[:20])}",
            next_step="give all files the same columns, in any order; or name one file with data.path=FILE",
        )


def _of_arrays(sources: Sources, kinds: Sequence[str], manner: _Manner) -> Cells:
    """A table whose files are NumPy archives or Parquet."""
    if len(set(kinds)) > 1:
        names = ", ".join(file.name for file in sources.files[:6])
        raise CouloirError(f"The files are not of one kind: {names}.", next_step="name one file with data.path=FILE")

    def as_found(name: str, cells: list[str]) -> Found:
        return arrays.texts_of(name, cells, manner.words, manner.maybe_words, name in manner.as_text)

    files: list[Path] = []
    splits: list[str] = []
    parts: list[dict[str, Found]] = []
    for file, stated, kind in zip(sources.files, sources.splits, kinds, strict=True):
        for split, columns in arrays.read_arrays(file, kind, manner.ignore, as_found).items():
            if split and len(sources.files) > 1:
                raise CouloirError(
                    f"{file} holds splits of its own; other files cannot stand beside it.",
                    next_step="name this file alone with data.path=FILE",
                )
            if parts:
                _same_columns(files[0], list(parts[0]), file, list(columns))
            files.append(file)
            splits.append(split or stated)
            parts.append(columns)
    counts = [len(next(iter(part.values())).numbers) if part else 0 for part in parts]
    starts = np.cumsum([0, *counts]).tolist()
    whole: list[Column] = []
    for name in parts[0]:
        found = arrays.joined([part[name] for part in parts])
        if name in manner.as_text:
            arrays.as_texts(found)
        whole.append(_column(name, found))
    lines = np.concatenate([np.arange(1, count + 1) for count in counts])
    return Cells(files, whole, lines, starts[:-1], _splits(splits, starts[:-1], starts[-1]), [], list(sources.notes))
