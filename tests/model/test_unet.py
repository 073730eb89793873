"""U-Net: the figure's sizes and parameters, the ways up, and where its output lies in the image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import couloir
from couloir.config.unpadded import at_least
from couloir.errors import CouloirError
from couloir.model.unet import unet
from couloir.task import tiles
from couloir.task.tiles import scanned
from networks import build, weights_for


def small(**keys: Any) -> nn.Module:
    """Depth 2 and four channels; without padding its sizes are 44, 48, ..., and 40 less go out."""
    return build("unet", 1, 44, 2, **{"depth": 2, "width": 4, **keys})


def mirrored(net: nn.Module) -> nn.Module:
    """The network with weights that are the same from the left and from the right."""
    net.load_state_dict(weights_for(net.state_dict()))
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim == 4:
                parameter.copy_((parameter + parameter.flip(2) + parameter.flip(3) + parameter.flip(2, 3)) / 2)
    return net.eval()


def test_the_figures_network_has_its_parameters_and_its_maps() -> None:
    with torch.device("meta"):
        net = unet(1, 572, 2, padding="none")
        x, sides = torch.zeros(1, 1, 572, 572), []
        for layer in net.modules():
            if isinstance(layer, nn.Conv2d):
                layer.register_forward_hook(lambda _layer, _x, out: sides.append((out.shape[1], out.shape[2])))
        assert net(x).shape == (1, 2, 388, 388)
    assert sum(parameter.numel() for parameter in net.parameters()) == 31_030_658
    assert sides == [
        (64, 570), (64, 568), (128, 282), (128, 280), (256, 138), (256, 136), (512, 66), (512, 64), (1024, 30),
        (1024, 28), (512, 54), (512, 52), (256, 102), (256, 100), (128, 198), (128, 196), (64, 390), (64, 388),
        (2, 388),
    ]  # fmt: skip


@pytest.mark.parametrize(("depth", "width", "channels", "classes"), [(1, 3, 1, 2), (3, 8, 3, 5)])
def test_depth_and_width_count_as_the_formula_says(depth: int, width: int, channels: int, classes: int) -> None:
    widths = [width * 2**level for level in range(depth + 1)]
    count = width * classes + classes
    for wide, narrow in zip(widths, [channels, *widths], strict=False):
        count += 9 * narrow * wide + wide + 9 * wide * wide + wide
    for wide in widths[1:]:
        half = wide // 2
        count += 4 * wide * half + half + 9 * wide * half + half + 9 * half * half + half
    net = unet(channels, 32, classes, depth=depth, width=width)
    assert sum(parameter.numel() for parameter in net.parameters()) == count


@pytest.mark.parametrize("upsampling", ["transposed", "bilinear", "nearest", "unpooling"])
def test_without_padding_the_output_is_the_middle_of_the_image(upsampling: str) -> None:
    """A mirrored image has the mirrored answer: a crop that is one pixel off would show."""
    net = mirrored(small(padding="none", upsampling=upsampling, activation="leaky_relu"))  # no two pixels are the same
    x = torch.randn(1, 1, 52, 60, generator=torch.Generator().manual_seed(0))
    out = net(x)
    assert out.shape == (1, 2, 12, 20)
    for dims in ((2,), (3,)):
        assert torch.allclose(net(x.flip(dims)).flip(dims), out, atol=1e-4 * float(out.detach().abs().max()))
    x.requires_grad_()
    # Windows of poolings begin at multiples of four, so that four pixels together see what is the same on all sides.
    net(x)[0, 0, 4:8, 8:12].sum().backward()
    rows, columns = (np.flatnonzero(x.grad[0, 0].abs().sum(dim)) for dim in (1, 0))
    assert (rows[0] + rows[-1]) / 2 == (4 + 7) / 2 + 20
    assert (columns[0] + columns[-1]) / 2 == (8 + 11) / 2 + 20


def test_the_best_way_through_leads_from_a_pixel_to_itself() -> None:
    """Convolutions that pass on their middle, and no way through the lower levels: the image's middle comes out."""
    net = small(padding="none", width=2)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        for layer in net.modules():
            if isinstance(layer, nn.Conv2d):
                layer.weight[:, 0, layer.kernel_size[0] // 2, layer.kernel_size[1] // 2] = 1
    x = torch.rand(1, 1, 44, 52)
    assert torch.equal(net(x)[0, 0], x[0, 0, 20:24, 20:32])


@pytest.mark.parametrize("upsampling", ["transposed", "unpooling"])
def test_with_padding_an_image_of_any_size_has_its_own_answer(upsampling: str) -> None:
    net = small(upsampling=upsampling).eval()
    for size in ((1, 1), (7, 13), (16, 5)):
        assert net(torch.randn(2, 1, *size)).shape == (2, 2, *size)
    x = torch.zeros(1, 1, 24, 28)
    x[:, :, :21, :26] = torch.randn(21, 26)
    assert torch.equal(net(x[:, :, :21, :26]), net(x)[:, :, :21, :26]), "the padding is zeros below and to the right"


def test_without_padding_a_whole_image_has_an_answer_in_each_pixel() -> None:
    torch.manual_seed(0)
    net = small(padding="none").eval()
    x = torch.randn(1, 1, 70, 110)
    with torch.no_grad():
        whole = scanned(net, x, (92, 92))
        at_once = net(tiles.mirrored(x, -20, -20, 112, 152))[..., :70, :110]
    assert whole.shape == (1, 2, 70, 110)
    assert torch.allclose(whole, at_once, atol=1e-5 * float(at_once.abs().max())), (
        "tiles of 52 pixels, beyond the border mirrored"
    )


def test_without_padding_an_image_that_does_not_fit_loses_as_much() -> None:
    net = mirrored(small(padding="none"))
    x = torch.rand(1, 1, 48, 48)
    assert torch.equal(net(x[:, :, :45, :47])[:, :, :1, :1], net(x)[:, :, :1, :1])
    assert net(x[:, :, :45, :47]).shape == (1, 2, 5, 7)
    assert net(x[:, :, :40, :12]).shape == (1, 2, 0, 0)


def test_the_sizes_that_fit_are_those_whose_maps_can_be_halved() -> None:
    def halves(side: int, depth: int) -> bool:
        for _ in range(depth):
            side -= 4
            if side % 2:
                return False
            side //= 2
        side -= 4
        for _ in range(depth):
            if side <= 0:
                return False
            side = 2 * side - 4
        return side > 0

    for depth in (1, 2, 4):
        fits = [side for side in range(1, 700) if halves(side, depth)]
        assert [side for side in range(1, 700) if at_least(side, depth) == side] == fits
    assert at_least(500, 4) == 508


@pytest.mark.parametrize(
    ("size", "proposed"),
    [("64", "data.image_size=188"), ("570", "data.image_size=556 or data.image_size=572"),
     ("[188,200]", "data.image_size=188 or data.image_size=[188,204]")],
)  # fmt: skip
def test_an_image_that_does_not_fit_is_refused_with_the_nearest_that_do(size: str, proposed: str) -> None:
    with pytest.raises(CouloirError, match="without padding") as caught:
        unet(1, [int(side) for side in size.strip("[]").split(",")] if "[" in size else int(size), 2, padding="none")
    assert str(caught.value.next_step) == f"{proposed}, or model.padding=same"


def test_a_network_for_maps_is_refused_where_the_data_has_none() -> None:
    with pytest.raises(CouloirError, match=r"model=unet needs maps, and data=digits has images and classes\."):
        couloir.compose(["model=unet", "data=digits"])


def test_weights_begin_with_the_deviation_of_the_paper() -> None:
    torch.manual_seed(0)
    net = unet(1, 32, 2, depth=2, width=64)
    first, second = net.down[1][0], net.up[0].halve
    assert float(first.weight.detach().std()) == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.02)
    assert float(second.weight.detach().std()) == pytest.approx((2 / 256) ** 0.5, rel=0.02)
    x: Tensor = torch.randn(2, 1, 64, 64)
    assert 0.3 < float(net.eval()(x).detach().std()) < 5, "signals keep their size"
