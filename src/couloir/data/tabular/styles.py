"""Numbers as people write them: decimal commas, thousands, currencies, per cent, brackets for negative ones."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

CURRENCIES = (
    "$", "€", "£", "¥", "₹", "₽", "₩", "₺", "₴", "₪", "฿", "R$", "US$", "A$", "C$", "kr", "zł", "Kč", "Ft", "lei",
    "Fr.", "EUR", "USD", "GBP", "CHF", "JPY", "CNY", "INR", "BRL", "CAD", "AUD", "SEK", "NOK", "DKK", "PLN", "CZK",
    "HUF", "RUB",
)  # fmt: skip
"""What may stand before or after an amount."""
SAME_CURRENCY = {"EUR": "€", "USD": "$", "US$": "$", "GBP": "£", "JPY": "¥", "CNY": "¥", "INR": "₹", "BRL": "R$"}
SPACES = " \u00a0\u2009\u202f"
"""What may stand between groups of digits: a space, or one that does not break or is thin."""
APOSTROPHES = "'’"
MINUS = "\u2212\u2013\ufe63\uff0d-"
"""Signs of negative numbers; the last one is ASCII's."""
NAMES = {",": "comma", ".": "dot", " ": "space", "'": "apostrophe"}

_CURRENCY = "|".join(re.escape(word) for word in sorted(CURRENCIES, key=len, reverse=True))
_SHAPE = re.compile(
    rf"(?P<open>\()?\s*(?P<sign>[+{MINUS}])?\s*(?P<before>{_CURRENCY})?\s*(?P<inner>[{MINUS}])?\s*"
    rf"(?P<core>[\d.,{APOSTROPHES}](?:[\d.,{APOSTROPHES}{SPACES}]*[\d.,])?)(?P<power>[eE][+-]?\d+)?"
    rf"\s*(?P<percent>%)?\s*(?P<after>{_CURRENCY})?\s*(?P<close>\))?",
    re.ASCII,
)
_GROUPS = {
    mark: re.compile(
        rf"[1-9]\d{{0,2}}(?:{re.escape(mark)}\d{{3}})+|[1-9]\d?(?:{re.escape(mark)}\d{{2}})+{re.escape(mark)}\d{{3}}",
        re.ASCII,
    )
    for mark in ",. '"
}
"""Groups of three digits; in India the last three, and pairs before them."""
_THREE = re.compile(r"[1-9]\d{0,2}[.,]\d{3}", re.ASCII)
"""One mark before three digits: thousands, or a fraction."""
_WITH_UNIT = re.compile(
    rf"(?!0\d)[+\d.,{APOSTROPHES}{SPACES}{MINUS}]*\d[{SPACES}]?(?P<unit>[^\d{SPACES}][^\d]{{0,11}})", re.ASCII
)
"""A number without leading zeros, and a unit behind it."""


def unit_of(counts: Mapping[str, int]) -> str:
    """What stands behind the number in at least half of a column's cells, such as `m²`, `cm` or `° N`; else empty.

    Args:
        counts: the different cells, and how often each is there.
    """
    units: Counter[str] = Counter()
    for text, count in counts.items():
        found = _WITH_UNIT.fullmatch(text)
        if found is not None and (found["unit"][0] in "°\"'′″" or any(map(str.isalpha, found["unit"]))):
            units[found["unit"]] += count
    unit = _first(units)
    return unit if 2 * units[unit] >= sum(counts.values()) else ""


def is_doubtful(text: str) -> bool:
    """Whether one mark before three digits may separate thousands or a fraction."""
    return _THREE.fullmatch(text.lstrip("+-")) is not None


