"""Samples that are the same to the byte are found within a split and across splits, and no others are."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from couloir.data import doubles
from couloir.data.doubles import Doubles, Place, same_files, same_marks, same_rows


def test_files_of_one_size_and_one_middle_are_told_apart_by_their_whole_content(tmp_path: Path) -> None:
    def write(name: str, content: bytes) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    body = bytes(range(256)) * 40
    one, same, other = write("one", body), write("same", body), write("other", b"X" + body[1:])
    third, alone = write("third", body), write("alone", body + b"1")
    gone, gone_too = tmp_path / "gone", tmp_path / "gone_too"
    found = same_files({"train": [one, alone, other, gone], "val": [same, gone_too], "test": [third]})
    assert found == Doubles([[Place("train", 0), Place("val", 0), Place("test", 0)]])
    assert found.across("train", "val") == found.across("val", "test") == 1
    assert found.within("train") == 0


def test_what_is_not_compared_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [tmp_path / str(number) for number in range(4)]
    for file in files:
        file.write_bytes(b"the same")
    monkeypatch.setattr(doubles, "HASHED_BYTES", 16)
    assert same_files({"train": files}) == Doubles([[Place("train", 0), Place("train", 1)]], complete=False)
    monkeypatch.setattr(doubles, "OPENED", 3)
    assert same_files({"train": files}) == Doubles(complete=False)


def test_rows_are_counted_once_a_group_and_their_targets_compared() -> None:
    found = same_rows({"train": [7, 8, 7, 9, 7], "val": [9, 1], "test": [2, 2]})
    assert [found.within(split) for split in ("train", "val", "test")] == [2, 0, 1]
    assert [found.across("train", "val"), found.across("train", "test"), found.across("val", "test")] == [1, 0, 0]
    labels = {"train": np.array([0, 0, 0, 1, 0]), "val": np.array([2, 0]), "test": np.array([3, 3])}
    assert found.contradicting(labels) == 1, "the row 9 is of class 1 in one split and of class 2 in the other"


def test_nobody_waits_for_a_pipe(tmp_path: Path) -> None:
    names = ["a.png", "b.png", "p.png", "q.png"]
    for name in names[:2]:
        (tmp_path / name).write_bytes(b"")
    for name in names[2:]:
        os.mkfifo(tmp_path / name)
    found = same_files({"train": [tmp_path / name for name in names]})
    assert found.groups == [[Place("train", 0), Place("train", 1)]]


def test_marks_of_many_samples_are_compared_in_passes_and_confirmed_by_their_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("couloir.data.doubles.AT_ONCE", 7)
    values = np.random.default_rng(0).permutation(40).astype(np.uint64)
    values[[3, 30]], values[[8, 9, 39]] = 100, 200
    marks = {"train": lambda: iter(np.split(values[:30], 3)), "test": lambda: iter([values[30:]])}
    found = same_marks(marks, 40, None)
    assert sorted(found.groups) == [
        [Place("train", 3), Place("test", 0)],
        [Place("train", 8), Place("train", 9), Place("test", 9)],
    ]
    told = same_marks(marks, 40, lambda place: None if place.number == 0 else (5, bytes(place.number % 2)))
    assert told.groups == [[Place("train", 9), Place("test", 9)]]
    assert told.complete
    assert same_marks({"train": lambda: iter([values[:3]])}, 3, None).groups == []
