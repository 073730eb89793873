"""Windows of series: split by time without a leak, standardised by the training part alone, and refused where wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from couloir.data.sequence.sequences import Sequences
from couloir.data.sequence.series import inspect, series_csv, sine_series
from couloir.errors import CouloirError

KEYS: dict[str, Any] = {
    "date": None, "target": None, "covariates": None, "ignore": [], "series": None, "calendar": [], "length": 10,
    "horizon": 3, "stride": 1, "season": None, "gaps": "refuse", "split": None, "val_fraction": 0.2,
    "test_fraction": 0.2,
}  # fmt: skip
SPLITS = ("train", "val", "test")


def dates(count: int, step: str = "D") -> list[str]:
    return (np.datetime64("2020-01-01", step) + np.arange(count)).astype(str).tolist()


def write(folder: Path, rows: list[tuple[Any, ...]], header: str = "date,y") -> Path:
    file = folder / "s.csv"
    file.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return file


def counting(folder: Path, count: int = 100) -> Path:
    """A series whose value is the number of its step, so that windows say where they lie."""
    return write(folder, [(day, step) for step, day in enumerate(dates(count))])


def loaded(path: Path, **keys: Any) -> Sequences:
    stated = {**KEYS, "path": str(path), **keys}
    facts = inspect("series_csv", stated)
    stated["season"] = stated["season"] or facts["season"]
    data = series_csv(
        **stated, task="forecast", fields={"series": "series", "future": "future"}, channels=facts["channels"],
        num_classes=facts["num_classes"], batch_size=4,
    )  # fmt: skip
    data.setup()
    return data


def raw(data: Sequences, split: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Inputs and targets of all windows of a split, as the table has them."""
    import torch

    chosen = data.splits[split]
    fields: Any = chosen.source.fetch(torch.from_numpy(chosen.indices))
    return fields["series"].numpy(), fields["future"].numpy()


def refused(path: Path, **keys: Any) -> CouloirError:
    with pytest.raises(CouloirError) as caught:
        inspect("series_csv", {**KEYS, "path": str(path), **keys})
    return caught.value


@pytest.mark.parametrize("stride", [1, 4])
def test_no_target_of_validation_or_test_is_in_a_training_window(tmp_path: Path, stride: int) -> None:
    data = loaded(counting(tmp_path), stride=stride)
    (x, y), (_, val), (_, test) = (raw(data, split) for split in SPLITS)
    seen = set(x.ravel()) | set(y.ravel())
    assert not seen & set(val.ravel())
    assert not (seen | set(val.ravel())) & set(test.ravel())
    assert max(seen) < min(val.ravel()) <= max(val.ravel()) < min(test.ravel())
    if stride == 1:
        assert (min(val.ravel()), min(test.ravel()), max(test.ravel())) == (64, 80, 99)


def test_windows_are_followed_by_their_targets_and_may_look_back_over_a_cut(tmp_path: Path) -> None:
    data = loaded(counting(tmp_path))
    for split, first in zip(SPLITS, (0, 54, 70), strict=True):
        x, y = raw(data, split)
        assert x[0, :, 0].tolist() == list(range(first, first + 10))
        assert (y[:, :, 0] == x[:, -1] + np.arange(1, 4)).all()


def test_the_months_of_ett_give_the_windows_of_the_papers(tmp_path: Path) -> None:
    file = write(tmp_path, [(day, 0.5) for day in dates(15_000, "h")])
    data = loaded(file, length=336, horizon=96, split=[8640, 2880, 2880])
    assert data.sizes() == {"train": 8209, "val": 2785, "test": 2785}
    assert any("600 steps are left aside" in note for note in data.notes)


def test_mean_and_deviation_are_those_of_the_training_part_alone(tmp_path: Path) -> None:
    values = np.r_[np.random.default_rng(0).normal(5, 2, 64), np.full(36, 1e6)]
    data = loaded(write(tmp_path, list(zip(dates(100), values, strict=True))))
    assert data.mean == pytest.approx([values[:64].mean()])
    assert data.std == pytest.approx([values[:64].std()])
    batch = data.example_batch(2, first=True)
    assert np.asarray(batch["series"])[0, :, 0] == pytest.approx(
        (values[:10] - values[:64].mean()) / values[:64].std(), abs=1e-5
    )
    assert np.asarray(batch["future"])[0, :, 0] == pytest.approx(
        (values[10:13] - values[:64].mean()) / values[:64].std(), abs=1e-5
    )
    assert data.naive_errors == pytest.approx([np.abs(values[7:64] - values[:57]).mean()])


def test_parts_may_be_cut_at_dates(tmp_path: Path) -> None:
    data = loaded(counting(tmp_path), split=["2020-03-01", "2020-03-20"])
    assert [raw(data, split)[1].min() for split in ("val", "test")] == [60, 79]


def test_several_series_are_cut_at_the_same_dates(tmp_path: Path) -> None:
    days = dates(100)
    rows = [(day, "a", step) for step, day in enumerate(days)]
    rows += [(day, "b", 1000 + step) for step, day in enumerate(days) if step >= 30]
    file = write(tmp_path, sorted(rows), "date,shop,y")
    data = loaded(file, series="shop")
    x, y = raw(data, "train")
    assert not ((x < 500).any(axis=(1, 2)) & (x > 500).any(axis=(1, 2))).any(), "no window is of two series"
    assert set(y.ravel()) >= {63, 1063}
    assert min(value for value in raw(data, "val")[1].ravel() if value > 500) == 1064


