"""The ways to a larger map, against torch's own and against formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from couloir.model.upsampling import PoolWithPlaces, Unpool, bilinear_kernel, cropped, enlarging, padded


def test_unpooling_puts_each_pixel_back_where_torch_would() -> None:
    x = torch.randn(2, 3, 8, 6, requires_grad=True)
    pooled, places = PoolWithPlaces()(x)
    expected, indices = F.max_pool2d(x, 2, return_indices=True)
    assert torch.equal(pooled, expected)
    back = Unpool()(pooled, places)
    assert torch.equal(back, F.max_unpool2d(expected, indices, 2))
    back.sum().backward()
    assert torch.equal(x.grad, (back != 0).float())


@pytest.mark.parametrize("stride", [2, 3])
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4, 5, 6])
def test_a_transposed_convolution_enlarges_by_its_stride_whatever_its_kernel(kernel_size: int, stride: int) -> None:
    layer = enlarging(1, 1, kernel_size, stride)
    with torch.no_grad():
        layer.weight.fill_(1)
        layer.bias.zero_()
    out = layer(torch.ones(1, 1, 5, 7))
    assert out.shape == (1, 1, 5 * stride, 7 * stride)
    counted = np.zeros((5 * stride + 2 * kernel_size, 7 * stride + 2 * kernel_size))
    for row in range(5):
        for column in range(7):
            counted[stride * row : stride * row + kernel_size, stride * column : stride * column + kernel_size] += 1
    top = max(0, -(-(kernel_size - stride) // 2))
    cut = counted[top : top + 5 * stride, top : top + 7 * stride]
    np.testing.assert_array_equal(out[0, 0].detach(), cut)


@pytest.mark.parametrize("stride", [2, 4])
def test_the_bilinear_kernel_interpolates_as_torch_does(stride: int) -> None:
    x = torch.rand(1, 2, 5, 6)
    kernel = bilinear_kernel(2, 2 * stride)
    out = F.conv_transpose2d(x, kernel, stride=stride, padding=stride // 2)
    expected = F.interpolate(x, scale_factor=stride, mode="bilinear", align_corners=False)
    inside = (..., slice(stride, -stride), slice(stride, -stride))  # at the border torch repeats pixels
    assert torch.allclose(out[inside], expected[inside], atol=1e-6)


def test_what_is_padded_can_be_cut_off_and_the_middle_is_the_middle() -> None:
    x = torch.rand(1, 1, 5, 8)
    assert torch.equal(padded(x, 4), F.pad(x, (0, 0, 0, 3)))
    assert torch.equal(cropped(torch.arange(6.0).expand(1, 1, 4, 6), 2, 2)[0, 0], torch.tensor([[2.0, 3], [2, 3]]))
