"""Groups: a column of a table, or a part of file names; no group is in two splits, and what has none is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from couloir.config.check import checked
from couloir.config.folds import number_of_folds
from couloir.data import table
from couloir.data.groups import counted, groups_of_files
from couloir.errors import CouloirError
from couloir.run.assemble import load_data
from photographs import make_photographs

ROWS = 60


def csv(folder: Path, groups: list[str] | None = None, name: str = "patient") -> str:
    """A table whose first column is the row's number, with two patients for each row in ten."""
    file = folder / "table.csv"
    groups = groups or [f"p{row % 12}" for row in range(ROWS)]
    lines = [f"{row / 2},{group},{'yn'[row % 2]}" for row, group in enumerate(groups)]
    file.write_text("\n".join([f"x,{name},y", *lines]) + "\n")
    return str(file)


def splits(words: list[str]) -> tuple[Any, dict[str, Any]]:
    """The data of a sentence, and the numbers of the rows of each split."""
    data = load_data(checked(words).cfg)
    return data, {name: split.indices for name, split in data.splits.items()}


def test_a_column_of_groups_is_no_input_and_no_group_is_in_two_splits(tmp_path: Path) -> None:
    words = ["data=csv", f"data.path={csv(tmp_path)}", "data.target=y", "data.group=patient"]
    for more in ([], ["data.folds=4", "data.fold=1"]):
        data, rows = splits([*words, *more])
        assert data.channels == 1
        found = [set(np.asarray(split) % 12) for split in rows.values()]
        assert sum(map(len, found)) == len(set.union(*found)) == 12
        assert any("12 groups by patient" in note for note in data.notes)
    (group,) = [each for each in data.columns if each.kind == "group"]
    assert (group.name, group.inputs) == ("patient", [])


def test_each_group_of_a_table_is_left_out_once(tmp_path: Path) -> None:
    # Numbers that are written in two ways are one group.
    path = csv(tmp_path, [("7", "7.0", "8", "10")[row % 4] for row in range(ROWS)])
    words = ["data=csv", f"data.path={path}", "data.target=y", "data.group=patient", "data.folds=leave_one_group_out"]
    assert number_of_folds(checked(words, each_fold=True).cfg) == 3
    _, rows = splits([*words, "data.fold=2"])
    assert set(rows["test"] % 4) == {3}
    with pytest.raises(CouloirError, match=re.escape("There is no data.fold=3: the 3 folds are 0 to 2")):
        checked([*words, "data.fold=3"])


@pytest.mark.parametrize(
    ("words", "groups", "said"),
    [
        (["data.group=y"], None, "data.group=y says which rows belong together, and data.target predicts it"),
        (["data.group=patient", "data.columns={patient: category}"], None, "data.columns makes it a category"),
        (["data.group=patien"], None, "has no column 'patien'"),
        (
            ["data.group=patient", "data.folds=7", "data.fold=0"],
            [f"p{row % 6}" for row in range(ROWS)],
            "at least 7 groups",
        ),
        (
            ["data.group=patient", "data.folds=leave_one_group_out", "data.fold=0"],
            ["a", "b"] * 30,
            "needs three groups",
        ),
        (["data.group=patient"], [*["a", "", "b"] * 20], "line 3"),
        (["data.group=patient", "data.folds=leave_one_group_out", "data.subset=9"], None, "leave data.subset out"),
        (["data.folds=leave_one_group_out", "data.fold=0"], None, "add data.group=..."),
        (["data.folds=61", "data.fold=0"], None, "at least 61 samples; there are 60"),
    ],
)
def test_groups_that_cannot_be_are_explained(words: list[str], groups: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(CouloirError, match=re.escape(said)):
        checked(["data=csv", f"data.path={csv(tmp_path, groups)}", "data.target=y", *words])


def test_a_row_without_a_group_can_be_left_out(tmp_path: Path) -> None:
    path = csv(tmp_path, [*["a", "", "b"] * 20])
    assert table.count({"path": path, "target": "y", "group": "patient", "missing": "drop"}) == (40, 2)


def test_the_name_of_a_group_is_a_part_of_the_path_below_the_root() -> None:
    root = Path("here/p9")
    files = [root / "train/cat/p1_a.png", root / "train/dog/p1_b.png", root / "train/dog/p22_a.png"]
    assert groups_of_files(files, root, r"(p\d+)_").tolist() == ["p1", "p1", "p22"]
    assert groups_of_files(files, root, r"p\d+").tolist() == ["p1", "p1", "p22"]
    assert groups_of_files(files, root, r"^train/([^/]+)/").tolist() == ["cat", "dog", "dog"]
    with pytest.raises(CouloirError, match=re.escape("train/dog/p22_a.png")) as error:
        groups_of_files(files, root, r"p\d_")
    assert error.value.place == str(files[2])
    with pytest.raises(CouloirError, match="is no regular expression"):
        groups_of_files(files, root, "(p")


def test_photographs_of_one_group_stay_together(tmp_path: Path) -> None:
    make_photographs(tmp_path, train=24, other=0)
    files = sorted((tmp_path / "train").rglob("*.*"))
    for number, file in enumerate(files):
        file.rename(file.with_name(f"camera{number % 4}_{number:02}{file.suffix}"))
    words = [
        "data=image_folder", f"data.root={tmp_path}", "data.image_size=8", "data.workers=0",
        'data.group_pattern="camera[0-9]"', "data.folds=leave_one_group_out",
    ]  # fmt: skip
    assert number_of_folds(checked(words, each_fold=True).cfg) == 4
    data, rows = splits([*words, "data.fold=2"])
    names = [path.name[:7] for path in data.splits["train"].source.paths]
    found = [{names[row] for row in split} for split in rows.values()]
    assert found[2] == {"camera2"}
    assert sum(map(len, found)) == len(set.union(*found)) == 4


def test_splits_of_the_users_own_that_divide_a_group_are_refused(tmp_path: Path) -> None:
    make_photographs(tmp_path)
    words = ["data=image_folder", f"data.root={tmp_path}", "data.image_size=8", 'data.group_pattern="/([ab])/"']
    with pytest.raises(CouloirError, match="The group a is in the training and in the validation samples"):
        checked(words)
    groups = {"train": np.array(["a", "b", "b"]), "val": np.array(["c"]), "test": np.array(["b", "d"])}
    assert counted(groups, folds=True, place="") == 2, "the set's own test split is left aside"
    with pytest.raises(CouloirError, match="The group b is in the training and in the test samples"):
        counted(groups, folds=False, place="")
