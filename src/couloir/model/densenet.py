"""Densely connected networks: every layer sees the maps of all layers before it in its block.

Huang, Liu, van der Maaten and Weinberger, 2017, Densely Connected Convolutional Networks, table 1; 7x7 convolution of
stride
2 and 3x3 pooling before, average pooling and a fully-connected layer behind; between the blocks a 1x1 convolution and
2x2 average pooling:

| block | map | 121 | 169 | 201 | 264 | 161 |
|---|---|---|---|---|---|---|
| 1 | 56 | 6 | 6 | 6 | 6 | 6 |
| 2 | 28 | 12 | 12 | 12 | 12 | 12 |
| 3 | 14 | 24 | 32 | 48 | 64 | 36 |
| 4 | 7 | 16 | 32 | 32 | 48 | 24 |
| growth rate | | 32 | 32 | 32 | 32 | 48 |

For CIFAR (section 4.1) three blocks of equal length on maps of 32, 16 and 8, after a 3x3 convolution. A layer is
BN - ReLU - 3x3; with a bottleneck (B) BN - ReLU - 1x1 to four times the growth rate before it; compression (C) is the
share of the channels that a transition keeps. Parameters of the networks for ImageNet have torchvision's names.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

from couloir.config.image_size import ImageSize
from couloir.errors import CouloirError
from couloir.model.stage import recomputed
from couloir.model.start import he_normal_by_fan_out
from couloir.model.weights import loads_weights


class DenseLayer(nn.Module):
    """What adds `growth_rate` maps to those before it.

    Args:
        in_channels: channels of all maps before.
        growth_rate: channels that it adds.
        bottleneck: a 1x1 convolution to four times the growth rate comes first.
        dropout: share of the new maps dropped in training.
        memory_efficient: keep the input only, and compute the rest again when its gradient is due.
    """

    def __init__(
        self, in_channels: int, growth_rate: int, bottleneck: bool, dropout: float, memory_efficient: bool
    ) -> None:
        super().__init__()
        self.memory_efficient = memory_efficient
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            norm1=nn.BatchNorm2d(in_channels), relu1=nn.ReLU(inplace=True)
        )
        if bottleneck:
            layers["conv1"] = nn.Conv2d(in_channels, 4 * growth_rate, 1, bias=False)
            layers["norm2"] = nn.BatchNorm2d(4 * growth_rate)
            layers["relu2"] = nn.ReLU(inplace=True)
            layers["conv2"] = nn.Conv2d(4 * growth_rate, growth_rate, 3, padding=1, bias=False)
        else:
            layers["conv1"] = nn.Conv2d(in_channels, growth_rate, 3, padding=1, bias=False)
        layers["drop"] = nn.Dropout(dropout)
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, in_channels + growth_rate, H, W)."""
        again = self.memory_efficient and torch.is_grad_enabled()
        new = recomputed(self, self.new_maps, x) if again else self.new_maps(x)
        return torch.cat([x, new], dim=1)

    def new_maps(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, growth_rate, H, W)."""
        for step in self.children():
            x = step(x)
        return x


def transition(in_channels: int, out_channels: int) -> nn.Sequential:
    """BN - ReLU - 1x1 convolution - 2x2 average pooling."""
    return nn.Sequential(
        OrderedDict(
            norm=nn.BatchNorm2d(in_channels),
            relu=nn.ReLU(inplace=True),
            conv=nn.Conv2d(in_channels, out_channels, 1, bias=False),
            pool=nn.AvgPool2d(2),
        )
    )


class DenseNet(nn.Module):
    """Dense blocks with transitions between them; the head pools to one pixel.

    Args:
        depths: layers of each block.
        growth_rate: k, the channels that each layer adds.
        first_channels: channels of the first convolution.
        channels: channels of the images.
        num_classes: classes, or outputs of a regression.
        stem: `imagenet` (7x7 stride 2, maximum pooling) or `cifar` (3x3).
        bottleneck: DenseNet-B.
        compression: the share of the channels that a transition keeps; below 1, DenseNet-C.
        dropout: share of each layer's new maps dropped in training.
        memory_efficient: keep the layers' inputs only, and compute them twice.
    """

    def __init__(
        self,
        depths: list[int],
        growth_rate: int,
        first_channels: int,
        channels: int,
        num_classes: int,
        stem: str = "imagenet",
        bottleneck: bool = True,
        compression: float = 0.5,
        dropout: float = 0.0,
        memory_efficient: bool = False,
    ) -> None:
        super().__init__()
        features: OrderedDict[str, nn.Module] = OrderedDict()
        if stem == "imagenet":
            features["conv0"] = nn.Conv2d(channels, first_channels, 7, stride=2, padding=3, bias=False)
            features["norm0"] = nn.BatchNorm2d(first_channels)
            features["relu0"] = nn.ReLU(inplace=True)
            features["pool0"] = nn.MaxPool2d(3, stride=2, padding=1)
        else:
            features["conv0"] = nn.Conv2d(channels, first_channels, 3, padding=1, bias=False)
        width = first_channels
        for number, depth in enumerate(depths, 1):
            layers: OrderedDict[str, nn.Module] = OrderedDict()
            for position in range(1, depth + 1):
                layers[f"denselayer{position}"] = DenseLayer(width, growth_rate, bottleneck, dropout, memory_efficient)
                width += growth_rate
            features[f"denseblock{number}"] = nn.Sequential(layers)
            if number < len(depths):
                kept = max(1, int(width * compression))
                features[f"transition{number}"] = transition(width, kept)
                width = kept
        features[f"norm{len(depths) + 1}"] = nn.BatchNorm2d(width)
        features["relu"] = nn.ReLU(inplace=True)
        self.features = nn.Sequential(features)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(width, num_classes)
        he_normal_by_fan_out(self)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) -> (B, num_classes)."""
        logits: Tensor = self.classifier(self.flatten(self.pool(self.features(x))))
        return logits


