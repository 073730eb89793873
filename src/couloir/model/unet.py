"""U-Net: down to small maps with many channels, up again, and on each level the maps of the way down beside them.

Ronneberger, Fischer and Brox, 2015, U-Net: Convolutional Networks for Biomedical Image Segmentation, figure 1 (pixels
without padding, at 572x572):

| level | down: two 3x3 convolutions | after them | up: 2x2 up-convolution, two 3x3 convolutions | after them |
|---|---|---|---|---|
| 1 | 64 64 | 568 | 64 64, and 1x1 to the classes | 388 |
| 2 | 128 128 | 280 | 128 128 | 196 |
| 3 | 256 256 | 136 | 256 256 | 100 |
| 4 | 512 512 | 64 | 512 512 | 52 |
| 5 | 1024 1024 | 28 | | |

2x2 maximum pooling stands between the levels, ReLU behind each 3x3 convolution. On the way up, the middle of the map
that the way down had on this level is put beside the enlarged one. With one channel and two classes it has 31,030,658
parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from couloir.config.image_size import ImageSize
from couloir.config.slopes import check_slopes
from couloir.config.unpadded import at_least, check_sides
from couloir.model.activation import activation as activation_layer
from couloir.model.upsampling import PoolWithPlaces, Unpool, convolutions, cropped, enlarging, padded
from couloir.model.weights import loads_weights


class Up(nn.Module):
    """A map of half the channels and twice the size.

    A transposed convolution does both at once. Before the other ways a 1x1 convolution halves the channels. Behind
    nearest and bilinear it would give the same at four times the cost; unpooling has places for half of the channels.

    Args:
        channels: of the input.
        upsampling: `transposed`, `bilinear`, `nearest` or `unpooling`.
    """

    def __init__(self, channels: int, upsampling: str) -> None:
        super().__init__()
        half = channels // 2
        self.enlarge: nn.Module | None = None
        if upsampling == "transposed":
            self.halve: nn.Module = enlarging(channels, half, 2, 2)
            return
        self.halve = nn.Conv2d(channels, half, 1)
        if upsampling == "unpooling":
            self.enlarge = Unpool()
        else:
            self.enlarge = nn.Upsample(
                scale_factor=2, mode=upsampling, align_corners=False if upsampling == "bilinear" else None
            )

    def forward(self, x: Tensor, places: Tensor | None) -> Tensor:
        """(B, C, h, w), and where it unpools the places (B, C/2, h or more, w or more) -> (B, C/2, 2h, 2w)."""
        x = self.halve(x)
        if self.enlarge is None:
            return x
        enlarged: Tensor = self.enlarge(x) if places is None else self.enlarge(x, cropped(places, *x.shape[2:]))
        return enlarged


class UNet(nn.Module):
    """The figure, for any number of levels and channels, with or without padding.

    With padding images of any size pass: zeros are added below and to the right, and cut off again. Without it the
    output is the middle of the image, 92 pixels smaller on each side at depth 4; an image that cannot be halved at each
    level is continued by its last row and column.

    Args:
        channels: channels of the images.
        num_classes: maps of the output.
        depth: levels below the first; poolings.
        width: channels of the first level, twice as many on each level below.
        padding: `none` or `same`.
        batch_norm: normalise before each activation.
        dropout: share of the lowest level's units dropped in training, at the end of the way down (section 3.1).
        activation: makes one.
        upsampling: `transposed`, `bilinear`, `nearest` or `unpooling`.
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        depth: int,
        width: int,
        padding: str,
        batch_norm: bool,
        dropout: float,
        activation: Callable[[], nn.Module],
        upsampling: str,
    ) -> None:
        super().__init__()
        self.depth, self.pads = depth, padding == "same"
        self.shrinks = not self.pads
        widths = [width * 2**level for level in range(depth + 1)]

        def level(in_channels: int, out_channels: int) -> nn.Sequential:
            return nn.Sequential(*convolutions(in_channels, out_channels, 2, int(self.pads), batch_norm, activation))

        self.down = nn.ModuleList(level(*pair) for pair in zip([channels, *widths], widths, strict=False))
        self.pool = PoolWithPlaces() if upsampling == "unpooling" else nn.MaxPool2d(2)
        self.dropout = nn.Dropout(dropout)
        self.up = nn.ModuleList(Up(wide, upsampling) for wide in widths[:0:-1])
        self.merge = nn.ModuleList(level(wide, wide // 2) for wide in widths[:0:-1])
        self.score = nn.Conv2d(width, num_classes, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                _begin(module)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, num_classes, H, W), or without padding (B, num_classes, H - 2m, W - 2m)."""
        height, width = x.shape[2:]
        x = padded(x, 2**self.depth) if self.pads else self._continued(x)
        lost = 0 if self.pads else 12 * 2**self.depth - 8
        beside: list[tuple[Tensor, Tensor | None]] = []
        for level in self.down[:-1]:
            x = full = level(x)
            x, places = self.pool(x) if isinstance(self.pool, PoolWithPlaces) else (self.pool(x), None)
            beside.append((full, places))
        x = self.dropout(self.down[-1](x))
        for up, merge in zip(self.up, self.merge, strict=True):
            full, places = beside.pop()
            x = up(x, places)
            x = merge(torch.cat([cropped(full, *x.shape[2:]), x], dim=1))
        scores: Tensor = self.score(x)
        return scores[:, :, : height - lost, : width - lost]

    def _continued(self, x: Tensor) -> Tensor:
        """Images of the next size that can be halved at each level."""
        height, width = x.shape[2:]
        below, right = at_least(height, self.depth) - height, at_least(width, self.depth) - width
        return F.pad(x, (0, right, 0, below), mode="replicate") if below or right else x


def _begin(layer: nn.Conv2d | nn.ConvTranspose2d) -> None:
    """Weights from N(0, 2/N), N the inputs of one unit (section 3), biases at zero.

    A unit of a 2x2 transposed convolution of stride 2 sees one pixel of each channel.
    """
    inputs = layer.in_channels * (1 if isinstance(layer, nn.ConvTranspose2d) else math.prod(layer.kernel_size))
    nn.init.normal_(layer.weight, std=math.sqrt(2 / inputs))
    assert layer.bias is not None, "all convolutions of the figure have biases"
    nn.init.zeros_(layer.bias)


@loads_weights
def unet(
    channels: int,
    image_size: ImageSize,
    num_classes: int,
    depth: int = 4,
    width: int = 64,
    padding: str = "same",
    batch_norm: bool = False,
    dropout: float = 0.5,
    activation: str = "relu",
    upsampling: str = "transposed",
    slope: float | None = None,
    alpha: float | None = None,
) -> UNet:
    """The figure, by keys.

    Raises:
        CouloirError: without padding, images of this size cannot be halved at each level; or the activation has no
            such slope.
    """
    if padding == "none":
        check_sides(image_size, depth)
    check_slopes(activation, slope, alpha)

    def layer() -> nn.Module:
        return nn.ReLU(inplace=True) if activation == "relu" else activation_layer(activation, slope, alpha)

    return UNet(channels, num_classes, depth, width, padding, batch_norm, dropout, layer, upsampling)
