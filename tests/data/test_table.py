"""Tables as people have them: each file trains on what it means, with the right values, or is refused with its line."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from couloir.data import table
from couloir.data.samples import Samples
from couloir.errors import CouloirError


def write(path: Path, head: str, rows: list[str]) -> dict[str, Any]:
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return {"path": str(path), "target": head.replace(";", ",").split(",")[-1]}


def loaded(keys: dict[str, Any], **more: Any) -> Samples:
    """The table of some keys, set up as a run does it."""
    facts = table.inspect("table", keys)
    stated = {name: value for name, value in keys.items() if name not in ("num_classes", "classes", "task")}
    settings = {"ignore": [], "delimiter": None, **stated, **facts}
    samples = table.table(**settings, image_size=None, batch_size=8, **more)
    samples.setup()
    return samples


def inputs_and_targets(samples: Samples, split: str = "train") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the network gets of a split, in the file's order, its targets, and the lines of the file."""
    found = samples.splits[split]
    x = samples._prepare(found.source.fetch(torch.from_numpy(found.indices)), torch.empty(0), None)[samples.input]
    return x.numpy(), found.targets, found.source.lines[found.indices]


FLAGS = [f"{n / 4 - 3},{'True' if n % 3 else 'False'},{n % 2}" for n in range(30)]


def test_words_for_true_and_false_are_one_and_zero(tmp_path: Path) -> None:
    samples = loaded(write(tmp_path / "t.csv", "a,flag,y", FLAGS))
    x, y, lines = inputs_and_targets(samples)
    rows = lines - 2
    assert x[:, 1].tolist() == [float(row % 3 > 0) for row in rows]
    assert y.tolist() == [row % 2 for row in rows]
    a = rows / 4 - 3
    np.testing.assert_allclose(x[:, 0], (a - a.mean()) / a.std(), rtol=1e-5, atol=1e-6)


CITIES = ["Rome", "Oslo", "Bonn"]


def test_a_category_has_an_input_for_each_text(tmp_path: Path) -> None:
    keys = write(tmp_path / "t.csv", "a,city,y", [f"{n / 4},{CITIES[n % 3]},{n % 2}" for n in range(30)])
    samples = loaded(keys)
    assert samples.encoding is not None
    assert samples.encoding.inputs == ["a", "city=Bonn", "city=Oslo", "city=Rome"]
    x, _, lines = inputs_and_targets(samples)
    expected = [[CITIES[(line - 2) % 3] == name for name in sorted(CITIES)] for line in lines]
    assert x[:, 1:].tolist() == np.array(expected, dtype=float).tolist()
    assert samples.mean is not None
    assert samples.mean[1:] == [0.0, 0.0, 0.0], "what is 0 or 1 is not standardised"
    assert table.inspect("table", keys)["categories"] == [[1, 3]]


def test_a_date_is_its_day_and_the_parts_that_come_round_again(tmp_path: Path) -> None:
    first = datetime.date(2024, 1, 20)
    dates = [first + datetime.timedelta(days=2 * n) for n in range(40)]
    samples = loaded(write(tmp_path / "t.csv", "date,y", [f"{date},{n % 2}" for n, date in enumerate(dates)]))
    assert samples.encoding is not None
    names = ["date.month.sin", "date.month.cos", "date.weekday.sin", "date.weekday.cos"]
    assert samples.encoding.inputs == ["date", *names], "the hour does not vary"
    x, _, lines = inputs_and_targets(samples)
    of_row = [dates[line - 2] for line in lines]
    days = np.array([date.toordinal() for date in of_row])
    np.testing.assert_allclose(x[:, 0], (days - days.mean()) / days.std(), rtol=1e-4, atol=1e-5)
    for place, (part, period) in enumerate([("month", 12), ("weekday", 7)]):
        number = np.array([date.month - 1 if part == "month" else date.weekday() for date in of_row])
        np.testing.assert_allclose(x[:, 1 + 2 * place], np.sin(2 * np.pi * number / period), atol=1e-6)
        np.testing.assert_allclose(x[:, 2 + 2 * place], np.cos(2 * np.pi * number / period), atol=1e-6)


