"""The rows of a file, chunk by chunk: blocks of plain numbers where they are, lists of cells elsewhere."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from couloir.data.tabular import plain
from couloir.data.tabular.layout import UNIT, Layout
from couloir.data.tabular.text import blocks
from couloir.errors import CouloirError

CELLS = 200_000
"""Cells of a chunk, where they are read one by one."""


@dataclass(frozen=True)
class Chunk:
    """Some rows, and the lines that they end in; blank lines and comments are left out.

    Attributes:
        lines: (N,) from one.
        rows: N lists of cells, or a block of N rows.
        blank: lines without anything, which were left out.
        characters: of a block.
    """

    lines: NDArray[np.int64]
    rows: list[list[str]] | plain.Block
    blank: int = 0
    characters: int = 0


def chunks(
    file: Path, encoding: str, layout: Layout, comment: str | None, texts: Callable[[], Sequence[int]]
) -> Iterator[Chunk]:
    """The rows of a file below its header.

    Args:
        file: the table.
        encoding: of its text.
        layout: of its cells.
        comment: what lines begin with that are no rows; None: nothing.
        texts: asked before each chunk: the positions of columns whose texts are wanted.

    Raises:
        CouloirError: a quoted cell that is followed by something, or does not end; a cell without end.
    """
    line, before = 0, layout.lines
    source = blocks(file, encoding)
    gaps = False
    for block in source:
        while before and block:
            block = _after_first_line(block)
            line, before = line + 1, before - 1
        if '"' in block:
            yield from _quoted(file, chain([block], source), line, layout, comment)
            return
        if not block:
            continue
        text = _prepared(file, block, layout, line)
        ending = text if text.endswith("\n") else f"{text}\n"
        count = ending.count("\n")
        found = None
        if len(block) >= plain.LEAST and not (comment and comment in block):
            found = plain.parsed(ending, count, layout.separator.one, layout.width, texts(), gaps)
        if found is not None:
            gaps = gaps or found.gaps
            yield Chunk(np.arange(line + 1, line + 1 + count), found, characters=len(block))
        else:
            yield from _unquoted(file, ending, line, layout, comment)
        line += count


def _after_first_line(text: str) -> str:
    ends = [place for mark in "\r\n" if (place := text.find(mark)) >= 0]
    if not ends:
        return ""
    return text[min(ends) + (2 if text.startswith("\r\n", min(ends)) else 1) :]


def _prepared(file: Path, block: str, layout: Layout, line: int) -> str:
    """A block with line feeds as line ends, and one character that separates cells."""
    text = block.replace("\r\n", "\n").replace("\r", "\n") if "\r" in block and '"' not in block else block
    if layout.separator.one != UNIT:
        return text
    if UNIT in text:
        raise CouloirError(
            "The control character 1F stands in the text; Couloir needs it for separators of several characters.",
            place=f"{file}, line {line + 1 + text.partition(UNIT)[0].count(chr(10))}",
            next_step="remove it",
        )
    return layout.separator.prepared(text)


def _unquoted(file: Path, text: str, line: int, layout: Layout, comment: str | None) -> Iterator[Chunk]:
    """The rows of a block in which each line is one."""
    lines = text.split("\n")
    lines.pop()
    step = max(1, CELLS // layout.width)
    one = layout.separator.one
    for start in range(0, len(lines), step):
        part = lines[start : start + step]
        numbers = np.arange(line + start + 1, line + start + 1 + len(part))
        if comment:
            left = [index for index, content in enumerate(part) if not content.lstrip().startswith(comment)]
            part, numbers = [part[index] for index in left], numbers[left]
        reader = csv.reader(part, delimiter=one, skipinitialspace=one != " ", strict=True)
        try:
            rows = list(reader)
        except csv.Error as error:
            raise _wrong(file, error, int(numbers[min(reader.line_num, len(part)) - 1])) from error
        if all(map(_has_cells, rows)):
            yield Chunk(numbers, rows)
        else:
            full = [index for index, row in enumerate(rows) if _has_cells(row)]
            yield Chunk(numbers[full], [rows[index] for index in full], len(rows) - len(full))


def _has_cells(row: Sequence[str]) -> bool:
    return bool(row) and (len(row) == 1 or bool(row[0].strip()) or any(map(str.strip, row)))


class _Lines:
    """The lines of some blocks, counted; comments between records are left out."""

    def __init__(self, texts: Iterator[str], line: int, comment: str | None) -> None:
        self.texts, self.line, self.comment = texts, line, comment
        self.between = True
        """Whether the next line begins a record."""

    def __iter__(self) -> Iterator[str]:
        for text in self.texts:
            for content in io.StringIO(text, newline=""):
                self.line += 1
                if self.between and self.comment and content.lstrip().startswith(self.comment):
                    continue
                self.between = False
                yield content


def _quoted(file: Path, source: Iterator[str], line: int, layout: Layout, comment: str | None) -> Iterator[Chunk]:
    """The rows of the rest of a file, in which a quoted cell may hold anything."""
    lines = _Lines((_prepared(file, block, layout, line) for block in source), line, comment)
    one, separator = layout.separator.one, layout.separator
    reader = csv.reader(iter(lines), delimiter=one, skipinitialspace=one != " ", strict=True)
    step = max(1, CELLS // layout.width)
    rows: list[list[str]] = []
    numbers: list[int] = []
    blank, begin = 0, line
    try:
        for cells in reader:
            lines.between = True
            if _has_cells(cells):
                rows.append(cells if one != UNIT else [separator.restored(cell) for cell in cells])
                numbers.append(lines.line)
            else:
                blank += 1
            begin = lines.line
            if len(rows) == step:
                yield Chunk(np.array(numbers, dtype=np.int64), rows, blank)
                rows, numbers, blank = [], [], 0
    except csv.Error as error:
        raise _wrong(file, error, begin + 1) from error
    yield Chunk(np.array(numbers, dtype=np.int64), rows, blank)


def _wrong(file: Path, error: csv.Error, line: int) -> CouloirError:
    words = str(error)
    step = 'write a quote within a quoted cell twice, as in "5"" pipe", and end each quoted cell with a quote'
    if "unexpected end" in words:
        fact = "A quoted cell begins in this row and never ends: the file is cut off, or a quote is missing."
    elif "expected after" in words:
        fact = "A quoted cell is followed by something else than a separator."
    elif "limit" in words:
        fact, step = f"A cell has more than {csv.field_size_limit():,} characters.", "check the quotes of the row"
    else:
        fact = f"The row cannot be read: {words}"
    return CouloirError(fact, place=f"{file}, line {line}", next_step=step)
