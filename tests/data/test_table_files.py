"""The keys that say how a table is read, from the sentence to its samples."""

from __future__ import annotations

from pathlib import Path

import pytest

import couloir
from couloir.data import table
from couloir.errors import CouloirError

ROWS = [(number / 8, number % 3) for number in range(24)]


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def composed(path: str, *words: str) -> tuple[list[str], int]:
    """The classes and inputs that a sentence finds out."""
    data = couloir.compose(["data=csv", f"data.path={path}", *words]).cfg.data
    return list(data.classes), data.channels


@pytest.mark.parametrize("target", ["2", "c2"])
def test_a_target_without_header_is_named_by_its_number(target: str, tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "".join(f"{a},{y}\n" for a, y in ROWS))
    assert composed(path, "data.header=false", f"data.target={target}") == (["0", "1", "2"], 1)
    with pytest.raises(CouloirError, match="looks like a row") as caught:
        composed(path, "data.target=y")
    assert "data.header=false" in str(caught.value.next_step)


def test_every_key_of_the_reader_can_be_typed(tmp_path: Path) -> None:
    text = "title\n% note\na~b~y\n" + "".join(
        f"1,{100 + number}~{a}~{y}\n% {y}\n" for number, (a, y) in enumerate(ROWS)
    )
    path = tmp_path / "t.csv"
    path.write_bytes(text.replace("0.125", "gap").encode("utf-16-le"))
    words = ["data.delimiter='~'", "data.decimal=comma", "data.encoding=utf-16-le", "data.comment='%'", "data.header=3"]
    words += ["data.missing_words=[gap,-999]", "data.missing=drop", "data.target=y"]
    assert composed(str(path), *words) == (["0", "1", "2"], 2)
    keys = {"path": str(path), "target": "y", "delimiter": "~", "decimal": "comma", "encoding": "utf-16-le",
            "comment": "%", "header": 3, "missing_words": ["gap", -999], "missing": "drop"}  # fmt: skip
    facts = table.inspect("table", keys)
    samples = table.table(**keys, ignore=[], **facts, image_size=None, batch_size=4, standardize=False)
    samples.setup()
    assert sum(samples.sizes().values()) == len(ROWS) - 1
    found = sorted(samples.splits["train"].source.inputs[:, 0].tolist())
    assert found == pytest.approx([1 + (100 + number) / 1000 for number in range(24) if number != 1])
    with pytest.raises(CouloirError, match="one of comma, dot"):
        composed(str(path), *words, "data.decimal=point")


def test_files_for_validation_and_test_are_those_splits(tmp_path: Path) -> None:
    texts = {name: "a,y\n" + "".join(f"{a + shift},{y}\n" for a, y in ROWS[:count]) for name, shift, count in
             (("train", 0, 24), ("val", 100, 9), ("test", 200, 6))}  # fmt: skip
    for name, text in texts.items():
        write(tmp_path / f"{name}.csv", text)
    stated = {"path": str(tmp_path / "train.csv"), "val_path": str(tmp_path / "val.csv"),
              "test_path": str(tmp_path / "test.csv")}  # fmt: skip
    for paths in (stated, {"path": str(tmp_path)}):
        keys = {**paths, "target": "y"}
        facts = table.inspect("table", keys)
        samples = table.table(**keys, ignore=[], **facts, image_size=None, batch_size=4, standardize=False)
        samples.setup()
        assert samples.sizes() == {"train": 24, "val": 9, "test": 6}
        assert [float(samples.splits[name].source.inputs.min()) for name in texts] == [0, 100, 200]


def test_a_column_that_is_left_out_may_hold_anything(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.csv", "a;b;y\n" + "".join(f"1,{100 + number};{a};{y}\n" for number, (a, y) in enumerate(ROWS))
    )
    with pytest.raises(CouloirError, match="may separate thousands"):
        composed(path, "data.target=y")
    assert composed(path, "data.target=y", "data.ignore=[a]") == (["0", "1", "2"], 1)
