"""LeNet-5: the table of the paper, at every size of image."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from couloir.model.lenet import LeNet5, in_field


def count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize(
    ("channels", "size", "parameters"), [(1, 28, 61_706), (1, 32, 61_706), (1, 8, 61_706), (3, 32, 62_006)]
)
def test_lenet_has_its_parameters_at_every_size(channels: int, size: int, parameters: int) -> None:
    net = LeNet5(channels, size, 10)
    assert count(net) == parameters
    assert net(torch.zeros(2, channels, size, size)).shape == (2, 10)


def test_lenet_layers_have_the_papers_parameters() -> None:
    net = LeNet5(1, 28, 10)
    assert [count(layer) for layer in (net.c1, net.c3, net.c5, net.f6, net.output_layer)] == [
        156,
        2416,
        48120,
        10164,
        850,
    ]


def test_lenet_centres_28_pixels_in_its_field_as_the_paper_does() -> None:
    x = torch.rand(1, 1, 28, 28)
    field = in_field(x, 28, "paper")
    assert torch.allclose(field[:, :, 2:30, 2:30], x, atol=1e-6)
    assert (field[:, :, :2] == x.min()).all(), "around it is the paper that the digit is written on"
    assert (field[:, :, :, 30:] == x.min()).all()
    grey = in_field(x, 28, "mean")
    assert torch.equal(grey[:, :, 2:30, 2:30], x)
    assert float(grey.sum()) == pytest.approx(float(x.sum())), "zero around it, the mean of standardised data"


def test_an_image_of_the_papers_size_fills_the_field_as_it_is() -> None:
    x = torch.rand(1, 1, 32, 32)
    assert torch.equal(in_field(x, 32, "mean"), x)


@pytest.mark.parametrize("size", [8, 20, 56, 100])
def test_an_image_of_another_size_is_scaled_and_not_cut(size: int) -> None:
    x = torch.ones(1, 1, size, size)
    field = in_field(x, size, "mean")
    assert field.shape == (1, 1, 32, 32)
    assert field[:, :, 2:30, 2:30] == pytest.approx(1.0)
    ramp = in_field(torch.linspace(0, 1, size).expand(1, 1, size, size), size, "mean")[0, 0, 16, 2:30]
    assert (ramp.diff() >= 0).all()
    assert ramp[13:15].mean() == pytest.approx(0.5, abs=1e-5)


def test_a_large_image_is_smoothed_before_it_shrinks() -> None:
    board = (torch.arange(112)[:, None] + torch.arange(112)) % 2
    field = in_field(board.float()[None, None], 112, "mean")
    assert field[:, :, 4:28, 4:28] == pytest.approx(0.5, abs=0.01)


def test_the_pool_and_the_dropout_are_those_that_were_named() -> None:
    net = LeNet5(1, 28, 10, pool="average", dropout=0.3)
    assert [type(net.s2), type(net.s4)] == [nn.AvgPool2d, nn.AvgPool2d]
    assert [net.drop5.p, net.drop6.p] == [0.3, 0.3]
