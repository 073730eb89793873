"""Errors of forecasts against NumPy, by step, and the naive forecasts by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from couloir.metric.forecast import ErrorsByStep, ForecastErrors, WorstWindows, naive, seasonal_naive

SCALE, OFFSET, NAIVE = [2.0, 0.5], [10.0, -1.0], [3.0, 0.25]


def batches(shape: tuple[int, ...], count: int = 3) -> list[tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(0)
    return [(torch.randn(size, *shape), torch.randn(size, *shape)) for size in range(1, count + 1)]


@pytest.mark.parametrize("shape", [(4, 2), (4, 2, 3, 3)])
def test_each_measure_is_exact_over_batches_of_unequal_size(shape: tuple[int, ...]) -> None:
    metric, by_step = (each(4, SCALE, OFFSET, NAIVE) for each in (ForecastErrors, ErrorsByStep))
    for prediction, target in batches(shape):
        metric.update(prediction, target)
        by_step.update(prediction, target)
    p, y = (torch.cat(parts).double().numpy() for parts in zip(*batches(shape), strict=True))
    wide = (slice(None), *[None] * (len(shape) - 2))
    scale, offset, errors = (np.array(each)[wide] for each in (SCALE, OFFSET, NAIVE))
    truth, said = y * scale + offset, p * scale + offset
    axes = (0, *range(2, p.ndim))
    expected = {
        "mae": np.abs(p - y).mean(axis=axes),
        "mse": ((p - y) ** 2).mean(axis=axes),
        "mase": (np.abs(truth - said) / errors).mean(axis=axes),
        "smape": (2 * np.abs(truth - said) / (np.abs(truth) + np.abs(said))).mean(axis=axes),
    }
    steps, whole = by_step.compute(), metric.compute()
    for name, values in expected.items():
        assert steps[name].numpy() == pytest.approx(values, rel=1e-12)
        assert float(whole[name]) == pytest.approx(values.mean(), rel=1e-12)


def test_a_target_that_never_changes_has_no_mase_and_nothing_divides_by_zero() -> None:
    metric = ForecastErrors(1, [1.0, 1.0], [0.0, 0.0], [0.0, 2.0])
    metric.update(torch.tensor([[[5.0, 0.0]]]), torch.tensor([[[5.0, 0.0]]]))
    metric.update(torch.tensor([[[5.0, 3.0]]]), torch.tensor([[[0.0, 0.0]]]))
    found = metric.compute()
    assert float(found["mase"]) == pytest.approx(0.75)
    assert float(found["smape"]) == pytest.approx(1.0)
    without = ForecastErrors(1, [1.0], [0.0], [0.0])
    without.update(torch.ones(1, 1, 1), torch.zeros(1, 1, 1))
    assert without.compute()["mase"].isnan()


def test_the_naive_forecasts_repeat_the_last_value_and_the_last_season() -> None:
    x = torch.arange(6.0).view(1, 6, 1).repeat(1, 1, 2)
    x[..., 1] = 0
    assert naive(x, 4, 1).tolist() == [[[5.0]] * 4]
    assert seasonal_naive(x, 7, 1, 3)[0, :, 0].tolist() == [3, 4, 5, 3, 4, 5, 3]
    assert seasonal_naive(x, 2, 2, 6)[0].tolist() == [[0, 0], [1, 0]]


def test_the_seasonal_naive_forecast_of_a_season_without_noise_has_no_error() -> None:
    x = torch.sin(2 * torch.pi * torch.arange(48) / 12).view(1, 48, 1)
    assert seasonal_naive(x[:, :24], 24, 1, 12) == pytest.approx(x[:, 24:], abs=1e-5)


def test_the_worst_windows_are_kept_whatever_the_order() -> None:
    errors = torch.tensor([0.1, 5.0, torch.nan, 2.0, 5.0, 0.3])
    for order in (torch.arange(6), torch.arange(5, -1, -1)):
        metric = WorstWindows(3)
        for part in order.split(2):
            metric.update(errors[part], part)
        found, numbers = metric.compute()
        assert numbers.tolist() == [1, 4, 3]
        assert found.tolist() == pytest.approx([5, 5, 2])
