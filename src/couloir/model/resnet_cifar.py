"""The residual networks of the CIFAR experiments.

He, Zhang, Ren and Sun, 2015, Deep Residual Learning for Image Recognition, section 4.2: a 3x3 convolution, then 2n
layers in each of three stages, average pooling, and one fully-connected layer; 6n + 2 layers with weights.

| map | 32 | 16 | 8 |
|---|---|---|---|
| layers | 1 + 2n | 2n | 2n |
| channels | 16 | 32 | 64 |

| network | 20 | 32 | 44 | 56 | 110 | 1202 |
|---|---|---|---|---|---|---|
| n | 3 | 5 | 7 | 9 | 18 | 200 |
| parameters, ten classes | 0.27 M | 0.46 M | 0.66 M | 0.85 M | 1.7 M | 19.4 M |

Shortcuts are identities with zero padding (option A). `stochastic_depth` is Huang et al., 2016, Deep Networks with
Stochastic Depth: block l of L survives a step of training with the probability 1 - stochastic_depth l / L.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from couloir.config.image_size import ImageSize
from couloir.model.shortcut import check_plain
from couloir.model.shortcut import shortcut as make_shortcut
from couloir.model.shortcut import stochastic_depth as thinned
from couloir.model.stage import Stage
from couloir.model.start import he_normal_by_fan_out
from couloir.model.weights import loads_weights


class Block(nn.Module):
    """Two 3x3 convolutions and the shortcut.

    Args:
        in_channels: channels of the input.
        width: channels of the output.
        stride: 2 halves the map.
        option: the shortcut where shapes differ, `A` or `B`.
        survival: the probability that the convolutions count in a step of training.
    """

    def __init__(self, in_channels: int, width: int, stride: int, option: str, survival: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = make_shortcut(in_channels, width, stride, option)
        self.survival = survival

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, width, H / stride, W / stride)."""
        identity = x if self.downsample is None else self.downsample(x)
        residual = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out: Tensor = self.relu(identity + thinned(residual, self.survival, self.training))
        return out


class CifarResNet(nn.Module):
    """A residual network of 6n + 2 layers for small images; any size is taken, the head pools to one pixel.

    Args:
        n: blocks of each stage.
        channels: channels of the images.
        num_classes: classes, or outputs of a regression.
        shortcut: where shapes differ, `A` pads with zeros, `B` projects; `none`: there are no shortcuts.
        stochastic_depth: how often the last block is left out of a step of training.
        gradient_checkpointing: keep the blocks' inputs only, and run the blocks twice.
    """

    def __init__(
        self,
        n: int,
        channels: int,
        num_classes: int,
        shortcut: str = "A",
        stochastic_depth: float = 0.0,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        check_plain(shortcut, "stochastic_depth", stochastic_depth)
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU(inplace=True)
        stages, before = [], 16
        for number, width in enumerate((16, 32, 64)):
            blocks = []
            for position in range(n):
                survival = 1 - stochastic_depth * (number * n + position + 1) / (3 * n)
                stride = 2 if number > 0 and position == 0 else 1
                blocks.append(Block(before, width, stride, shortcut, survival))
                before = width
            stages.append(Stage(*blocks, gradient_checkpointing=gradient_checkpointing))
        self.layer1, self.layer2, self.layer3 = stages
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(64, num_classes)
        he_normal_by_fan_out(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) -> (B, num_classes)."""
        x = self.layer3(self.layer2(self.layer1(self.relu(self.bn1(self.conv1(x))))))
        logits: Tensor = self.fc(self.flatten(self.avgpool(x)))
        return logits


def _named(n: int) -> Callable[..., CifarResNet]:
    """The constructor of one column of the table."""

    def build(
        channels: int,
        image_size: ImageSize,
        num_classes: int,
        shortcut: str = "A",
        stochastic_depth: float = 0.0,
        gradient_checkpointing: bool = False,
    ) -> CifarResNet:
        return CifarResNet(n, channels, num_classes, shortcut, stochastic_depth, gradient_checkpointing)

    return loads_weights(build)


resnet20 = _named(3)
resnet32 = _named(5)
resnet44 = _named(7)
resnet56 = _named(9)
resnet110 = _named(18)
resnet1202 = _named(200)
