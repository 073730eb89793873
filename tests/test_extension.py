"""A project adds a task, a metric, a model and a data module with YAML and Python alone, and uses them everywhere."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from couloir.cli.main import run
from interruption import assert_same, stopped

FILES = {
    "mine.py": '''
import torch
import torch.nn.functional as F
from pytorch_lightning import LightningDataModule
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MeanSquaredError

from couloir.task.task import Step, Task


class Denoise(Task):
    """Give back what was there before the noise."""

    parts = ("fit", "penalty")

    def compute(self, batch):
        clean = batch[self.input]
        given = clean + self.sigma * torch.sin(37.0 * clean)
        back = self.net(given)
        fit, penalty = F.mse_loss(back, clean), 1e-3 * back.square().mean()
        return Step({"loss": fit + penalty, "fit": fit, "penalty": penalty}, (back, clean))

    def __init__(self, sigma, **keys):
        super().__init__(**keys)
        self.sigma = sigma


class Hourglass(nn.Sequential):
    def __init__(self, channels, width):
        super().__init__(nn.Linear(channels, width), nn.Tanh(), nn.Linear(width, channels))


class Waves(LightningDataModule):
    def __init__(self, batch_size):
        super().__init__()
        self.batch_size = batch_size

    def setup(self, stage):
        t = torch.linspace(0, 6, 120)[torch.randperm(120, generator=torch.Generator().manual_seed(0))]
        waves = TensorDataset(torch.stack([t.sin(), t.cos(), (2 * t).sin()], dim=1))
        self.parts = torch.utils.data.random_split(waves, [80, 20, 20], torch.Generator().manual_seed(0))

    def _load(self, place, shuffle=False):
        return DataLoader(self.parts[place], self.batch_size, shuffle=shuffle)

    def train_dataloader(self):
        return self._load(0, shuffle=True)

    def val_dataloader(self):
        return self._load(1)

    def test_dataloader(self):
        return self._load(2)
''',
    "conf/task/denoise.yaml": """# Give back what was there before the noise.
# Source: mine.
_target_: mine.Denoise
_partial_: true
needs: []
sigma: 0.3  # >= 0; of the noise
metrics: [loss, fit, penalty]
monitor: val/error
""",
    "conf/metric/error.yaml": """# Mean squared error between what is given back and what was there.
# Source: TorchMetrics.
error:
  _target_: torchmetrics.MeanSquaredError
  facts:
    label: error
    higher_is_better: false
    bounds: [0, null]
""",
    "conf/model/hourglass.yaml": """# A narrow middle.
# Source: mine.
# Needs: row
_target_: mine.Hourglass
channels: ${data.channels}
width: 8  # int >= 1; units
""",
    "conf/data/waves.yaml": """# Waves, and nothing to predict.
# Source: mine.
defaults:
  - override /model@_global_.model: hourglass
  - override /task@_global_.task: denoise
  - _self_
_target_: mine.Waves
fields: {wave: row}
channels: 3
image_size: null
num_classes: null
batch_size: 10  # int >= 1; samples a step
""",
}  # fmt: skip
WORDS = [
    "data=waves", "metric=error", "trainer.max_epochs=4", "optimizer.lr=0.02", "trainer.accelerator=cpu",
    "logger=csv",
]  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))  # as the prompt does
    return tmp_path


def test_parts_of_a_projects_own_train_resume_sweep_and_report(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stopped([*WORDS, "output_dir=stopped"], "train", 11, monkeypatch)
    assert run(["resume", str(folder)]) == 0
    assert run(["train", *WORDS, "output_dir=whole"]) == 0
    whole = (project / "whole/latest").resolve()
    assert_same(folder, whole)
    table = list(csv.DictReader((whole / "metrics.csv").open()))
    assert float(table[-1]["val/error"]) < float(table[0]["val/error"])
    for row in table:
        assert float(row["train/loss"]) == pytest.approx(
            float(row["train/fit"]) + float(row["train/penalty"]), rel=1e-6
        )
        assert float(row["val/error"]) == pytest.approx(float(row["val/fit"]), rel=1e-4), "TorchMetrics' and the loss's"
    numbers = json.loads((whole / "result.json").read_text())
    assert numbers["best/error"] == min(float(row["val/error"]) for row in table)
    assert run(["report", str(whole)]) == 0
    assert run(["evaluate", str(whole)]) == 0
    swept = ["sweep.objective=best/error", "sweep.isolation=none", "output_dir=swept", "trainer.max_epochs=2"]
    assert run(["train", "-m", *WORDS, *swept, "model.width=2,16"]) == 0
    trials = list(csv.DictReader(next((project / "swept/sweep").glob("*/sweep.csv")).open()))
    errors = {trial["model.width"]: float(trial["best/error"]) for trial in trials}
    best = next((project / "swept/sweep").glob("*/best.yaml")).read_text()
    assert f"width: {min(errors, key=errors.__getitem__)}\n" in best, "less is better, as the metric's YAML says"
    (project / "conf/experiment").mkdir()
    (project / "conf/experiment/best.yaml").write_text(best)
    assert run(["train", "experiment=best", "trainer.max_epochs=1"]) == 0
    capsys.readouterr()
    assert run(["train", "data=waves", "loss=mse"]) == 2
    assert "has its own loss; loss=mse would be ignored" in capsys.readouterr().err
    assert run(["train", "task=denoise", "model=hourglass", "data=moons", "loss=cross_entropy"]) == 2
    assert "task=denoise has its own loss" in capsys.readouterr().err
    capsys.readouterr()
    assert run(["train", "data=waves", "metric=f1"]) == 2
    assert "metric=f1 does not fit" in capsys.readouterr().err
    assert run(["train", "data=waves", "task.sigma=-1"]) == 2
    assert "task.sigma takes a number >= 0, not -1" in capsys.readouterr().err
