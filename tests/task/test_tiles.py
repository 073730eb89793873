"""Whole images in tiles: what the network would say of the whole image, for every pixel, without seams."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from couloir.errors import CouloirError
from couloir.task.tiles import _ramps, _spans, mirrored, scanned


def image(height: int, width: int, count: int = 2) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(height * 1000 + width))


def convolution(kernel: int, **keys: int) -> nn.Conv2d:
    torch.manual_seed(kernel)
    return nn.Conv2d(3, 2, kernel, **keys).requires_grad_(False)


class Pooled(nn.Module):
    """Halves and doubles again: its answer depends on where the pooling's windows begin."""

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = x.shape[-2:]
        pooled = F.max_pool2d(F.pad(x, (0, columns % 2, 0, rows % 2)), 2)
        return F.interpolate(pooled, scale_factor=2)[..., :rows, :columns]


class Sizes(nn.Module):
    """Notes the sizes of what passes."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.seen = net, set[tuple[int, ...]]()

    def forward(self, x: Tensor) -> Tensor:
        self.seen.add(tuple(x.shape))
        out: Tensor = self.net(x)
        return out


@pytest.mark.parametrize("size", [(64, 64), (150, 97), (65, 64), (33, 300), (128, 128)])
@pytest.mark.parametrize("overlap", [0.25, 0.6])
def test_tiles_say_what_the_whole_image_says_where_the_receptive_field_fits_the_overlap(
    size: tuple[int, int], overlap: float
) -> None:
    x, net = image(*size), nn.Sequential(convolution(5, padding=2), Pooled()).requires_grad_(False)
    assert torch.allclose(scanned(net, x, (64, 64), overlap), net(x), atol=1e-6)


def test_each_tile_has_the_size_of_the_window_but_the_last_in_each_direction() -> None:
    net = Sizes(convolution(3, padding=1))
    scanned(net, image(200, 150, count=3), (64, 48), 0.25, at_once=2)
    assert {shape[0] for shape in net.seen} == {2, 1}
    assert max(shape[2] for shape in net.seen) < 64 + 32
    assert max(shape[3] for shape in net.seen) < 48 + 32
    assert (2, 3, 64, 48) in net.seen


def test_an_image_that_fits_into_the_window_passes_at_once() -> None:
    x, net = image(20, 31), Sizes(convolution(3, padding=1))
    assert torch.equal(scanned(net, x, (64, 64)), net.net(x))
    assert net.seen == {(2, 3, 20, 31)}


def test_every_pixel_has_a_weight_whatever_the_sizes() -> None:
    for window in (1, 7, 24, 32, 50, 64, 100):
        for overlap in (0.0, 0.1, 0.25, 0.5, 0.9):
            for length in range(window, 4 * window + 70, 13):
                spans = _spans(length, window, overlap)
                weights = torch.zeros(length)
                for (begin, end), ramp in zip(spans, _ramps(spans), strict=True):
                    weights[begin:end] += ramp
                assert weights.min() > 0, (window, overlap, length)
                assert spans[0][0] == 0
                assert spans[-1][1] == length
                assert all(end - begin < window + 32 for begin, end in spans)


def test_tiles_are_blended_without_a_seam() -> None:
    """A network whose answer is the mean of its tile: where tiles meet, the answer passes evenly from one to the next.

    Side by side, the answer would jump by the whole difference between two tiles.
    """

    def mean(x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3), keepdim=True).expand(-1, -1, *x.shape[-2:])

    x = torch.linspace(0, 1, 400)[None, None, None].expand(1, 1, 64, 400)
    row = scanned(mean, x, (64, 128), 0.5)[0, 0, 0]
    steps = row.diff()
    assert steps.min() >= -1e-6
    assert steps.max() < 0.01
    assert row[-1] - row[0] > 0.5


def test_larger_outputs_are_put_where_they_belong() -> None:
    net = nn.Sequential(convolution(3, padding=1), nn.Upsample(scale_factor=2)).requires_grad_(False)
    x = image(75, 101)
    assert torch.allclose(scanned(net, x, (48, 64)), net(x), atol=1e-6)
    assert scanned(net, x, (48, 64)).shape == (2, 2, 150, 202)


def test_half_precision_is_summed_in_full() -> None:
    def half(x: Tensor) -> Tensor:
        return x.bfloat16()

    x = image(70, 130)
    assert torch.allclose(scanned(half, x, (64, 64)), x.bfloat16().float(), atol=1e-6)


@pytest.mark.parametrize("size", [(40, 40), (23, 61), (5, 90), (24, 24)])
def test_a_network_without_padding_answers_for_every_pixel_by_a_mirrored_border(size: tuple[int, int]) -> None:
    net = nn.Sequential(convolution(3), nn.Conv2d(2, 2, 3)).requires_grad_(False)
    net.shrinks = True
    x = image(*size)
    direct = net(F.pad(x, (2, 2, 2, 2), mode="reflect"))
    assert torch.allclose(scanned(net, x, (24, 24)), direct, atol=1e-6)


def test_a_border_is_mirrored_again_where_the_image_is_smaller_than_the_border() -> None:
    x = torch.arange(3.0)[None, None, None].expand(1, 1, 1, 3)
    assert mirrored(x, 0, -5, 1, 12)[0, 0, 0].tolist() == [1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2]


@pytest.mark.parametrize(
    ("net", "shrinks"), [(nn.Conv2d(3, 2, 3, stride=2), False), (nn.Conv2d(3, 2, 4), True)], ids=["strided", "even"]
)
def test_an_output_that_does_not_belong_to_the_pixels_is_refused(net: nn.Module, shrinks: bool) -> None:
    net.shrinks = shrinks
    with pytest.raises(CouloirError, match=r"pixel by pixel|middle"):
        scanned(net.requires_grad_(False), image(100, 100), (24, 24))
