"""What the first lines of a table tell: what separates its cells, where its header is, what its columns are called."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from couloir.data.tabular.styles import plain_number
from couloir.errors import CouloirError

SAMPLE_LINES = 200
"""Lines that the layout is recognised from."""
UNIT = "\x1f"
"""Stands for a separator of several characters: ASCII's unit separator, which no table of text has in its cells."""
WORDS = {
    "comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "space": " ", "pipe": "|", "colon": ":",
    "whitespace": "whitespace",
}  # fmt: skip
"""What `data.delimiter` may say instead of the characters themselves."""
CANDIDATES = (",", ";", "\t", "|", "::")


@dataclass(frozen=True)
class Separator:
    """What stands between two cells: some characters, or a run of spaces and tabs (`whitespace`)."""

    text: str

    @property
    def one(self) -> str:
        """The character that separates cells after `prepared`."""
        return self.text if len(self.text) == 1 else UNIT

    def prepared(self, text: str) -> str:
        """Some lines, in which one character separates cells."""
        if self.text == "whitespace":
            lines = (line.strip(" \t") for line in text.split("\n"))
            return _outside_quotes("\n".join(lines))
        return text if len(self.text) == 1 else text.replace(self.text, UNIT)

    def restored(self, cell: str) -> str:
        """A cell as it was written, where a separator of several characters stood in its quotes."""
        return cell if len(self.text) == 1 else cell.replace(UNIT, " " if self.text == "whitespace" else self.text)


def _outside_quotes(text: str) -> str:
    if '"' not in text:
        return re.sub("[ \t]+", UNIT, text)
    return re.sub('"(?:[^"]|"")*"|([ \t]+)', lambda found: UNIT if found[1] else found[0], text)


@dataclass(frozen=True)
class Layout:
    """How a file is laid out.

    Attributes:
        separator: between cells.
        names: of the columns that are read, in order.
        lines: how many lines stand before the first row.
        width: cells of a row; where it is one more than there are names, the last cell of each row is empty.
        notes: what was recognised.
        unnamed: those of the names that the header does not have.
    """

    separator: Separator
    names: list[str]
    lines: int
    width: int
    notes: list[str] = field(default_factory=list)
    unnamed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Record:
    """One record of the sample: the lines that it begins and ends in, from one, and its cells."""

    begin: int
    end: int
    cells: list[str]


def layout_of(file: Path, sample: str, delimiter: str | None, comment: str | None, header: bool | int | None) -> Layout:
    """Recognise the layout of a table.

    Args:
        file: for messages.
        sample: its first lines.
        delimiter: the separator, or a word of `WORDS`; None: recognised.
        comment: what lines begin with that are no rows; None: lines before the header that begin with # are none.
        header: whether there is a header, or the number of its line; None: there is, unless it looks like a row, which
            is refused.

    Raises:
        CouloirError: the file is empty, it is not clear what is the header, or two columns have the same name.
    """
    lines = sample.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:SAMPLE_LINES]
    notes: list[str] = []
    skipped, stated_line = 0, isinstance(header, int) and not isinstance(header, bool)
    if stated_line:
        skipped = int(header or 1) - 1
        if skipped >= len(lines):
            raise CouloirError(f"{file} has no line {header} to be its header.", place="data.header")
    elif (found := re.fullmatch(r"sep=(.+)", lines[0].strip('" '))) is not None:  # written by and for Excel
        delimiter, skipped = delimiter or found[1], 1
    marked = 0 if stated_line else _leading_comments(lines[skipped:], comment or "#")
    before = skipped + marked
    separator = _stated(delimiter) if delimiter else _recognised(lines[before:], comment)
    records = _records(lines[before:], separator, comment)
    if not records:
        raise CouloirError(f"{file} is empty.", next_step="name a table with a header and rows")
    if not delimiter and separator.text != ",":
        notes.append(f"separator {_readable(separator.text)}")
    if marked and comment is None:
        notes.append(f"{marked} line{'s' if marked > 1 else ''} before the table that begin with #")
    head, rows = records[0], [record.cells for record in records[1:]]
    if not delimiter:
        _refuse_other_separator(file, records, before)
    if header is False:
        width = len(head.cells)
        names = [f"c{number}" for number in range(1, width + 1)]
        return Layout(separator, names, before, width, [*notes, f"no header: the columns are called c1 to c{width}"])
    like_data = header is None and _looks_like_data(head.cells, rows)
    if marked and comment is None:
        commented = _records([lines[before - 1].lstrip(" \t").lstrip("#").strip()], separator, None)
        if commented and len(commented[0].cells) == len(head.cells) > 1:
            if like_data:
                notes[-1] = f"header in line {before}, which begins with #"
                rows = [record.cells for record in records]
                return _named(file, separator, commented[0].cells, before, rows, before, notes)
            raise CouloirError(
                f"Line {before} of {file} begins with #, and may be its header: {', '.join(commented[0].cells[:6])}",
                place=f"{file}, line {before}",
                next_step=f"data.header={before} where it is, data.comment='#' where it is a comment",
            )
    if like_data:
        raise CouloirError(
            f"The first line of {file} looks like a row, not like a header: {', '.join(head.cells[:6])}",
            place=f"{file}, line {before + head.begin}",
            next_step="data.header=false where there is no header (columns are then called c1, c2, ...); "
            "data.header=true where it is one",
        )
    return _named(file, separator, head.cells, before + head.end, rows, before + head.begin, notes)


