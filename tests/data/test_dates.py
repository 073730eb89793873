"""Dates as people write them, against Python's own calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from couloir.data.dates import calendar, read_dates, short_years

MOMENTS = [datetime(1969, 12, 31, 0, 0, tzinfo=UTC) + timedelta(days=37 * n, seconds=5431 * n) for n in range(600)]
FORMS = [
    ("%Y-%m-%d", "year-month-day"), ("%Y-%m-%d %H:%M:%S", "year-month-day"), ("%Y-%m-%dT%H:%M", "year-month-day"),
    ("%Y-%m-%dT%H:%M:%SZ", "year-month-day"), ("%Y/%m/%d", "year-month-day"), ("%d.%m.%Y", "day.month.year"),
    ("%d.%m.%Y %H:%M", "day.month.year"), ("%d/%m/%Y", "day/month/year"), ("%m/%d/%Y %H:%M:%S", "month/day/year"),
    ("%m-%d-%Y", "month/day/year"), ("%d %B %Y", "day month year"), ("%d-%b-%Y", "day month year"),
    ("%B %d, %Y", "day month year"), ("%m/%d/%Y, %I:%M:%S %p", "month/day/year"),
    ("%Y-%m-%d %I:%M%p", "year-month-day"),
]  # fmt: skip


@pytest.mark.parametrize(("form", "name"), FORMS, ids=[form for form, _ in FORMS])
def test_a_form_is_recognised_and_read(form: str, name: str) -> None:
    dates = read_dates([moment.strftime(form) for moment in MOMENTS])
    assert (dates.form, dates.ambiguous) == (name, None)
    written = [datetime.strptime(moment.strftime(form), form).replace(tzinfo=UTC) for moment in MOMENTS]
    np.testing.assert_allclose(dates.days, [moment.timestamp() / 86_400 for moment in written], rtol=0, atol=1e-9)


def test_a_zone_is_taken_into_account() -> None:
    east = datetime(2024, 3, 1, 1, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    days = read_dates([east.isoformat(), "2024-03-01 00:00:00-02:00"]).days
    assert days.tolist() == pytest.approx(
        [east.timestamp() / 86_400, datetime(2024, 3, 1, 2, tzinfo=UTC).timestamp() / 86_400]
    )


@pytest.mark.parametrize("zone", ["+05:30", "+0530", " GMT+5:30", " UTC+0530"])
def test_a_zone_is_written_in_many_ways(zone: str) -> None:
    day = datetime(2024, 2, 29, 20, 0, tzinfo=UTC).timestamp() / 86_400
    assert read_dates([f"2024/03/01 1:30:00 AM{zone}", f"2024/03/01 01:30{zone}"]).days.tolist() == pytest.approx(
        [day, day]
    )


def test_a_zone_of_hours_alone_and_noon_and_midnight_are_read() -> None:
    days = read_dates(["2024-03-01 10:00:00-05", "2024-03-01 12:30 AM Z", "2024-03-01 12:30 p.m. GMT"]).days
    assert (days % 1 * 24).tolist() == pytest.approx([15, 0.5, 12.5], abs=1e-6)
    assert np.isnan(read_dates(["2024-03-01 10:00", "2024-03-01 13:30 PM"]).days).tolist() == [False, True]


def test_years_of_two_digits_are_named_by_their_forms() -> None:
    assert short_years(["05.03.23", "31.12.99"]) == ["%d.%m.%y"]
    assert short_years(["3/4/23", "5/6/23"]) == ["%d/%m/%y", "%m/%d/%y"]
    assert short_years(["1-Jan-23", "28-Feb-99"]) == ["%d-%b-%y"]
    assert short_years(["20-45-12", "05-03-23"]) == []
    assert short_years(["05.03.2023"]) == short_years([]) == []


def test_a_text_without_a_zone_among_texts_with_one_is_named() -> None:
    mixed = ["2024-03-01T01:30:00+01:00", "2024-03-01T02:30:00", "x"]
    assert read_dates(mixed).without_zone == "2024-03-01T02:30:00"
    assert read_dates([mixed[0], "2024-03-01 00:00Z", "x"]).without_zone is None
    assert read_dates(mixed[1:]).without_zone is None


def test_day_and_month_are_told_apart_by_one_text_or_not_at_all() -> None:
    assert read_dates(["03/04/2024", "05/06/2024"]).ambiguous == "03/04/2024"
    assert read_dates(["03/04/2024", "13/06/2024"]).form == "day/month/year"
    assert read_dates(["03/04/2024", "05/16/2024"]).form == "month/day/year"
    assert read_dates(["04/04/2024", "05/05/2024"]).ambiguous is None, "either way the same days"


@pytest.mark.parametrize(
    "text", ["2024-02-30", "2023-02-29", "24-02-01", "now", "today", "12:30", "20240101", "Rome", ""]
)
def test_what_is_no_date_is_none(text: str) -> None:
    assert np.isnan(read_dates([text, "2024-01-01"]).days[0])


def test_months_are_dates_and_codes_are_not() -> None:
    months = np.array(["1949-01", "1949-02"], dtype="datetime64[D]")
    assert read_dates(["1949-01", "1949-02"]).days.tolist() == months.astype(int).tolist()
    assert np.isnan(read_dates(["4711-01", "1949-02"]).days).all()


def test_a_form_is_kept_for_other_texts() -> None:
    form = read_dates(["13/06/2024"]).form
    assert read_dates(["03/04/2024"], form).days == read_dates(["2024-04-03"]).days
    assert read_dates(["3. 4. 24", "x"], "%d. %m. %y").days[0] == read_dates(["2024-04-03"]).days[0]


def test_the_calendar_is_pythons() -> None:
    days = np.array([moment.timestamp() / 86_400 for moment in MOMENTS] + [np.nan])
    parts = calendar(days)
    assert parts["month"][:-1].tolist() == [moment.month - 1 for moment in MOMENTS]
    assert parts["weekday"][:-1].tolist() == [moment.weekday() for moment in MOMENTS]
    hours = [moment.hour + moment.minute / 60 + moment.second / 3600 for moment in MOMENTS]
    np.testing.assert_allclose(parts["hour"][:-1], hours, atol=1e-5)
    assert all(np.isnan(part[-1]) for part in parts.values())
