"""Networks that give a better image: larger, or with less noise.

Dong, Loy, He and Tang, 2014, Learning a Deep Convolutional Network for Image Super-Resolution, section 3.1, is `srcnn`:

| layer | kernels | what |
|---|---|---|
| enlarging | bicubic | the image at its final size |
| patches | 9x9, 64, ReLU | features of each neighbourhood |
| mapping | 1x1, 32, ReLU (3x3 and 5x5 in the paper's longer form) | from blurred features to sharp ones |
| reconstruction | 5x5, one a channel | the image |

Shi et al., 2016, Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural
Network, section 3, is `espcn`: 5x5, 64 and 3x3, 32 with tanh at the size of the small image, then 3x3 to
factor² values a channel, which are the pixels of the large one.

Two later ideas are keys. `residual`: the network learns what the enlarged image lacks (Kim et al., 2016, Accurate Image
Super-Resolution Using Very Deep Convolutional Networks, section 3.1). `depth` of `espcn`: residual blocks without batch
normalisation between its layers (Lim et al., 2017, Enhanced Deep Residual Networks for Single Image Super-Resolution,
section 3.1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from couloir.config.image_size import ImageSize
from couloir.errors import CouloirError
from couloir.model.activation import activation as make_activation
from couloir.model.weights import loads_weights


def enlarged(x: Tensor, factor: int) -> Tensor:
    """Images (B, C, H, W) whose sides are `factor` times as long, by bicubic interpolation."""
    return F.interpolate(x, scale_factor=factor, mode="bicubic", align_corners=False) if factor > 1 else x


def _convolution(in_channels: int, out_channels: int, kernel_size: int) -> nn.Conv2d:
    """A convolution that keeps the size of its map, zeros around it."""
    return nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)


class SRCNN(nn.Module):
    """Three convolutions over the enlarged image; 8,032 weights and 97 biases at one channel, kernels 9, 1 and 5.

    Args:
        channels: channels of the images.
        num_classes: channels of the answer.
        factor: how much longer its sides are.
        kernel_sizes: pixels of the kernels' sides, odd.
        widths: channels after the first and the second convolution.
        residual: whether the enlarged image is added to the answer.
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        factor: int,
        kernel_sizes: Sequence[int],
        widths: Sequence[int],
        residual: bool,
    ) -> None:
        super().__init__()
        self.factor, self.residual = factor, residual
        first, second, third = kernel_sizes
        self.patches = _convolution(channels, widths[0], first)
        self.mapping = _convolution(widths[0], widths[1], second)
        self.reconstruction = _convolution(widths[1], num_classes, third)
        self.relu = nn.ReLU(inplace=True)
        for layer in (self.patches, self.mapping, self.reconstruction):
            nn.init.normal_(layer.weight, std=0.001)  # section 3.2
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, num_classes, factor H, factor W)."""
        x = enlarged(x, self.factor)
        out: Tensor = self.reconstruction(self.relu(self.mapping(self.relu(self.patches(x)))))
        return x + out if self.residual else out


class ResidualBlock(nn.Module):
    """3x3, ReLU, 3x3 and the block's input added (Lim et al., figure 2c).

    Args:
        width: channels of input and output.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = _convolution(width, width, 3)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = _convolution(width, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        out: Tensor = x + self.conv2(self.relu(self.conv1(x)))
        return out


class ESPCN(nn.Module):
    """Convolutions at the size of the small image, and a last one whose channels are the pixels of the large one.

    Args:
        channels: channels of the images.
        num_classes: channels of the answer.
        factor: how much longer its sides are.
        kernel_sizes: pixels of the kernels' sides, odd.
        widths: channels after the first and the second convolution.
        activation: makes what follows the first and the second.
        depth: residual blocks between those two.
        residual: whether the image, enlarged bicubically, is added to the answer.
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        factor: int,
        kernel_sizes: Sequence[int],
        widths: Sequence[int],
        activation: Callable[[], nn.Module],
        depth: int,
        residual: bool,
    ) -> None:
        super().__init__()
        self.factor, self.residual = factor, residual
        first, second, third = kernel_sizes
        self.features = nn.Sequential(
            _convolution(channels, widths[0], first),
            activation(),
            *(ResidualBlock(widths[0]) for _ in range(depth)),
            _convolution(widths[0], widths[1], second),
            activation(),
        )
        self.pixels = _convolution(widths[1], num_classes * factor**2, third)
        self.shuffle = nn.PixelShuffle(factor)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, num_classes, factor H, factor W)."""
        out: Tensor = self.shuffle(self.pixels(self.features(x)))
        return enlarged(x, self.factor) + out if self.residual else out


def _check(
    name: str, channels: int, num_classes: int, kernel_sizes: Sequence[int], widths: Sequence[int], residual: bool
) -> None:
    """Three odd kernels, two widths, and an answer that the input can be added to.

    Raises:
        CouloirError: it is otherwise.
    """
    if len(kernel_sizes) != 3 or any(size % 2 == 0 for size in kernel_sizes):
        raise CouloirError(
            f"model={name} has three convolutions with odd kernels.",
            place=f"model.kernel_sizes={list(kernel_sizes)}",
            next_step="model.kernel_sizes=[9,5,5]",
        )
    if len(widths) != 2:
        raise CouloirError(
            f"model={name} has two hidden maps.", place=f"model.widths={list(widths)}", next_step="model.widths=[64,32]"
        )
    if residual and channels != num_classes:
        raise CouloirError(
            f"model.residual=true adds the image to the answer; the image has {channels} channels, the answer "
            f"{num_classes}.",
            next_step="model.residual=false",
        )


@loads_weights
def srcnn(
    channels: int,
    image_size: ImageSize,
    num_classes: int,
    factor: int,
    kernel_sizes: Sequence[int] = (9, 1, 5),
    widths: Sequence[int] = (64, 32),
    residual: bool = False,
) -> SRCNN:
    """Dong et al.

    Raises:
        CouloirError: the keys do not fit together.
    """
    _check("srcnn", channels, num_classes, kernel_sizes, widths, residual)
    return SRCNN(channels, num_classes, factor, kernel_sizes, widths, residual)


@loads_weights
def espcn(
    channels: int,
    image_size: ImageSize,
    num_classes: int,
    factor: int,
    kernel_sizes: Sequence[int] = (5, 3, 3),
    widths: Sequence[int] = (64, 32),
    activation: str = "tanh",
    depth: int = 0,
    residual: bool = False,
    slope: float | None = None,
    alpha: float | None = None,
) -> ESPCN:
    """Shi et al.

    Raises:
        CouloirError: the keys do not fit together.
    """
    _check("espcn", channels, num_classes, kernel_sizes, widths, residual)
    layer_of = partial(make_activation, activation, slope, alpha)
    return ESPCN(channels, num_classes, factor, kernel_sizes, widths, layer_of, depth, residual)
