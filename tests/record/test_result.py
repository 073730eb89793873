"""What `result.json` says of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from couloir.errors import CouloirError
from couloir.record.folder import RunFolder
from couloir.record.result import read_numbers, read_result, summarise, write_result

ROWS = [
    {"epoch": 1, "step": 10, "train/loss": 1.0, "val/loss": 0.9, "val/accuracy": 0.5, "seconds": 1.0},
    {"epoch": 2, "step": 20, "train/loss": 0.5, "val/loss": 0.4, "val/accuracy": 0.8, "seconds": 1.0},
    {"epoch": 3, "step": 30, "train/loss": 0.2, "val/loss": 0.6, "val/accuracy": 0.9, "seconds": 1.0},
]


def test_the_summary_has_the_final_and_the_best_epoch() -> None:
    numbers = summarise(ROWS, ROWS[1])
    assert numbers["val/loss"] == 0.6
    assert numbers["best/loss"] == 0.4
    assert numbers["best/accuracy"] == 0.8
    assert numbers["best/epoch"] == 2
    assert numbers["epochs"] == 3
    assert "validated_epoch" not in numbers


def test_the_last_validation_is_named_where_the_run_has_gone_on_after_it() -> None:
    on = [*ROWS, {"epoch": 4, "step": 40, "train/loss": 0.1}, {"epoch": 4.5, "step": 45, "train/loss": 0.05}]
    numbers = summarise(on, ROWS[1])
    assert (numbers["train/loss"], numbers["val/loss"], numbers["val/accuracy"]) == (0.05, 0.6, 0.9)
    assert (numbers["validated_epoch"], numbers["epochs"]) == (3, 4.5)


def test_what_is_not_finite_is_written_as_null_and_is_no_number(tmp_path: Path) -> None:
    assert read_result(tmp_path) == {}, "before the run is completed"
    write_result(RunFolder(tmp_path), {"test/loss": float("inf"), "test/accuracy": 0.5})
    assert read_result(tmp_path) == {"test/loss": None, "test/accuracy": 0.5}
    assert read_numbers(tmp_path) == {"test/accuracy": 0.5}
    (tmp_path / "result.json").write_text('{"test/loss"')
    with pytest.raises(CouloirError, match=r"result\.json of the run .* cannot be read"):
        read_numbers(tmp_path)
    assert read_numbers(tmp_path, strict=False) == {}
