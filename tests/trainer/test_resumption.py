"""Epochs that are not validated, that end early, and that are validated on the way: each number is of its own time."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch

import couloir
from couloir.cli.main import run as couloir_main
from interruption import differences, state

WORDS = ["data=digits", "data.subset=150", "data.batch_size=16", "model=mlp", "model.hidden=[8]", "logger=csv"]
STEPS = 8
"""Of an epoch: 128 samples."""


def cells(run: Path) -> list[dict[str, str]]:
    """`metrics.csv` as it is written."""
    return list(csv.DictReader((run / "metrics.csv").open()))


def timeless(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{name: cell for name, cell in row.items() if name not in ("seconds", "waiting")} for row in rows]


def trained(folder: Path, *words: str) -> Path:
    return couloir.train(couloir.compose([*WORDS, *words, f"output_dir={folder}"])).dir


def result(run: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads((run / "result.json").read_text())
    return found


def test_an_epoch_without_validation_says_nothing_of_an_earlier_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained(tmp_path, "trainer.max_epochs=4", "trainer.check_val_every_n_epoch=3")
    rows = cells(run)
    assert [bool(row["val/loss"]) for row in rows] == [False, False, True, False]
    assert len({row["train/loss"] for row in rows}) == 4
    out = capsys.readouterr().out
    lines = [line for line in out.splitlines() if line.startswith("epoch ")]
    assert ["val/loss" in line for line in lines] == [False, False, True, False]
    assert "last validation (epoch 3)" in out
    numbers = result(run)
    assert numbers["val/loss"] == float(rows[2]["val/loss"])
    assert (numbers["validated_epoch"], numbers["epochs"], numbers["best/epoch"]) == (3, 4, 3)
    assert numbers["train/loss"] == float(rows[3]["train/loss"])


def test_a_run_without_any_validation_has_no_best_epoch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = trained(tmp_path, "trainer.max_epochs=1", "trainer.check_val_every_n_epoch=2")
    assert not any(name.startswith(("val/", "best/")) for name in result(run))
    assert "best epoch" not in capsys.readouterr().out
    assert "test/loss" in result(run)


LONGER = ["trainer.accumulate_grad_batches=3", "averaging=ema", "scheduler=exponential", "trainer.max_epochs=2"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs, 3 steps each, that nothing ends early."""
    return trained(tmp_path_factory.mktemp("whole"), *LONGER)


@pytest.mark.parametrize(("limit", "batches"), [("trainer.max_steps=2", 6), ("trainer.max_time=1e-6", 3)])
def test_an_epoch_that_is_cut_short_has_its_own_numbers_and_can_be_gone_on_with(
    limit: str, batches: int, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained(tmp_path, *LONGER, limit)
    assert f"the run ends within epoch 1, after {batches} of 8 batches" in capsys.readouterr().out
    (row,) = cells(run)
    assert float(row["epoch"]) == batches / 8
    assert int(row["step"]) == batches // 3
    # The same batches, where they are all that an epoch has.
    same = trained(tmp_path, *LONGER, "trainer.max_epochs=1", f"trainer.limit_train_batches={batches}")
    (other,) = cells(same)
    assert [row[name] for name in ("train/loss", "train/accuracy", "val/loss")] == [
        other[name] for name in ("train/loss", "train/accuracy", "val/loss")
    ]
    numbers = result(run)
    assert numbers["epochs"] == numbers["best/epoch"] == batches / 8
    assert numbers["test/loss"] == result(same)["test/loss"]
    assert json.loads((run / "status.json").read_text())["epoch"] == batches / 8

    assert couloir_main(["resume", str(run), f"{limit.partition('=')[0]}=null", "trainer.max_epochs=2"]) == 0
    first, *rest = timeless(cells(run))
    assert [name for name, cell in first.items() if cell and "/" in name] == [
        name for name in row if name.startswith("val/")
    ], "of the cut epoch, a validation remains"
    assert rest == timeless(cells(whole))
    ours, theirs = state(run, "last"), state(whole, "last")
    for name in ("state_dict", "optimizer_states", "lr_schedulers", "averaging", "global_step"):
        assert differences(ours[name], theirs[name]) == []


def test_more_steps_than_the_run_has_are_said_and_fewer_than_it_has_taken_are_refused(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(tmp_path, "trainer.max_epochs=1", "trainer.max_steps=9")
    assert "trainer.max_steps=9 is not reached: trainer.max_epochs=1 ends the run at step 8" in capsys.readouterr().out
    assert couloir_main(["resume", str(whole), "trainer.max_steps=5"]) == 2
    assert "has trained 6 steps already" in capsys.readouterr().err


def test_validations_within_an_epoch_have_rows_and_the_best_of_all_is_kept(tmp_path: Path) -> None:
    # At such a rate the loss falls and rises from one validation to the next.
    run = trained(tmp_path, "trainer.max_epochs=3", "trainer.val_check_interval=0.5", "optimizer.lr=0.3")
    rows = cells(run)
    assert [float(row["epoch"]) for row in rows] == [0.5, 1, 1.5, 2, 2.5, 3]
    assert [int(row["step"]) for row in rows] == [4, 8, 12, 16, 20, 24]
    assert [bool(row["train/loss"]) for row in rows] == [False, True] * 3
    assert all(row["val/loss"] and row["val/accuracy"] for row in rows)
    assert list(rows[0])[:5] == ["epoch", "step", "lr", "train/loss", "val/loss"]
    best = min(rows, key=lambda row: float(row["val/loss"]))
    numbers = result(run)
    assert numbers["best/epoch"] == float(best["epoch"])
    assert numbers["best/loss"] == float(best["val/loss"])
    assert numbers["epochs"] == 3
    kept: dict[str, Any] = torch.load(run / "checkpoints/best.ckpt", weights_only=True)
    assert kept["global_step"] == int(best["step"])
    # What is trained is the same, however often one looks.
    never = trained(tmp_path, "trainer.max_epochs=3", "optimizer.lr=0.3")
    assert timeless(cells(never)) == timeless([row for row in rows if row["train/loss"]])


@pytest.mark.parametrize(
    ("words", "rates", "last"),
    [
        (["trainer.check_val_every_n_epoch=2", "trainer.max_epochs=5"], [1, 1, 1, 1, 0.5], 0.5),
        (["trainer.val_check_interval=4", "trainer.max_epochs=2"], [1, 1, 0.5, 0.5], 0.125),
    ],
)
def test_a_plateau_counts_validations(words: list[str], rates: list[float], last: float, tmp_path: Path) -> None:
    # Nothing counts as an improvement.
    plateau = ["scheduler=plateau", "scheduler.patience=0", "scheduler.factor=0.5", "scheduler.threshold=0.9999"]
    run = trained(tmp_path, *plateau, *words, "optimizer.lr=0.01")
    assert [float(row["lr"]) for row in cells(run)] == [0.01 * rate for rate in rates]
    kept: dict[str, Any] = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    assert kept["optimizer_states"][0]["param_groups"][0]["lr"] == 0.01 * last


@pytest.mark.parametrize(
    ("words", "epochs"), [(["trainer.check_val_every_n_epoch=2"], 4), (["trainer.val_check_interval=0.25"], 0.5)]
)
def test_early_stopping_counts_validations(words: list[str], epochs: float, tmp_path: Path) -> None:
    stopping = ["callbacks.early_stopping.patience=1", "callbacks.early_stopping.min_delta=1000"]
    run = trained(tmp_path, *stopping, *words, "trainer.max_epochs=6")
    assert result(run)["epochs"] == epochs
