"""The spacing of dates is found, with its gaps, its season and the dates that follow."""

from __future__ import annotations

import numpy as np
import pytest

from couloir.data.dates import read_dates
from couloir.data.sequence.spacing import Days, Spacing, as_texts


def days(*texts: str) -> Days:
    return read_dates(texts).days


def every(first: str, step: str, count: int = 12) -> Days:
    instants = np.datetime64(first, "us") + np.arange(count) * np.timedelta64(*step.split())  # type: ignore[call-overload]
    return instants.astype(np.int64) / 86_400e6


def months(first: str, step: int, count: int = 12) -> Days:
    instants = (np.datetime64(first, "M") + np.arange(count) * step).astype("datetime64[D]")
    return instants.astype(np.float64)


@pytest.mark.parametrize(
    ("dates", "words", "season"),
    [
        (every("2016-07-01T00:00", "1 h"), "hourly", 24),
        (every("2016-07-01T00:00", "15 m"), "every 15 minutes", 96),
        (every("2016-07-01T00:00", "6 h"), "every 6 hours", 4),
        (every("2016-07-01", "1 D"), "daily", 7),
        (every("2016-07-01", "7 D"), "weekly", 52),
        (every("2016-07-01", "5 D"), "every 5 days", None),
        (months("1949-01", 1), "monthly", 12),
        (months("1949-01", 3), "quarterly", 4),
        (months("1949-01", 12), "yearly", None),
    ],
)
def test_the_spacing_says_its_name_and_its_season(dates: Days, words: str, season: int | None) -> None:
    spacing = Spacing.of(dates)
    assert (spacing.in_words(), spacing.season) == (words, season)
    places, odd = spacing.places(dates)
    assert odd is None
    assert places.tolist() == list(range(12))
    assert spacing.after(dates[3], 8) == pytest.approx(dates[4:], abs=1e-9)


def test_dates_after_the_last_day_of_a_month_are_last_days() -> None:
    spacing = Spacing.of(days("2023-10-31", "2023-11-30", "2023-12-31"))
    assert as_texts(spacing.after(days("2023-12-31")[0], 3)) == ["2024-01-31", "2024-02-29", "2024-03-31"]


def test_the_first_of_months_that_are_missed_are_a_gap_and_no_other_spacing() -> None:
    spacing = Spacing.of(days("2023-01-01", "2023-02-01", "2023-03-01", "2023-06-01"))
    places, odd = spacing.places(days("2023-01-01", "2023-02-01", "2023-03-01", "2023-06-01"))
    assert odd is None
    assert places.tolist() == [0, 1, 2, 5]


def test_days_of_work_have_no_gap_at_the_weekend_and_a_season_of_five() -> None:
    dates = np.array([day for day in range(18_000, 18_030) if (day + 3) % 7 < 5], dtype=np.float64)
    spacing = Spacing.of(dates)
    assert spacing.season == 5
    assert spacing.places(dates)[0].tolist() == list(range(len(dates)))
    assert spacing.after(dates[4], 7) == pytest.approx(dates[5:12])


def test_a_date_between_two_steps_is_found() -> None:
    dates = days("2020-01-01 00:00", "2020-01-01 01:00", "2020-01-01 02:00", "2020-01-01 02:20")
    assert Spacing.of(dates).places(dates)[1] == 3


def test_dates_have_a_time_only_where_one_has() -> None:
    assert as_texts(days("2020-01-01", "2020-01-02")) == ["2020-01-01", "2020-01-02"]
    assert as_texts(days("2020-01-01 00:00", "2020-01-02 06:30")) == ["2020-01-01 00:00:00", "2020-01-02 06:30:00"]
