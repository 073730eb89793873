"""A run that is to end at a goal ends there, and goes through all its epochs where there is none."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning import LightningModule

import couloir
from couloir.callbacks.early_stopping import stop_at
from couloir.config.check import check
from couloir.config.compose import compose_sentence
from couloir.errors import CouloirError

WORDS = ["data=blobs", "model=mlp", "model.hidden=[16]", "logger=csv", "trainer.max_epochs=30"]


def test_a_run_ends_with_the_first_epoch_that_reaches_the_goal(tmp_path: Path) -> None:
    goal = ["callbacks.stop_at.threshold=0.9", "callbacks.stop_at.monitor=train/accuracy", "callbacks.stop_at.mode=max"]
    result = couloir.train(couloir.compose([*WORDS, *goal, f"output_dir={tmp_path}"]))
    assert result.status == "completed"
    assert result.metrics["epochs"] < 30
    lines = (result.dir / "metrics.csv").read_text().splitlines()
    column = lines[0].split(",").index("train/accuracy")
    reached = [float(line.split(",")[column]) >= 0.9 for line in lines[1:]]
    assert reached == [False] * (len(reached) - 1) + [True]


class FakeTrainer:
    """As much of a trainer as the callback asks for."""

    def __init__(self, **metrics: float) -> None:
        self.callback_metrics = {name.replace("_", "/"): torch.tensor(value) for name, value in metrics.items()}
        self.current_epoch = 0
        self.should_stop = False
        self.fit_loop = SimpleNamespace(epoch_loop=None)


@pytest.mark.parametrize(
    ("mode", "value", "stops"),
    [("max", 0.89, False), ("max", 0.9, True), ("min", 0.9, True), ("min", 0.91, False), ("min", float("nan"), False)],
)
def test_the_goal_itself_is_good_enough_and_nan_is_not(mode: str, value: float, stops: bool) -> None:
    callback, trainer, module = stop_at(0.9, "val/x", mode), FakeTrainer(val_x=value), LightningModule()
    assert callback is not None
    module.measured = {"val/x": value}
    callback.on_train_epoch_end(trainer, module)  # type: ignore[arg-type]
    assert trainer.should_stop == stops


def test_an_epoch_without_the_metric_decides_nothing() -> None:
    callback, trainer = stop_at(0.9), FakeTrainer(val_loss=0.1)
    assert callback is not None
    callback.on_train_epoch_end(trainer, LightningModule())  # type: ignore[arg-type]
    assert not trainer.should_stop


def test_without_a_goal_there_is_no_callback() -> None:
    nothing: Any = stop_at()
    assert nothing is None


def test_a_goal_that_is_no_metric_is_refused_before_training() -> None:
    with pytest.raises(CouloirError, match=r"stop_at\.monitor=train/acuracy is not a metric"):
        check(compose_sentence(["callbacks.stop_at.threshold=0.9", "callbacks.stop_at.monitor=train/acuracy"]))
