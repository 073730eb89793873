"""The ways back to a larger map: pooling that remembers its places, unpooling, transposed convolutions, interpolation.

| layer | what a pixel becomes |
|---|---|
| unpooling | itself at the place where the pooling found it, zeros around it (Zeiler and Fergus, 2014, section 2.1) |
| transposed convolution | a kernel, scaled; where kernels overlap they add up (Long et al., 2015, section 3.3) |
| nearest, bilinear | copies of itself; a mean of its neighbours |

A transposed convolution whose kernel the stride does not divide adds up more kernels in some pixels than in others: the
checkerboard (Odena, Dumoulin and Olah, 2016, Deconvolution and Checkerboard Artifacts).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PoolWithPlaces(nn.Module):
    """2x2 maximum pooling that says which pixel of each window was the largest."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, 2h, 2w) -> (B, C, h, w), and the places (B, C, h, w) int64: 0 and 1 above, 2 and 3 below."""
        pooled, numbers = F.max_pool2d(x, 2, return_indices=True)  # numbers of pixels in the whole map, row by row
        return pooled, numbers // x.shape[3] % 2 * 2 + numbers % 2


class Unpool(nn.Module):
    """Each pixel at the place where the pooling found it, zeros in the rest of its window.

    It is written as a scatter: torch's own unpooling has no form in ONNX, and no deterministic one on a GPU.
    """

    def forward(self, x: Tensor, places: Tensor) -> Tensor:
        """(B, C, h, w) and the places of `PoolWithPlaces` -> (B, C, 2h, 2w)."""
        batch, channels, height, width = x.shape
        windows = x.new_zeros(batch, channels, height, width, 4).scatter(-1, places[..., None], x[..., None])
        rows = windows.view(batch, channels, height, width, 2, 2).transpose(3, 4)
        return rows.reshape(batch, channels, 2 * height, 2 * width)


def enlarging(in_channels: int, out_channels: int, kernel_size: int, stride: int) -> nn.ConvTranspose2d:
    """A transposed convolution that makes maps exactly `stride` times as large, (h, w) -> (stride h, stride w).

    Of what the kernels add at the border as much is cut off on each side; where that is an odd number of pixels, one
    more at the top and at the left.

    Args:
        in_channels: of its input.
        out_channels: of its output.
        kernel_size: pixels of the kernel's sides; it need not be a multiple of the stride.
        stride: the factor.
    """
    excess = kernel_size - stride
    padding = max(0, -(-excess // 2))
    return nn.ConvTranspose2d(
        in_channels, out_channels, kernel_size, stride, padding=padding, output_padding=2 * padding - excess
    )


def bilinear_kernel(channels: int, kernel_size: int) -> Tensor:
    """The weights of a transposed convolution that interpolates: (channels, channels, k, k), each channel for itself.

    With k = 2s - s % 2 and stride s it is bilinear interpolation by the factor s (Long et al., 2015, section 3.3).
    """
    half = (kernel_size + 1) // 2
    centre = half - 1 if kernel_size % 2 else half - 0.5
    tent = 1 - (torch.arange(kernel_size) - centre).abs() / half
    weights = torch.zeros(channels, channels, kernel_size, kernel_size)
    weights[range(channels), range(channels)] = tent[:, None] * tent
    return weights


def convolutions(
    in_channels: int, out_channels: int, count: int, padding: int, batch_norm: bool, activation: Callable[[], nn.Module]
) -> list[nn.Module]:
    """So many 3x3 convolutions with biases, each followed by normalisation, where it is wanted, and activation."""
    layers: list[nn.Module] = []
    for _ in range(count):
        layers.append(nn.Conv2d(in_channels, out_channels, 3, padding=padding))
        layers += [nn.BatchNorm2d(out_channels)] if batch_norm else []
        layers.append(activation())
        in_channels = out_channels
    return layers


def padded(x: Tensor, multiple: int) -> Tensor:
    """Images with zeros below and to the right, so that both sides are multiples of a number of pixels.

    Nothing is added at the top and at the left: a pixel falls into the same window of each pooling as without it.
    """
    height, width = x.shape[2:]
    return F.pad(x, (0, -width % multiple, 0, -height % multiple))


class Mirrored(nn.Module):
    """Maps that go on beyond their border as their own mirror image, in which the outermost pixels stand once.

    It is written as a choice of rows and columns: torch's own padding has no deterministic backward pass on a GPU.

    Args:
        above: rows above, and columns on the left.
        below: rows below, and columns on the right.
    """

    selects = True

    def __init__(self, above: int, below: int) -> None:
        super().__init__()
        self.above, self.below = above, below

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, above + H + below, above + W + below)."""
        for axis in (2, 3):
            last = x.shape[axis] - 1
            places = torch.arange(-self.above, last + self.below + 1, device=x.device).abs()
            x = x.index_select(axis, last - (last - places).abs())
        return x


def cropped(x: Tensor, height: int, width: int) -> Tensor:
    """The middle of maps, (B, C, H, W) -> (B, C, height, width); the same number of pixels goes on both sides."""
    top, left = (x.shape[2] - height) // 2, (x.shape[3] - width) // 2
    return x[:, :, top : top + height, left : left + width]
