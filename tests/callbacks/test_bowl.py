"""The descent in the bowl is the one that was taken, step by step, and nobody pays for it who has none."""

from pathlib import Path

import numpy as np
import pytest
import torch

import couloir
from couloir.callbacks.bowl import bowl, has_bowl
from couloir.cli.main import run
from couloir.config.finished import run_config
from couloir.inference.predictor import Predictor
from couloir.loss.regression import MeanAbsoluteError, MeanSquaredError
from interruption import stopped

WORDS = ["experiment=descent_on_a_bowl", "data.samples=40", "trainer.max_epochs=5", "trainer=cpu", "logger=csv"]


@pytest.fixture(scope="module")
def descent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return couloir.train(couloir.compose([*WORDS, f"output_dir={tmp_path_factory.mktemp('bowl')}"])).dir


def test_each_step_is_that_of_the_formula(descent: Path) -> None:
    numbers = np.load(descent / "bowl.npz")
    x, y = (batch.double().numpy()[:, 0] for batch in training(descent))
    assert numbers["solution"] == pytest.approx(np.polynomial.polynomial.polyfit(x, y, 1)[::-1], rel=1e-5)
    weights = numbers["path"][0]
    for after in numbers["path"]:
        assert after == pytest.approx(weights, abs=1e-5)
        error = weights[0] * x + weights[1] - y
        weights = weights - 0.42 * 2 * np.array([np.mean(error * x), np.mean(error)])
    assert len(numbers["path"]) == 6
    assert numbers["rate"] == 0.42
    assert (descent / "bowl.png").read_bytes()[:4] == b"\x89PNG"


def training(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    batch = Predictor(run_config(folder), folder).data.example_batch(100)
    return batch["row"], batch["value"]


def test_a_run_that_was_stopped_goes_on_with_its_steps(
    descent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = stopped([*WORDS, f"output_dir={tmp_path}"], "train", 3, monkeypatch)
    assert not (cut / "bowl.png").exists()
    assert run(["resume", str(cut)]) == 0
    whole, resumed = (np.load(folder / "bowl.npz") for folder in (descent, cut))
    assert all(np.array_equal(whole[name], resumed[name]) for name in whole.files)


def test_only_two_weights_that_learn_by_the_squared_error_have_a_bowl(descent: Path) -> None:
    task = Predictor(run_config(descent), descent).task
    assert has_bowl(task)
    task.loss = MeanAbsoluteError()
    assert not has_bowl(task)
    task.loss = MeanSquaredError()
    task.net.requires_grad_(False)
    assert not has_bowl(task)
    task.net = torch.nn.Linear(2, 1)
    assert not has_bowl(task)
    assert bowl(draw=False) is None