def _named(depths: list[int], rate: int) -> Callable[..., DenseNet]:
    """The constructor of one column of the table."""

    def build(
        channels: int,
        image_size: ImageSize,
        num_classes: int,
        growth_rate: int = rate,
        bottleneck: bool = True,
        compression: float = 0.5,
        dropout: float = 0.0,
        memory_efficient: bool = False,
    ) -> DenseNet:
        keys = (bottleneck, compression, dropout, memory_efficient)
        return DenseNet(depths, growth_rate, 2 * growth_rate, channels, num_classes, "imagenet", *keys)

    return loads_weights(build)


densenet121 = _named([6, 12, 24, 16], 32)
densenet161 = _named([6, 12, 36, 24], 48)
densenet169 = _named([6, 12, 32, 32], 32)
densenet201 = _named([6, 12, 48, 32], 32)
densenet264 = _named([6, 12, 64, 48], 32)


@loads_weights
def densenet_cifar(
    channels: int,
    image_size: ImageSize,
    num_classes: int,
    depth: int = 40,
    growth_rate: int = 12,
    bottleneck: bool = False,
    compression: float = 1.0,
    dropout: float = 0.0,
    memory_efficient: bool = False,
) -> DenseNet:
    """DenseNet for small images: three blocks of (depth - 4) / 3 layers, half as many with bottlenecks.

    The first convolution has 16 channels, or twice the growth rate in DenseNet-BC (section 3).

    Raises:
        CouloirError: the depth does not divide into three equal blocks.
    """
    step = 6 if bottleneck else 3
    if depth < step + 4 or (depth - 4) % step:
        below = max(step + 4, depth - (depth - 4) % step)
        raise CouloirError(
            f"model.depth={depth} does not divide into three equal blocks: it is {step}n + 4"
            f"{' with bottlenecks' if bottleneck else ''}.",
            next_step=f"model.depth={below} or model.depth={below + step}",
        )
    first = 2 * growth_rate if bottleneck and compression < 1 else 16
    keys = (bottleneck, compression, dropout, memory_efficient)
    return DenseNet([(depth - 4) // step] * 3, growth_rate, first, channels, num_classes, "cifar", *keys)
