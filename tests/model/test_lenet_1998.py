"""LeNet-5 of 1998, layer by layer and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from couloir.errors import CouloirError
from couloir.model.lenet_1998 import TABLE_I, LeNet5Of1998, RadialBasis, Subsampling, TableConvolution, bitmaps


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_layers_have_the_papers_parameters() -> None:
    net = LeNet5Of1998(1, 32, 10)
    layers = {"C1": net.c1, "S2": net.s2, "C3": net.c3, "S4": net.s4, "C5": net.c5, "F6": net.f6, "output": net.rbf}
    assert {name: count(layer) for name, layer in layers.items()} == {
        "C1": 156, "S2": 12, "C3": 1_516, "S4": 32, "C5": 48_120, "F6": 10_164, "output": 0,
    }  # fmt: skip
    assert count(net) == 60_000


def test_the_table_of_connections_is_table_i() -> None:
    assert [len(row) for row in TABLE_I] == [3] * 6 + [4] * 9 + [6]
    # The columns of the paper's table, read downwards: which maps of C3 see map 0, 1, ... of S2.
    seen_by = [[number for number, row in enumerate(TABLE_I) if source in row] for source in range(6)]
    assert seen_by == [
        [0, 4, 5, 6, 9, 10, 11, 12, 14, 15],
        [0, 1, 5, 6, 7, 10, 11, 12, 13, 15],
        [0, 1, 2, 6, 7, 8, 11, 13, 14, 15],
        [1, 2, 3, 6, 7, 8, 9, 12, 14, 15],
        [2, 3, 4, 7, 8, 9, 10, 12, 13, 15],
        [3, 4, 5, 8, 9, 10, 11, 13, 14, 15],
    ]


def test_a_map_of_c3_depends_on_its_own_maps_of_s2_alone() -> None:
    torch.manual_seed(0)
    layer = TableConvolution()
    x = torch.randn(1, 6, 14, 14)
    for source in range(6):
        other = x.clone()
        other[:, source] += 1
        changed = (layer(x) != layer(other)).flatten(2).any(dim=2)[0]
        assert changed.tolist() == [source in row for row in TABLE_I]


def test_c3_is_a_sum_of_correlations_by_hand() -> None:
    torch.manual_seed(0)
    layer = TableConvolution()
    x = torch.randn(1, 6, 14, 14)
    out = layer(x)[0].detach().numpy()
    windows = np.lib.stride_tricks.sliding_window_view(x[0].numpy(), (5, 5), axis=(1, 2))  # (6, 10, 10, 5, 5)
    for number, (weight, bias, row) in {
        2: (layer.three.weight[2], layer.three.bias[2], TABLE_I[2]),
        9: (layer.four.weight[3], layer.four.bias[3], TABLE_I[9]),
        15: (layer.all.weight[0], layer.all.bias[0], TABLE_I[15]),
    }.items():
        expected = np.einsum("cyxhw,chw->yx", windows[list(row)], weight.detach().numpy()) + bias.item()
        np.testing.assert_allclose(out[number], expected, rtol=1e-4, atol=1e-5)


def test_subsampling_is_a_coefficient_times_the_mean_plus_a_bias() -> None:
    layer = Subsampling(3)
    x = torch.randn(2, 3, 4, 6)
    mean = x.reshape(2, 3, 2, 2, 3, 2).mean(dim=(3, 5))
    expected = mean * layer.scale.weight.view(1, 3, 1, 1) + layer.scale.bias.view(1, 3, 1, 1)
    assert torch.allclose(layer(x), expected, atol=1e-6)


def test_the_output_is_minus_the_squared_distance_to_each_bitmap() -> None:
    codes = bitmaps()
    assert codes.shape == (10, 84)
    assert set(codes.flatten().tolist()) == {-1.0, 1.0}
    assert len({tuple(row) for row in codes.tolist()}) == 10
    x = torch.randn(5, 84)
    expected = -((x.numpy()[:, None, :] - codes.numpy()[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(RadialBasis(codes)(x).numpy(), expected, rtol=1e-5)
    assert RadialBasis(codes)(codes).argmax(dim=1).tolist() == list(range(10))


def test_the_one_looks_like_a_one() -> None:
    one = bitmaps()[1].view(12, 7)
    assert (one[:9, 3] == 1).all()
    assert (one[10:] == -1).all()


def test_the_codes_are_not_trained_and_not_saved() -> None:
    net = LeNet5Of1998(1, 28, 10)
    assert not any("codes" in name or "seen" in name for name in net.state_dict())


def test_other_than_ten_classes_are_explained() -> None:
    with pytest.raises(CouloirError, match="bitmaps of ten digits; the data has 100 classes"):
        LeNet5Of1998(1, 28, 100)
