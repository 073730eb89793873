"""ResNet-9: nine layers that learn CIFAR-10 in a minute and a half of a GPU.

Page, 2018, How to Train Your ResNet (part 4: architecture): a straight network of four convolutions in which the two
that follow the first and the third pooling are residual.

| layer | what | map (32x32 images) |
|---|---|---|
| prep | convolution 3x3 | 64 x 32 x 32 |
| layer1 | convolution 3x3, pooling, two convolutions past which the signal also goes | 128 x 16 x 16 |
| layer2 | convolution 3x3, pooling | 256 x 8 x 8 |
| layer3 | as layer1 | 512 x 4 x 4 |
| output | maximum over the map, linear, times 0.125 | 10 |

Each convolution is followed by batch normalisation and ReLU.
"""

from __future__ import annotations

from torch import Tensor, nn

from couloir.config.image_size import ImageSize
from couloir.model.weights import loads_weights


def conv_bn(in_channels: int, out_channels: int, pool: bool = False) -> nn.Sequential:
    """A convolution 3x3 that keeps the map's size, batch normalisation, ReLU and, if asked for, pooling 2x2."""
    layers = [
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    ]
    return nn.Sequential(*layers, *([nn.MaxPool2d(2)] if pool else []))


class Residual(nn.Module):
    """x + two convolutions of x.

    Args:
        channels: channels of the map, before and behind.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = conv_bn(channels, channels)
        self.conv2 = conv_bn(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        y: Tensor = x + self.conv2(self.conv1(x))
        return y


class ResNet9(nn.Module):
    """6,573,120 parameters for three channels and ten classes.

    Args:
        channels: channels of the images.
        image_size: pixels of a side, or `[height, width]`, at least 8.
        num_classes: classes.
        width: channels of the first convolution; the others have two, four and eight times as many.
        output_scale: what the last layer's result is multiplied by, so that the softmax begins flat.
    """

    def __init__(
        self, channels: int, image_size: ImageSize, num_classes: int, width: int = 64, output_scale: float = 0.125
    ) -> None:
        super().__init__()
        self.output_scale = output_scale
        self.prep = conv_bn(channels, width)
        self.layer1 = nn.Sequential(conv_bn(width, 2 * width, pool=True), Residual(2 * width))
        self.layer2 = conv_bn(2 * width, 4 * width, pool=True)
        self.layer3 = nn.Sequential(conv_bn(4 * width, 8 * width, pool=True), Residual(8 * width))
        self.pool = nn.AdaptiveMaxPool2d(1)
        self.flatten = nn.Flatten()
        self.output_layer = nn.Linear(8 * width, num_classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) -> (B, num_classes)."""
        x = self.layer3(self.layer2(self.layer1(self.prep(x))))
        logits: Tensor = self.output_layer(self.flatten(self.pool(x))) * self.output_scale
        return logits


resnet9 = loads_weights(ResNet9)