def _leading_comments(lines: Sequence[str], mark: str) -> int:
    """How many lines there are up to the last of the first ones that begin with a mark."""
    count = 0
    for number, line in enumerate(lines, start=1):
        if line.lstrip(" \t").startswith(mark):
            count = number
        elif line.strip() or not count:
            break
    return count


def _stated(delimiter: str) -> Separator:
    if set(delimiter) & set('"\r\n'):
        raise CouloirError(
            f"{delimiter!r} cannot separate cells: quotes and line ends have a meaning of their own.",
            place="data.delimiter",
            next_step=f"one of {', '.join(WORDS)}, or the characters that stand between two cells",
        )
    return Separator(WORDS.get(delimiter, delimiter))


def _records(lines: Sequence[str], separator: Separator, comment: str | None) -> list[Record]:
    """The records of some lines but for blank ones; one that does not end in them is left out."""
    prepared = separator.prepared("\n".join(lines)).split("\n")
    reader = csv.reader(
        (f"{line}\n" for line in prepared), delimiter=separator.one, skipinitialspace=separator.one != " ", strict=True
    )
    found: list[Record] = []
    begin = 0
    with suppress(csv.Error):  # the reader of the rows says what is wrong, and where
        for cells in reader:
            line, begin = prepared[begin], reader.line_num
            if any(cell.strip() for cell in cells) and not (comment and line.lstrip().startswith(comment)):
                first = begin - sum(cell.count("\n") for cell in cells)
                found.append(Record(first, begin, [separator.restored(cell).strip() for cell in cells]))
    return found


def _recognised(lines: Sequence[str], comment: str | None) -> Separator:
    """The separator that gives all lines the same number of cells, more than one; the more cells, the better.

    Where none does, the one with which most lines have as many cells as the header; then whitespace, where each line
    below the header has a number.
    """
    scores: list[tuple[bool, float, int, str]] = []
    for candidate in CANDIDATES:
        if candidate == "::" and not any("::" in line for line in lines[:2]):
            continue
        records = [record.cells for record in _records(lines, Separator(candidate), comment)]
        if not records:
            continue
        widths = Counter(map(len, records))
        usual, count = max(widths.items(), key=lambda item: (item[0] > 1, item[1]))
        if usual > 1:
            share = count / len(records)
            scores.append((share == 1, share if usual == len(records[0]) else share / 2, usual, candidate))
    if any(complete for complete, *_ in scores):
        best = max((score for score in scores if score[0]), key=lambda score: score[2])
        return Separator(best[3])
    white = Separator("whitespace")
    records = [record.cells for record in _records(lines, white, comment)]
    lengths = {len(cells) for cells in records[1:]}
    regular = len(lengths) == 1 and max(lengths) > 1 and abs(len(records[0]) - max(lengths)) <= 1
    if regular and all(any(plain_number(cell) is not None for cell in cells) for cells in records[1:]):
        return white
    return Separator(max(scores, key=lambda score: score[1])[3] if scores else ",")


