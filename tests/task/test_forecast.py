"""A forecast is measured beside the naive ones, and answers in the data's units."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import couloir
from couloir.config.check import checked
from couloir.errors import CouloirError
from couloir.record.predictions import read_predictions

WORDS = ["data=sine_series", "data.steps=300", "data.length=30", "data.horizon=6", "logger=none", "trainer=cpu"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("forecast")
    return couloir.train(couloir.compose([*WORDS, "trainer.max_epochs=2", f"output_dir={folder}"])).dir


def test_the_numbers_of_the_test_are_those_of_the_table_of_predictions(run: Path) -> None:
    rows = list(read_predictions(run))
    p = np.array([[float(row[f"prediction(value+{step})"]) for step in range(1, 7)] for row in rows])
    y = np.array([[float(row[f"truth(value+{step})"]) for step in range(1, 7)] for row in rows])
    numbers = json.loads((run / "result.json").read_text())
    scale = couloir.load(run)  # the units that the table is in
    std = scale.runs[0].data.std[0]
    assert numbers["test/mse"] == pytest.approx((((p - y) / std) ** 2).mean(), rel=1e-4)
    assert numbers["test/mae"] == pytest.approx((np.abs(p - y) / std).mean(), rel=1e-4)
    assert numbers["test/smape"] == pytest.approx((2 * np.abs(p - y) / (np.abs(p) + np.abs(y))).mean(), rel=1e-4)
    naive = scale.runs[0].data.naive_errors[0]
    assert numbers["test/mase"] == pytest.approx((np.abs(p - y) / naive).mean(), rel=1e-4)


def test_a_network_of_whole_sequences_is_refused_for_a_forecast() -> None:
    with pytest.raises(CouloirError, match=r"horizon|future|shape"):
        couloir.train(couloir.compose([*WORDS, "model=lstm", "model.answers=sequence", "trainer.max_epochs=1"]))


@pytest.mark.parametrize("word", ["data.horizon=0", "data.length=0", "data.length=400", "data.season=31"])
def test_a_window_that_cannot_be_is_refused_before_torch_is_needed(word: str) -> None:
    with pytest.raises(CouloirError, match="data\\."):
        checked([*WORDS, word])


def test_frames_of_a_video_are_measured_as_values_behind_the_horizon() -> None:
    from couloir.task.forecast import Forecast

    class Data:
        fields, input = {"video": "video", "future": "future"}, "video"
        horizon, season, num_classes, classes = 2, None, 1, ()
        naive_errors, target_scale, target_offset = [1.0], [2.0], [1.0]

    task = Forecast(net=torch.nn.Identity(), loss=torch.nn.MSELoss(), make_optimizer=torch.optim.Adam,
                    make_scheduler=None, data=Data(), needs=["future"])  # fmt: skip
    video = torch.randn(3, 1, 4, 5, 5)
    forecasts = task.naive_forecasts(video)
    assert list(forecasts) == ["naive"]
    assert torch.equal(forecasts["naive"], video.transpose(1, 2)[:, -1:].repeat(1, 2, 1, 1, 1))
    assert task.answer(forecasts["naive"]) == pytest.approx(forecasts["naive"] * 2 + 1)