def test_missing_numbers_are_the_training_splits_median(tmp_path: Path) -> None:
    rows = [f"{'' if n % 5 == 1 else n * n},{n / 3},{n % 2}" for n in range(60)]
    samples = loaded(write(tmp_path / "t.csv", "a,b,y", rows), mean=[0.0, 0.0], std=[1.0, 1.0])
    train, _, lines = inputs_and_targets(samples)
    there = [row * row for row in lines - 2 if row % 5 != 1]
    for split in ("train", "val", "test"):
        x, _, lines = inputs_and_targets(samples, split)
        expected = [np.median(there) if row % 5 == 1 else row * row for row in lines - 2]
        np.testing.assert_allclose(x[:, 0], expected)
    assert len(train) == samples.sizes()["train"]


def test_a_missing_value_has_an_input_of_its_own_where_asked_for(tmp_path: Path) -> None:
    rows = [f"{'NA' if n % 5 == 1 else n * n},{'' if n % 7 == 2 else CITIES[n % 2]},{n / 3},{n % 2}" for n in range(60)]
    keys = {**write(tmp_path / "t.csv", "a,city,b,y", rows), "missing_indicator": True}
    samples = loaded(keys)
    assert samples.encoding is not None
    assert samples.encoding.inputs == ["a", "a.missing", "city=Oslo", "city=Rome", "city.missing", "b"]
    x, _, lines = inputs_and_targets(samples, "test")
    assert x[:, 1].tolist() == [float(row % 5 == 1) for row in lines - 2]
    assert x[:, 4].tolist() == [float(row % 7 == 2) for row in lines - 2]


def test_missing_values_can_be_refused_or_their_rows_left_out(tmp_path: Path) -> None:
    keys = write(tmp_path / "t.csv", "a,b,y", [f"{'' if n in (7, 20) else n * n},{n / 3},{n % 2}" for n in range(30)])
    with pytest.raises(CouloirError, match=r"Column 'a' is empty\.") as caught:
        table.inspect("table", {**keys, "missing": "refuse"})
    assert caught.value.place == f"{keys['path']}, line 9, and 1 more"
    assert caught.value.next_step is not None
    assert "data.missing=impute" in caught.value.next_step
    samples = loaded({**keys, "missing": "drop"})
    assert sum(samples.sizes().values()) == 28
    assert [(row.line, row.by) for row in samples.skipped] == [(9, "data.missing=drop"), (22, "data.missing=drop")]


def test_numbers_of_eight_digits_stay_apart(tmp_path: Path) -> None:
    first = datetime.date(2024, 1, 1)
    days = [int((first + datetime.timedelta(days=n)).strftime("%Y%m%d")) for n in range(365)]
    samples = loaded(write(tmp_path / "t.csv", "day,y", [f"{day},{n % 2}" for n, day in enumerate(days)]))
    x, _, lines = inputs_and_targets(samples)
    assert len(np.unique(x)) == len(x), "float32 has two days in one number from 2^24 on"
    assert samples.mean == pytest.approx([np.mean([days[line - 2] for line in lines])], rel=1e-12)