def _refuse_other_separator(file: Path, records: Sequence[Record], before: int) -> None:
    """Refuse lines of one cell each in which another sign stands as often as in the header."""
    if len(records) < 2 or any(len(record.cells) > 1 for record in records):
        return
    head = records[0].cells[0]
    for sign in sorted(set(":/^~#!&*+=") & set(head)):
        if all(record.cells[0].count(sign) == head.count(sign) for record in records):
            raise CouloirError(
                f"Each line of {file} is one cell, and '{sign}' may separate others: {head}",
                place=f"{file}, line {before + records[0].begin}",
                next_step=f"data.delimiter='{sign}' where it does, data.delimiter=comma where it does not",
            )


def _readable(text: str) -> str:
    return {"\t": "tab", " ": "space", "whitespace": "spaces or tabs"}.get(text, text)


def _looks_like_data(head: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether a first line has a number in each column of numbers, and they do not count up as names may do."""
    same = [row for row in rows if len(row) == len(head)]
    if not same:
        return all(plain_number(cell) is not None for cell in head)
    numeric = [
        position
        for position, cells in enumerate(zip(*same, strict=True))
        if (filled := [cell for cell in cells if cell]) and all(plain_number(cell) is not None for cell in filled)
    ]
    values = [plain_number(head[position]) for position in numeric]
    numbers = [value for value in values if value is not None]
    if not numbers or len(numbers) < len(values):
        return False
    return not _counts_up(numbers)


def _counts_up(numbers: Sequence[float]) -> bool:
    """Whether numbers are names that a program or the calendar gives: 0, 1, 2, ... or 2001, 2002, 2003, ..."""
    first = numbers[0] in (0, 1) or 1800 <= numbers[0] <= 2100
    return len(numbers) > 2 and first and all(after - before == 1 for before, after in pairwise(numbers))


def _named(
    file: Path,
    separator: Separator,
    names: list[str],
    lines: int,
    rows: Sequence[Sequence[str]],
    line: int,
    notes: list[str],
) -> Layout:
    """Give each column a name: those without one get one, and rows one cell longer than the header are understood."""
    names = [name.removeprefix("#").strip() if not position else name for position, name in enumerate(names)]
    widths = Counter(map(len, rows))
    usual = widths.most_common(1)[0][0] if widths else len(names)
    width = len(names)
    if usual == width + 1 and all(len(row) == usual and not row[-1] for row in rows):
        width, notes = usual, [*notes, "a separator at the end of each row"]
    elif usual == width + 1 and separator.text in (" ", "\t", "whitespace") and _are_row_names(rows, usual):
        names, width = ["row_names", *names], usual
        notes = [*notes, "the first cell of each row, which the header does not name, is called row_names"]
    elif usual > width and widths[usual] > len(rows) / 2:
        raise CouloirError(
            f"The header of {file} has {width} cell{'s' if width > 1 else ''}, the rows below have {usual}: "
            f"{', '.join(names[:6])}",
            place=f"{file}, line {line}",
            next_step="remove what stands above the header, or name the header's line (data.header=2, say); "
            "name another separator with data.delimiter=...",
        )
    taken, unnamed = set(names), set()
    for position, name in enumerate(names):
        if not name:
            names[position] = f"column_{position + 1}"
            while names[position] in taken:
                names[position] += "_"
            unnamed.add(names[position])
    for name, count in Counter(names).items():
        if count > 1:
            places = ", ".join(str(position + 1) for position, other in enumerate(names) if other == name)
            raise CouloirError(
                f"{file} has {count} columns '{name}' (columns {places}), so it is not clear which one is meant.",
                place=f"{file}, line {line}",
                next_step="give each column a name of its own",
            )
    return Layout(separator, names, lines, width, notes, frozenset(unnamed))


def _are_row_names(rows: Sequence[Sequence[str]], width: int) -> bool:
    """Whether all rows have so many cells, and their first ones are names, or count the rows: as R writes tables."""
    first = [row[0] for row in rows if len(row) == width]
    if len(first) < len(rows) or len(set(first)) < len(first):
        return False
    return first == [str(number) for number in range(1, len(first) + 1)] or all(
        plain_number(cell) is None for cell in first
    )
