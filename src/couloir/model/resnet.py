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

`Backbone` is such a network without its last two rows, for networks whose output is an image: it may keep the maps of
its last stages as large as they are, by dilation instead of stride (Chen et al., 2017, Rethinking Atrous Convolution
for Semantic Image Segmentation, section 3.1).

Parameters have torchvision's names, so that its checkpoints fit. As there, a bottleneck halves its map in the 3x3
convolution (known as v1.5); in the paper the first 1x1 does so, which has as many parameters and fewer multiply-adds
(ResNet-50: 3.9 G in place of 4.1 G).
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from couloir.config.image_size import ImageSize
from couloir.model.shortcut import check_plain, shortcut
from couloir.model.stage import Stage
from couloir.model.start import he_normal_by_fan_out
from couloir.model.weights import loads_weights


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and the shortcut (figure 5, left).

    Args:
        in_channels: channels of the input.
        width: channels of the block's convolutions.
        stride: 2 halves the map.
        option: the shortcut where shapes differ, `A` or `B`.
        dilation: distance of the elements of the 3x3 kernels.
    """

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int, option: str = "B", dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, dilation, dilation, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, 1, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = shortcut(in_channels, width, stride, option)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, width, H / stride, W / stride)."""
        identity = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        out: Tensor = self.relu(x + identity)
        return out


class Bottleneck(nn.Module):
    """1x1 down, 3x3, 1x1 up to four times the width, and the shortcut (figure 5, right).

    Args:
        in_channels: channels of the input.
        width: channels of the 3x3 convolution.
        stride: 2 halves the map.
        option: the shortcut where shapes differ, `A` or `B`.
        dilation: distance of the elements of the 3x3 kernel.
    """

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int, option: str = "B", dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(in_channels, width * self.expansion, stride, option)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, 4 width, H / stride, W / stride)."""
        identity = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        out: Tensor = self.relu(x + identity)
        return out


class Stages(nn.Module):
    """The table without its last row: the first convolution, and four stages of blocks of one kind.

    Args:
        block: `BasicBlock` or `Bottleneck`.
        depths: blocks of the four stages.
        channels: channels of the images.
        stem: `imagenet` (7x7 stride 2, maximum pooling) or `cifar` (3x3 stride 1, for images of about 32 pixels).
        shortcut: where shapes differ, `A` pads with zeros, `B` projects (section 3.3); `none`: there are no shortcuts.
        gradient_checkpointing: keep the blocks' inputs only, and run the blocks twice.
        dilated: of the second, third and fourth stage, which keep the size of their map. The kernels of what follows
            look twice as far then, all but the stage's first, as torchvision has it.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        depths: tuple[int, int, int, int],
        channels: int,
        stem: str = "imagenet",
        shortcut: str = "B",
        gradient_checkpointing: bool = False,
        dilated: tuple[bool, bool, bool] = (False, False, False),
    ) -> None:
        super().__init__()
        if stem == "imagenet":
            self.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
        else:
            self.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if stem == "imagenet" else nn.Identity()
        dilation = 1

        def stage(in_channels: int, width: int, depth: int, stride: int, keeps: bool = False) -> Stage:
            nonlocal dilation
            before = dilation
            if keeps:
                dilation, stride = dilation * stride, 1
            first = block(in_channels, width, stride, shortcut, before)
            rest = [block(width * block.expansion, width, 1, shortcut, dilation) for _ in range(depth - 1)]
            return Stage(first, *rest, gradient_checkpointing=gradient_checkpointing)

        self.layer1 = stage(64, 64, depths[0], stride=1)
        self.layer2 = stage(64 * block.expansion, 128, depths[1], 2, dilated[0])
        self.layer3 = stage(128 * block.expansion, 256, depths[2], 2, dilated[1])
        self.layer4 = stage(256 * block.expansion, 512, depths[3], 2, dilated[2])

    def maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) -> the maps of the third and of the fourth stage."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        third = self.layer3(self.layer2(self.layer1(x)))
        return third, self.layer4(third)


class ResNet(Stages):
    """A residual network over blocks of one kind.

    Args:
        block: `BasicBlock` or `Bottleneck`.
        depths: blocks of the four stages.
        channels: channels of the images.
        image_size: pixels of a side, or `[height, width]`; any is taken, the head pools to one pixel.
        num_classes: classes, or outputs of a regression.
        stem: `imagenet` (7x7 stride 2, maximum pooling) or `cifar` (3x3 stride 1, for images of about 32 pixels).
        shortcut: where shapes differ, `A` pads with zeros, `B` projects (section 3.3); `none`: there are no shortcuts.
        zero_init_residual: start each block as the identity, its last scale at zero (Goyal et al., 2017, section 5.1).
        gradient_checkpointing: keep the blocks' inputs only, and run the blocks twice.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        depths: tuple[int, int, int, int],
        channels: int,
        image_size: ImageSize,
        num_classes: int,
        stem: str = "imagenet",
        shortcut: str = "B",
        zero_init_residual: bool = False,
        gradient_checkpointing: bool = False,
    ) -> None:
        check_plain(shortcut, "zero_init_residual", zero_init_residual)
        super().__init__(block, depths, channels, stem, shortcut, gradient_checkpointing)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(512 * block.expansion, num_classes)
        he_normal_by_fan_out(self)
        if zero_init_residual:
            for module in self.modules():
                if isinstance(module, BasicBlock | Bottleneck):
                    nn.init.zeros_((module.bn2 if isinstance(module, BasicBlock) else module.bn3).weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) -> (B, num_classes)."""
        logits: Tensor = self.fc(self.flatten(self.avgpool(self.maps(x)[1])))
        return logits


class Backbone(Stages):
    """The stages alone, for networks that have a head of their own."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) -> the maps of the third and of the fourth stage."""
        return self.maps(x)


def _named(block: type[BasicBlock] | type[Bottleneck], depths: tuple[int, int, int, int]) -> Callable[..., ResNet]:
    """The constructor of one column of the table."""

    def build(
        channels: int,
        image_size: ImageSize,
        num_classes: int,
        stem: str = "imagenet",
        shortcut: str = "B",
        zero_init_residual: bool = False,
        gradient_checkpointing: bool = False,
    ) -> ResNet:
        keys = (stem, shortcut, zero_init_residual, gradient_checkpointing)
        return ResNet(block, depths, channels, image_size, num_classes, *keys)

    return loads_weights(build)


resnet18 = _named(BasicBlock, (2, 2, 2, 2))
resnet34 = _named(BasicBlock, (3, 4, 6, 3))
resnet50 = _named(Bottleneck, (3, 4, 6, 3))
resnet101 = _named(Bottleneck, (3, 4, 23, 3))
resnet152 = _named(Bottleneck, (3, 8, 36, 3))