def test_targets_come_first_and_calendar_columns_go_round(tmp_path: Path) -> None:
    rows = [(hour, step**2, 2 * step**2, 3 * step**2) for step, hour in enumerate(dates(120, "h"))]
    data = loaded(write(tmp_path, rows, "when,a,b,c"), target="b", calendar=["hour"], length=24)
    x, _ = raw(data, "train")
    assert (data.channels, data.targets) == (5, ["b"])
    assert x[0, 3, :3].tolist() == [18, 9, 27]
    assert x[0, 6, 3:] == pytest.approx([1, 0], abs=1e-12)
    assert data.season == 24


def test_a_gap_is_filled_where_that_is_wanted_and_no_window_ends_in_it(tmp_path: Path) -> None:
    rows = [(day, step) for step, day in enumerate(dates(100)) if step not in (20, 21, 64, 65)]
    file = write(tmp_path, rows)
    assert "between 2020-01-20 and 2020-01-23 2 lack" in refused(file).fact
    data = loaded(file, gaps="interpolate")
    x, y = raw(data, "train")
    assert 20 in x
    assert not set(x[:, -1, 0]) & {20, 21, 64, 65}, "the value depends on what is to be forecast"
    assert max(y.ravel()) == 63
    assert loaded(file, gaps="ignore").sizes()["train"] == 62 - 12


@pytest.mark.parametrize(
    ("change", "keys", "fact", "line"),
    [
        ({40: ("2020-01-02", 1)}, {}, "comes after", 42),
        ({40: ("2020-02-09", 1)}, {}, "is there twice", 42),
        ({40: ("soon", 1)}, {}, "is no date", 42),
        ({40: ("", 1)}, {}, "is empty", 42),
        ({40: ("2020-02-10", "")}, {}, "'y' is empty", 42),
        ({40: ("2020-02-10", "much")}, {}, "is not a number", 42),
        ({0: ("2020-01-01", "")}, {"gaps": "interpolate"}, "no value before it", 2),
        ({}, {"target": "z"}, "no column 'z'", None),
        ({}, {"target": "date", "date": None}, "is not a number", 2),
        ({}, {"date": "y", "target": None}, "no date", 2),
        ({}, {"length": 90}, "window needs 93 steps", None),
        ({}, {"horizon": 21, "length": 5}, "data.horizon=21", None),
        ({}, {"season": 11}, "longer than a window", None),
        ({}, {"split": [90, 20, 20]}, "needs 130 steps", None),
        ({}, {"split": [90, 20]}, "data.split takes", None),
        ({}, {"split": ["2021-01-01", "2021-02-01"]}, "leaves a part without a step", None),
        ({}, {"split": ["spring", "summer"]}, "is no date", None),
        ({}, {"calendar": ["minute"]}, "data.calendar has no", None),
        ({}, {"target": "y", "ignore": ["y"]}, "is named by data.target and by data.ignore", None),
        ({}, {"target": ["y", "y"]}, "names 'y' twice", None),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_its_line(
    tmp_path: Path, change: dict[int, tuple[Any, ...]], keys: dict[str, Any], fact: str, line: int | None
) -> None:
    rows = [change.get(step, (day, step)) for step, day in enumerate(dates(100))]
    error = refused(write(tmp_path, rows), **keys)
    assert fact in error.fact
    assert error.next_step
    if line is not None:
        assert f"line {line}" in str(error.place)


def test_a_series_without_dates_has_no_season_unless_one_is_stated(tmp_path: Path) -> None:
    file = write(tmp_path, [(step,) for step in range(100)], "y")
    data = loaded(file)
    assert data.season is None
    assert any("no season is known" in note for note in data.notes)
    assert loaded(file, season=5).season == 5
    assert "has no column of dates" in refused(file, calendar=["hour"]).fact


def test_a_column_that_only_counts_is_no_series_unless_it_is_named(tmp_path: Path) -> None:
    rows = [(1_577_836_800 + 86_400 * step, step % 7) for step in range(100)]
    file = write(tmp_path, rows, "time,y")
    error = refused(file, date=None, target=None)
    assert "column 'time' rise by 86400" in error.fact
    assert "data.date=time" in str(error.next_step)
    assert "rise by" in refused(file, date=None, target="y").fact
    for keys in ({"ignore": ["time"]}, {"target": ["time", "y"]}, {"target": "y", "covariates": ["time"]}):
        assert loaded(file, **{"date": None, "target": None, **keys}).season is None
    for unit in (1, 1000):
        file = write(tmp_path, [(second * unit, value) for second, value in rows], "time,y")
        data = loaded(file, date="time", target=None)
        assert data.season == 7
        assert any("daily, 2020-01-01 to 2020-04-09" in note for note in data.notes)


def test_the_made_up_series_needs_no_file_and_follows_from_the_seed() -> None:
    keys: dict[str, Any] = {
        "steps": 400,
        "noise": 0.3,
        "length": 48,
        "stride": 1,
        "val_fraction": 0.2,
        "test_fraction": 0.2,
        "horizon": 12,
    }
    facts = inspect("sine_series", keys)
    assert facts == {"channels": 1, "num_classes": 1, "season": 24}
    marks = []
    for seed in (0, 0, 1):
        data = sine_series(
            **keys, task="forecast", fields={"series": "series", "future": "future"}, channels=1, num_classes=1,
            batch_size=4, season=24, seed=seed,
        )  # fmt: skip
        data.setup()
        marks.append(data.fingerprint())
    assert marks[0] == marks[1] != marks[2]
