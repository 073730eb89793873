"""LeNet-1: the numbers that the paper gives, and what its table of connections connects."""

from __future__ import annotations

import torch

from couloir.artifacts.layer_table import layers
from couloir.model.lenet_1 import TABLE_1, LeNet1, TwoHalves


def test_the_original_has_the_papers_connections() -> None:
    """98,442 connections in section 3: each unit's inputs and its bias."""
    rows = {row.name: row for row in layers(LeNet1(1, 28, 10, original=True), 1, 28)}
    biases = 4 * 24 * 24 + 4 * 12 * 12 + 12 * 8 * 8 + 12 * 4 * 4 + 10
    products = rows["h1"].multiply_adds + rows["h3.one"].multiply_adds + rows["h3.two"].multiply_adds
    subsampling = 4 * (4 * 12 * 12 + 12 * 4 * 4)  # four inputs a unit
    assert products + subsampling + rows["output_layer"].multiply_adds + biases == 98_442


def test_each_map_of_h3_sees_the_maps_that_the_table_names() -> None:
    net = TwoHalves()
    x = torch.randn(1, 4, 12, 12)
    with torch.no_grad():
        whole = net(x)
        for seen in range(4):
            without = x.clone()
            without[:, seen] = 0
            changed = (net(without) != whole).flatten(2).any(dim=2)[0].tolist()
            assert changed == [seen in maps for maps in TABLE_1]
