"""Networks whose last layer is a convolution: Network in Network, and the all-convolutional net.

Lin, Chen and Yan, 2014, Network in Network, section 4 (three stages of a convolution and two 1x1, a map a class,
averaged):

| stage | layers | then |
|---|---|---|
| 1 | 5x5 192, 1x1 160, 1x1 96 | max pool 3x3/2, dropout 0.5 |
| 2 | 5x5 192, 1x1 192, 1x1 192 | average pool 3x3/2, dropout 0.5 |
| 3 | 3x3 192, 1x1 192, 1x1 classes | average pool |

Springenberg, Dosovitskiy, Brox and Riedmiller, 2015, Striving for Simplicity, table 2, All-CNN-C (strides in place of
pooling):

| map | layers | then |
|---|---|---|
| 32 | dropout 0.2; 3x3 96, 3x3 96, 3x3/2 96 | dropout 0.5 |
| 16 | 3x3 192, 3x3 192, 3x3/2 192 | dropout 0.5 |
| 8 | 3x3 192 without padding, 1x1 192, 1x1 classes | average pool |
"""

from __future__ import annotations

from torch import nn

from couloir.config.image_size import ImageSize
from couloir.model.start import he_normal_by_fan_out
from couloir.model.weights import loads_weights


def _layer(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0) -> list[nn.Module]:
    return [nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding), nn.ReLU(inplace=True)]


@loads_weights
def network_in_network(channels: int, image_size: ImageSize, num_classes: int, dropout: float = 0.5) -> nn.Sequential:
    """966,986 parameters at three channels and ten classes; the last map is averaged whatever its size.

    Args:
        channels: channels of the images.
        image_size: pixels of a side, or `[height, width]`.
        num_classes: classes, or outputs of a regression.
        dropout: share of the maps dropped after the first and the second stage.
    """
    net = nn.Sequential(
        *_layer(channels, 192, 5, padding=2),
        *_layer(192, 160, 1),
        *_layer(160, 96, 1),
        nn.MaxPool2d(3, stride=2, ceil_mode=True),
        nn.Dropout(dropout),
        *_layer(96, 192, 5, padding=2),
        *_layer(192, 192, 1),
        *_layer(192, 192, 1),
        nn.AvgPool2d(3, stride=2, ceil_mode=True),
        nn.Dropout(dropout),
        *_layer(192, 192, 3, padding=1),
        *_layer(192, 192, 1),
        *_layer(192, num_classes, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    he_normal_by_fan_out(net)
    return net


@loads_weights
def all_cnn(
    channels: int, image_size: ImageSize, num_classes: int, input_dropout: float = 0.2, dropout: float = 0.5
) -> nn.Sequential:
    """All-CNN-C: 1,369,738 parameters at three channels and ten classes; the last map is averaged whatever its size.

    Args:
        channels: channels of the images.
        image_size: pixels of a side, or `[height, width]`.
        num_classes: classes, or outputs of a regression.
        input_dropout: share of the pixels dropped.
        dropout: share of the maps dropped after each convolution of stride 2.
    """
    net = nn.Sequential(
        nn.Dropout(input_dropout),
        *_layer(channels, 96, 3, padding=1),
        *_layer(96, 96, 3, padding=1),
        *_layer(96, 96, 3, stride=2, padding=1),
        nn.Dropout(dropout),
        *_layer(96, 192, 3, padding=1),
        *_layer(192, 192, 3, padding=1),
        *_layer(192, 192, 3, stride=2, padding=1),
        nn.Dropout(dropout),
        *_layer(192, 192, 3),
        *_layer(192, 192, 1),
        *_layer(192, num_classes, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    he_normal_by_fan_out(net)
    return net