def test_a_table_of_numbers_is_in_memory_as_it_was(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = np.round(rng.normal([0, 50, 1e6], [1, 3, 2e5], size=(40, 3)), 4)
    samples = loaded(
        write(tmp_path / "t.csv", "a,b,c,y", [",".join(map(str, row)) + f",{n % 2}" for n, row in enumerate(values)])
    )
    source = samples.splits["train"].source
    assert torch.equal(source.inputs, torch.from_numpy(values.astype(np.float32)))  # type: ignore[attr-defined]
    assert samples.encoding is not None
    assert samples.encoding.is_identity
    assert samples.encoding.signature == b"", "the fingerprint is that of the numbers alone"


def test_what_a_checkpoint_keeps_prepares_another_table_alike(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [f"{'' if n % 5 == 1 else n * n},{CITIES[n % 3]},2024-0{1 + n % 9}-11,{n % 2}" for n in range(60)]
    samples = loaded(write(tmp_path / "t.csv", "a,city,day,y", rows))
    state = samples.state_dict()
    others = [f"{'' if n % 3 == 0 else n},{['Rome', 'Lima'][n % 2]},2025-02-{10 + n},{n % 2}" for n in range(12)]
    keys = write(
        tmp_path / "other.csv",
        "city,a,day,y",
        [",".join([r.split(",")[1], r.split(",")[0], *r.split(",")[2:]]) for r in others],
    )
    other = table.table(
        **keys,
        ignore=[],
        delimiter=None,
        task="classification",
        classes=["0", "1"],
        image_size=None,
        channels=samples.channels,
        num_classes=2,
        batch_size=8,
    )
    other.standardised_as(state)
    with caplog.at_level("WARNING", logger="couloir"):
        other.setup()
    assert "6 of 12 rows have a 'city' that the run does not know, for example 'Lima'" in caplog.text
    assert other.encoding is not None
    assert other.encoding.inputs == samples.encoding.inputs  # type: ignore[union-attr]
    assert (other.mean, other.std) == (samples.mean, samples.std)
    x, _, lines = inputs_and_targets(other)
    fill = samples.encoding.fills[0]  # type: ignore[union-attr, index]
    assert samples.mean is not None
    assert samples.std is not None
    expected = [((fill if row % 3 == 0 else row) - samples.mean[0]) / samples.std[0] for row in lines - 2]
    np.testing.assert_allclose(x[:, 0], expected, rtol=1e-5)
    assert x[:, 1:4].tolist() == [[0, 0, float(row % 2 == 0)] for row in lines - 2], "an unknown city is all zeros"


def test_a_class_that_a_run_does_not_know_is_named_with_its_line(tmp_path: Path) -> None:
    keys = write(tmp_path / "t.csv", "a,y", [f"{n / 4},{'z' if n == 7 else 'uv'[n % 2]}" for n in range(30)])
    settled = {"task": "classification", "classes": ["u", "v"], "num_classes": 2, "channels": 1}
    other = table.table(**keys, **settled, ignore=[], image_size=None, batch_size=8)
    with pytest.raises(CouloirError) as caught:
        other.setup()
    assert caught.value.fact == "The class 'z' is none of the run's: u, v."
    assert caught.value.place == f"{tmp_path / 't.csv'}, line 9"


def test_what_is_said_of_a_table_without_rows_or_columns_to_learn_from(tmp_path: Path) -> None:
    with pytest.raises(CouloirError, match=r"(?s)has 0 rows below its header.*next:  give it 5 rows or more"):
        loaded(write(tmp_path / "t.csv", "a,y", []))
    keys = write(tmp_path / "t.csv", "name,y", [f"n{n},{n % 2}" for n in range(30)])
    for ignored, step in (([], "'data.columns={name: category}' keeps it"), (["name"], "name fewer columns")):
        with pytest.raises(CouloirError) as caught:
            loaded({**keys, "ignore": ignored})
        assert step in str(caught.value.next_step)


@pytest.mark.filterwarnings("error")
def test_a_row_without_a_group_that_is_a_number_is_left_out(tmp_path: Path) -> None:
    rows = [f"{'' if n == 8 else n // 6},{n / 4},{'aAb'[n % 3]},{n % 2}" for n in range(60)]
    samples = loaded({**write(tmp_path / "t.csv", "g,x,c,y", rows), "group": "g", "missing": "drop"})
    of_split = [{int(line - 2) // 6 for line in inputs_and_targets(samples, name)[2]} for name in samples.splits]
    assert sum(map(len, of_split)) == len(set().union(*of_split)) == 10
    assert sum(len(split.indices) for split in samples.splits.values()) == 59
    assert "  warning: 'A' and 'a' in 'c' differ only in the case of their letters" in samples.notes


@pytest.mark.parametrize(("unit", "other"), [(" €", " $"), ("cm", "mm"), ("", "%")])
def test_numbers_in_another_unit_than_a_runs_are_refused(unit: str, other: str, tmp_path: Path) -> None:
    def of(unit: str) -> dict[str, Any]:
        return write(tmp_path / "t.csv", "a,y", [f"{n * n}{unit},{n % 2}" for n in range(30)])

    state = loaded(of(unit)).state_dict()
    settled = {"task": "classification", "classes": ["0", "1"], "num_classes": 2, "channels": 1}
    for written, refused in ((unit, False), ("", False), (other, True)):
        again = table.table(**of(written), **settled, ignore=[], image_size=None, batch_size=8)
        again.standardised_as(state)
        if refused:
            with pytest.raises(CouloirError, match="'a' are written with another unit than in training"):
                again.setup()
        else:
            again.setup()
