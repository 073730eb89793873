"""Blocks of plain numbers, parsed in compiled code: what makes large tables fast.

A block is text without quotes. Its bytes are checked against the grammar of numbers, and SciPy's reader of Matrix
Market files, which rounds each number correctly, makes one array of them. What does not follow the grammar is left to
the reader of cells, whose answer is the same.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEAST = 1 << 18
"""Characters of a block that this is worth it for: SciPy's reader takes a third of a second to import."""
_NEGATIVE_ZERO = re.compile(rb"-0*\.?0*(?:[eE][+-]?\d+)?[^\d.eE+-]")
EXACT = 2.0**53
"""Integers from here on are not all float64 numbers."""


@dataclass(frozen=True)
class Block:
    """A block of cells.

    Attributes:
        numbers: (columns of numbers, rows) float64, NaN where a cell is empty.
        integers: of each of these columns whether all its numbers are written as integers.
        odd: of each whether it has integers with leading zeros, or ones that float64 does not have.
        texts: the cells of the other columns, by position.
        rows: how many.
        gaps: whether some cells are empty.
    """

    numbers: NDArray[np.float64]
    integers: list[bool]
    odd: list[bool]
    texts: dict[int, list[str]]
    rows: int
    gaps: bool = False


def parsed(block: str, rows: int, separator: str, width: int, texts: Sequence[int], gaps: bool = False) -> Block | None:
    """A block as numbers and texts; None where its cells must be looked at one by one.

    Args:
        block: whole lines, each ended by a line feed, without quotes.
        rows: how many lines.
        separator: one character of ASCII.
        width: cells of a row.
        texts: the positions of columns whose texts are wanted, ascending.
        gaps: whether empty cells are likely; they are read in any case.
    """
    if separator in "0123456789.+-eE" or not separator.isascii():
        return None
    raw = block.encode()
    mark = separator.encode()
    numeric = [position for position in range(width) if position not in set(texts)]
    ends: NDArray[np.int64] | None = None
    if texts:
        ends = _ends(raw, mark, rows, width)
        if ends is None:
            return None
    found = {} if ends is None else _texts(block, raw, ends, texts)
    if not numeric:
        if any(not any(map(str.strip, cells)) for cells in zip(*found.values(), strict=True)):
            return None  # a row without anything is left out
        return Block(np.empty((0, rows)), [], [], found, rows)
    body = raw if ends is None else _without(raw, ends, texts)
    if not _is_plain(body, mark, len(numeric), rows):
        return None
    numbers = None if gaps and width > 1 else _values(body, mark, len(numeric), rows, False)
    gaps = numbers is None
    if numbers is None and width > 1:
        numbers = _values(body, mark, len(numeric), rows, True)
    if numbers is None:
        return None
    whole = [_is_whole(column) for column in numbers]
    integers, odd = [False] * len(numeric), [False] * len(numeric)
    if any(whole):
        ends = _ends(raw, mark, rows, width) if ends is None else ends
        if ends is None:
            return None
        for index, position in enumerate(numeric):
            if whole[index]:
                integers[index], odd[index] = _as_integers(raw, ends, position, numbers[index])
    return Block(numbers, integers, odd, found, rows, gaps)


def _is_whole(column: NDArray[np.float64]) -> bool:
    return all(
        bool(np.all(np.isnan(part) | (part == np.floor(part)))) for part in (column[:64], column[64:])
    )  # the first ones tell mostly


def _ends(raw: bytes, mark: bytes, rows: int, width: int) -> NDArray[np.int64] | None:
    """Where each cell ends, (rows, width); None where the rows do not all have so many cells."""
    content = np.frombuffer(raw, np.uint8)
    ends = np.flatnonzero((content == mark[0]) | (content == 10))
    if ends.size != rows * width or not rows:
        return None
    table = ends.reshape(rows, width)
    return table if bool(np.all(content[table[:, -1]] == 10)) else None


def _starts(ends: NDArray[np.int64], position: int) -> NDArray[np.int64]:
    if position:
        return ends[:, position - 1] + 1
    return np.concatenate([[0], ends[:-1, -1] + 1])


def _without(raw: bytes, ends: NDArray[np.int64], texts: Sequence[int]) -> bytes:
    """A block without some columns: each with the separator behind it, the last ones with that before them."""
    width = ends.shape[1]
    if len(texts) == width:
        return b""
    change = np.zeros(len(raw) + 1, np.int8)
    gone = set(texts)
    for position in texts:
        if position - 1 in gone:
            continue
        last = position
        while last + 1 in gone:
            last += 1
        if last == width - 1:
            change[_starts(ends, position) - 1] += 1
            change[ends[:, last]] -= 1
        else:
            change[_starts(ends, position)] += 1
            change[ends[:, last] + 1] -= 1
    kept = np.cumsum(change[:-1], dtype=np.int8) == 0
    left: bytes = np.frombuffer(raw, np.uint8)[kept].tobytes()
    return left


