"""MobileNets: depthwise separable convolutions, and then inverted residuals with linear bottlenecks.

Howard et al., 2017, MobileNets, table 1 (a row is a depthwise 3x3 and a 1x1 convolution, each with batch normalisation
and ReLU; before them 32 kernels 3x3 of stride 2; after them average pooling and one fully-connected layer):

| channels | 64 | 128 | 128 | 256 | 256 | 512 | 512 x 5 | 1024 | 1024 |
|---|---|---|---|---|---|---|---|---|---|
| stride | 1 | 2 | 1 | 2 | 1 | 2 | 1 | 2 | 1 |

Sandler et al., 2018, MobileNetV2, table 2:

| expansion t | channels c | repeats n | stride s |
|---|---|---|---|
| 1 | 16 | 1 | 1 |
| 6 | 24 | 2 | 2 |
| 6 | 32 | 3 | 2 |
| 6 | 64 | 4 | 2 |
| 6 | 96 | 3 | 1 |
| 6 | 160 | 3 | 2 |
| 6 | 320 | 1 | 1 |

Parameters of the second have torchvision's names. The table of the first has stride 2 in its last row, on a map that
stays 7x7: a misprint.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from couloir.config.image_size import ImageSize
from couloir.model.start import he_normal_by_fan_out
from couloir.model.weights import loads_weights

V1 = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
V2 = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]


def convolution(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1, bounded: bool = False
) -> nn.Sequential:
    """Convolution, batch normalisation, and ReLU, cut off at six where `bounded`."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU6(inplace=True) if bounded else nn.ReLU(inplace=True),
    )


@loads_weights
def mobilenet(
    channels: int, image_size: ImageSize, num_classes: int, width: float = 1.0, dropout: float = 0.001
) -> nn.Sequential:
    """The first MobileNet: 4,231,976 parameters at three channels, a thousand classes and width 1.

    Args:
        channels: channels of the images.
        image_size: pixels of a side, or `[height, width]`; smaller ones are the paper's resolution multiplier.
        num_classes: classes, or outputs of a regression.
        width: the paper's alpha, which multiplies the channels of every layer.
        dropout: share of the last features dropped in training.
    """
    before = int(32 * width)
    layers: list[nn.Module] = [convolution(channels, before, 3, stride=2)]
    for full, stride in V1:
        after = int(full * width)
        layers += [convolution(before, before, 3, stride, groups=before), convolution(before, after, 1)]
        before = after
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(before, num_classes)]
    net = nn.Sequential(*layers, *head)
    he_normal_by_fan_out(net)
    return net


class InvertedResidual(nn.Module):
    """1x1 up, depthwise 3x3, 1x1 down without an activation, and a shortcut where the shapes agree (figure 3b).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: 2 halves the map.
        expansion: how many times the input's channels there are in between.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.residual = stride == 1 and in_channels == out_channels
        up = [convolution(in_channels, hidden, 1, bounded=True)] if expansion != 1 else []
        self.conv = nn.Sequential(
            *up,
            convolution(hidden, hidden, 3, stride, groups=hidden, bounded=True),
            nn.Conv2d(hidden, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H / stride, W / stride)."""
        out: Tensor = x + self.conv(x) if self.residual else self.conv(x)
        return out


class MobileNetV2(nn.Module):
    """3,504,872 parameters at three channels, a thousand classes and width 1.

    Args:
        channels: channels of the images.
        image_size: pixels of a side, or `[height, width]`.
        num_classes: classes, or outputs of a regression.
        width: multiplies the channels of every layer, rounded to eights; the last 1280 only grow.
        dropout: share of the last features dropped in training.
    """

    def __init__(
        self, channels: int, image_size: ImageSize, num_classes: int, width: float = 1.0, dropout: float = 0.2
    ) -> None:
        super().__init__()
        before = in_eights(32 * width)
        layers: list[nn.Module] = [convolution(channels, before, 3, stride=2, bounded=True)]
        for expansion, full, repeats, first_stride in V2:
            after = in_eights(full * width)
            for number in range(repeats):
                layers.append(InvertedResidual(before, after, first_stride if number == 0 else 1, expansion))
                before = after
        last = in_eights(1280 * max(1.0, width))
        layers.append(convolution(before, last, 1, bounded=True))
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, num_classes))
        he_normal_by_fan_out(self, linear_deviation=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) -> (B, num_classes)."""
        features = torch.flatten(self.pool(self.features(x)), 1)
        logits: Tensor = self.classifier(features)
        return logits


def in_eights(value: float) -> int:
    """The nearest multiple of eight, at least eight, and not less than nine tenths of the value."""
    rounded = max(8, int(value + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * value else rounded


mobilenet_v2 = loads_weights(MobileNetV2)
