"""What a column of a table is, decided over the whole of it, with a reason, and said. No torch here."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from couloir.data.cells import MAYBE_WORDS, Cells, Column
from couloir.data.dates import read_dates, short_years
from couloir.data.named import NAMING, ignoring, stating
from couloir.errors import CouloirError, did_you_mean

KINDS = ("number", "category", "boolean", "date", "identifier", "ignore")
"""What `data.columns` may say of a column; a date may also be stated by its format, `%d/%m/%y`."""
BOOLEANS = ({"false", "true"}, {"no", "yes"}, {"f", "t"}, {"n", "y"}, {"off", "on"})
FEW = 20
"""Different values up to which texts among numbers may be categories, and integers may be classes."""
MOST_CATEGORIES = 256
"""Different texts up to which a column is a category where nobody says so."""
SHARE_OF_TEXTS = 0.1
"""Of a column that is mostly numbers: with a smaller share, the texts are taken for mistakes."""
FEW_TEXTS = 3
"""Of a column that is mostly numbers: so few texts are taken for mistakes."""
LINES_NAMED = 3
NUMBERS = ("numbers", "mostly numbers", "stated")
"""Why a column is one of numbers; how they are written comes after it."""
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Decision:
    """What a column is.

    Attributes:
        column: its cells.
        kind: one of `KINDS`.
        why: in a few words.
        values: (N,) its numbers: of a date days since 1970, of a boolean 0 and 1; NaN where a cell has no value or is
            wrong; None for other kinds.
        missing: (N,) the cells without a value.
        form: of a date, as `couloir.data.dates` names it.
        words: of a boolean, the word for no and the one for yes.
    """

    column: Column
    kind: str
    why: str
    values: NDArray[np.float64] | None
    missing: NDArray[np.bool_]
    form: str = ""
    words: Sequence[str] = ()

    @property
    def used(self) -> bool:
        """Whether the network sees it."""
        return self.kind not in ("identifier", "ignore")

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """(N,) the cells that are not of this kind, or too large for 32 bits."""
        if self.values is None:
            return np.zeros(len(self.missing), dtype=bool)
        return ~self.missing & ~(np.abs(self.values) <= LARGEST)


@dataclass(frozen=True)
class Described:
    """A column as it is shown: what it is, why, how many values are missing, and the network's inputs made of it."""

    name: str
    kind: str
    why: str
    missing: int
    inputs: list[str] = field(default_factory=list)

    def cells(self) -> tuple[str, str, str, int, str]:
        """The same as a row of a table."""
        return self.name, self.kind, self.why, self.missing, "; ".join(self.inputs)


class Factor(NamedTuple):
    """The texts of a column by their codes: each text is looked at once, however many rows have it.

    Attributes:
        codes: (N,) the place of each row's text among the different ones.
        texts: the different texts, in the order in which they come.
    """

    codes: NDArray[np.int32]
    texts: list[str]

    def used(self, rows: NDArray[np.int64]) -> list[int]:
        """The codes of some rows, each once."""
        codes: list[int] = np.flatnonzero(np.bincount(at(self.codes, rows), minlength=1)).tolist()
        return codes

    def mapped(self, values: Sequence[Any], dtype: Any = np.float64) -> NDArray[Any]:
        """A value for each row, (N,), from one for each different text."""
        found: NDArray[Any] = np.array(values, dtype=dtype)[self.codes] if len(self.codes) else np.empty(0, dtype)
        return found


_factors: dict[int, tuple[weakref.ref[Column], Factor]] = {}


def factor(column: Column) -> Factor:
    """The texts of a column by their codes; the same as long as the column lives."""
    known = _factors.get(id(column))
    if known is not None and known[0]() is column:
        return known[1]
    assert column.texts is not None, "a column is read as text where its texts are needed"
    texts = column.texts.tolist()
    index = {text: code for code, text in enumerate(dict.fromkeys(texts))}
    found = Factor(np.fromiter(map(index.__getitem__, texts), dtype=np.int32, count=len(texts)), list(index))
    key = id(column)
    _factors[key] = weakref.ref(column, lambda _: _factors.pop(key, None)), found
    return found