def _texts(block: str, raw: bytes, ends: NDArray[np.int64] | None, positions: Sequence[int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for position in positions:
        assert ends is not None
        limits = zip(_starts(ends, position).tolist(), ends[:, position].tolist(), strict=True)
        if len(block) == len(raw):
            found[position] = [block[start:end] for start, end in limits]
        else:
            found[position] = [raw[start:end].decode() for start, end in limits]
    return found


def _is_plain(body: bytes, mark: bytes, width: int, rows: int) -> bool:
    """Whether all rows have so many cells, and what stands in them are numbers or nothing.

    Most is seen from the signs alone, what is left without the digits: a quarter of the bytes.
    """
    content = np.frombuffer(body, np.uint8)
    signs = np.compress((content - np.uint8(48)) > 9, content)
    dots, ends = signs == 46, (signs == mark[0]) | (signs == 10)
    if bool(np.any(dots[1:] & dots[:-1])):
        return False
    between = np.compress(ends, signs)
    if between.size != rows * width or not bool(np.all(between[width - 1 :: width] == 10)):
        return False
    # Before a minus stands what ends a cell, or an e: not what is from "-" (45) to "9" (57).
    minus = content[1:] == 45
    minus &= (content[:-1] - np.uint8(45)) <= 12
    if bool(minus.any()):
        return False
    others = np.compress(~(dots | ends | (signs == 45)), signs)
    if not others.size:
        return True
    powers = (others | 32) == 101
    if bool(np.any(~powers & (others != 43))):
        return False
    # Behind an e stand a sign or none, and then digits to the end of the cell; a plus stands nowhere else.
    plus = np.flatnonzero(content == 43)
    if bool(np.any((content[plus - 1] | 32) != 101)):
        return False
    behind = _behind_power(content)
    if bool(np.any((behind < 48) | (behind > 57))):
        return False
    behind = _behind_power(signs)
    return bool(np.all((behind == mark[0]) | (behind == 10)))


def _behind_power(content: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What stands behind each e, or behind its sign."""
    places = np.flatnonzero((content | 32) == 101) + 1  # a line feed follows the last one
    behind: NDArray[np.uint8] = content[places + ((content[places] == 43) | (content[places] == 45))]
    return behind


def _values(body: bytes, mark: bytes, width: int, rows: int, gaps: bool) -> NDArray[np.float64] | None:
    """The numbers of a block, (width, rows); None where one is infinite, no number, or not there.

    Args:
        body: what `_is_plain` has checked.
        mark: what separates cells.
        width: cells of a row.
        rows: how many.
        gaps: whether cells may be empty, and are NaN then.
    """
    numbers: NDArray[np.float64]
    if not gaps:
        whole = _read(body.translate(bytes.maketrans(mark, b"\n")), width, rows)
        if whole is None:
            return None
        numbers = whole
    else:
        ends = _ends(body, mark, rows, width)
        if ends is None:
            return None
        lengths = np.diff(ends.reshape(-1), prepend=-1) - 1
        full = lengths > 0
        found = _read(body.translate(bytes.maketrans(mark, b"\n")), 1, int(full.sum()))  # it passes over empty lines
        if found is None:
            return None
        flat = np.full(rows * width, np.nan)
        flat[full] = found.reshape(-1)
        numbers = np.ascontiguousarray(flat.reshape(rows, width).T)
        if bool(np.any(np.all(np.isnan(numbers), axis=0))):
            return None  # a row without anything is left out
    # SciPy's reader forgets the sign of -0.
    lost = bool(np.any(np.isinf(numbers))) or (not numbers.all() and _NEGATIVE_ZERO.search(body) is not None)
    return None if lost else numbers


def _read(lines: bytes, width: int, rows: int) -> NDArray[np.float64] | None:
    """One number a line, the numbers of a row one after the other, (width, rows); None where there are not so many."""
    from scipy.io import mmread

    head = b"%%MatrixMarket matrix array real general\n" + f"{width} {rows}\n".encode()
    with suppress(ValueError, OverflowError):
        numbers: NDArray[np.float64] = mmread(io.BytesIO(head + lines))
        return numbers
    return None


def one_thread() -> AbstractContextManager[object]:
    """SciPy's reader with one thread: to share a block among the cores takes longer than to read it."""
    from scipy.io import mmread
    from threadpoolctl import threadpool_limits

    mmread(io.BytesIO(b"%%MatrixMarket matrix array real general\n1 1\n0\n"))  # loads what is to be limited
    limits: AbstractContextManager[object] = threadpool_limits(1, user_api="scipy")
    return limits


def _as_integers(raw: bytes, ends: NDArray[np.int64], position: int, numbers: NDArray[np.float64]) -> tuple[bool, bool]:
    """Of a column of whole numbers: whether all are written as integers, and whether some of these are odd.

    An integer without leading zeros has as many characters as its value has digits, and one more for a minus.
    """
    present = ~np.isnan(numbers)
    values = numbers[present]
    if not values.size:
        return True, False
    starts, stops = _starts(ends, position)[present], ends[:, position][present]
    content = np.frombuffer(raw, np.uint8)
    size = np.abs(values)
    powers = 10.0 ** np.arange(1, 17)
    digits = 1 + np.searchsorted(powers, size, side="right")
    short = (stops - starts == digits + np.signbit(values)) & (size < EXACT)
    if b"e" in raw or b"E" in raw:
        marks = np.flatnonzero((content == 101) | (content == 69))
        place = np.searchsorted(starts, marks, side="right") - 1
        if bool(np.any((place >= 0) & (marks < stops[np.maximum(place, 0)]))):
            return False, False
    if bool(np.all(short)):
        return True, False
    left = np.flatnonzero(~short)
    dotted = (content[stops[left] - 1] == 46) | (content[np.maximum(stops[left] - 2, 0)] == 46)
    if bool(np.any(dotted)):
        return False, False
    written = [raw[start:stop] for start, stop in zip(starts[left].tolist(), stops[left].tolist(), strict=True)]
    integers = all(b"." not in cell for cell in written)
    return integers, integers
