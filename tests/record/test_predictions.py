"""`predictions.csv` is there whole or not at all, and comes back as it was written."""

from __future__ import annotations

from pathlib import Path

import pytest

from couloir.errors import CouloirError
from couloir.record.folder import RunFolder
from couloir.record.predictions import predictions_file, read_predictions


def test_rows_come_back_whatever_is_in_their_cells(tmp_path: Path) -> None:
    rows = [["sample", "file", "p(a, b)"], ["0", 'x "1"\n.png', "0.5"], ["1", "ü.png", "1"]]
    with predictions_file(RunFolder(tmp_path)) as add:
        add(rows[:2])
        add(rows[2:])
        assert not list(read_predictions(tmp_path)), "it has no name before it is whole"
    assert list(read_predictions(tmp_path)) == [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def test_a_test_that_breaks_off_leaves_nothing_behind_and_takes_nothing_away(tmp_path: Path) -> None:
    with predictions_file(RunFolder(tmp_path)) as add:
        add([["sample"], ["0"]])
    broken_off = predictions_file(RunFolder(tmp_path))
    add = broken_off.__enter__()
    add([["sample"], ["1"]])
    assert not broken_off.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None), "the exception goes on"
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.csv"]
    assert list(read_predictions(tmp_path)) == [{"sample": "0"}]


def test_a_torn_file_is_an_error_that_names_it_and_none_is_no_rows(tmp_path: Path) -> None:
    assert not list(read_predictions(tmp_path))
    (tmp_path / "predictions.csv").write_text("sample,truth\n0\n")
    with pytest.raises(CouloirError, match=r"predictions\.csv"):
        list(read_predictions(tmp_path))