def decide(cells: Cells, targets: Sequence[str], stated: Mapping[str, str], skip: bool) -> list[Decision]:
    """What each column is that is not a target, in their order.

    Args:
        cells: the table.
        targets: the names of the columns to predict.
        stated: the kinds that are stated, by column.
        skip: whether rows with wrong cells will be left out: a few texts among numbers are no mistake of the user's.

    Raises:
        CouloirError: a column is named that is not there; the cells are not of the stated kind; or a column is neither
            one thing nor another.
    """
    for name, kind in stated.items():
        if name not in cells.names:
            raise no_column(cells, name)
        if kind not in KINDS and "%" not in str(kind):
            hint = did_you_mean(str(kind), list(KINDS), form=f"{name}: {{}}")
            raise CouloirError(
                f"data.columns says that '{name}' is '{kind}', which is no kind of column.",
                next_step=hint or f"kinds: {', '.join(KINDS)}, or the format of a date such as %d/%m/%y",
            )
    features = [column for column in cells.columns if column.name not in targets]
    found = [_decided(column, stated.get(column.name), cells, skip) for column in features]
    if not any(decision.used for decision in found):  # what counts the rows may be all that there is
        found = [_as_number(decision) if decision.why.startswith("counts") else decision for decision in found]
    return found


def no_column(cells: Cells, name: str, otherwise: str | None = None) -> CouloirError:
    """What is said of a name that no column has; `otherwise`: what to do where it is not written in another way."""
    hint = did_you_mean(name, cells.names)
    return CouloirError(
        f"{cells.files[0]} has no column '{name}'.",
        place=f"columns: {', '.join(cells.names[:20])}",
        next_step="; ".join(filter(None, (hint, otherwise))) or None,
    )


def _decided(column: Column, kind: str | None, cells: Cells, skip: bool) -> Decision:
    if kind == "ignore":
        return Decision(column, "ignore", "stated", None, column.missing)
    if kind == "identifier":
        return Decision(column, "identifier", "stated", None, column.missing)
    if kind is not None:
        return _stated(column, kind, cells)
    if bool(column.missing.all()):
        return Decision(column, "ignore", "no row has a value", None, column.missing)
    if column.is_numeric and column.texts is None:  # of codes, 01 and 1 or more digits than fit, the texts are kept
        first = counts_from(column)
        if first is not None:
            return Decision(column, "identifier", f"counts the rows from {first}", None, column.missing)
        return _as_number(Decision(column, "number", _noted(NUMBERS[0], column), None, column.missing))
    return _of_texts(column, cells, skip)


def _as_number(decision: Decision) -> Decision:
    column = decision.column
    why = decision.why if decision.kind == "number" else f"{decision.why}, and is the only column"
    return Decision(column, "number", why, column.numbers, column.missing)


def _noted(why: str, column: Column) -> str:
    return ", ".join([why, *column.notes])


def counts_from(column: Column) -> int | None:
    """The first number of a column that counts the rows, 0 or 1; or of integers that go up by one and are called id."""
    numbers = column.numbers
    if not column.integers or len(numbers) < 2 or not bool(np.all(np.diff(numbers) == 1)):
        return None
    first = int(numbers[0])
    words = column.name.lower().replace("-", "_").replace(" ", "_").split("_")
    named = bool({"id", "index", "idx", "no", "nr", "number", "key", "row"} & set(words)) or column.name.endswith("Id")
    return first if first in (0, 1) or named else None


def _stated(column: Column, kind: str, cells: Cells) -> Decision:
    if kind == "category":
        return Decision(column, kind, "stated", None, column.missing)
    if kind == "number":
        decision = Decision(column, kind, _noted(NUMBERS[2], column), column.numbers, column.missing)
        wanted = "a number"
    elif kind == "boolean":
        missing = _without_maybe(column)
        words = two_words(column, missing, any_two=True) or ["no", "yes"]
        decision = Decision(column, kind, "stated", zero_and_one(column, words), missing, words=words)
        wanted = "one of two words such as no and yes"
    else:
        missing = _without_maybe(column)
        values, form = _dates(column, missing, cells, None if kind == "date" else kind, stated=True)
        decision = Decision(column, "date", f"stated, {form}", values, missing, form)
        wanted = f"a date in the form {form}"
    if bool(np.all(decision.wrong | decision.missing)):
        refuse_cells(
            column, decision.wrong, cells, f"which is not {wanted}", f"state another kind: {stating(column.name)}"
        )
    return decision


