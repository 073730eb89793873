"""What units depend on: against gradients of the same network with positive weights, and against published numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from couloir.inference.explain.layers.dependence import trace
from couloir.inference.explain.layers.positive import measured
from couloir.locally_connected import LocallyConnected
from couloir.model.activation import Step
from networks import build


class Call(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Skip(nn.Module):
    """Two branches whose outputs are added, or concatenated."""

    def __init__(self, one: nn.Module, other: nn.Module, joins: bool = False) -> None:
        super().__init__()
        self.one, self.other, self.joins = one, other, joins

    def forward(self, x: Tensor) -> Tensor:
        one, other = self.one(x), self.other(x)
        return torch.cat([one, other], dim=1) if self.joins else one + other


def conv(kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1, channels: int = 2) -> nn.Conv2d:
    return nn.Conv2d(channels, 2, kernel, stride, padding, dilation)


NETWORKS: dict[str, list[nn.Module]] = {
    "padding": [conv(3, padding=1), nn.BatchNorm2d(2), nn.ReLU(), conv(5, 2, 2)],
    "pixels that no window reaches": [conv(3, 2), conv(3, 2, 1), nn.MaxPool2d(2, ceil_mode=True)],
    "dilation": [conv(3, 1, 2, 2), conv(3, 2, 3, 3)],
    "rows and columns apart": [nn.Conv2d(2, 2, (1, 5), (2, 1), (0, 2)), nn.AvgPool2d((2, 3), (1, 2))],
    "a skip connection": [Skip(nn.Sequential(conv(3, padding=1), conv(3, 2, 1)), conv(1, 2)), conv(3)],
    "branches": [Skip(conv(1), nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(5, 1, 2)), joins=True), nn.Conv2d(4, 2, 2, 2)],
    "transposed": [conv(3, 2), nn.ConvTranspose2d(2, 2, 4, 2, 1), conv(3, padding=1)],
    "interpolation": [conv(3, 2), nn.Upsample(scale_factor=2), nn.Upsample(25, mode="bilinear"), conv(3)],
    "bicubic": [conv(2, 2), nn.Upsample(11, mode="bicubic"), conv(2)],
    "windows of several sizes": [conv(3), nn.AdaptiveAvgPool2d(5), conv(2), nn.AdaptiveMaxPool2d(3)],
    "slices": [Call(lambda x: F.pad(x, (1, 2, 0, 3))[:, :, 1:-1:2, 1:]), conv(3), Call(lambda x: x[:, [1, 0], 1:])],
    "other orders": [conv(3), Call(lambda x: x.permute(0, 2, 3, 1)), nn.Linear(2, 3), nn.LayerNorm(3), nn.GELU(),
                     Call(lambda x: x.transpose(1, 3).transpose(2, 3).contiguous()), nn.Conv2d(3, 2, 3, 2)],
    "shuffled": [nn.PixelUnshuffle(2), nn.Conv2d(8, 8, 3, padding=1), nn.PixelShuffle(2), conv(2),
                 Call(lambda x: x.view(1, 2, 1, *x.shape[2:]).flatten(1, 2))],
    "kernels of each place, and steps": [LocallyConnected(2, 2, (16, 16), 3, 2, (1, 0, 2, 1)), Step(), conv(2)],
    "a gate": [conv(3), Skip(nn.Identity(), nn.Sequential(nn.AdaptiveAvgPool2d(1), conv(1), nn.Sigmoid()))],
    "all pixels": [conv(3), nn.Flatten(), nn.Linear(2 * 14 * 14, 2 * 25), nn.Unflatten(1, (2, 5, 5)), conv(3)],
    "means": [conv(3), Call(lambda x: x.mean(dim=3, keepdim=True).expand_as(x)), conv(3, 2)],
    "stacked": [conv(3), Call(lambda x: torch.stack([x, x.roll(1, dims=1) * 0 + x]).mean(dim=0)), conv(2, 2)],
}  # fmt: skip
UNKNOWN = {"stacked"}
"""Those with a call that no rule describes."""


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in UNKNOWN])
def test_each_unit_is_said_to_see_the_pixels_that_it_depends_on(name: str) -> None:
    net, x = nn.Sequential(*NETWORKS[name]).eval(), torch.zeros(1, 2, 16, 16)
    with torch.no_grad():
        height, width = net(x).shape[2:]
    last = str(len(net) - 1)
    fields = trace(net, x, [last])[last]
    assert fields.whole.known
    assert fields.inside.is_placed
    for unit in {(0, 0), (height // 2, width // 2), (height - 1, width - 1), (0, width - 1)}:
        seen = measured(net, x, last, unit)
        rows, columns = np.nonzero(seen.any(axis=1))[0], np.nonzero(seen.any(axis=0))[0]
        found = fields.inside.rows.at(unit[0]), fields.inside.columns.at(unit[1])
        assert found == ((rows[0], rows[-1]), (columns[0], columns[-1])), unit


def test_what_a_call_does_that_nobody_has_described_is_not_guessed() -> None:
    net = nn.Sequential(*NETWORKS["stacked"], nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2 * 9),
                        nn.Unflatten(1, (2, 3, 3))).eval()  # fmt: skip
    fields = trace(net, torch.zeros(1, 2, 16, 16), ["1", "2", "6"])
    assert not fields["1"].whole.known
    assert not fields["2"].whole.known
    assert fields["6"].inside.known
    assert fields["6"].inside.rows.at(0) == (0, 15)


@pytest.mark.parametrize(
    ("name", "image_size", "layers"),
    [
        ("vgg16", 224, {"features.2": 5, "features.28": 196, "features.30": 212}),  # conv5_3 and pool5
        ("alexnet", 224, {"features.12": 195}),  # Araujo, Norris and Sim, 2019, table 1
        ("lenet5", 32, {"c1": 5, "s2": 6, "c3": 14, "s4": 16, "c5": 32}),
        ("resnet18", 224, {"layer4": 435}), ("resnet50", 224, {"layer4": 427}),
    ],
)  # fmt: skip
def test_published_networks_have_their_published_fields(name: str, image_size: int, layers: dict[str, int]) -> None:
    with torch.device("meta"):  # no weights, no computing
        net = build(name, 3, image_size).eval()
    found = trace(net, torch.zeros(1, 3, image_size, image_size, device="meta"), layers)
    for layer, expected in layers.items():
        for axis in (found[layer].whole.rows, found[layer].whole.columns):
            low, high = axis.at(0)
            assert high - low + 1 == expected, layer


def test_three_small_kernels_see_as_much_as_a_large_one() -> None:
    three, seven = nn.Sequential(*[conv(3, padding=1) for _ in range(3)]), nn.Sequential(conv(7, padding=3))
    x = torch.zeros(1, 2, 16, 16)
    one, other = trace(three, x, ["2"])["2"].whole, trace(seven, x, ["0"])["0"].whole
    assert one.rows.at(8) == other.rows.at(8) == (5, 11)
    assert one.columns.at(0) == other.columns.at(0) == (-3, 3)
