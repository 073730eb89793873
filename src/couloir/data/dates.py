"""Dates of a column: their form is found over all cells, and is the same for all. Nothing here imports torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MICROSECONDS = 86_400_000_000
"""Of a day."""
_OFFSET = r"(?:Z|UTC|GMT|(?:UTC|GMT)?[+-]\d{1,2}(?::?\d{2})?)"
_TIME = (
    r"(?:(?:T|,?\s+)(?P<H>\d{1,2}):(?P<M>\d{2})(?::(?P<S>\d{2})(?P<f>[.,]\d+)?)?"
    rf"(?:\s*(?P<half>[AaPp]\.?[Mm]\.?))?\s*(?P<z>{_OFFSET})?)?"
)
_NAMES = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = (
    r"(?P<b>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|"
    r"nov(?:ember)?|dec(?:ember)?)\.?"
)
_YEAR_FIRST = re.compile(rf"(?P<Y>\d{{4}})(?P<sep>[-/.])(?P<m>\d{{1,2}})(?P=sep)(?P<d>\d{{1,2}}){_TIME}")
_PLAIN_ISO = re.compile(r"\d{4}-\d\d[-\d]*(?:[T ][\d:.]+)?\Z", re.ASCII)
_DIGITS = re.compile(r"(?P<Y>\d{4})(?P<m>\d{2})(?P<d>\d{2})")
_YEAR_LAST = re.compile(rf"(?P<p>\d{{1,2}})(?P<sep>[-/.])(?P<q>\d{{1,2}})(?P=sep)(?P<Y>\d{{4}}){_TIME}")
_DAY_NAME = re.compile(rf"(?P<d>\d{{1,2}})[- .]+{_MONTH}[- ,.]+(?P<Y>\d{{4}}){_TIME}", re.IGNORECASE)
_NAME_DAY = re.compile(rf"{_MONTH}[- ]+(?P<d>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<Y>\d{{4}}){_TIME}", re.IGNORECASE)
_ZONE = re.compile(rf":\d{{2}}(?:[.,]\d+)?(?:\s*[AP]\.?M\.?)?\s*{_OFFSET}\Z", re.IGNORECASE)
_SHORT = ("%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d-%m-%y", "%m-%d-%y", "%y-%m-%d", "%d-%b-%y", "%d %b %y")
"""Forms whose years have two digits."""
_FORMS = ("year-month-day", "YYYYMMDD", "day.month.year", "day/month/year", "month/day/year", "day month year")


class Dates(NamedTuple):
    """What the texts of a column are as dates.

    Attributes:
        days: days since 1970 with their fraction, (N,); NaN where a text is no date of this form.
        form: in words, or the format that was stated; `read_dates` takes it for other texts of the same column.
        ambiguous: a text that may be day/month and month/day, where no other says which; the days are NaN then.
        mostly: whether at least half of the texts are dates of the form that most of them have.
        without_zone: a text without a time zone where others have one, which is read as UTC.
    """

    days: NDArray[np.float64]
    form: str
    ambiguous: str | None = None
    mostly: bool = True
    without_zone: str | None = None


def read_dates(texts: Sequence[str], form: str | None = None, digits: bool = False) -> Dates:
    """The dates in some texts.

    Args:
        texts: different texts, (N,).
        form: one that was found or stated before, such as `day/month/year` or `%d/%m/%y`; None: the one that most of
            the texts have.
        digits: whether eight digits may be a date.
    """
    if form is not None and "%" in form:
        return Dates(_of_format(texts, form), form)
    if form is not None:
        return Dates(_of_form(texts, form), form)
    if (days := _iso(texts)) is not None:
        return Dates(days, "year-month-day")
    tried = {name: _of_form(texts, name) for name in _FORMS if digits or name != "YYYYMMDD"}
    counts = {name: int(np.isfinite(days).sum()) for name, days in tried.items()}
    best = max(counts, key=lambda name: counts[name])
    mostly = 2 * counts[best] >= len(texts)
    slashes = ("day/month/year", "month/day/year")
    if best in slashes and counts[slashes[0]] == counts[slashes[1]]:
        one, other = (tried[name] for name in slashes)
        differ = np.flatnonzero(np.isfinite(one) & (one != other))
        if len(differ):
            return Dates(np.full(len(texts), np.nan), "", texts[int(differ[0])], mostly)
    zoned = {text: bool(_ZONE.search(text)) for text, day in zip(texts, tried[best], strict=True) if np.isfinite(day)}
    without = next((text for text, has_zone in zoned.items() if not has_zone), None) if any(zoned.values()) else None
    return Dates(tried[best], best, None, mostly, without)


def short_years(texts: Sequence[str]) -> list[str]:
    """The forms with years of two digits in which all of some texts are dates."""
    if not texts or not all(4 < len(text) < 11 and text[-1].isdecimal() for text in texts):
        return []
    return [
        form
        for form in _SHORT
        if bool(np.isfinite(_of_format(texts[:1], form)).all() and np.isfinite(_of_format(texts, form)).all())
    ]


def calendar(days: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """The month (0 to 11), the weekday (Monday is 0) and the hour with its fraction of some days; NaN stays NaN."""
    missing = np.isnan(days)
    instants = np.rint(np.where(missing, 0.0, days) * MICROSECONDS).astype("datetime64[us]")
    whole = instants.astype("datetime64[D]")
    parts = {
        "month": instants.astype("datetime64[M]").astype(np.int64) % 12,
        "weekday": (whole.astype(np.int64) + 3) % 7,
        "hour": (instants - whole).astype(np.int64) / (MICROSECONDS / 24),
    }
    return {name: np.where(missing, np.nan, values) for name, values in parts.items()}


def _iso(texts: Sequence[str]) -> NDArray[np.float64] | None:
    """All of them as NumPy reads them, which is fast; None where it does not."""
    if not all(map(_PLAIN_ISO.match, texts)):  # NumPy also knows "now", and warns of zones
        return None
    if any(len(text) == 7 and not 1800 <= int(text[:4]) < 2200 for text in texts):  # 4711-05 is no month, but a code
        return None
    try:
        instants = np.array(list(texts), dtype="datetime64[us]")
    except ValueError:
        return None
    found: NDArray[np.float64] = instants.astype(np.int64) / MICROSECONDS
    return found


def _of_form(texts: Sequence[str], form: str) -> NDArray[np.float64]:
    return np.array([_days(text, form) for text in texts], dtype=np.float64)


def _days(text: str, form: str) -> float:
    found: re.Match[str] | None
    if form == "year-month-day":
        found = _YEAR_FIRST.fullmatch(text)
    elif form == "YYYYMMDD":
        found = _DIGITS.fullmatch(text)
    elif form == "day month year":
        found = _DAY_NAME.fullmatch(text) or _NAME_DAY.fullmatch(text)
    else:
        found = _YEAR_LAST.fullmatch(text)
        if found is not None and (found["sep"] == ".") != (form == "day.month.year"):
            return np.nan
    if found is None:
        return np.nan
    parts = found.groupdict()
    if "p" in parts:
        first, second = ("m", "d") if form == "month/day/year" else ("d", "m")
        parts |= {first: parts["p"], second: parts["q"]}
    month = _NAMES.index(parts["b"][:3].lower()) + 1 if "b" in parts else int(parts["m"])
    hour, minute, second_ = (int(parts.get(name) or 0) for name in "HMS")
    if half := (parts.get("half") or "").lower():
        if not 1 <= hour <= 12:
            return np.nan
        hour = hour % 12 + 12 * (half[0] == "p")
    try:
        date = datetime(int(parts["Y"]), month, int(parts["d"]), hour, minute, second_, tzinfo=UTC)
    except ValueError:
        return np.nan
    fraction = float((parts.get("f") or "0").replace(",", "."))
    return date.timestamp() / 86_400 + (fraction - _east(parts.get("z"))) / 86_400


def _east(zone: str | None) -> float:
    """How many seconds a zone is ahead of UTC."""
    found = re.search(r"([+-])(\d\d?)(?::?(\d\d))?\Z", zone or "")
    if found is None:
        return 0.0
    return (-1 if found[1] == "-" else 1) * (int(found[2]) * 3600 + int(found[3] or 0) * 60)


def _of_format(texts: Sequence[str], form: str) -> NDArray[np.float64]:
    def days(text: str) -> float:
        try:
            date = datetime.strptime(text, form)
        except ValueError:
            return np.nan
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() / 86_400

    return np.array([days(text) for text in texts], dtype=np.float64)
