"""A forecast is measured beside the naive ones, and answers in the data's units."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import couloir
from couloir.config.check import checked
from couloir.errors import CouloirError
from couloir.record.forecast import read_forecast
from couloir.record.predictions import read_predictions
from finished_runs import FinishedRuns

WORDS = ["data=sine_series", "data.steps=300", "data.length=30", "data.horizon=6", "logger=none", "trainer=cpu"]


def test_the_numbers_of_the_test_are_those_of_the_table_of_predictions(finished: FinishedRuns) -> None:
    run = finished("series")
    rows = list(read_predictions(run))
    names = [f"{name}+{step}" for step in range(1, 7) for name in ("warmth", "wind")]
    p, y = (
        np.array([[float(row[f"{what}({name})"]) for name in names] for row in rows]).reshape(len(rows), 6, 2)
        for what in ("prediction", "truth")
    )
    assert rows[0]["date"] == "2020-03-03 02:00:00"
    numbers = json.loads((run / "result.json").read_text())
    data = couloir.load(run).runs[0].data
    std, naive = (np.array(each)[:2] for each in (data.std, data.naive_errors))
    expected = {
        "mse": (((p - y) / std) ** 2).mean(axis=(0, 2)),
        "mae": (np.abs(p - y) / std).mean(axis=(0, 2)),
        "mase": (np.abs(p - y) / naive).mean(axis=(0, 2)),
        "smape": (2 * np.abs(p - y) / (np.abs(p) + np.abs(y))).mean(axis=(0, 2)),
    }
    errors = read_forecast(run)
    for name, values in expected.items():
        assert numbers[f"test/{name}"] == pytest.approx(values.mean(), rel=1e-4)
        assert errors["model"][name] == pytest.approx(values, rel=1e-4)
        for kind in ("naive", "seasonal_naive"):
            assert numbers[f"{kind}/{name}"] == pytest.approx(np.mean(errors[kind][name]))


def test_the_naive_forecasts_of_a_run_are_those_of_its_table(finished: FinishedRuns) -> None:
    errors = read_forecast(finished("series"))
    table = np.array(
        [[float(cell) for cell in line.split(",")[1:]] for line in finished.series().read_text().split()[1:]]
    )
    train = table[:144]
    scaled = (table - train.mean(axis=0)) / train.std(axis=0)
    starts = np.arange(170, 195)  # the last 30 steps are the test; targets lie within
    for kind, back in (("naive", lambda step: 1), ("seasonal_naive", lambda step: 24 - step)):
        expected = [np.square(scaled[starts + step] - scaled[starts - back(step)]).mean() for step in range(6)]
        assert errors[kind]["mse"] == pytest.approx(expected, rel=1e-5)
    scale = np.abs(train[24:] - train[:-24]).mean(axis=0)
    expected = [(np.abs(table[starts + step] - table[starts - 1]) / scale).mean() for step in range(6)]
    assert errors["naive"]["mase"] == pytest.approx(expected, rel=1e-5)


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
