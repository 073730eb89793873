"""How closely a column goes together with the target, and what gives the target away."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from couloir.inspect.dataset import columns
from couloir.inspect.dataset.columns import Seen, Target, compared, determines, with_target

CLASSES = np.arange(60) % 3


def number(values: Any) -> Seen:
    return Seen("x", "number", "", np.asarray(values, dtype=np.float64))


def category(codes: Any) -> Seen:
    codes = np.asarray(codes, dtype=np.int64)
    return Seen("x", "category", "", None, codes, [f"word {at}" for at in range(int(codes.max()) + 1)])


@pytest.fixture
def target() -> Target:
    return Target("class", CLASSES, None, ["a", "b", "c"])


def test_a_code_of_the_class_says_it_in_whatever_order_and_a_number_of_each_row_does_not(target: Target) -> None:
    assert determines(number(np.array([5.0, 1.0, 9.0])[CLASSES]), target)
    assert determines(category(np.array([2, 0, 1])[CLASSES]), target)
    assert determines(category(CLASSES + 3 * (np.arange(60) % 2)), target), "two words a class"
    assert not determines(category(np.arange(60)), target), "a name of each row says nothing"
    mixed = CLASSES.copy()
    mixed[0] = 1
    assert not determines(category(mixed), target)
    assert not determines(category(np.zeros(60)), target)


def test_columns_and_values_are_compared_by_the_measure_that_fits(target: Target) -> None:
    noise = np.random.default_rng(0).normal(size=60)
    values = Target("y", None, np.stack([noise, noise**2], axis=1), ["one", "other"])
    assert with_target(number(-2 * noise), values) == {
        "measure": "correlation", "value": pytest.approx(-1), "with": "one",
    }  # fmt: skip
    assert with_target(category(CLASSES), target) == {
        "measure": "Cramér's V",
        "value": pytest.approx(1),
        "with": "class",
    }
    assert with_target(number(CLASSES * 1.0), target)["measure"] == "correlation ratio"  # type: ignore[index]
    assert with_target(number(np.ones(60)), target) is None
    gaps = number(np.where(np.arange(60) < 20, np.nan, noise))
    assert with_target(gaps, values)["value"] == pytest.approx(1)  # type: ignore[index]


def test_a_column_in_numbers_has_its_gaps_and_its_most_frequent_words() -> None:
    told = category([0, 1, 1, -1, 1, 2]).facts()
    assert (told["missing"], told["distinct"]) == (1, 3)
    assert told["frequent"] == [
        {"value": "word 1", "count": 3}, {"value": "word 0", "count": 1}, {"value": "word 2", "count": 1},
    ]  # fmt: skip
    told = number([1, np.nan, 3, 3]).facts()
    assert (told["missing"], told["distinct"], told["min"], told["median"], told["max"]) == (1, 2, 1, 3, 3)


def test_the_matrix_has_the_values_to_predict_as_well_and_null_where_nothing_varies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = np.arange(10.0)
    found = compared([number(x), number(np.ones(10))], Target("y", None, -x[:, None], ["y"]))
    assert found is not None
    assert found["names"] == ["x", "x", "y"]
    assert found["matrix"][0] == [pytest.approx(1), None, pytest.approx(-1)]
    assert found["rows"] == 10
    monkeypatch.setattr(columns, "CELLS", 9)
    few = compared([number(x), number(x**2)], None)
    assert few is not None
    assert few["rows"] == 4, "every third of them"
    assert few["matrix"][0][1] == pytest.approx(np.corrcoef(x[::3], x[::3] ** 2)[0, 1])
