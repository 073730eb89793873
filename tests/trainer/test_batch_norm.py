"""Batch normalisation over all processes; what several processes make of it, `test_processes.py` tests."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from couloir.trainer.batch_norm import OverAllProcesses, SyncOnCpu


@pytest.mark.parametrize("tracks", [True, False], ids=["running_means", "without"])
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.BatchNorm1d, (6, 3)),
        (nn.BatchNorm1d, (6, 3, 4)),
        (nn.BatchNorm2d, (6, 3, 4, 5)),
        (nn.BatchNorm3d, (2, 3, 4, 5, 2)),
    ],
)
def test_validation_gives_what_the_layer_gives_and_the_layer_comes_back(
    layer: type[nn.BatchNorm1d], shape: tuple[int, ...], tracks: bool
) -> None:
    net = nn.Sequential(layer(3, eps=1e-3, track_running_stats=tracks))
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    net(x * 3 + 1)
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([1.0, 2.0, -1.0]))
    net.eval()
    expected, names = net(x), list(net.state_dict())
    SyncOnCpu().apply(net)
    assert type(net[0]) is OverAllProcesses
    assert torch.equal(net(x), expected)
    assert list(net.state_dict()) == names
    SyncOnCpu().revert(net)
    assert type(net[0]) is layer
    assert torch.equal(net(x), expected)