def _of_texts(column: Column, cells: Cells, skip: bool) -> Decision:
    """A column with texts: booleans, dates, categories, an identifier, or numbers with mistakes among them."""
    there = ~column.missing
    is_number = np.isfinite(column.numbers)
    counts = count_texts(column, there)
    if not is_few_texts_a_mistake(column, counts, there):
        if (words := two_words(column, column.missing)) is not None:
            why = f"the words {' and '.join(sorted({text.lower() for text in counts}))}"
            return Decision(column, "boolean", why, zero_and_one(column, words), column.missing, words=words)
        dates = _found_dates(column, _without_maybe(column), cells, skip)
        return dates or _category_or_identifier(column, len(counts), int(there.sum()))
    if not skip:
        refuse_cells(
            column, there & ~is_number, cells, "which is not a number",
            f"correct the cell, leave the column out with {ignoring(column.name)}, or state what it is: "
            f"{stating(column.name)}; a word for missing values goes into data.missing_words",
        )  # fmt: skip
    return Decision(column, "number", _noted(NUMBERS[1], column), column.numbers, column.missing)


def _category_or_identifier(column: Column, different: int, count: int) -> Decision:
    def decided(kind: str, why: str) -> Decision:
        zeros = ", leading zeros" if "leading zeros" in column.notes else ""
        return Decision(column, kind, why + zeros, None, column.missing)

    if different == count and count > 1:
        return decided("identifier", f"all {count:,} different texts")
    if different > FEW and different > count / 2:
        return decided("identifier", f"{different:,} different texts in {count:,} rows")
    if different > MOST_CATEGORIES:
        return decided("ignore", f"{different:,} different texts, more than {MOST_CATEGORIES}")
    return decided("category", f"{different:,} different text{'s' * (different > 1)}")


def count_texts(column: Column, there: NDArray[np.bool_]) -> dict[str, int]:
    """How often each text occurs in some rows of a column with texts."""
    codes, texts = factor(column)
    counts = np.bincount(codes[there], minlength=len(texts)).tolist()
    return {text: count for text, count in zip(texts, counts, strict=True) if count}


def is_few_texts_a_mistake(column: Column, counts: Mapping[str, int], there: NDArray[np.bool_]) -> bool:
    """Whether a column is mostly numbers, and the texts among them look like mistakes or words for missing values.

    They do not where they are many and different, as in codes (113803, PC 17599), or where there are few different
    cells, and each text comes more than once (1.3, 1.7, 2.0, failed).
    """
    numbers, count = int(np.isfinite(column.numbers[there]).sum()), int(there.sum())
    if numbers * 2 < count or numbers == count:
        return False
    texts = count_texts(column, there & ~np.isfinite(column.numbers))
    cells = count - numbers
    if cells < SHARE_OF_TEXTS * count or cells <= FEW_TEXTS:
        return True
    return min(texts.values()) < 2 if len(counts) <= FEW else len(texts) * 2 <= cells


def _without_maybe(column: Column) -> NDArray[np.bool_]:
    """The missing cells, with those whose words are missing in a column of anything but texts."""
    if column.texts is None:
        return column.missing
    texts = factor(column)
    maybe: NDArray[np.bool_] = texts.mapped([text in MAYBE_WORDS for text in texts.texts], np.bool_)
    return maybe | column.missing


def two_words(column: Column, missing: NDArray[np.bool_], any_two: bool = False) -> list[str] | None:
    """The word for no and the one for yes, in small letters, of a column that has no others; None where it has.

    Args:
        column: of texts; for `any_two` it may also be numbers.
        missing: the cells without a value.
        any_two: whether all pairs will do, not only those that mean no and yes.
    """
    if column.texts is None:
        return ["0", "1"] if any_two and bool(np.all(np.isin(column.numbers[~missing], (0.0, 1.0)))) else None
    words = {text.lower() for text in count_texts(column, ~missing)}
    pair = next((sorted(pair) for pair in BOOLEANS if words and words <= pair), None)
    return pair or (sorted(words) if any_two and len(words) == 2 else None)


