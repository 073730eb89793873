"""The layer table: nothing is lost, nothing counted twice, and the multiply-adds are the papers'."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from couloir.log import rendered
from couloir.model.lenet import LeNet5
from couloir.model.resnet import resnet50
from couloir.run.layers import as_dict, as_table, layers, totals


def test_lenet_row_by_row() -> None:
    net = LeNet5(1, 28, 10)
    rows = {row.name: row for row in layers(net, 1, 28)}
    # By hand: output pixels x kernel area x input channels.
    by_hand = {
        "c1": 28 * 28 * 6 * 25,
        "c3": 10 * 10 * 16 * 25 * 6,
        "c5": 120 * 25 * 16,
        "f6": 120 * 84,
        "output_layer": 840,
    }
    assert {name: row.multiply_adds for name, row in rows.items() if row.multiply_adds} == by_hand
    assert rows["c3"].output_shape == [16, 10, 10]
    assert totals(list(rows.values()), net)["parameters"] == 61_706


def test_resnet50_has_the_papers_multiply_adds_without_memory_for_its_weights() -> None:
    with torch.device("meta"):
        net = resnet50(channels=3, image_size=224, num_classes=1000)
        rows = layers(net, 3, 224)
    assert 3.8e9 < totals(rows, net)["multiply_adds"] < 4.1e9
    assert sum(row.parameters for row in rows) == 25_557_032


def test_grouped_and_transposed_convolutions_by_hand() -> None:
    net = nn.Sequential(
        nn.Conv2d(4, 8, 3, padding=1, groups=2, bias=False), nn.ConvTranspose2d(8, 2, 2, stride=2, bias=False)
    )
    rows = layers(net, 4, 6)
    assert [row.multiply_adds for row in rows] == [6 * 6 * 8 * 2 * 9, 6 * 6 * 8 * 2 * 4]
    assert [row.output_shape for row in rows] == [[8, 6, 6], [2, 12, 12]]


class Odd(nn.Module):
    """A parameter of its own, a layer used twice, and a weight that two layers share."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.twice = nn.Linear(3, 3)
        self.tied = nn.Linear(3, 3, bias=False)
        self.tied.weight = self.twice.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.tied(self.twice(self.twice(x))) * self.scale


def test_odd_networks_add_up() -> None:
    net = Odd()
    rows = {row.name: row for row in layers(net, 3, None)}
    assert sum(row.parameters for row in rows.values()) == sum(p.numel() for p in net.parameters()) == 15
    assert rows["twice"].multiply_adds == 18
    assert rows["tied"].parameters == 0


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_left_as_it_was(training: bool) -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).train(training)
    before = net[1].running_mean.clone()
    layers(net, 1, 8)
    assert net.training is training
    assert torch.equal(net[1].running_mean, before)
    assert not net[0]._forward_hooks


def test_the_table_and_the_json_say_the_same() -> None:
    net = LeNet5(1, 28, 10)
    net.c1.requires_grad_(False)
    rows = layers(net, 1, 28)
    text = rendered(as_table(rows, net))
    assert "61,706" in text
    assert "61,550" in text
    parsed = json.loads(json.dumps(as_dict(rows, net)))
    assert parsed["totals"] == {"parameters": 61_706, "trainable_parameters": 61_550, "multiply_adds": 416_520}
    assert parsed["layers"][0]["output_shape"] == [6, 28, 28]