def plain_number(text: str) -> float | None:
    """The number that a cell holds in ASCII, as programs write it; None where it is none, or not finite."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and text.isascii() and "_" not in text else None


@dataclass(frozen=True)
class Amount:
    """A cell taken apart.

    Attributes:
        digits: the number without its groups, its decimal mark a dot; for `doubtful` ones as if the mark were decimal.
        decimal: the decimal mark, or empty.
        thousands: what separates its groups, or empty.
        doubtful: the mark of a cell such as 1,234, which may be either.
        unit: `%`, a currency, or empty.
        brackets: whether it is negative by its brackets.
        minus: whether it has a sign that is not ASCII's.
        script: whether its digits are not ASCII's.
    """

    digits: str
    decimal: str = ""
    thousands: str = ""
    doubtful: str = ""
    unit: str = ""
    brackets: bool = False
    minus: bool = False
    script: bool = False


def taken_apart(text: str) -> Amount | None:
    """A cell as an amount, or None where it is no number in any style."""
    script = False
    if not text.isascii():
        simple = "".join(map(_simple, text))
        script, text = any(old.isdecimal() and old != new for old, new in zip(text, simple, strict=True)), simple
    found = _SHAPE.fullmatch(text)
    if found is None or bool(found["open"]) != bool(found["close"]) or (found["sign"] and found["inner"]):
        return None
    units = [unit for unit in (found["before"], found["after"], found["percent"]) if unit]
    if len(units) > 1:
        return None
    unit = SAME_CURRENCY.get(units[0], units[0]) if units else ""
    sign = found["sign"] or found["inner"] or ""
    if found["open"] and sign:
        return None
    core = _core(found["core"])
    if core is None:
        return None
    digits, decimal, thousands, doubtful = core
    if doubtful and found["power"]:  # nobody groups the digits of a power
        decimal, doubtful = doubtful, ""
    negative = bool(found["open"]) or (sign != "" and sign in MINUS)
    if thousands and found["power"]:
        return None
    return Amount(
        f"{'-' if negative else ''}{digits}{found['power'] or ''}",
        decimal, thousands, doubtful, unit, bool(found["open"]), sign not in ("", "-", "+"),
        script,
    )  # fmt: skip


def _simple(character: str) -> str:
    """A digit of any script, or a wide form of an ASCII character, as the ASCII character."""
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    if character in SPACES:
        return " "
    code = ord(character)
    return chr(code - 0xFEE0) if 0xFF01 <= code <= 0xFF5E and character not in MINUS else character


def _core(text: str) -> tuple[str, str, str, str] | None:
    """The digits with a dot as decimal mark, that mark, the mark of groups, and the mark whose meaning is open."""
    for space in SPACES[1:]:
        text = text.replace(space, " ")
    text = text.replace("’", "'")
    marks = [mark for mark in ",. '" if mark in text]
    if not marks:
        return text, "", "", ""
    last = text[max(text.rfind(","), text.rfind("."))] if "," in text or "." in text else ""
    if len(marks) == 1:
        (mark,) = marks
        if mark in " '":
            return (text.replace(mark, ""), "", mark, "") if _GROUPS[mark].fullmatch(text) else None
        if text.count(mark) > 1:
            return (text.replace(mark, ""), "", mark, "") if _GROUPS[mark].fullmatch(text) else None
        if text == mark or text.endswith(","):
            return None
        doubtful = mark if _THREE.fullmatch(text) else ""
        return text.replace(mark, "."), mark, "", doubtful
    if len(marks) > 2 or not last or text.count(last) > 1:
        return None
    group = next(mark for mark in marks if mark != last)
    whole, _, fraction = text.rpartition(last)
    if not fraction or group in fraction or not _GROUPS[group].fullmatch(whole):
        return None
    return f"{whole.replace(group, '')}.{fraction}", last, group, ""


@dataclass
class Style:
    """How the numbers of a column are written, as far as it can be told from the column alone.

    Attributes:
        decimal: the decimal mark, or empty where no cell shows it.
        doubtful: the mark of cells such as 1,234, whose meaning no other cell of the column shows; else empty.
        example: the first such cell.
        unit: `%`, a currency, or empty.
        notes: what was recognised.
    """

    decimal: str = ""
    doubtful: str = ""
    example: str = ""
    unit: str = ""
    notes: list[str] = field(default_factory=list)


def style_of(amounts: Mapping[str, Amount | None], counts: Mapping[str, int]) -> Style:
    """How most of a column's amounts are written.

    Args:
        amounts: each different cell taken apart.
        counts: how often each stands in the column.
    """
    found = [(amount, counts[text], text) for text, amount in amounts.items() if amount is not None]
    decimals: Counter[str] = Counter()
    thousands: Counter[str] = Counter()
    units: Counter[str] = Counter()
    doubtful: Counter[str] = Counter()
    for amount, count, _ in found:
        units[amount.unit] += count
        if amount.doubtful:
            doubtful[amount.doubtful] += count
            continue
        if amount.decimal:
            decimals[amount.decimal] += count
        if amount.thousands:
            thousands[amount.thousands] += count
    decimal = _first(decimals)
    if not decimal:  # groups separated by one mark leave the other one for fractions
        decimal = {",": ".", ".": ","}.get(_first(thousands), "")
    mark = _first(doubtful)
    unit = _first(units)
    if not unit and units["%"] == 0 and len(units) > 1:  # amounts may lack their currency, not their per cent
        unit = max((name for name in units if name), key=lambda name: units[name])
    style = Style(decimal, "", "", unit)
    if mark and not decimal:
        style.doubtful = mark
        style.example = next(text for amount, _, text in found if amount.doubtful == mark)
    return style


def _first(counter: Counter[str]) -> str:
    return max(counter, key=lambda mark: counter[mark]) if counter else ""


def valued(amount: Amount | None, style: Style, decimal: str) -> float:
    """The number that a cell holds in the style of its column; NaN where it is written in another one.

    Args:
        amount: the cell, taken apart.
        style: of the column.
        decimal: the decimal mark of the column.
    """
    if amount is None:
        return math.nan
    if amount.unit != style.unit and (amount.unit or style.unit == "%"):
        return math.nan
    digits = amount.digits
    if amount.doubtful:
        if amount.doubtful != decimal:
            digits = digits.replace(".", "")
    elif (amount.decimal and amount.decimal != decimal) or (amount.thousands and amount.thousands == decimal):
        return math.nan
    value = float(digits)
    return value if math.isfinite(value) else math.nan


def notes_on(amounts: Iterable[Amount | None], style: Style, decimal: str) -> list[str]:
    """What was recognised in a column, in words."""
    used = [amount for amount in amounts if amount is not None]
    groups = {a.thousands or a.doubtful for a in used if a.thousands or (a.doubtful and a.doubtful != decimal)}
    notes = ["decimal comma"] if decimal == "," and any(a.decimal == "," for a in used) else []
    notes += [f"thousands {NAMES[mark]}" for mark in sorted(groups)]
    if style.unit:
        notes.append("per cent" if style.unit == "%" else f"currency {style.unit}")
    if any(amount.brackets for amount in used):
        notes.append("negative numbers in brackets")
    if any(amount.minus for amount in used):
        notes.append("minus signs that are not ASCII")
    if any(amount.script for amount in used):
        notes.append("digits that are not ASCII")
    return notes


def words_as_values(words: Collection[str]) -> dict[float, str]:
    """Those of the words that mean missing which are numbers themselves, such as -999."""
    return {value: word for word in words if (value := plain_number(word)) is not None}
