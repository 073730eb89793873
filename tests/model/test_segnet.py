"""SegNet: its parameters by hand, its way back, and VGG-16's weights in its encoder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from couloir.errors import CouloirError
from couloir.model.segnet import segnet
from couloir.model.vgg import D, features
from networks import weights_for

STAGES = [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]
"""Channels and convolutions of each stage."""


@pytest.mark.parametrize(("depth", "width", "channels", "classes"), [(5, 64, 3, 5), (2, 16, 1, 3)])
def test_its_parameters_are_those_counted_by_hand(depth: int, width: int, channels: int, classes: int) -> None:
    stages = [(wide * width // 64, count) for wide, count in STAGES[:depth]]
    convolution = lambda entering, leaving: (9 * entering + 1) * leaving  # noqa: E731
    total, entering = 0, channels
    for number, (wide, count) in enumerate(stages):
        below = stages[number - 1][0] if number else classes
        total += convolution(entering, wide) + (count - 1) * convolution(wide, wide) + count * 2 * wide
        total += (count - 1) * (convolution(wide, wide) + 2 * wide) + convolution(wide, below)
        total += 2 * below if number else 0  # the last convolution has no normalisation
        entering = wide
    with torch.device("meta"):
        net = segnet(channels, 32, classes, depth=depth, width=width)
        assert net(torch.zeros(1, channels, 33, 18)).shape == (1, classes, 33, 18)
    assert sum(parameter.numel() for parameter in net.parameters()) == total
    assert total == 29_445_893 or depth == 2


def test_a_pixel_goes_back_to_where_the_pooling_found_it() -> None:
    net = segnet(1, 8, 1, depth=1, width=1)
    net.features = nn.Sequential(nn.MaxPool2d(2))
    net.decoder = nn.ModuleList([nn.Identity()])
    x = torch.tensor([[1.0, 2, 0, 0, 3], [0, 0, 0, 4, 0], [0, 0, 5, 0, 0]])[None, None]
    expected = torch.tensor([[0.0, 2, 0, 0, 3], [0, 0, 0, 4, 0], [0, 0, 5, 0, 0]])
    assert torch.equal(net(x)[0, 0], expected)


def test_its_encoder_begins_with_vgg16_and_refuses_one_without_normalisation(tmp_path: Path) -> None:
    stages = [[max(1, entry // 32) for entry in stage] for stage in D]
    file = tmp_path / "vgg.pth"
    for batch_norm in (True, False):
        vgg = nn.ModuleDict({"features": features(stages, 3, batch_norm), "classifier": nn.Sequential(nn.Linear(3, 2))})
        vgg.load_state_dict(weights_for(vgg.state_dict()))
        torch.save(vgg.state_dict(), file)
        if not batch_norm:
            with pytest.raises(CouloirError, match="The weights do not fit this network"):
                segnet(3, 32, 5, depth=3, width=2, weights=str(file))
            continue
        net = segnet(3, 32, 5, depth=3, width=2, weights=str(file))
        own, theirs = net.state_dict(), vgg.state_dict()
        taken = [name for name in own if name.startswith("features.")]
        assert taken
        assert all(torch.equal(own[name], theirs[name]) for name in taken)
        torch.save(own, file)
        again = segnet(3, 32, 5, depth=3, width=2, weights=str(file)).state_dict()
        assert all(torch.equal(again[name], own[name]) for name in own), "its own weights are taken whole"
