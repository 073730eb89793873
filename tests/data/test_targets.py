"""Targets are what is written: labels are texts until every one is an integer, and mistakes are no classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from couloir.data import table
from couloir.errors import CouloirError

N = 40


def keys(path: Path, *targets: list[str], **more: Any) -> dict[str, Any]:
    """A table with one number beside its targets."""
    names = ["y", "z", "w"][: len(targets)]
    rows = zip([str(n * n % 17 + 0.5) for n in range(len(targets[0]))], *targets, strict=True)
    (path / "t.csv").write_text("\n".join([",".join(["x", *names]), *map(",".join, rows)]), encoding="utf-8")
    return {"path": str(path / "t.csv"), "target": names if len(names) > 1 else "y", **more}


def learned(stated: dict[str, Any]) -> tuple[dict[str, Any], np.ndarray]:
    """What a table is for, and what is learned of each row: the class's name, or the values."""
    facts = table.inspect("table", stated)
    found = table.read_table(table.Wanted.of(stated))
    if facts["task"] == "classification":
        return facts, np.array(facts["classes"])[found.target.codes(facts["classes"], found.rows)]
    return facts, found.target.values(found.rows)


@pytest.mark.parametrize(
    ("cells", "classes", "names"),
    [
        (["1.3", "1.7", "2.0", "2.3", "failed"], ["1.3", "1.7", "2.0", "2.3", "failed"], None),
        (["1", "0"], ["0", "1"], None),
        (["10", "9", "-1"], ["-1", "9", "10"], None),
        (["1.0", "0.0"], ["0", "1"], {"1.0": "1", "0.0": "0"}),
        (["1", "01", "1.0", "2"], ["1", "2"], {"01": "1", "1.0": "1"}),
        (["1_1", "11"], ["11", "1_1"], None),
        (["5E2", "7A1"], ["5E2", "7A1"], None),
        (["5E2", "3E1"], ["3E1", "5E2"], None),
        (["12345678901234567890", "12345678901234567891"], ["12345678901234567890", "12345678901234567891"], None),
        (["True", "False"], ["False", "True"], None),
        (["yes", "no"], ["no", "yes"], None),
        (["Yes", "no", "yes"], ["no", "yes"], {"Yes": "yes"}),
        (["spam", "ham"], ["ham", "spam"], None),
        (["Spam", "spam"], ["Spam", "spam"], None),
        (["None", "some", "NA"], ["NA", "None", "some"], None),
    ],
    ids=lambda value: "|".join(value) if isinstance(value, list) else "",
)
def test_labels_are_what_is_written(
    cells: list[str], classes: list[str], names: dict[str, str] | None, tmp_path: Path
) -> None:
    cells = cells * (N // len(cells))
    facts, found = learned(keys(tmp_path, cells))
    assert (facts["task"], facts["num_classes"]) == ("classification", len(classes))
    assert facts["classes"] == classes
    assert found.tolist() == [(names or {}).get(cell, cell) for cell in cells]


@pytest.mark.parametrize(
    "cells",
    [
        [f"{n / 8}" for n in range(N)],
        [f"{n % 4}.5" for n in range(N)],
        [str(n * n) for n in range(N)],
        ["3"] * N,
        [str(n % 21) for n in range(N * 2)],
    ],
    ids=["fractions", "few fractions", "many integers", "constant", "one integer more than classes"],
)
def test_numbers_are_values(cells: list[str], tmp_path: Path) -> None:
    facts, found = learned(keys(tmp_path, cells))
    assert (facts["task"], facts["num_classes"], facts["classes"]) == ("regression", 1, [])
    assert found[:, 0].tolist() == [float(cell) for cell in cells]


def test_values_that_float32_would_blur_are_scaled_before(tmp_path: Path) -> None:
    days = [str(20240101 + n) for n in range(31)]
    facts, found = learned(keys(tmp_path, days))
    assert facts["task"] == "regression"
    assert found[:, 0].tolist() == [float(day) for day in days], "float32 has one number for two days"
    assert learned(keys(tmp_path, [f"{n / 7}" for n in range(N)]))[1].dtype == np.float32


def test_what_is_stated_of_the_target_counts(tmp_path: Path) -> None:
    few = [str(n % 3) for n in range(N)]
    assert learned(keys(tmp_path, few, task="regression"))[0]["task"] == "regression"
    assert learned(keys(tmp_path, few, columns={"y": "number"}))[0]["task"] == "regression"
    halves = [f"{n % 4}.5" for n in range(N)]
    assert learned(keys(tmp_path, halves, task="classification"))[0]["classes"] == ["0.5", "1.5", "2.5", "3.5"]
    assert learned(keys(tmp_path, halves, columns={"y": "category"}))[0]["num_classes"] == 4
    some = ["sold" if n == 5 else str(n % 3) for n in range(N)]
    assert learned(keys(tmp_path, some, task="classification"))[0]["classes"] == ["0", "1", "2", "sold"]


PRICES = [f"{5 + n % 15}.25" for n in range(80)]
WRONG: list[tuple[str, list[str], dict[str, Any], str, int]] = [
    ("one text", ["sold" if n == 3 else p for n, p in enumerate(PRICES)], {}, "holds 'sold', which is not a number", 5),
    ("two texts", ["sold" if n in (3, 9) else p for n, p in enumerate(PRICES)], {}, "on the lines 5, 11", 5),
    ("missing", ["NA" if n == 3 else p for n, p in enumerate(PRICES)], {}, "The target 'y' is NA", 5),
    ("empty", ["" if n == 3 else "ab"[n % 2] for n in range(N)], {}, "The target 'y' is empty", 5),
    ("infinite", ["inf" if n == 3 else p for n, p in enumerate(PRICES)], {}, "The target 'y' is inf", 5),
    ("all different", [f"name {n}" for n in range(N)], {}, "40 different texts in 40 rows", 2),
    ("nearly", [f"name {max(n, 9)}" for n in range(N)], {}, "31 different texts in 40 rows", 2),
    ("one class", ["a"] * N, {}, "always 'a'", 2),
    ("text for a regression", ["a", "b"] * 20, {"task": "regression"}, "holds 'a', which is text", 2),
    ("all different numbers", [f"{n / 8}" for n in range(N)], {"task": "classification"}, "40 different", 2),
    ("labels", ["a", "b"] * 20, {"task": "multi_label"}, "neither 0 and 1 nor two words", 2),
]


@pytest.mark.parametrize(("_name", "cells", "more", "fact", "line"), WRONG, ids=[case[0] for case in WRONG])
def test_a_target_that_does_not_say_what_it_is_for_is_refused(
    _name: str, cells: list[str], more: dict[str, Any], fact: str, line: int, tmp_path: Path
) -> None:
    with pytest.raises(CouloirError) as caught:
        table.inspect("table", keys(tmp_path, cells, **more))
    assert fact in caught.value.fact
    assert str(caught.value.place).endswith(f"line {line}")
    assert caught.value.next_step


def test_rows_without_a_target_are_left_out_where_asked_for(tmp_path: Path) -> None:
    cells = ["NA" if n in (3, 8) else price for n, price in enumerate(PRICES)]
    facts, found = learned(keys(tmp_path, cells, missing="drop"))
    assert (facts["task"], len(found)) == ("regression", 78)
    cells = ["sold" if n in (3, 8) else price for n, price in enumerate(PRICES)]
    facts, found = learned(keys(tmp_path, cells, on_error="skip"))
    assert found[:, 0].tolist() == [float(cell) for cell in cells if cell != "sold"]


def test_several_targets_are_several_values_or_several_labels(tmp_path: Path) -> None:
    values = [[f"{n / 8}" for n in range(N)], [str(n % 2) for n in range(N)]]
    facts, found = learned(keys(tmp_path, *values))
    assert (facts["task"], facts["num_classes"], facts["fields"]) == ("regression", 2, {"row": "row", "value": "value"})
    assert found.tolist() == [[float(a), float(b)] for a, b in zip(*values, strict=True)]
    labels = [["no", "yes"] * 20, [str(n % 3 % 2) for n in range(N)], [str(n % 5 > 2) for n in range(N)]]
    facts, found = learned(keys(tmp_path, *labels))
    assert (facts["task"], facts["classes"]) == ("multi_label", ["y", "z", "w"])
    assert facts["fields"] == {"row": "row", "labels": "labels"}
    assert found.tolist() == [[float(n % 2), float(n % 3 % 2), float(n % 5 > 2)] for n in range(N)]


@pytest.mark.parametrize(
    ("other", "more", "fact"),
    [
        (["a", "b"] * 20, {}, "The target 'z' holds 'a', which is text"),
        ([f"{n / 8}" for n in range(N)], {"task": "multi_label"}, "neither 0 and 1"),
        (["0", "1"] * 20, {"task": "classification"}, "A classification has one target"),
    ],
)
def test_several_targets_that_do_not_go_together_are_refused(
    other: list[str], more: dict[str, Any], fact: str, tmp_path: Path
) -> None:
    with pytest.raises(CouloirError, match=fact):
        table.inspect("table", keys(tmp_path, ["0", "1"] * 20, other, **more))


def test_classes_that_differ_in_case_alone_are_said(tmp_path: Path) -> None:
    wanted = table.Wanted.of(keys(tmp_path, ["Spam", "spam", "ham"] * 10))
    *_, last = table.in_sentences(table.read_table(wanted), wanted)
    assert last == "  warning: the classes Spam and spam differ only in the case of their letters"


@pytest.mark.parametrize("more", [{"ignore": ["y"]}, {"columns": {"y": "date"}}, {"columns": {"y": "identifier"}}])
def test_a_target_that_is_stated_to_be_none_is_refused(more: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(CouloirError, match="'y' is the target, and"):
        table.inspect("table", keys(tmp_path, ["0", "1"] * 20, **more))


def test_a_target_that_is_named_twice_is_refused(tmp_path: Path) -> None:
    stated = keys(tmp_path, ["0", "1"] * 20)
    with pytest.raises(CouloirError, match=r"data\.target names 'y' twice"):
        table.inspect("table", {**stated, "target": ["y", "y"]})
    (tmp_path / "t.csv").write_text("y,x,y\n" + "0,1.5,1\n" * N)
    with pytest.raises(CouloirError, match="2 columns 'y'"):
        table.inspect("table", stated)
