"""From files to columns: the cells of a table as numbers, as texts and as gaps. What they mean is decided elsewhere.

Nothing here imports torch: the check before a run reads the same table as the run.
"""

from __future__ import annotations

import csv
import math
from bisect import bisect_right
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from couloir.data.skipped import Skipped
from couloir.errors import CouloirError

MISSING_WORDS = (
    "", "NA", "N/A", "n/a", "na", "NaN", "nan", "-nan", "NAN", "null", "NULL", "Null", "None", "none", "nil", "NaT",
    "<NA>", "#N/A", "#NA", "(null)", "missing", "Missing", "?", "-", "--", ".",
)  # fmt: skip
"""What a cell without a value holds, where `data.missing_words` does not say otherwise."""
MAYBE_WORDS = frozenset(("NA", "na", "None", "none", "nil", "missing", "Missing"))
"""Missing in a column of numbers; in a column of texts they stay texts (Namibia's code is NA), unless
`data.missing_words` is stated. Who takes a column of texts for dates or the like treats them as missing."""


@dataclass(frozen=True)
class Column:
    """One column, N cells.

    Attributes:
        name: as the header has it, without spaces around it.
        numbers: (N,) float64; NaN where the cell is missing or not a finite number.
        texts: (N,) the cells as written, without spaces around them; None where every cell that is not missing is a
            number, and nobody asked for the column as text.
        missing: (N,) whether the cell is empty or one of the words that mean missing.
        integers: whether there are numbers, and each is written as an integer: `7`, not `7.0` or `5E2`.
        notes: what was recognised, such as "decimal comma" or "per cent".
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
        return bool(len(self.numbers)) and bool(np.all(self.missing ^ np.isfinite(self.numbers)))

    def cell(self, row: int) -> str:
        """A cell as written, or, in a column of numbers that nobody asked for as text, the number."""
        if self.texts is not None:
            return str(self.texts[row])
        return self.word_of.get(row, "") if self.missing[row] else repr(float(self.numbers[row])).removesuffix(".0")


@dataclass(frozen=True)
class Cells:
    """A table: its columns, and where its N rows stand.

    Attributes:
        files: the files that were read.
        columns: in the order of the (first) file.
        lines: (N,) the line of each row in its file, from one; where a row takes several lines, the last of them.
        starts: the number of the first row of each file, ascending.
        splits: the rows of `train`, `val` and `test`, one after the other, where files of their own say so; else empty.
        skipped: the rows that were left out.
        notes: what was recognised in the files, such as "Latin-1" or "separator ;".
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


def read_cells(
    path: str,
    *,
    delimiter: str | None = None,
    encoding: str | None = None,
    missing_words: Collection[str] | None = None,
    as_text: Collection[str] = (),
    skip: bool = False,
) -> Cells:
    """Read a table; the same files are read once, however often they are asked for.

    Args:
        path: the file.
        delimiter: what separates cells; None: what the header holds most of.
        encoding: of the file; None: UTF-8, with or without a byte order mark.
        missing_words: cells that mean missing, instead of `MISSING_WORDS`; the empty cell always does.
        as_text: names of columns whose texts are kept in any case.
        skip: leave out rows that have more or fewer cells than the header.

    Raises:
        CouloirError: the file is not there, empty, or not a table; two columns have the same name; or, unless they are
            skipped, a row has more or fewer cells than the header.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise CouloirError(f"There is no file {path}.", next_step="name the table with data.path=FILE.csv")
    words = None if missing_words is None else tuple(missing_words)
    stamp = file.stat()
    return _read(file, (stamp.st_mtime_ns, stamp.st_size), delimiter, encoding, words, tuple(as_text), skip)


@lru_cache(maxsize=4)
def _read(
    file: Path,
    _stamp: tuple[int, int],
    delimiter: str | None,
    encoding: str | None,
    missing_words: tuple[str, ...] | None,
    as_text: tuple[str, ...],
    skip: bool,
) -> Cells:
    try:
        with file.open(newline="", encoding=encoding or "utf-8-sig") as stream:
            reader = csv.reader(stream, delimiter=delimiter or _sniff(stream.readline()))
            stream.seek(0)
            # The line of a record is where it ends: a quoted cell may hold line breaks.
            rows = [(reader.line_num, row) for row in reader if row]
    except (UnicodeDecodeError, LookupError, csv.Error) as error:
        raise CouloirError(f"{file} cannot be read as a table: {error}", next_step="save it as CSV in UTF-8") from error
    if not rows:
        raise CouloirError(f"{file} is empty.", next_step="name a table with a header and rows")
    names = [name.strip() for name in rows[0][1]]
    for name in names:
        if names.count(name) > 1:
            raise CouloirError(
                f"{file} has {names.count(name)} columns '{name}'.",
                place=f"line {rows[0][0]}",
                next_step="give each column a name of its own",
            )
    used, skipped = [], []
    for line, row in rows[1:]:
        if len(row) == len(names):
            used.append((line, row))
            continue
        fact = f"A row has {len(row)} cells, the header has {len(names)}."
        if not skip:
            raise CouloirError(fact, place=f"{file}, line {line}")
        skipped.append(Skipped("", str(file), line, "", fact))
    cells = zip(*(row for _, row in used), strict=True) if used else [()] * len(names)
    columns = [_column(name, column, missing_words, name in as_text) for name, column in zip(names, cells, strict=True)]
    return Cells([file], columns, np.array([line for line, _ in used], dtype=np.int64), skipped=skipped)


def _sniff(header: str) -> str:
    """The delimiter that the header holds most of."""
    return max(",;\t|", key=header.count)


def _column(name: str, cells: tuple[str, ...], stated: tuple[str, ...] | None, as_text: bool) -> Column:
    texts = [cell.strip() for cell in cells]
    words = frozenset(MISSING_WORDS if stated is None else (*stated, ""))
    numbers = np.array([math.nan if text in words else _number(text) for text in texts], dtype=np.float64)
    if stated is None and any(text not in words for text, bad in zip(texts, np.isnan(numbers), strict=True) if bad):
        words -= MAYBE_WORDS
    missing = np.array([text in words for text in texts], dtype=bool)
    plain = bool(np.all(missing ^ ~np.isnan(numbers)))
    kept = np.array(texts, dtype=object) if as_text or not plain else None
    written = [text for text, bad in zip(texts, np.isnan(numbers), strict=True) if not bad]
    integers = bool(written) and all(text.lstrip("+-").isdecimal() for text in written)
    word_of = {row: texts[row] for row in np.flatnonzero(missing).tolist() if texts[row]}
    return Column(name, numbers, kept, missing, integers, [], word_of)


def _number(text: str) -> float:
    """The number that a cell holds, NaN where it is none that is finite."""
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) and "_" not in text else math.nan