def zero_and_one(column: Column, words: Sequence[str]) -> NDArray[np.float64]:
    """The cells of a column of two words as 0 and 1, (N,); NaN where a cell is neither."""
    if column.texts is None:
        return np.where(np.isin(column.numbers, (0.0, 1.0)), column.numbers, np.nan)
    codes, texts = {word: float(code) for code, word in enumerate(words)}, factor(column)
    return texts.mapped([codes.get(text.lower(), np.nan) for text in texts.texts])


def _dates(
    column: Column, missing: NDArray[np.bool_], cells: Cells, form: str | None, stated: bool = False
) -> tuple[NDArray[np.float64], str]:
    """The days of a column that is a date.

    Raises:
        CouloirError: it cannot be told the day from the month; or some cells have a time zone, and nobody has stated
            that they are dates.
    """
    if column.texts is None:
        column = replace(column, texts=np.array([f"{number:.0f}" for number in column.numbers], dtype=object))
    different = list(count_texts(column, ~missing))
    dates = read_dates(different, form, digits=True)
    if dates.ambiguous is not None and (dates.mostly or stated):
        raise _ambiguous(column, dates.ambiguous, cells)
    if dates.without_zone is not None and dates.mostly and not stated:
        raise CouloirError(
            f"Column '{column.name}' holds '{dates.without_zone}' without a time zone, and other cells have one.",
            place=cells.place(_row_of(column, dates.without_zone)),
            next_step=f"correct the cells, or {stating(column.name, 'date')}: those without one are in UTC",
        )
    by_text, texts = dict(zip(different, dates.days.tolist(), strict=True)), factor(column)
    return texts.mapped([by_text.get(text, np.nan) for text in texts.texts]), dates.form


def _ambiguous(column: Column, text: str, cells: Cells) -> CouloirError:
    separator = "-" if "-" in text else "/"
    forms = [f"%d{separator}%m{separator}%Y", f"%m{separator}%d{separator}%Y"]
    return CouloirError(
        f"Column '{column.name}' holds '{text}', which may be day and month or month and day.",
        place=cells.place(_row_of(column, text)),
        next_step=" or ".join(stating(column.name, form) for form in forms),
    )


def _row_of(column: Column, text: str) -> int:
    texts = factor(column)
    return int(np.argmax(texts.mapped([each == text for each in texts.texts], np.bool_)))


def _found_dates(column: Column, missing: NDArray[np.bool_], cells: Cells, skip: bool) -> Decision | None:
    """The decision for a column of dates; None where it is none.

    Raises:
        CouloirError: most cells are dates, and some are not; or the years have two digits, and no form is stated.
    """
    different = list(count_texts(column, ~missing))
    if forms := short_years(different):
        raise CouloirError(
            f"Column '{column.name}' holds '{different[0]}', which may be a date whose year has two digits.",
            place=cells.place(_row_of(column, different[0])),
            next_step=f"{' or '.join(stating(column.name, form) for form in forms)}; or {stating(column.name)}",
        )
    if not different or not _any_date(different[:FEW]):
        return None
    values, form = _dates(column, missing, cells, None)
    decision = Decision(column, "date", f"dates, {form}", values, missing, form)
    wrong = decision.wrong
    if not wrong.any():
        return decision
    if int(wrong.sum()) * 2 > int((~missing).sum()):
        return None
    if not skip:
        refuse_cells(
            column, wrong, cells, f"which is not a date in the form {form}",
            f"correct the cell, leave the column out with {ignoring(column.name)}, or state what it is: "
            f"{stating(column.name)}",
        )  # fmt: skip
    return decision


def _any_date(texts: Sequence[str]) -> bool:
    """Whether some texts hold a date, which may be ambiguous; a look before all of them are read."""
    dates = read_dates(texts)
    return dates.ambiguous is not None or bool(np.isfinite(dates.days).any())


