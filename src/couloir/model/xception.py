"""Xception: an Inception module taken to its extreme, one spatial convolution for each channel.

Chollet, 2017, Xception: Deep Learning with Depthwise Separable Convolutions, figure 5:

| flow | what | output |
|---|---|---|
| entry | 3x3/2 32, 3x3 64 | 147 |
| | two separable 128, max pool 3x3/2; beside a 1x1/2 shortcut | 74 |
| | the same with 256, then with 728 | 37, then 19 |
| middle | three separable 728, beside the identity; eight times | 19 |
| exit | separable 728, separable 1024, max pool 3x3/2; beside a 1x1/2 shortcut | 10 |
| | separable 1536, separable 2048, average pool, linear | 1 |

Every convolution is followed by batch normalisation. A separable convolution is a depthwise 3x3 and a 1x1, with
nothing in between.
"""

from __future__ import annotations

from torch import Tensor, nn

from couloir.config.image_size import ImageSize
from couloir.model.stage import Stage
from couloir.model.start import he_normal_by_fan_out
from couloir.model.weights import loads_weights


class Separable(nn.Sequential):
    """Depthwise 3x3, 1x1, batch normalisation."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.add_module("depthwise", nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False))
        self.add_module("pointwise", nn.Conv2d(in_channels, out_channels, 1, bias=False))
        self.add_module("bn", nn.BatchNorm2d(out_channels))


class Block(nn.Module):
    """Separable convolutions, each after a ReLU, and a shortcut.

    Args:
        in_channels: channels of the input.
        widths: channels of the separable convolutions.
        pool: halve the map with 3x3 maximum pooling, and project the shortcut.
        first_relu: whether a ReLU comes first; what enters the first block is activated already.
    """

    def __init__(self, in_channels: int, widths: list[int], pool: bool, first_relu: bool = True) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = in_channels
        for number, width in enumerate(widths):
            layers += [nn.ReLU()] if number or first_relu else []
            layers.append(Separable(before, width))
            before = width
        layers += [nn.MaxPool2d(3, stride=2, padding=1)] if pool else []
        self.body = nn.Sequential(*layers)
        self.shortcut: nn.Module = nn.Identity()
        if pool:
            self.shortcut = nn.Sequential(nn.Conv2d(in_channels, before, 1, 2, bias=False), nn.BatchNorm2d(before))

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, last width, H, W), or half the map."""
        out: Tensor = self.body(x) + self.shortcut(x)
        return out


@loads_weights
def xception(
    channels: int,
    image_size: ImageSize,
    num_classes: int,
    dropout: float = 0.5,
    gradient_checkpointing: bool = False,
) -> nn.Sequential:
    """22,855,952 parameters at three channels and a thousand classes.

    Args:
        channels: channels of the images.
        image_size: pixels of a side, or `[height, width]`; the paper's is 299.
        num_classes: classes, or outputs of a regression.
        dropout: share of the last features dropped in training.
        gradient_checkpointing: keep the blocks' inputs only, and run the blocks twice.
    """
    stem = nn.Sequential(
        nn.Conv2d(channels, 32, 3, stride=2, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(inplace=True),
        nn.Conv2d(32, 64, 3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
    )
    blocks = [
        Block(64, [128, 128], pool=True, first_relu=False),
        Block(128, [256, 256], pool=True),
        Block(256, [728, 728], pool=True),
        *(Block(728, [728, 728, 728], pool=False) for _ in range(8)),
        Block(728, [728, 1024], pool=True),
    ]
    net = nn.Sequential(
        stem,
        Stage(*blocks, gradient_checkpointing=gradient_checkpointing),
        Separable(1024, 1536),
        nn.ReLU(inplace=True),
        Separable(1536, 2048),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(2048, num_classes),
    )
    he_normal_by_fan_out(net)
    return net
