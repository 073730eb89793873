"""Kernels of their own, against loops over the places, and the lecture's count of their weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from couloir.artifacts.layer_table import layers
from couloir.locally_connected import LocallyConnected
from couloir.optimizer.decay import decay_groups
from networks import build


@pytest.mark.parametrize(
    ("stride", "padding", "dilation"),
    [
        (1, (0, 0, 0, 0), 1),
        (2, (1, 2, 0, 1), 1),
        (1, (2, 2, 2, 2), 2),
    ],
)
def test_each_place_has_its_own_kernel(stride: int, padding: tuple[int, int, int, int], dilation: int) -> None:
    torch.manual_seed(0)
    layer = LocallyConnected(2, 3, (6, 7), 3, stride, padding, dilation).double()
    x = torch.randn(4, 2, 6, 7).double()
    above, below, left, right = padding
    around = np.pad(x.numpy(), ((0, 0), (0, 0), (above, below), (left, right)))
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy().reshape(3, *layer.size)
    height, width = layer.size
    expected = np.zeros((4, 3, height, width))
    for row in range(height):
        for column in range(width):
            top, first = row * stride, column * stride
            window = around[:, :, top : top + 2 * dilation + 1 : dilation, first : first + 2 * dilation + 1 : dilation]
            expected[:, :, row, column] = np.einsum("bcij,ocij->bo", window, weight[:, row, column])
    np.testing.assert_allclose(layer(x).detach().numpy(), expected + bias, rtol=1e-6, atol=1e-9)
    further = (top + 2 * dilation + stride + 1 > around.shape[2]) and (
        first + 2 * dilation + stride + 1 > around.shape[3]
    )
    assert further, "no place is left out"


@pytest.mark.parametrize("keys", [{}, {"padding": 1, "stride": 2}, {"kernel_size": 4}, {"padding_mode": "mirror"}])
def test_with_one_kernel_for_all_places_it_is_the_convolution(keys: dict) -> None:
    torch.manual_seed(0)
    keys = {"M": 1, "K": 0, "widths": 4, "pool": "none", **keys}
    shared, local = (build("convnet", 2, 9, 3, connection=way, **keys) for way in ("shared", "local"))
    with torch.no_grad():
        (own,) = [layer for layer in local if isinstance(layer, LocallyConnected)]
        (one,) = [layer for layer in shared if isinstance(layer, nn.Conv2d)]
        own.weight.copy_(one.weight[:, None, None])
        own.bias.view(4, -1).copy_(one.bias[:, None])
        local[-1].load_state_dict(shared[-1].state_dict())
    x = torch.randn(3, 2, 9, 9)
    torch.testing.assert_close(local(x), shared(x))


@pytest.mark.parametrize(("bias", "of_biases"), [(False, 0), (True, 40_000)])
def test_the_lectures_four_million_weights(bias: bool, of_biases: int) -> None:
    """200x200 pixels, 40,000 hidden units that each see 10x10: 4 million where they do not share, 100 where they do."""
    keys = {"kernel_size": 10, "M": 1, "K": 0, "widths": 1, "pool": "none", "bias": bias}
    with torch.device("meta"):
        rows = {}
        for way in ("local", "shared"):
            rows[way] = layers(build("convnet", 1, 200, 10, connection=way, **keys), 1, 200)[0]
        dense = nn.Linear(200 * 200, 40_000, bias=False)
    assert rows["local"].output_shape == rows["shared"].output_shape == [1, 200, 200]
    assert rows["local"].parameters == 4_000_000 + of_biases
    assert rows["shared"].parameters == 100 + bool(of_biases)
    assert rows["local"].multiply_adds == rows["shared"].multiply_adds == 4_000_000
    assert dense.weight.numel() == 1_600_000_000


def test_weights_begin_as_those_of_a_convolution_do() -> None:
    torch.manual_seed(0)
    layer = LocallyConnected(4, 8, (10, 10), 3)
    limit = 1 / np.sqrt(4 * 9)
    for values in (layer.weight, layer.bias):
        assert limit * 0.99 < values.abs().max() <= limit
        assert values.std().item() == pytest.approx(limit / np.sqrt(3), rel=0.05)


def test_weight_decay_leaves_its_biases_out_as_all_others() -> None:
    layer = LocallyConnected(1, 2, (5, 4), 3)
    decayed, spared = decay_groups(layer.parameters(), 0.1, decay_all=False)
    assert decayed["params"] == [layer.weight]
    assert spared["params"] == [layer.bias]
    assert spared["weight_decay"] == 0.0
