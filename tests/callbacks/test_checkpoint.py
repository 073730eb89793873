"""Checkpoints: the names mean what they say, and a failure in the middle of writing leaves the previous one."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer

import couloir
from couloir.callbacks.checkpoint import Checkpoint
from couloir.callbacks.early_stopping import early_stopping
from couloir.callbacks.progress import shown_number


def load(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(path, weights_only=True)
    return content


def test_last_is_the_last_epoch_and_best_the_best(tmp_path: Path) -> None:
    words = [
        "data=moons",
        "model.hidden=[64,64]",
        "optimizer.lr=0.1",
        "trainer.max_epochs=12",
        f"output_dir={tmp_path}",
    ]
    result = couloir.train(couloir.compose(words))
    rows = list(csv.DictReader((result.dir / "metrics.csv").open()))
    best = min(rows, key=lambda row: float(row["val/loss"]))
    assert load(result.dir / "checkpoints/last.ckpt")["epoch"] == 12
    assert load(result.dir / "checkpoints/best.ckpt")["epoch"] == int(best["epoch"])
    assert load(result.dir / "checkpoints/previous.ckpt")["epoch"] == 11
    assert result.metrics["best/epoch"] == int(best["epoch"])


def test_a_checkpoint_holds_what_is_needed_to_use_it_without_the_run(tmp_path: Path) -> None:
    result = couloir.train(couloir.compose(["trainer=debug", f"output_dir={tmp_path}"]))
    content = load(result.dir / "checkpoints/best.ckpt")
    assert content["hyper_parameters"]["model"]["_target_"] == "couloir.model.lenet.lenet5"
    assert content["Samples"]["mean"] == couloir_mean(result.dir)


def couloir_mean(run: Path) -> list[float]:
    import json

    mean: list[float] = json.loads((run / "provenance.json").read_text())["data"]["mean"]
    return mean


class FakeTrainer:
    """As much of a trainer as the checkpoint asks for; writing fails on demand."""

    is_global_zero = True

    def __init__(self, folder: Path) -> None:
        self.default_root_dir = str(folder)
        self.global_step = 0
        self.fail = False
        self.fit_loop = SimpleNamespace(epoch_loop=None)  # between two epochs
        (folder / "checkpoints").mkdir()

    def save_checkpoint(self, path: Path) -> None:
        path.write_text(f"torn at {self.global_step}" if self.fail else f"state at {self.global_step}")
        if self.fail:
            raise OSError("No space left on device")

    def saved(self) -> list[str]:
        """What the last checkpoint, and the one before, hold."""
        files = [Path(self.default_root_dir) / "checkpoints" / f"{name}.ckpt" for name in ("last", "previous")]
        return [file.read_text().removeprefix("state at ") if file.exists() else "" for file in files]


def test_a_write_that_fails_leaves_the_previous_checkpoint(tmp_path: Path) -> None:
    trainer: Any = FakeTrainer(tmp_path)
    checkpoint = Checkpoint()
    checkpoint.save(trainer)
    trainer.global_step, trainer.fail = 7, True
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(trainer)
    assert trainer.saved() == ["0", ""]


def test_steps_within_an_epoch_are_saved_where_asked_and_the_last_two_are_kept(tmp_path: Path) -> None:
    trainer: Any = FakeTrainer(tmp_path)
    checkpoint = Checkpoint(every_n_steps=3)
    seen = []
    for step in range(1, 8):
        trainer.global_step = step
        checkpoint.between_steps(trainer, epoch_over=False)
        seen.append(trainer.saved())
    assert seen == [["", ""]] * 2 + [["3", ""]] * 3 + [["6", "3"]] * 2


def test_minutes_within_an_epoch_are_saved_where_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr("couloir.callbacks.checkpoint.time.monotonic", lambda: clock[0])
    trainer: Any = FakeTrainer(tmp_path)
    checkpoint = Checkpoint(every_n_minutes=0.5)
    seen = []
    for step in range(1, 6):
        trainer.global_step, clock[0] = step, clock[0] + 20
        checkpoint.between_steps(trainer, epoch_over=False)
        seen.append(trainer.saved()[0])
    assert seen == ["", "2", "2", "4", "4"]


@pytest.mark.parametrize(
    ("mode", "values", "best"), [("min", [3.0, 1.0, float("nan"), 2.0], 1), ("max", [3.0, 4.0, 4.0, 2.0], 1)]
)
def test_the_best_is_kept_by_value_and_nan_never_wins(
    mode: str, values: list[float], best: int, tmp_path: Path
) -> None:
    trainer: Any = FakeTrainer(tmp_path)
    checkpoint = Checkpoint(monitor="val/x", mode=mode)
    for epoch, value in enumerate(values):
        trainer.current_epoch = trainer.global_step = epoch
        trainer.callback_metrics = {"val/x": torch.tensor(value)}
        checkpoint.on_train_epoch_end(trainer, LightningModule())
        checkpoint.between_steps(trainer, epoch_over=True)
    assert (tmp_path / "checkpoints/best.ckpt").read_text() == f"state at {best}"
    assert (tmp_path / "checkpoints/last.ckpt").read_text() == f"state at {len(values) - 1}"
    resumed = Checkpoint(monitor="val/x", mode=mode)
    resumed.load_state_dict(checkpoint.state_dict())
    assert resumed.best_value == checkpoint.best_value


def test_early_stopping_is_off_without_patience() -> None:
    assert early_stopping() is None
    stopping = early_stopping(patience=4)
    assert stopping is not None
    assert stopping.patience == 4


def test_numbers_are_short() -> None:
    assert shown_number(0.12345) == "0.1235"
    assert shown_number(-64210334931191600.0) == "-6.421e+16"
    assert shown_number(float("nan")) == "nan"


def test_the_trainer_says_what_it_cannot_do() -> None:
    from couloir.errors import CouloirError
    from couloir.trainer.build import trainer

    with pytest.raises(CouloirError, match="trainer cannot be built"):
        trainer(precision="float13")
    built = trainer(accelerator="cpu", logger=False)
    assert isinstance(built, Trainer)
    assert built.precision == "32-true"