def refuse_cells(
    column: Column, rows: NDArray[np.bool_], cells: Cells, what: str, next_step: str, of: str = "Column"
) -> NoReturn:
    """Name the cells of some rows, the first with its place.

    Raises:
        CouloirError: always.
    """
    places = np.flatnonzero(rows)
    first = int(places[0])
    more = ""
    if len(places) > 1:
        lines = ", ".join(str(cells.lines[row]) for row in places[:LINES_NAMED].tolist())
        more = f" ({len(places):,} such cells, on the lines {lines}{', ...' * (len(places) > LINES_NAMED)})"
    cell = column.cell(first)
    if is_infinite(cell):
        what = "which is infinite in 32 bits"
    raise CouloirError(
        f"{of} '{column.name}' holds '{cell}', {what}{more}.",
        place=cells.place(first),
        next_step=next_step,
    )


def reason(decision: Decision, row: int) -> str:
    """What is wrong with the cell of a row that cannot be used, in a sentence."""
    column = decision.column
    cell = column.cell(row)
    if decision.missing[row]:
        return f"Column '{column.name}' {f'holds {cell!r}, a word for missing' if cell else 'is empty'}."
    kind = {"date": "not a date", "boolean": "not one of two words"}.get(decision.kind, "not a number")
    if decision.kind == "number" and is_infinite(cell):
        kind = "infinite in 32 bits"
    return f"Column '{column.name}' holds '{cell}', which is {kind}."


def is_infinite(text: str) -> bool:
    """Whether a text is a number that is infinite in 32 bits."""
    try:
        return abs(float(text)) > LARGEST
    except ValueError:
        return False


def at(values: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
    """The values of some rows, ascending; no copy where that is all of them."""
    return values if len(rows) == len(values) else values[rows]


def unit_of(column: Column) -> str:
    """What stands beside the numbers of a column: `currency €`, `per cent`, `unit cm`, or nothing."""
    return next((note for note in column.notes if note.startswith(("currency ", "per cent", "unit "))), "")


def known(column: Column, kind: str, form: str, words: Sequence[str], cells: Cells) -> Decision:
    """A column of another table as a run has taken one of its name.

    Args:
        column: the other table's.
        kind: what the run took it for.
        form: of a date; of numbers their unit.
        words: of a boolean.
        cells: the other table.

    Raises:
        CouloirError: its numbers have another unit; numbers without one may be of any.
    """
    why = "as in training"
    if kind == "number" and (unit := unit_of(column)) not in ("", form):
        raise CouloirError(
            f"The numbers of '{column.name}' are written with another unit than in training: {unit}, "
            f"not {form or 'without one'}.",
            place=cells.place(int(np.argmax(~column.missing))),
            next_step="write them as in the table that the run was trained on",
        )
    if kind in ("category", "number"):
        return Decision(column, kind, why, column.numbers if kind == "number" else None, column.missing)
    missing = _without_maybe(column)
    if kind == "boolean":
        return Decision(column, kind, why, zero_and_one(column, words), missing, words=words)
    values, form = _dates(column, missing, cells, form)
    return Decision(column, kind, why, values, missing, form)


def in_words(described: Sequence[Described]) -> Iterator[str]:
    """The columns by kind, a line each, for the console.

    Args:
        described: of `describe`, with the targets.
    """
    for kind, plural in (("number", "numbers"), ("category", "categories"), ("boolean", "booleans"), ("date", "dates")):
        of_kind = [each for each in described if each.kind == kind]
        if of_kind:
            yield f"{len(of_kind)} {kind if len(of_kind) == 1 else plural}: {_listed(map(_shown, of_kind))}"
    left_out = [f"{each.name} ({each.why})" for each in described if each.kind in ("identifier", "ignore")]
    if left_out:
        yield f"left out: {_listed(left_out)}; {NAMING} says otherwise"
    gaps = [f"{each.name} ({each.missing:,})" for each in described if each.missing and each.inputs]
    if gaps:
        yield f"missing values, filled in from the training split: {_listed(gaps)}"


def _shown(each: Described) -> str:
    names = [name.partition("=")[2] for name in each.inputs if "=" in name]
    if each.kind == "category":
        return f"{each.name} ({_listed(names, most=4)})"
    written, _, how = each.why.partition(", ")
    if each.kind == "number" and how and written in NUMBERS:
        return f"{each.name} ({how})"
    if each.kind == "date":
        cycles = [name.split(".")[-2] for name in each.inputs if name.endswith(".sin")]
        return f"{each.name} ({', '.join(['day', *cycles])})"
    return each.name


def _listed(names: Iterable[str], most: int = 8) -> str:
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
