"""Residual networks.

He, Zhang, Ren and Sun, 2015, Deep Residual Learning for Image Recognition, table 1:

| stage | map | 18 | 34 | 50 | 101 | 152 |
|---|---|---|---|---|---|---|
| conv1 | 112 | 7x7, 64, stride 2; then 3x3 maximum pooling, stride 2 | | | | |
| layer1 | 56 | 2 x 64 | 3 x 64 | 3 x 256 | 3 x 256 | 3 x 256 |
| layer2 | 28 | 2 x 128 | 4 x 128 | 4 x 512 | 4 x 512 | 8 x 512 |
| layer3 | 14 | 2 x 256 | 6 x 256 | 6 x 1024 | 23 x 1024 | 36 x 1024 |
| layer4 | 7 | 2 x 512 | 3 x 512 | 3 x 2048 | 3 x 2048 | 3 x 2048 |
| fc | 1 | average pooling, fully connected | | | | |

Parameters have torchvision's names, so that its checkpoints fit. As there, a bottleneck halves its map in the 3x3
convolution (known as v1.5); in the paper the first 1x1 does so, which has as many parameters and fewer multiply-adds
(ResNet-50: 3.9 G in place of 4.1 G).
"""

from __future__ import annotations

import math

from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and the shortcut (figure 5, left).

    Args:
        in_channels: channels of the input.
        width: channels of the block's convolutions.
        stride: 2 halves the map.
    """

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _projection(in_channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, width, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        out: Tensor = self.relu(x + shortcut)
        return out


class Bottleneck(nn.Module):
    """1x1 down, 3x3, 1x1 up to four times the width, and the shortcut (figure 5, right).

    Args:
        in_channels: channels of the input.
        width: channels of the 3x3 convolution.
        stride: 2 halves the map.
    """

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _projection(in_channels, width * self.expansion, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, 4 width, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        out: Tensor = self.relu(x + shortcut)
        return out


def _projection(in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    """Shortcut option B (section 3.3): the identity where the shapes agree, a 1x1 convolution where they do not."""
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))


class ResNet(nn.Module):
    """A residual network over blocks of one kind.

    Args:
        block: `BasicBlock` or `Bottleneck`.
        depths: blocks of the four stages.
        channels: channels of the images.
        image_size: pixels of a side; any is taken, the head pools to one pixel.
        num_classes: classes, or outputs of a regression.
        stem: `imagenet` (7x7 stride 2, maximum pooling) or `cifar` (3x3 stride 1, for images of about 32 pixels).
        zero_init_residual: start each block as the identity, its last scale at zero (Goyal et al., 2017, section 5.1).
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        depths: tuple[int, int, int, int],
        channels: int,
        image_size: int,
        num_classes: int,
        stem: str = "imagenet",
        zero_init_residual: bool = False,
    ) -> None:
        super().__init__()
        if stem == "imagenet":
            self.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
        else:
            self.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if stem == "imagenet" else nn.Identity()
        self.layer1 = _stage(block, 64, 64, depths[0], stride=1)
        self.layer2 = _stage(block, 64 * block.expansion, 128, depths[1], stride=2)
        self.layer3 = _stage(block, 128 * block.expansion, 256, depths[2], stride=2)
        self.layer4 = _stage(block, 256 * block.expansion, 512, depths[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(512 * block.expansion, num_classes)
        self._initialise(zero_init_residual)

    def _initialise(self, zero_init_residual: bool) -> None:
        """He normal over the fan-out (He et al., 2015, Delving Deep into Rectifiers, equation 14)."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
                nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
            if zero_init_residual and isinstance(module, BasicBlock | Bottleneck):
                last = module.bn2 if isinstance(module, BasicBlock) else module.bn3
                nn.init.zeros_(last.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) -> (B, num_classes)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits: Tensor = self.fc(self.flatten(self.avgpool(x)))
        return logits


def _stage(
    block: type[BasicBlock] | type[Bottleneck], in_channels: int, width: int, depth: int, stride: int
) -> nn.Sequential:
    first = block(in_channels, width, stride)
    return nn.Sequential(first, *(block(width * block.expansion, width, 1) for _ in range(depth - 1)))


def resnet18(
    channels: int, image_size: int, num_classes: int, stem: str = "imagenet", zero_init_residual: bool = False
) -> ResNet:
    """ResNet-18: 11,689,512 parameters at three channels and a thousand classes."""
    return ResNet(BasicBlock, (2, 2, 2, 2), channels, image_size, num_classes, stem, zero_init_residual)


def resnet34(
    channels: int, image_size: int, num_classes: int, stem: str = "imagenet", zero_init_residual: bool = False
) -> ResNet:
    """ResNet-34: 21,797,672 parameters at three channels and a thousand classes."""
    return ResNet(BasicBlock, (3, 4, 6, 3), channels, image_size, num_classes, stem, zero_init_residual)


def resnet50(
    channels: int, image_size: int, num_classes: int, stem: str = "imagenet", zero_init_residual: bool = False
) -> ResNet:
    """ResNet-50: 25,557,032 parameters at three channels and a thousand classes."""
    return ResNet(Bottleneck, (3, 4, 6, 3), channels, image_size, num_classes, stem, zero_init_residual)


def resnet101(
    channels: int, image_size: int, num_classes: int, stem: str = "imagenet", zero_init_residual: bool = False
) -> ResNet:
    """ResNet-101: 44,549,160 parameters at three channels and a thousand classes."""
    return ResNet(Bottleneck, (3, 4, 23, 3), channels, image_size, num_classes, stem, zero_init_residual)


def resnet152(
    channels: int, image_size: int, num_classes: int, stem: str = "imagenet", zero_init_residual: bool = False
) -> ResNet:
    """ResNet-152: 60,192,808 parameters at three channels and a thousand classes."""
    return ResNet(Bottleneck, (3, 8, 36, 3), channels, image_size, num_classes, stem, zero_init_residual)
