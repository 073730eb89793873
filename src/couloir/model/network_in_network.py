"""Networks whose last layer is a convolution: Network in Network, alone and deeply supervised, and All-CNN.

Lin, Chen and Yan, 2014, Network in Network, section 4 (three stages of a convolution and two 1x1, a map a class,
averaged):

| stage | layers | then |
|---|---|---|
| 1 | 5x5 192, 1x1 160, 1x1 96 | max pool 3x3/2, dropout 0.5 |
| 2 | 5x5 192, 1x1 192, 1x1 192 | average pool 3x3/2, dropout 0.5 |
| 3 | 3x3 192, 1x1 192, 1x1 classes | average pool |

Lee, Xie, Gallagher, Zhang and Tu, 2015, Deeply-Supervised Nets, section 3: in training a linear classifier looks at
the maps of each hidden stage behind its pooling, and its loss, the companion objective, is added (here on Network in
Network, as in their CIFAR experiments).

Springenberg, Dosovitskiy, Brox and Riedmiller, 2015, Striving for Simplicity, table 2, All-CNN-C (strides in place of
pooling):

| map | layers | then |
|---|---|---|
| 32 | dropout 0.2; 3x3 96, 3x3 96, 3x3/2 96 | dropout 0.5 |
| 16 | 3x3 192, 3x3 192, 3x3/2 192 | dropout 0.5 |
| 8 | 3x3 192 without padding, 1x1 192, 1x1 classes | average pool |
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from couloir.config.image_size import ImageSize, size_of
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


class DeeplySupervised(nn.Module):
    """Network in Network with a companion classifier on each of its two hidden stages.

    In training mode it returns the logits and those of the companions, which are there in training alone. The
    companions have the run's own loss. In the paper it is a squared hinge loss whose weight fades out; here the weight
    is fixed.

    Args:
        channels: channels of the images.
        image_size: pixels of a side, or `[height, width]`.
        num_classes: classes, or outputs of a regression.
        dropout: share of the maps dropped after the first and the second stage.
        companion_weight: what a companion's loss counts beside that of the output.
    """

    auxiliary = ("companion1", "companion2")

    def __init__(
        self,
        channels: int,
        image_size: ImageSize,
        num_classes: int,
        dropout: float = 0.5,
        companion_weight: float = 0.3,
    ) -> None:
        super().__init__()
        self.auxiliary_weight = companion_weight
        layers = list(network_in_network(channels, image_size, num_classes, dropout))
        self.stage1, self.stage2, self.stage3 = (nn.Sequential(*layers[a:b]) for a, b in ((0, 8), (8, 16), (16, None)))
        height, width = (_halved(side) for side in size_of(image_size))
        self.companion1 = nn.Linear(96 * height * width, num_classes)
        self.companion2 = nn.Linear(192 * _halved(height) * _halved(width), num_classes)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        """(B, C, H, W) -> (B, num_classes), and in training those of the companions; these take one size alone."""
        first = self.stage1(x)
        second = self.stage2(first)
        logits: Tensor = self.stage3(second)
        if not self.training:
            return logits
        return logits, self.companion1(torch.flatten(first, 1)), self.companion2(torch.flatten(second, 1))


def _halved(side: int) -> int:
    """Pixels behind a pooling of 3 with stride 2, whose last window may end outside."""
    return max(0, -((3 - side) // 2)) + 1


deeply_supervised = loads_weights(DeeplySupervised)


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
