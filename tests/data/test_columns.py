"""What a column is taken for: over all of its cells, with a reason, and never against what is stated."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest

import couloir
from couloir.data.cells import read_cells
from couloir.data.columns import Decision, Described, decide, in_words
from couloir.data.features import texts_needed
from couloir.data.named import ignoring, stated_kinds, stating
from couloir.data.table import columns_of
from couloir.errors import CouloirError


def decided(path: Path, columns: dict[str, list[str]], skip: bool = False, **stated: str) -> dict[str, Decision]:
    """What each column of a table is, beside a number that keeps the table from having no other column."""
    columns = {**columns, "other": [str(7 * n % 10 + 0.5) for n in range(len(next(iter(columns.values()))))]}
    lines = [",".join(f'"{cell}"' for cell in row) for row in zip(*columns.values(), strict=True)]
    (path / "t.csv").write_text("\n".join([",".join(columns), *lines]), encoding="utf-8")
    cells = read_cells(str(path / "t.csv"), as_text=texts_needed(stated))
    return {each.column.name: each for each in decide(cells, [], stated, skip)}


N = 30
CASES: list[tuple[str, list[str], str, str]] = [
    ("numbers", [str(n * n) for n in range(N)], "number", "numbers"),
    ("numbers with gaps", [str(n * n) if n % 4 else "" for n in range(N)], "number", "numbers"),
    ("constant", ["7"] * N, "number", "numbers"),
    ("few texts", ["ab", "c", "ab"] * 10, "category", "2 different texts"),
    ("numbers among texts", ["1", "2", "3+"] * 10, "category", "3 different texts"),
    ("all different", [f"name {n}" for n in range(N)], "identifier", "all 30 different texts"),
    ("nearly all different", [f"name {max(n, 5)}" for n in range(N)], "identifier", "25 different texts in 30 rows"),
    ("rows from 1", [str(n + 1) for n in range(N)], "identifier", "counts the rows from 1"),
    ("years", [str(n + 1990) for n in range(N)], "number", "numbers"),
    ("order_id", [str(n + 7001) for n in range(N)], "identifier", "counts the rows from 7001"),
    ("id", [str(n * 3) for n in range(N)], "number", "numbers"),
    ("one by one with a step", [str(n + (n > 9)) for n in range(N)], "number", "numbers"),
    ("floats one by one", [f"{n}.0" for n in range(N)], "number", "numbers"),
    ("words", ["Yes", "no", "NO"] * 10, "boolean", "the words no and yes"),
    ("one word", ["true"] * N, "boolean", "the words true"),
    ("letters", ["t", "f", ""] * 10, "boolean", "the words f and t"),
    ("two other words", ["m", "w"] * 15, "category", "2 different texts"),
    ("dates", [f"2024-02-{n % 28 + 1:02}" for n in range(N)], "date", "dates, year-month-day"),
    ("None among dates", ["2024-02-01", "2024-02-07", "None"] * 10, "date", "dates, year-month-day"),
    ("European dates", [f"{n % 28 + 1}.2.2024" for n in range(N)], "date", "dates, day.month.year"),
    ("day first", [f"{n % 28 + 1:02}/02/2024" for n in range(N)], "date", "dates, day/month/year"),
    ("month first", [f"02/{n % 28 + 1:02}/2024" for n in range(N)], "date", "dates, month/day/year"),
    ("zip", [f"0{n % 7}000" for n in range(N)], "category", "7 different texts, leading zeros"),
    ("key", [f"1234567890123456789{n:02}" for n in range(N)], "identifier", "all 30 different texts"),
    ("ticket", [f"A/5 {n}" if n % 4 == 1 else str(n * 7919) for n in range(N)], "identifier", "all 30 different texts"),
    ("nothing", ["", "NA", "?"] * 10, "ignore", "no row has a value"),
    ("many texts", [f"t{n % 300}" for n in range(900)], "ignore", "300 different texts, more than 256"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "cells", "kind", "why"), CASES, ids=[case[0] for case in CASES])
def test_a_column_is_what_its_cells_say(name: str, cells: list[str], kind: str, why: str, tmp_path: Path) -> None:
    found = decided(tmp_path, {name: cells})[name]
    assert (found.kind, found.why) == (kind, why)


def test_the_only_column_is_kept_though_it_counts_the_rows(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("t,y\n" + "\n".join(f"{n},{n * n}" for n in range(20)))
    (found,) = decide(read_cells(str(tmp_path / "t.csv")), ["y"], {}, skip=False)
    assert (found.kind, found.why) == ("number", "counts the rows from 0, and is the only column")


@pytest.mark.parametrize(
    ("cells", "fact", "line"),
    [
        (["abc" if n == 6 else str(n * n) for n in range(N)], "holds 'abc', which is not a number", 8),
        (["12 kg" if n in (6, 9) else str(n * n) for n in range(N)], "(2 such cells, on the lines 8, 11)", 8),
        (["sold" if n % 4 == 1 else str(n * n) for n in range(N)], "'sold', which is not a number (8 such cells", 3),
        (["inf" if n == 6 else str(n * n) for n in range(N)], "'inf', which is infinite in 32 bits", 8),
        ([f"2024-02-{n + 1:02}" for n in range(N)], "'2024-02-30', which is not a date in the form year-month-day", 31),
        ([f"0{n % 9 + 1}/0{n % 8 + 1}/2024" for n in range(N)], "may be day and month or month and day", 10),
        ([f"2024-03-01 10:{n:02}{'' if n in (4, 6) else 'Z'}" for n in range(N)], "without a time zone", 6),
        ([f"0{n % 9 + 1}.0{n % 8 + 1}.24" for n in range(N)], "may be a date whose year has two digits", 2),
    ],
    ids=["one text", "two texts", "one word often", "infinite", "no such day", "ambiguous", "one zone", "short year"],
)
def test_a_column_that_is_neither_one_thing_nor_another_is_refused(
    cells: list[str], fact: str, line: int, tmp_path: Path
) -> None:
    with pytest.raises(CouloirError) as caught:
        decided(tmp_path, {"x": cells})
    assert fact in caught.value.fact
    assert caught.value.place == f"{tmp_path / 't.csv'}, line {line}"
    assert "data.columns={x: " in str(caught.value.next_step), "it says what to type"


@pytest.mark.parametrize(
    "name", ["x", "the day (local)", "a, b: [c]", "x\\y = {z}", "Größe", "it's", "😀 n", "1e3", "true"]
)
def test_what_is_to_be_typed_of_a_column_can_be_typed(name: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f'"{name}",w,y\n' + "".join(f"0{n},{n * n % 7}.5,{n % 2}\n" for n in range(1, 10)))
    words = ["data=csv", f"data.path={tmp_path / 't.csv'}", "data.target=y"]
    for typed, channels in ((stating(name, "number"), 2), (ignoring(name), 1)):
        assert couloir.compose([*words, *shlex.split(typed)]).cfg.data.channels == channels


def test_kinds_are_a_mapping_or_the_text_of_one() -> None:
    assert stated_kinds({"a": "number", 2001: "ignore"}) == {"a": "number", "2001": "ignore"}
    assert stated_kinds("{Größe: number, \"a, b\": ignore, no: category, 007: date}") == {
        "Größe": "number", "a, b": "ignore", "no": "category", "007": "date",
    }  # fmt: skip
    assert stated_kinds(None) == {}
    for odd in ("hello", "{a: [", ["a"]):
        with pytest.raises(CouloirError, match="takes the kinds of columns by name"):
            stated_kinds(odd)


def test_a_date_among_other_texts_makes_no_column_of_dates(tmp_path: Path) -> None:
    for odd in ({3: "03/04/2024"}, {3: "2024-03-01 10:00Z", 4: "2024-03-01 10:00"}):
        notes = decided(tmp_path, {"x": [odd.get(n, f"it came on day {n}") for n in range(N)]})["x"]
        assert (notes.kind, notes.why) == ("identifier", "all 30 different texts")


def test_with_rows_to_skip_a_text_among_numbers_is_one(tmp_path: Path) -> None:
    found = decided(tmp_path, {"x": ["abc" if n == 6 else str(n * n) for n in range(N)]}, skip=True)["x"]
    assert found.kind == "number"
    assert np.flatnonzero(found.wrong).tolist() == [6]


def test_what_is_stated_has_the_last_word(tmp_path: Path) -> None:
    columns = {
        "zip": [f"0{n % 3 + 1}000" for n in range(N)],
        "row": [str(n) for n in range(N)],
        "when": [f"0{n % 9 + 1}/0{n % 8 + 1}/24" for n in range(N)],
        "digits": [f"202401{n + 1:02}" for n in range(N)],
        "name": [f"n{n}" for n in range(N)],
        "sex": ["w", "m"] * 15,
        "note": ["a", "b"] * 15,
        "code": [str(n % 4) for n in range(N)],
    }
    found = decided(
        tmp_path, columns, zip="category", row="number", when="%m/%d/%y", digits="date", name="category",
        sex="boolean", note="ignore", code="identifier",
    )  # fmt: skip
    kinds = ["category", "number", "date", "date", "category", "boolean", "ignore", "identifier"]
    assert [found[name].kind for name in columns] == kinds
    assert found["zip"].column.texts is not None
    assert found["zip"].column.texts[0] == "01000", "as it is written"
    when, digits, sex = (found[name].values for name in ("when", "digits", "sex"))
    assert when is not None
    assert digits is not None
    assert sex is not None
    days = np.array([f"2024-0{n % 9 + 1}-0{n % 8 + 1}" for n in range(N)], dtype="datetime64[D]").astype(int)
    assert when.tolist() == days.tolist()
    assert np.diff(digits).tolist() == [1.0] * (N - 1)
    assert sex.tolist() == [1.0, 0.0] * 15


@pytest.mark.parametrize(
    ("stated", "fact"),
    [
        ({"x": "number"}, "holds 'ab', which is not a number (30 such cells, on the lines 2, 3, 4, ...)"),
        ({"x": "date"}, "which is not a date"),
        ({"x": "boolean"}, "which is not one of two words such as no and yes"),
        ({"x": "numbr"}, "which is no kind of column"),
        ({"y": "number"}, "has no column 'y'"),
    ],
)
def test_what_is_stated_and_cannot_be_is_refused(stated: dict[str, str], fact: str, tmp_path: Path) -> None:
    with pytest.raises(CouloirError) as caught:
        decided(tmp_path, {"x": ["ab", "c", "d"] * 10}, **stated)
    assert fact in caught.value.fact


def test_the_console_names_what_is_used_and_what_is_not(tmp_path: Path) -> None:
    rows = [
        f"{n},{n * n if n % 4 else ''},{'ab'[n % 2]},2024-01-{n + 1:02},{'yes' if n % 3 else 'no'}" for n in range(N)
    ]
    (tmp_path / "t.csv").write_text("\n".join(["id,a,b,c,y", *rows]))
    described = columns_of({"path": str(tmp_path / "t.csv"), "target": "y"})
    assert [(each.name, each.kind, each.missing) for each in described] == [
        ("id", "identifier", 0), ("a", "number", 8), ("b", "category", 0), ("c", "date", 0), ("y", "target", 0),
    ]  # fmt: skip
    assert list(in_words(described)) == [
        "1 number: a",
        "1 category: b (a, b)",
        "1 date: c (day, weekday)",
        "left out: id (counts the rows from 0); 'data.columns={NAME: KIND}' says otherwise",
        "missing values, filled in from the training split: a (8)",
    ]
    number = Described("a", "number", "mostly numbers, decimal comma, currency €", 0, ["a"])
    assert list(in_words([number])) == ["1 number: a (decimal comma, currency €)"]
