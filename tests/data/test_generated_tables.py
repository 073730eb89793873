"""Tables that are generated: the value read is the value written, or the table is refused."""

from __future__ import annotations

import gzip
import math
import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from couloir.data import cells as reading
from couloir.data.cells import Cells, read_cells
from couloir.data.tabular import plain, records, text
from couloir.errors import CouloirError

COUNT = 400 if os.environ.get("COULOIR_ALL_FAULTS") == "1" else 200
WORDS = [
    "red",
    "blue",
    "Zoë",
    "naïve",
    "x y",
    "a,b",
    "p;q",
    'say "hi"',
    "two\nlines",
    "l|r",
    "t\tt",
    "k::v",
    "Ünal",
    "'q'",
]
GAPS = ["", "NA", "nan", "NULL", "?", "-", "N/A"]
PLAIN_GAPS = ["", "nan", "NULL", "N/A"]
"""Words that mean missing among texts as well."""


@dataclass
class Written:
    """A column as it is written, and what must be read."""

    kind: str
    cells: list[str]
    numbers: list[float]
    texts: list[str] | None


def decimal(draw: random.Random, most: int = 6) -> str:
    """A number without style: digits, a dot, decimals."""
    places = draw.choice([0, 1, 2, 4])
    value = f"{draw.randrange(10 ** draw.randint(1, most))}"
    return f"{value}.{draw.randrange(10**places):0{places}}" if places else value


def grouped(digits: str, mark: str) -> str:
    head = len(digits) % 3
    return mark.join([digits[:head]] * bool(head) + [digits[at : at + 3] for at in range(head, len(digits), 3)])


def style(draw: random.Random, comma: bool) -> Callable[[str, bool], str]:
    """A way to write numbers: one for the whole column."""
    mark = "," if comma else "."
    group = draw.choice(["", "", " ", "'", "\u00a0", "\u202f", "." if comma else ","])
    before, after = draw.choice(
        [("", ""), ("", ""), ("$", ""), ("€ ", ""), ("", " €"), ("", "%"), ("", " %"), ("", " USD")]
    )
    minus = draw.choice(["-", "-", "\u2212", "("])

    def write(number: str, negative: bool) -> str:
        whole, dot, fraction = number.partition(".")
        body = f"{before}{grouped(whole, group) if group else whole}{mark if dot else ''}{fraction}{after}"
        return body if not negative else f"({body})" if minus == "(" else f"{minus}{body}"

    return write


def numbers(draw: random.Random, rows: int, write: Callable[[str, bool], str]) -> Written:
    gap = draw.choice([None, None, *GAPS])
    cells, values = [], []
    for _ in range(rows):
        if gap is not None and draw.random() < 0.15:
            cells.append(gap)
            values.append(math.nan)
            continue
        number, negative = decimal(draw), draw.random() < 0.3
        cells.append(write(number, negative))
        values.append(-float(number) if negative else float(number))
    return Written("number", cells, values, None)


def column(draw: random.Random, rows: int, comma: bool) -> Written:
    kind = draw.choice(["plain", "plain", "styled", "styled", "text", "code", "power", "large", "mixed"])
    nan = [math.nan] * rows
    if kind == "plain" and not comma:
        return numbers(draw, rows, lambda number, negative: f"{'-' * negative}{number}")
    if kind in ("plain", "styled"):
        return numbers(draw, rows, style(draw, comma))
    if kind == "text":
        pool = draw.sample(WORDS, draw.randint(2, 6)) + ([draw.choice(PLAIN_GAPS)] if draw.random() < 0.3 else [])
        cells = [draw.choice(pool) for _ in range(rows)]
        return Written("text", cells, nan, cells)
    if kind == "code":
        values = [draw.randrange(1000) for _ in range(rows)]
        cells = [f"{value:04}" for value in values]
        return Written("code", cells, [float(value) for value in values], cells)
    if kind == "large":
        integers = [draw.randrange(2**53, 2**62) for _ in range(rows)]
        cells = [str(value) for value in integers]
        return Written("large", cells, [float(value) for value in integers], cells)
    if kind == "power" and not comma:
        floats = [draw.uniform(-1, 1) * 10.0 ** draw.randint(-30, 30) for _ in range(rows)]
        return Written("power", [draw.choice([repr, "{:.17e}".format])(value) for value in floats], floats, None)
    cells = [draw.choice(["12", "7", "abc", "5", "1_1", "0x1F", "inf"]) for _ in range(rows)]
    cells[0] = "abc"
    return Written("mixed", cells, [float(cell) if cell.isdecimal() else math.nan for cell in cells], cells)


