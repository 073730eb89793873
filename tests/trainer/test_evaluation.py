"""The short way through a validation or a test measures what Lightning's own measures, and leaves nobody out."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from pytorch_lightning import Callback, LightningModule, Trainer

import couloir
from couloir.record.folder import RunFolder
from couloir.record.metrics import TIMES
from couloir.run.train import train_sentence
from couloir.trainer.evaluation import ShortEvaluation

WORDS = ["data=moons", "data.subset=120", "data.batch_size=8", "model.hidden=[4]", "trainer.max_epochs=2", "logger=csv"]


class Heard(Callback):
    """A user's own callback."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self.heard.append((trainer.current_epoch, batch_idx, len(batch)))

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, other: int = 0
    ) -> None:
        self.heard.append(("test", outputs, batch_idx))
        pl_module.log("heard", float(batch_idx))


def measured(
    folder: Path, words: list[str], also: list[Callback], monkeypatch: pytest.MonkeyPatch
) -> tuple[list[bool], dict[str, float], list[Any]]:
    """Whether each batch took the short way; what the run has measured; what Lightning logged of it."""
    taken: list[bool] = []
    take = ShortEvaluation.take

    def told(loop: ShortEvaluation, batch: Any, index: int) -> bool:
        taken.append(take(loop, batch, index))
        return taken[-1]

    with monkeypatch.context() as patch:
        patch.setattr(ShortEvaluation, "take", told)
        run = RunFolder.create(folder, None)
        result = train_sentence(
            couloir.compose([*WORDS, *words, f"output_dir={folder.parent}"]), run, ["test"], also=also
        )
    timeless = {name: value for name, value in result.metrics.items() if "second" not in name}
    logged = [dict(row) for file in folder.rglob("metrics.csv") for row in csv.DictReader(file.open())]
    return taken, timeless, [{name: value for name, value in row.items() if name not in TIMES} for row in logged]


def test_a_batch_that_takes_the_short_way_is_measured_as_by_lightning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short, *numbers = measured(tmp_path / "short", [], [], monkeypatch)
    own, *expected = measured(tmp_path / "own", ["trainer.short_steps=false"], [], monkeypatch)
    assert short
    assert all(short)
    assert own == []
    assert numbers == expected


def test_a_callback_of_the_users_hears_of_every_batch_and_may_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = Heard(), Heard()
    taken, *numbers = measured(tmp_path / "short", [], [ours], monkeypatch)
    _, *expected = measured(tmp_path / "own", ["trainer.short_steps=false"], [theirs], monkeypatch)
    assert ours.heard == theirs.heard
    assert ours.heard
    assert numbers == expected
    assert not any(taken), "somebody who is not known hears of the batches"
