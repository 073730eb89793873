"""The linear forecasters are the equations of their paper, and look at the targets alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from couloir.model.sequence.forecaster import DLinear, LinearForecast, dlinear, linear_forecast

T, H, K = 31, 5, 3


def weights(linear: torch.nn.Module) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    return linear.weight.detach().numpy(), linear.bias.detach().numpy()  # type: ignore[union-attr, operator]


def test_the_linear_forecast_is_one_matrix_over_the_steps_of_each_channel() -> None:
    net = linear_forecast(T, H, K)
    assert isinstance(net, LinearForecast)
    x = torch.randn(4, T, K + 2)
    w, b = weights(net.linear.maps[0])
    expected = np.einsum("ht,btk->bhk", w, x[..., :K].numpy()) + b[None, :, None]
    assert net(x).detach().numpy() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("individual", [False, True])
@pytest.mark.parametrize("kernel_size", [25, 4])
def test_dlinear_is_a_moving_mean_and_the_rest_each_with_its_own_matrix(individual: bool, kernel_size: int) -> None:
    net = dlinear(T, H, K, kernel_size, individual)
    assert isinstance(net, DLinear)
    x = torch.randn(4, T, K)
    before = (kernel_size - 1) // 2
    edged = np.pad(x.numpy(), ((0, 0), (before, kernel_size - 1 - before), (0, 0)), mode="edge")
    trend = np.stack([edged[:, step : step + kernel_size].mean(axis=1) for step in range(T)], axis=1)
    expected = np.zeros((4, H, K))
    for part, maps in ((x.numpy() - trend, net.seasonal.maps), (trend, net.trend.maps)):
        for channel in range(K):
            w, b = weights(maps[channel if individual else 0])
            expected[..., channel] += part[..., channel] @ w.T + b
    assert net(x).detach().numpy() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("net", "parameters"),
    [
        (linear_forecast(336, 96, 7), (336 + 1) * 96),
        (linear_forecast(336, 96, 7, individual=True), 7 * (336 + 1) * 96),
        (dlinear(336, 96, 7), 2 * (336 + 1) * 96),
        (dlinear(336, 96, 7, individual=True), 7 * 2 * (336 + 1) * 96),
    ],
)
def test_parameters_are_those_of_the_formula(net: torch.nn.Module, parameters: int) -> None:
    assert sum(each.numel() for each in net.parameters()) == parameters