def quoted(cell: str, always: bool, separator: str, draw: random.Random) -> str:
    signs = {"::": ":", "whitespace": " \t\u00a0"}.get(separator, separator)
    needed = any(sign in cell for sign in f'{signs}"\n\r') or (separator == "whitespace" and not cell)
    return '"' + cell.replace('"', '""') + '"' if needed or always or draw.random() < 0.02 else cell


def table(seed: int) -> tuple[list[str], list[Written], bytes, dict[str, object]]:
    """Names, columns, the bytes of the file, and the keys that it needs."""
    draw = random.Random(seed)
    rows, comma = draw.randint(6, 40), draw.random() < 0.4
    columns = [column(draw, rows, comma) for _ in range(draw.randint(2, 6))]
    separator = draw.choice([",", ",", ";", ";", "\t", "|", "::", "whitespace"])
    if separator == "whitespace":  # its cells are short words and numbers
        keep = [each for each in columns if not any("\n" in cell or "\t" in cell for cell in each.cells)]
        columns = [*keep, numbers(draw, rows, lambda number, negative: f"{'-' * negative}{number}")]
        columns.append(Written("text", ["w"] * rows, [math.nan] * rows, ["w"] * rows))
    for row in range(rows):  # one without any value is left out
        if not any(each.cells[row] for each in columns):
            columns[0].cells[row] = "NULL"
    names = [draw.choice(["age", "name", "größe", "b c", "x"]) + str(number) for number in range(len(columns))]
    always = draw.random() < 0.2
    between = {"whitespace": draw.choice([" ", "  ", "\t", " \t "])}.get(separator, separator)
    lines = [
        between.join(quoted(cell, always, separator, draw) for cell in row)
        for row in (names, *zip(*(each.cells for each in columns), strict=True))
    ]
    end = draw.choice(["\n", "\n", "\r\n", "\r"])
    whole = end.join(lines) + (end if draw.random() < 0.8 else "")
    codec = draw.choice(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
    try:
        content = whole.encode(codec)
    except UnicodeEncodeError:
        codec, content = "utf-8", whole.encode()
    keys: dict[str, object] = {}
    if draw.random() < 0.5:
        keys["encoding"] = codec
    if separator == "whitespace" or draw.random() < 0.4:
        keys["delimiter"] = separator
    if draw.random() < 0.1:
        content = gzip.compress(content)
    return names, columns, content, keys


def same(one: Cells, other: Cells) -> bool:
    return one.lines.tolist() == other.lines.tolist() and all(
        a.name == b.name
        and np.array_equal(a.numbers, b.numbers, equal_nan=True)
        and np.array_equal(a.missing, b.missing)
        and (a.texts is None) == (b.texts is None)
        and (a.texts is None or a.texts.tolist() == b.texts.tolist())
        and (a.integers, a.notes, a.word_of) == (b.integers, b.notes, b.word_of)
        for a, b in zip(one.columns, other.columns, strict=True)
    )


def read_or_refuse(file: Path, keys: dict[str, object]) -> Cells | str:
    reading._read.cache_clear()
    try:
        return read_cells(str(file), **keys)
    except CouloirError as error:
        return str(error)


def check(found: Cells, names: list[str], columns: list[Written], seed: int) -> None:
    assert found.names == names, seed
    for column, written in zip(found.columns, columns, strict=True):
        context = (seed, written.kind, column.notes, written.cells[:6], column.numbers[:6])
        assert np.array_equal(column.numbers, written.numbers, equal_nan=True), context
        if written.texts is not None:
            assert column.texts is not None, context
            assert column.texts.tolist() == written.texts, context
        gaps = GAPS if written.texts is None else PLAIN_GAPS
        assert column.missing.tolist() == [cell in gaps for cell in written.cells], context


def test_the_values_read_are_the_values_written_or_the_table_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: Counter[str] = Counter()
    for seed in range(COUNT):
        names, columns, content, keys = table(seed)
        file = tmp_path / f"{seed}.csv"
        file.write_bytes(content)
        found = read_or_refuse(file, keys)
        if isinstance(found, str):
            assert "next:" in found, seed
            refused[found.replace(str(file), "FILE")[:60]] += 1
        else:
            check(found, names, columns, seed)
        with monkeypatch.context() as small:  # the same, whatever is looked at together
            small.setattr(text, "BLOCK", 50)
            small.setattr(records, "CELLS", 7)
            small.setattr(plain, "LEAST", 0)
            again = read_or_refuse(file, keys)
        if isinstance(found, str) or isinstance(again, str):
            assert found == again, seed
        else:
            assert same(found, again), seed
        file.unlink()
    assert sum(refused.values()) < COUNT / 5, refused.most_common()
