"""The checkerboard of transposed convolutions: counted by hand, and in the spectrum where the stride is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from couloir.artifacts.checkerboard import (
    answer,
    draw_checkerboard,
    middle,
    overlap,
    peak,
    spectrum,
    stacked,
    transposed,
)
from couloir.model.upsampling import enlarging
from networks import build


@pytest.mark.parametrize(
    ("kernel_size", "stride", "counts"),
    [(2, 2, {1}), (4, 2, {4}), (6, 3, {4}), (3, 2, {1, 2, 4}), (5, 2, {4, 6, 9}), (4, 3, {1, 2, 4}), (1, 2, {0, 1})],
)
def test_pixels_get_as_many_kernels_as_lie_on_them(kernel_size: int, stride: int, counts: set[int]) -> None:
    """Of a kernel that the stride divides each pixel gets the same number; of another some get more."""
    assert set(middle(overlap(enlarging(2, 3, kernel_size, stride))).flatten().int().tolist()) == counts
    assert (len(counts) == 1) == (kernel_size % stride == 0)


@pytest.mark.parametrize("stride", [2, 3])
def test_the_spectrum_has_its_peak_at_the_frequency_of_the_stride(stride: int) -> None:
    down, right, amplitude = peak(middle(overlap(enlarging(1, 1, stride + 1, stride), torch.ones(48, 48))))
    assert {round(down * stride, 1), round(right * stride, 1)} <= {0.0, 1.0}
    assert amplitude > 0.3
    assert peak(middle(overlap(enlarging(1, 1, 2 * stride, stride), torch.ones(48, 48))))[2] == pytest.approx(0)


def test_the_amplitude_of_a_wave_is_found() -> None:
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(32.0), indexing="ij")
    assert peak(5 + 3 * torch.cos(np.pi * (rows + columns))) == pytest.approx((0.5, 0.5, 3), rel=0.01)
    assert peak(5 + 3 * torch.cos(2 * np.pi * columns / 8)) == pytest.approx((0, 1 / 8, 3), rel=0.01)
    assert float(spectrum(torch.full((8, 8), 7.0)).max()) == pytest.approx(0, abs=1e-6)


def test_a_stack_of_layers_keeps_the_mean_and_is_more_uneven_than_one() -> None:
    even, uneven = ([enlarging(1, 1, kernel_size, 2)] * 2 for kernel_size in (4, 3))
    assert torch.allclose(middle(stacked(even)), torch.ones(1))
    found = middle(stacked(uneven))
    assert float(found.max() / found.min()) > 4, "of one layer: four kernels here, one there"
    assert float(found.mean()) == pytest.approx(1, abs=0.1)


def test_only_a_network_with_transposed_convolutions_has_a_picture(tmp_path: Path) -> None:
    for name, keys, there in (
        ("unet", {"depth": 2, "width": 4}, True),
        ("unet", {"depth": 2, "width": 4, "upsampling": "nearest"}, False),
        ("resnet20", {}, False),
    ):
        file = tmp_path / f"{name}{len(keys)}.png"
        net = build(name, 3, 32, 4, **keys).train()
        assert draw_checkerboard(net, 3, 32, file) is None
        assert file.exists() == there
        assert net.training, "as it was left"
    with Image.open(tmp_path / "unet2.png") as picture:
        assert picture.width > 1000
    assert draw_checkerboard(build("mlp", 4, None, 2), 4, None, tmp_path / "mlp.png") is None


class Odd(nn.Module):
    """It takes no image of this size, and gives rows."""

    def __init__(self, rows: bool) -> None:
        super().__init__()
        self.rows, self.up = rows, nn.ConvTranspose2d(3, 3, 3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.rows:
            return self.up(x).mean(dim=(2, 3))
        raise RuntimeError("no such image")


def test_a_network_that_gives_no_image_ends_no_run(tmp_path: Path) -> None:
    assert answer(Odd(rows=True), 3, 16) is None
    assert draw_checkerboard(Odd(rows=True), 3, 16, tmp_path / "rows.png") is None
    assert (tmp_path / "rows.png").exists(), "its layers alone"
    said = draw_checkerboard(Odd(rows=False), 3, 16, tmp_path / "none.png")
    assert said == "none.png cannot be drawn: RuntimeError: no such image"
    assert list(transposed(Odd(rows=False))) == ["up"]
