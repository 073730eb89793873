"""The cells of a column as they come, and what they are once all have come: numbers in one style, or texts."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from couloir.data.tabular import styles
from couloir.data.tabular.plain import EXACT
from couloir.data.tabular.styles import Amount, plain_number

CELL_END = "\0"
"""Between the texts of a column, which are kept in one string a chunk: no table has it in its cells."""
_LEADING_ZERO = re.compile(r"(?:^|\0)[+-]?0\d+(?=\0|$)")


class Gathering:
    """The cells of one column, chunk by chunk: as numbers as long as all are, or as texts from the first one on.

    Args:
        name: the column's.
        words: those that mean missing, the empty one among them.
        as_text: keep the texts.
    """

    def __init__(self, name: str, words: frozenset[str], as_text: bool) -> None:
        self.name, self.words, self.is_text = name, words, as_text
        self.late = False
        """Whether its texts are needed, and those of the rows before are gone: they must be read again."""
        self.count = 0
        self.texts: list[str] = []
        self.room = 0
        """Numbers that are likely to come: memory that is not written to costs nothing."""
        self._numbers: NDArray[np.float64] = np.empty(0)
        self.integers = True
        self.word_of: dict[int, str] = {}

    @property
    def needs_texts(self) -> bool:
        """Whether the numbers of a block are of no use to it."""
        return self.is_text or self.late

    def add_block(self, numbers: NDArray[np.float64], integers: bool, odd: bool) -> None:
        """Add plain numbers.

        Args:
            numbers: (N,), NaN where a cell is empty.
            integers: whether all are written as integers.
            odd: whether some integers have leading zeros, or are too large for float64.
        """
        if odd:
            self.late, self._numbers = True, np.empty(0)
        elif not self.late:
            self.integers = self.integers and integers
            self._keep(numbers)
        self.count += len(numbers)

    def add(self, cells: Sequence[str]) -> None:
        """Add cells as they are written."""
        if not cells:
            return
        if not self.needs_texts and not self._add_numbers(cells):
            self.is_text, self.late = self.count == 0, self.count > 0
            self._numbers = np.empty(0)
        if self.is_text:
            self.texts.append(CELL_END.join(map(str.strip, cells)))
        self.count += len(cells)

    def _add_numbers(self, cells: Sequence[str]) -> bool:
        joined = CELL_END.join(cells)
        if not joined.isascii() or "_" in joined:
            return False
        try:
            values = np.array(list(map(float, cells)), dtype=np.float64)
            known = True
        except ValueError:
            try:
                words, nan = self.words, math.nan
                cells = list(map(str.strip, cells))
                values = np.array([nan if cell in words else float(cell) for cell in cells], dtype=np.float64)
                known = False
            except ValueError:
                return False
        finite = np.isfinite(values)
        if not finite.all():
            for row in np.flatnonzero(~finite).tolist():
                word = cells[row].strip()
                if word not in self.words:
                    return False
                values[row] = math.nan
                if word:
                    self.word_of[self.count + row] = word
            known = False
        whole = values[finite] == np.floor(values[finite])
        integers = bool(whole.all())
        if integers:
            plain = joined if known else CELL_END.join(cells[row] for row in np.flatnonzero(finite).tolist())
            integers = not any(mark in plain for mark in ".eE")
            if integers and (_LEADING_ZERO.search(plain) or bool(np.any(np.abs(values[finite]) >= EXACT))):
                self.word_of = {row: word for row, word in self.word_of.items() if row < self.count}
                return False
        self.integers = self.integers and integers
        self._keep(values)
        return True

    def _keep(self, values: NDArray[np.float64]) -> None:
        end = self.count + len(values)
        if end > len(self._numbers):
            larger = np.empty(max(end + end // 2, self.room))
            larger[: self.count] = self._numbers[: self.count]
            self._numbers = larger
        self._numbers[self.count : end] = values

    def taken(self) -> NDArray[np.float64]:
        """The numbers, (N,); they are kept here no longer."""
        numbers, self._numbers = self._numbers[: self.count], np.empty(0)
        return numbers


@dataclass
class Found:
    """What a column's cells are.

    Attributes:
        numbers: (N,), NaN where a cell is missing or no number.
        texts: (N,) as written; None where they are not kept.
        missing: (N,).
        integers: whether there are numbers, and all are written as integers.
        notes: what was recognised.
        word_of: the words in missing cells, by row.
        doubt: cells such as 1,234 that nothing in the column explains: the first row and cell, and the mark; else None.
        comma: whether the column shows that its decimal mark is a comma.
        open: whether it would be another column if another one showed that.
    """

    numbers: NDArray[np.float64]
    texts: NDArray[np.object_] | None
    missing: NDArray[np.bool_]
    integers: bool
    notes: list[str] = field(default_factory=list)
    word_of: dict[int, str] = field(default_factory=dict)
    doubt: tuple[int, str, str] | None = None
    comma: bool = False
    open: bool = False


def of_numbers(gathered: Gathering) -> Found:
    """A column of plain numbers."""
    numbers = gathered.taken()
    word_of = dict(gathered.word_of)
    for value, word in styles.words_as_values(gathered.words).items():
        rows = np.flatnonzero(numbers == value)
        numbers[rows] = math.nan
        word_of.update(dict.fromkeys(rows.tolist(), word))
    missing = np.isnan(numbers)
    return Found(numbers, None, missing, gathered.integers and not bool(missing.all()), [], word_of)


def only_texts(gathered: Gathering) -> Found:
    """A column whose texts are all that is wanted of it."""
    cells = [cell for text in gathered.texts for cell in text.split(CELL_END)]
    number_of = {text: number for number, text in enumerate(dict.fromkeys(cells))}
    codes = np.fromiter(map(number_of.__getitem__, cells), np.int64, len(cells))
    missing = np.array([text in gathered.words for text in number_of], dtype=bool)[codes]
    return Found(np.full(len(cells), math.nan), np.array([*number_of], dtype=object)[codes], missing, False)


def of_texts(
    gathered: Gathering, maybe: frozenset[str], keep: bool, decimal: str | None, comma_elsewhere: bool
) -> Found:
    """A column whose texts were kept: numbers in some style where most of its cells are, else texts.

    Args:
        gathered: its cells.
        maybe: words that mean missing among numbers, and that are texts among texts.
        keep: whether the texts of numbers are wanted as well.
        decimal: the decimal mark that was stated.
        comma_elsewhere: whether another column of the table shows that its decimal mark is a comma.
    """
    cells = [cell for text in gathered.texts for cell in text.split(CELL_END)]
    counts = Counter(cells)
    values_of_words = styles.words_as_values(gathered.words)
    words = gathered.words | {text for text in counts if values_of_words and plain_number(text) in values_of_words}
    values: dict[str, float] = {}
    odd: list[str] = []
    for text in counts:
        if text not in words:
            number = plain_number(text)
            if number is None:
                odd.append(text)
            else:
                values[text] = number
    found = Found(np.empty(0), None, np.empty(0, bool), bool(values) and all(map(_is_integer, values)))
    if odd or ((comma_elsewhere or decimal == ",") and any("." in text for text in values)):
        different = {text: count for text, count in counts.items() if text not in words}
        _read_in_style(different, values, decimal, comma_elsewhere, found)
    else:
        dotted = [text for text in values if "." in text]
        found.open = bool(dotted) and all(map(styles.is_doubtful, dotted))
    if found.doubt is not None:
        found.doubt = (cells.index(found.doubt[1]), *found.doubt[1:])
    is_text = any(text not in values for text in counts if text not in words)
    if is_text:
        kept_words = sorted(words & maybe & counts.keys())
        for word in kept_words:
            found.notes.append(
                f"'{word}' ({counts[word]} cells) is a value; data.missing_words=[{word}] makes it missing"
            )
        words = words - maybe
    number_of = {text: number for number, text in enumerate(counts)}
    codes = np.fromiter(map(number_of.__getitem__, cells), np.int64, len(cells))
    found.numbers = np.array([values.get(text, math.nan) for text in counts], dtype=np.float64)[codes]
    found.missing = np.array([text in words for text in counts], dtype=bool)[codes]
    found.integers = found.integers and bool(np.any(np.isfinite(found.numbers)))
    if found.integers and not is_text:
        odd_integers = _odd_integers(values)
        found.notes += odd_integers
        keep = keep or bool(odd_integers)
    if keep or is_text:
        found.texts = np.array([*counts], dtype=object)[codes]
    found.word_of = {row: cells[row] for row in np.flatnonzero(found.missing).tolist() if cells[row]}
    return found


def _read_in_style(
    counts: dict[str, int], values: dict[str, float], decimal: str | None, comma_elsewhere: bool, found: Found
) -> None:
    """Read the cells of a column in the style that most of them have, where most of them are numbers at all.

    Args:
        counts: the different cells, but for missing ones, and how often each is there.
        values: of cells that are plain numbers; it is changed.
        decimal: the decimal mark that was stated.
        comma_elsewhere: whether another column shows that its decimal mark is a comma.
        found: what is told about the column; it is changed.
    """
    if _read_with_commas(counts, values, decimal == "," or comma_elsewhere):
        found.integers, found.comma = False, True
        found.notes.append("decimal comma")
        return
    amounts = {text: styles.taken_apart(text) for text in counts}
    total, unit = sum(counts.values()), ""
    if 2 * _in_numbers(amounts, counts) < total:
        unit = styles.unit_of(counts)
        if not unit:
            return
        bare = {text: text.removesuffix(unit).rstrip() for text in counts}
        amounts = {text: styles.taken_apart(bare[text]) if bare[text] != text else None for text in counts}
        if 2 * _in_numbers(amounts, counts) < total:
            return
    style = styles.style_of(amounts, counts)
    mark = style.decimal or decimal or ""
    found.open = not mark and bool(style.doubtful)
    if not mark and style.doubtful:
        if style.doubtful == "," and comma_elsewhere:
            mark = ","
        elif style.doubtful == "," or comma_elsewhere:
            found.doubt = (0, style.example, style.doubtful)
    mark = mark or "."
    read = {text: styles.valued(amount, style, mark) for text, amount in amounts.items()}
    read = {text: value for text, value in read.items() if not math.isnan(value)}
    if 2 * sum(counts[text] for text in read) < total:
        found.doubt = None
        return
    values.clear()
    values.update(read)
    used = [amount for text, amount in amounts.items() if text in read and amount is not None]
    found.integers = all(_is_whole(amount, mark) for amount in used)
    found.comma = style.decimal == ","
    found.notes += styles.notes_on(used, style, mark) + ([f"unit {unit}"] if unit else [])


def _in_numbers(amounts: dict[str, Amount | None], counts: dict[str, int]) -> int:
    """How many cells are numbers in some style."""
    return sum(count for text, count in counts.items() if amounts[text] is not None)


def _read_with_commas(counts: dict[str, int], values: dict[str, float], stated: bool) -> bool:
    """Read a column whose cells are all plain numbers but for their decimal commas: the usual case, and fast."""
    texts = list(counts)
    joined = CELL_END.join(texts)
    if "." in joined or "_" in joined or "," not in joined or not joined.isascii() or ",\0" in f"{joined}\0":
        return False
    try:
        read = list(map(float, joined.replace(",", ".").split(CELL_END)))
    except ValueError:
        return False
    if not all(map(math.isfinite, read)):
        return False
    if not stated and all(styles.is_doubtful(text) for text in texts if "," in text):
        return False
    values.update(zip(texts, read, strict=True))
    return True


def _is_whole(amount: Amount, mark: str) -> bool:
    return not amount.decimal and amount.doubtful != mark and "e" not in amount.digits.lower()


def _is_integer(text: str) -> bool:
    return text.lstrip("+-").isdecimal()


def _odd_integers(values: Iterable[str]) -> list[str]:
    """What may make integers names rather than numbers."""
    notes = []
    texts = [text for text in values if _is_integer(text)]
    if any(_LEADING_ZERO.fullmatch(text) for text in texts):
        notes.append("leading zeros")
    if any(abs(float(text)) >= EXACT for text in texts):
        notes.append("integers beyond 2**53, which float64 rounds")
    return notes
