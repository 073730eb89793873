"""`metrics.csv`: numbers come back bit for bit, and a torn file is named or read as far as it goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from couloir.errors import CouloirError
from couloir.record.folder import RunFolder
from couloir.record.metrics import best_row, epochs_in, read_cells, read_metrics, whole_epochs, write_metrics

ROWS = [
    {"epoch": 1, "step": 10, "train/loss": 1.0, "val/loss": 0.9, "val/accuracy": 0.5, "seconds": 1.0},
    {"epoch": 2, "step": 20, "train/loss": 0.5, "val/loss": 0.4, "val/accuracy": 0.8, "seconds": 1.0},
    {"epoch": 3, "step": 30, "train/loss": 0.2, "val/loss": 0.6, "val/accuracy": 0.9, "seconds": 1.0},
]


def test_the_best_epoch_is_the_lowest_loss_or_the_highest_accuracy() -> None:
    assert best_row(ROWS, "val/loss", "min") is ROWS[1]
    assert best_row(ROWS, "val/accuracy", "max") is ROWS[2]


def test_a_nan_is_never_the_best_and_a_tie_goes_to_the_earlier_epoch() -> None:
    rows = [{"epoch": 0, "val/loss": float("nan")}, {"epoch": 1, "val/loss": 1.0}, {"epoch": 2, "val/loss": 1.0}]
    assert best_row(rows, "val/loss", "min") is rows[1]
    assert best_row(rows[:1], "val/loss", "min") is None


def test_numbers_read_back_from_the_csv_bit_for_bit(tmp_path: Path) -> None:
    rows = [
        {"epoch": 0, "step": 1, "val/loss": 0.1 + 0.2, "seconds": 1 / 3},
        {"epoch": 1, "step": 2, "val/new": 1e-300, "seconds": 2.0},
    ]
    write_metrics(RunFolder(tmp_path), rows)
    assert read_metrics(tmp_path) == rows
    assert (tmp_path / "metrics.csv").read_text().splitlines()[0] == "epoch,step,val/loss,val/new,seconds"
    assert read_cells(tmp_path)[1] == {"epoch": "1", "step": "2", "val/loss": "", "val/new": "1e-300", "seconds": "2.0"}


def test_a_validation_within_an_epoch_is_a_row_and_no_epoch(tmp_path: Path) -> None:
    within = {"epoch": 0.5, "step": 5, "val/loss": 1.1}
    rows = [within, *ROWS, {"epoch": 3.25, "step": 33, "train/loss": 0.1}]
    assert whole_epochs(rows) == ROWS
    assert (epochs_in([]), epochs_in(ROWS), epochs_in(rows)) == (0, 3, 3.25)
    write_metrics(RunFolder(tmp_path), rows)
    assert read_metrics(tmp_path) == rows
    assert (tmp_path / "metrics.csv").read_text().splitlines()[:2] == [
        "epoch,step,train/loss,val/loss,val/accuracy,seconds",
        "0.5,5,,1.1,,",
    ]


@pytest.mark.parametrize(
    ("text", "reason", "rest"),
    [
        ("epoch,step,val/loss\n1,10,0.5\n2,20,0.2", "is incomplete", [{"epoch": 1, "step": 10, "val/loss": 0.5}]),
        ("epoch,step,val/loss\n1,10,0.5\n2,20\n", "numbers of cells",
         [{"epoch": 1, "step": 10, "val/loss": 0.5}, {"epoch": 2, "step": 20}]),
        ("epoch,step,val/loss\n1,10,good\n", "good", [{"epoch": 1, "step": 10}]),
        ("step,val/loss\n10,0.5\n", "no epoch", [{"step": 10, "val/loss": 0.5}]),
        ("", "is incomplete", []),
    ],
)  # fmt: skip
def test_a_torn_file_is_named_or_read_as_far_as_it_goes(
    text: str, reason: str, rest: list[dict[str, float]], tmp_path: Path
) -> None:
    (tmp_path / "metrics.csv").write_text(text)
    for read in (read_metrics, read_cells):
        with pytest.raises(CouloirError, match=rf"metrics\.csv of the run .* cannot be read: .*{reason}"):
            read(tmp_path)
    assert read_metrics(tmp_path, strict=False) == rest


def test_before_the_first_epoch_is_over_there_are_no_rows(tmp_path: Path) -> None:
    assert read_metrics(tmp_path) == read_cells(tmp_path) == []
