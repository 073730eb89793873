"""Which epoch was the best, and what result.json says of it."""

from __future__ import annotations

from pathlib import Path

from couloir.artifacts.curves import draw_curves, read_rows
from couloir.callbacks.epoch_record import as_csv
from couloir.record.result import best_row, summarise

ROWS = [
    {"epoch": 0, "step": 10, "train/loss": 1.0, "val/loss": 0.9, "val/accuracy": 0.5, "seconds": 1.0},
    {"epoch": 1, "step": 20, "train/loss": 0.5, "val/loss": 0.4, "val/accuracy": 0.8, "seconds": 1.0},
    {"epoch": 2, "step": 30, "train/loss": 0.2, "val/loss": 0.6, "val/accuracy": 0.9, "seconds": 1.0},
]


def test_the_best_epoch_is_the_lowest_loss_or_the_highest_accuracy() -> None:
    assert best_row(ROWS, "val/loss", "min") is ROWS[1]
    assert best_row(ROWS, "val/accuracy", "max") is ROWS[2]


def test_a_nan_is_never_the_best_and_a_tie_goes_to_the_earlier_epoch() -> None:
    rows = [{"epoch": 0, "val/loss": float("nan")}, {"epoch": 1, "val/loss": 1.0}, {"epoch": 2, "val/loss": 1.0}]
    assert best_row(rows, "val/loss", "min") is rows[1]
    assert best_row(rows[:1], "val/loss", "min") is None


def test_the_summary_has_the_final_and_the_best_epoch() -> None:
    numbers = summarise(ROWS, ROWS[1])
    assert numbers["val/loss"] == 0.6
    assert numbers["best/loss"] == 0.4
    assert numbers["best/accuracy"] == 0.8
    assert numbers["best/epoch"] == 1
    assert numbers["epochs"] == 3


def test_numbers_read_back_from_the_csv_bit_for_bit(tmp_path: Path) -> None:
    rows = [{"epoch": 0, "val/loss": 0.1 + 0.2, "seconds": 1 / 3}, {"epoch": 1, "val/new": 1e-300, "seconds": 2.0}]
    (tmp_path / "metrics.csv").write_text(as_csv(rows))
    assert read_rows(tmp_path / "metrics.csv") == rows
    assert (tmp_path / "metrics.csv").read_text().splitlines()[0] == "epoch,val/loss,val/new,seconds"


def test_curves_are_drawn_for_one_epoch_for_many_and_around_gaps(tmp_path: Path) -> None:
    from PIL import Image

    nan = float("nan")
    many = [{"epoch": e, "train/loss": 1000 / (1 + e) ** 3, "val/loss": nan if e == 3 else 2.0 + e} for e in range(60)]
    for name, rows in {"one": ROWS[:1], "many": many, "negative": [{"epoch": 0, "train/loss": -1.0}]}.items():
        draw_curves(rows, tmp_path / f"{name}.png", best_epoch=0, title=name)
        with Image.open(tmp_path / f"{name}.png") as image:
            assert image.width > 400
            assert len(set(image.convert("L").get_flattened_data())) > 20, "the picture is not empty"
