"""Orthogonality, group by group."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from couloir.initializer.orthogonal import orthogonal
from couloir.locally_connected import LocallyConnected


def gram(matrix: torch.Tensor) -> torch.Tensor:
    """The products of the rows with each other, or of the columns where they are fewer."""
    rows = matrix.detach().double().flatten(start_dim=1)
    return rows @ rows.T if rows.shape[0] <= rows.shape[1] else rows.T @ rows


@pytest.mark.parametrize("gain", [1.0, 2**0.5])
@pytest.mark.parametrize(
    "layer",
    [nn.Linear(12, 8), nn.Linear(8, 12), nn.Conv2d(3, 16, 3), nn.Conv2d(2, 64, 3), nn.ConvTranspose2d(8, 4, 3)],
    ids=["wide", "tall", "convolution", "many filters", "transposed"],
)
def test_rows_or_columns_are_orthogonal_and_as_long_as_the_gain(layer: nn.Linear | nn.Conv2d, gain: float) -> None:
    nn.init.ones_(layer.bias)
    orthogonal(nn.Sequential(layer), gain=gain)
    found = gram(layer.weight)
    torch.testing.assert_close(found, gain**2 * torch.eye(len(found), dtype=torch.float64), rtol=0, atol=1e-5)
    assert not layer.bias.any()


def test_each_place_of_a_locally_connected_layer_is_orthogonal_in_itself() -> None:
    layer = LocallyConnected(2, 5, (4, 3), 2)
    orthogonal(layer)
    assert not layer.bias.any()
    for row in range(3):
        for column in range(2):
            found = gram(layer.weight[:, row, column])
            torch.testing.assert_close(found, torch.eye(5, dtype=torch.float64), rtol=0, atol=1e-5)


@pytest.mark.parametrize("groups", [2, 16], ids=["two groups", "depthwise"])
def test_each_group_of_a_convolution_is_orthogonal_in_itself(groups: int) -> None:
    layer = nn.Conv2d(16, 32, 3, groups=groups)
    orthogonal(layer)
    for group in layer.weight.chunk(groups):
        found = gram(group)
        torch.testing.assert_close(found, torch.eye(len(found), dtype=torch.float64), rtol=0, atol=1e-5)


def test_a_square_layer_keeps_the_length_of_what_passes_through_a_hundred_times() -> None:
    net = nn.Sequential(*[nn.Linear(32, 32) for _ in range(100)])
    orthogonal(net)
    x = torch.randn(16, 32)
    with torch.no_grad():
        torch.testing.assert_close(net(x).norm(dim=1), x.norm(dim=1), rtol=1e-3, atol=0)
