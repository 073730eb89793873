"""Rows of a table with a cell that is no number: an error, or left out and listed."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch

import couloir
from couloir.data import table
from couloir.errors import CouloirError
from pairs import pair

GOOD = [f"{3 * n},{n * n % 7},{'cat' if n % 2 else 'dog'}" for n in range(12)]
BAD = ["nan,1,cat", ",1,dog", "3,inf,cat", "3,1e39,dog", "abc,1,cat", "1,2", "1,2,", "1,2,Infinity"]


def write(path: Path, rows: list[str]) -> dict[str, Any]:
    path.write_text("\n".join(["a,b,y", *rows]), encoding="utf-8")
    return {"path": str(path), "target": "y"}


def mixed() -> list[str]:
    return [row for pair in zip(BAD, GOOD, strict=False) for row in pair] + GOOD[len(BAD) :]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("3,inf,cat", "'b' holds 'inf', which is infinite in 32 bits"),
        ("3,-1e39,cat", r"'b' holds '-1e\+39', which is infinite in 32 bits"),
        ("1,2,Infinity", "The target 'y' is Infinity"),
        ("1,2,1e999", "The target 'y' is 1e999"),
        ("1,2,-nan", "The target 'y' is -nan"),
    ],
)
def test_what_is_not_finite_in_32_bits_is_an_error(row: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(CouloirError, match=message) as caught:
        table.inspect("table", write(tmp_path / "t.csv", [*GOOD, row]))
    assert caught.value.place is not None
    assert caught.value.place.endswith("line 14")


def test_skipping_is_the_same_as_deleting_the_rows(tmp_path: Path) -> None:
    def samples(rows: list[str], on_error: str) -> Any:
        keys = write(tmp_path / "t.csv", rows)
        facts = table.inspect("table", {**keys, "on_error": on_error})
        found = table.table(str(keys["path"]), "y", [], None, on_error=on_error, **facts, image_size=None, batch_size=4)
        found.setup()
        return found

    skipping, expected = samples(mixed(), "skip"), samples(GOOD, "raise")
    assert skipping.fingerprint() == expected.fingerprint()
    for (x, y), (other_x, other_y) in zip(
        *(map(pair, each.train_dataloader()) for each in (skipping, expected)), strict=True
    ):
        assert torch.equal(x, other_x)
        assert torch.equal(y, other_y)
    assert [entry.line for entry in skipping.skipped] == [2, 4, 6, 8, 10, 12, 14, 16]
    assert [entry.label for entry in skipping.skipped] == ["cat", "dog", "cat", "dog", "cat", "", "", ""]
    assert skipping.skipped[5].reason == "A row has 2 cells, the header has 3."


def test_a_class_does_not_vanish_with_its_rows(tmp_path: Path) -> None:
    keys = write(tmp_path / "t.csv", [*GOOD, "nan,1,bird", ",2,bird"])
    with pytest.raises(CouloirError, match=r"None of the 2 rows of the class 'bird' can be used: Column 'a' holds"):
        table.inspect("table", {**keys, "on_error": "skip"})


def test_a_column_of_text_is_not_skipped_away(tmp_path: Path) -> None:
    keys = write(tmp_path / "t.csv", ["x,1,cat", "y,2,dog"] * 9)
    assert table.inspect("table", {**keys, "on_error": "skip"})["channels"] == 3, "two categories and a number"


def test_a_run_lists_the_rows_that_it_skipped(tmp_path: Path) -> None:
    keys = write(tmp_path / "t.csv", mixed())
    words = [
        "data=csv", f"data.path={keys['path']}", "data.target=y", "trainer.max_epochs=1", "trainer=cpu", "logger=csv",
        f"output_dir={tmp_path / 'out'}",
    ]  # fmt: skip
    with pytest.raises(CouloirError, match="A row has 2 cells, the header has 3"):
        couloir.compose(words).cfg.data.task  # noqa: B018  what the file says is asked for
    result = couloir.train(couloir.compose([*words, "data.on_error=skip"]))
    rows = list(csv.DictReader((result.dir / "skipped.csv").read_text().splitlines()))
    assert [row["line"] for row in rows] == ["2", "4", "6", "8", "10", "12", "14", "16"]
    assert rows[1] == {"split": "", "file": keys["path"], "line": "4", "class": "dog", "reason": "Column 'a' is empty."}
    data = json.loads((result.dir / "provenance.json").read_text())["data"]
    assert (data["skipped"], sum(data["sizes"].values())) == (8, 12)
    log = (result.dir / "train.log").read_text()
    assert log.count("warning: 8 rows left out (data.on_error=skip), first ") == 1
