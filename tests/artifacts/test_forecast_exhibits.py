"""A run leaves pictures of its forecasts, and its report shows them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from couloir.artifacts.forecast_exhibits import forecasts_seen
from couloir.artifacts.forecast_pictures import Window, steps_picture, windows_picture
from couloir.artifacts.sheet import png_size
from couloir.metric.forecast import ErrorsByStep, WorstWindows
from couloir.report.run import write_report
from finished_runs import FinishedRuns


def test_a_run_leaves_its_pictures_and_its_report_shows_them(finished: FinishedRuns, tmp_path: Path) -> None:
    run = finished("series")
    for name in ("forecasts.png", "worst_forecasts.png", "forecast_steps.png"):
        assert png_size((run / name).read_bytes()) is not None
    page = write_report([run], tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<h2>Forecasts</h2>" in page
    for words in ("seasonal naive", "the windows with the largest errors", "mase, network"):
        assert words in page


@pytest.mark.parametrize("dated", [True, False])
@pytest.mark.parametrize("horizon", [1, 5])
def test_a_window_is_drawn_with_or_without_dates_and_truth(dated: bool, horizon: int) -> None:
    days = 18_000 + np.arange(8.0 + horizon) if dated else None
    flat = np.zeros(horizon)
    window = Window("w", days, np.arange(8.0), None if dated else flat, {"model": flat, "naive": flat + 7})
    picture = windows_picture([window, window, window], 2)
    assert picture.ndim == 3
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20
    assert steps_picture({"model": {"mse": [1.0] * horizon, "mase": [float("nan")] * horizon}}).shape[1] < 600


def test_one_step_to_come_has_a_row_as_many_have() -> None:
    errors = ErrorsByStep(1, [2.0], [0.0], [1.0])
    errors.update(torch.ones(3, 1, 1), torch.zeros(3, 1, 1))
    worst = WorstWindows(6)
    worst.update(torch.tensor([0.5]), torch.tensor([7]))
    seen = forecasts_seen({"steps_model": errors, "worst": worst})
    assert seen is not None
    assert seen.errors["model"] == {"mae": [1.0], "mse": [1.0], "mase": [2.0], "smape": [2.0]}
    assert seen.worst[0] == 7
