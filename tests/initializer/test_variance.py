"""Variances and bounds against the formulas of the papers, for a linear and a grouped convolutional layer."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from couloir.initializer import variance
from couloir.locally_connected import LocallyConnected

LAYERS = {  # layer, F, G
    "linear": (lambda: nn.Linear(300, 500), 300, 500),
    "convolution": (lambda: nn.Conv2d(64, 96, 5), 64 * 25, 96 * 25),
    "grouped convolution": (lambda: nn.Conv2d(128, 256, 3, groups=4), 32 * 9, 64 * 9),
    "locally connected": (lambda: LocallyConnected(16, 24, (6, 7), 3, padding=(1, 1, 1, 1)), 16 * 9, 24 * 9),
    "transposed convolution": (lambda: nn.ConvTranspose2d(128, 256, 3, groups=4), 32 * 9, 64 * 9),
}
UNIFORM = {
    "lecun_uniform": lambda F, G: math.sqrt(3 / F),
    "glorot_uniform": lambda F, G: math.sqrt(6 / (F + G)),
    "he_uniform": lambda F, G: math.sqrt(6 / F),
    "fan_in_uniform": lambda F, G: 2.4 / F,
}
NORMAL = {
    "lecun_normal": lambda F, G: 1 / F,
    "glorot_normal": lambda F, G: 2 / (F + G),
    "he_normal": lambda F, G: 2 / F,
}
by_layer = pytest.mark.parametrize("kind", list(LAYERS))


def drawn(name: str, kind: str) -> tuple[torch.Tensor, int, int]:
    torch.manual_seed(0)
    make, F, G = LAYERS[kind]
    layer = make()
    nn.init.ones_(layer.bias)
    assert getattr(variance, name)(nn.Sequential(layer)) is None
    assert not layer.bias.any()
    return layer.weight.detach().double(), F, G


@by_layer
@pytest.mark.parametrize(("name", "limit"), UNIFORM.items(), ids=UNIFORM.keys())
def test_uniform_weights_reach_to_the_limit_of_the_formula(
    name: str, limit: Callable[[int, int], float], kind: str
) -> None:
    weight, F, G = drawn(name, kind)
    expected = limit(F, G)
    assert weight.abs().max().item() <= expected * (1 + 1e-6)
    assert weight.abs().max().item() == pytest.approx(expected, rel=1e-3)
    assert weight.var().item() == pytest.approx(expected**2 / 3, rel=0.02)
    assert weight.mean().item() == pytest.approx(0, abs=0.02 * expected)


@by_layer
@pytest.mark.parametrize(("name", "square"), NORMAL.items(), ids=NORMAL.keys())
def test_normal_weights_have_the_variance_of_the_formula(
    name: str, square: Callable[[int, int], float], kind: str
) -> None:
    weight, F, G = drawn(name, kind)
    assert weight.var().item() == pytest.approx(square(F, G), rel=0.02)
    assert weight.mean().item() == pytest.approx(0, abs=0.02 * math.sqrt(square(F, G)))
    assert (weight.pow(4).mean() / weight.var() ** 2).item() == pytest.approx(3, abs=0.15)


@pytest.mark.parametrize("name", ["he_normal", "he_uniform"])
def test_he_keeps_the_signal_alive_through_thirty_relu_layers(name: str) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(*[module for _ in range(30) for module in (nn.Linear(256, 256), nn.ReLU())])
    getattr(variance, name)(net)
    with torch.no_grad():
        energy = net(torch.randn(128, 256)).square().mean().item()
    assert 0.1 < energy < 10


@pytest.mark.parametrize("name", ["lecun_normal", "lecun_uniform"])
def test_lecun_gives_each_output_unit_variance_for_standardised_inputs(name: str) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(32, 64, 3, groups=2)
    getattr(variance, name)(layer)
    with torch.no_grad():
        assert layer(torch.randn(64, 32, 8, 8)).var().item() == pytest.approx(1, rel=0.05)


def test_normalisation_layers_are_left_alone() -> None:
    norm = nn.BatchNorm2d(4)
    nn.init.constant_(norm.weight, 0.3)
    nn.init.constant_(norm.bias, 0.4)
    variance.glorot_normal(nn.Sequential(nn.Conv2d(3, 4, 3), norm))
    assert norm.weight.tolist() == pytest.approx([0.3] * 4)
    assert norm.bias.tolist() == pytest.approx([0.4] * 4)


@pytest.mark.parametrize(
    ("behind", "slope"), [(nn.LeakyReLU(0.5), 0.5), (nn.PReLU(init=0.4), 0.4), (nn.LeakyReLU(), 0.01), (nn.ELU(), 0.0)]
)
def test_hes_variance_follows_the_slope_of_leaky_rectifiers(behind: nn.Module, slope: float) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(300, 500), behind, nn.Linear(500, 400))
    for name in ("he_normal", "he_uniform"):
        getattr(variance, name)(net)
        for layer in (net[0], net[2]):
            expected = 2 / ((1 + slope**2) * layer.in_features)
            assert layer.weight.double().var().item() == pytest.approx(expected, rel=0.02)


def test_hes_variance_keeps_the_signal_through_steep_rectifiers() -> None:
    torch.manual_seed(0)
    layers = [layer for _ in range(10) for layer in (nn.Linear(256, 256), nn.LeakyReLU(0.7))]
    net = nn.Sequential(*layers)
    variance.he_normal(net)
    x = torch.randn(256, 256)
    assert net(x).square().mean().item() == pytest.approx(1.0, abs=0.25)  # with 2/F it would be 1.49^10 = 54
