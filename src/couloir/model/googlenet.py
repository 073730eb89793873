"""GoogLeNet: the table of 2015, and the form with batch normalisation that public checkpoints have.

Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke and Rabinovich, 2015, Going Deeper with Convolutions,
table 1:

| type | output | 1x1 | 3x3 reduce | 3x3 | 5x5 reduce | 5x5 | pool proj |
|---|---|---|---|---|---|---|---|
| convolution 7x7/2 | 112, 64 | | | | | | |
| max pool 3x3/2 | 56, 64 | | | | | | |
| convolution 3x3/1 | 56, 192 | | 64 | 192 | | | |
| max pool 3x3/2 | 28, 192 | | | | | | |
| inception 3a | 28, 256 | 64 | 96 | 128 | 16 | 32 | 32 |
| inception 3b | 28, 480 | 128 | 128 | 192 | 32 | 96 | 64 |
| max pool 3x3/2 | 14, 480 | | | | | | |
| inception 4a | 14, 512 | 192 | 96 | 208 | 16 | 48 | 64 |
| inception 4b | 14, 512 | 160 | 112 | 224 | 24 | 64 | 64 |
| inception 4c | 14, 512 | 128 | 128 | 256 | 24 | 64 | 64 |
| inception 4d | 14, 528 | 112 | 144 | 288 | 32 | 64 | 64 |
| inception 4e | 14, 832 | 256 | 160 | 320 | 32 | 128 | 128 |
| max pool 3x3/2 | 7, 832 | | | | | | |
| inception 5a | 7, 832 | 256 | 160 | 320 | 32 | 128 | 128 |
| inception 5b | 7, 1024 | 384 | 192 | 384 | 48 | 128 | 128 |
| average pool, dropout 40%, linear | 1, 1000 | | | | | | |

Local response normalisation stands after the first pooling and before the second (figure 3), with AlexNet's constants.
In training, two auxiliary classifiers look at 4a and 4d; their losses count 0.3 each.

The form with batch normalisation has 3x3 convolutions where the table says 5x5, no local response normalisation,
dropout 20%, and torchvision's names.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from couloir.config.image_size import ImageSize
from couloir.config.weights import MEAN, STD
from couloir.errors import CouloirError
from couloir.model.normalisation import local_response_norm
from couloir.model.weights import loads_weights

TABLE = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
"""#1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj."""

MakeConvolution = Callable[..., nn.Sequential]
Outputs = Tensor | tuple[Tensor, Tensor, Tensor]


class NormalisedConvolution(nn.Sequential):
    """Convolution, batch normalisation, ReLU."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__()
        self.add_module("conv", nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=False))
        self.add_module("bn", nn.BatchNorm2d(out_channels, eps=0.001))
        self.add_module("relu", nn.ReLU(inplace=True))


class PlainConvolution(nn.Sequential):
    """Convolution and ReLU."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__()
        self.add_module("conv", nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding))
        self.add_module("relu", nn.ReLU(inplace=True))


class Inception(nn.Module):
    """Four branches side by side (figure 2b).

    Args:
        in_channels: channels of the input.
        widths: a row of the table.
        convolution: makes a convolution with what follows it.
        large: pixels of the kernels of the third branch's second layer, 5 in the paper.
    """

    def __init__(self, in_channels: int, widths: tuple[int, ...], convolution: MakeConvolution, large: int) -> None:
        super().__init__()
        one, three_reduce, three, five_reduce, five, pool = widths
        self.branch1 = convolution(in_channels, one, 1)
        self.branch2 = nn.Sequential(
            convolution(in_channels, three_reduce, 1), convolution(three_reduce, three, 3, padding=1)
        )
        self.branch3 = nn.Sequential(
            convolution(in_channels, five_reduce, 1), convolution(five_reduce, five, large, padding=large // 2)
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1, ceil_mode=True), convolution(in_channels, pool, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, sum of the branches' channels, H, W)."""
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], dim=1)


class Auxiliary(nn.Module):
    """5x5 average pooling of stride 3, 1x1 convolution to 128, 1024 units, dropout, linear (section 5).

    Args:
        in_channels: channels of the input.
        num_classes: classes.
        convolution: makes a convolution with what follows it.
        dropout: share of the units dropped in training.
        to_four: pool to 4x4 windows of equal share, as the public checkpoints do, in place of 5x5 of stride 3.
    """

    def __init__(
        self, in_channels: int, num_classes: int, convolution: MakeConvolution, dropout: float, to_four: bool
    ) -> None:
        super().__init__()
        self.to_four = to_four
        self.conv = convolution(in_channels, 128, 1)
        self.fc1 = nn.Linear(128 * 4 * 4, 1024)
        self.fc2 = nn.Linear(1024, num_classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, num_classes); 14x14 gives the paper's 4x4, other maps are pooled to it."""
        if not self.to_four and min(x.shape[2:]) >= 5:
            x = F.avg_pool2d(x, 5, stride=3)
        x = torch.flatten(self.conv(F.adaptive_avg_pool2d(x, 4)), 1)
        logits: Tensor = self.fc2(self.dropout(F.relu(self.fc1(x))))
        return logits


class GoogLeNet(nn.Module):
    """The table, with or without batch normalisation; the last map is averaged whatever the size of the images.

    In training mode it returns the logits and those of the two auxiliary classifiers, if it has them.

    Args:
        channels: channels of the images.
        num_classes: classes, or outputs of a regression.
        batch_norm: the form of the public checkpoints.
        aux_logits: two auxiliary classifiers in training.
        dropout: share of the last features dropped in training.
        aux_dropout: the same in the auxiliary classifiers.
        transform_input: take images standardised with ImageNet's statistics, for weights that were trained on [-1, 1].
    """

    auxiliary = ("aux1", "aux2")
    auxiliary_weight = 0.3
    inception3a: Inception
    inception3b: Inception
    inception4a: Inception
    inception4b: Inception
    inception4c: Inception
    inception4d: Inception
    inception4e: Inception
    inception5a: Inception
    inception5b: Inception

    def __init__(
        self,
        channels: int,
        num_classes: int,
        batch_norm: bool,
        aux_logits: bool,
        dropout: float,
        aux_dropout: float,
        transform_input: bool = False,
    ) -> None:
        super().__init__()
        convolution = NormalisedConvolution if batch_norm else PlainConvolution
        large = 3 if batch_norm else 5
        if transform_input:
            check_colour(channels)
        self.transform_input = transform_input
        self.conv1 = convolution(channels, 64, 7, stride=2, padding=3)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.norm1 = nn.Identity() if batch_norm else local_response_norm()
        self.conv2 = convolution(64, 64, 1)
        self.conv3 = convolution(64, 192, 3, padding=1)
        self.norm2 = nn.Identity() if batch_norm else local_response_norm()
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        width = 192
        for name, widths in TABLE.items():
            setattr(self, f"inception{name}", Inception(width, widths, convolution, large))
            width = widths[0] + widths[2] + widths[4] + widths[5]
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.maxpool4 = nn.MaxPool2d(2 if batch_norm else 3, stride=2, ceil_mode=True)
        self.aux1 = Auxiliary(512, num_classes, convolution, aux_dropout, batch_norm) if aux_logits else None
        self.aux2 = Auxiliary(528, num_classes, convolution, aux_dropout, batch_norm) if aux_logits else None
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(width, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.01 if batch_norm else _glorot(module), a=-2.0, b=2.0)

    def forward(self, x: Tensor) -> Outputs:
        """(B, C, S, S) -> (B, num_classes), and in training those of aux1 and aux2."""
        x = on_unit_scale(x) if self.transform_input else x
        x = self.norm1(self.maxpool1(self.conv1(x)))
        x = self.maxpool2(self.norm2(self.conv3(self.conv2(x))))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        x = early = self.inception4a(x)
        x = late = self.inception4d(self.inception4c(self.inception4b(x)))
        x = self.inception5b(self.inception5a(self.maxpool4(self.inception4e(x))))
        logits: Tensor = self.fc(self.dropout(self.flatten(self.avgpool(x))))
        if self.aux1 is None or self.aux2 is None or not self.training:
            return logits
        return logits, self.aux1(early), self.aux2(late)


def _glorot(layer: nn.Conv2d | nn.Linear) -> float:
    """Without normalisation signals must keep their size by the weights alone: the deviation of Glorot and Bengio."""
    fans = layer.weight.shape[0] + layer.weight.shape[1]
    return float((2 / (fans * layer.weight[0][0].numel())) ** 0.5)


def check_colour(channels: int) -> None:
    """Three statistics are of red, green and blue.

    Raises:
        CouloirError: the images have other channels.
    """
    if channels != 3:
        raise CouloirError(
            f"model.transform_input=true goes by the statistics of colour images; the images have {channels} channels.",
            next_step="leave model.transform_input out",
        )


def on_unit_scale(x: Tensor) -> Tensor:
    """Images standardised with ImageNet's statistics, (B, 3, H, W), as their pixels in [-1, 1]."""
    mean = torch.tensor(MEAN, dtype=x.dtype, device=x.device).view(3, 1, 1)
    std = torch.tensor(STD, dtype=x.dtype, device=x.device).view(3, 1, 1)
    return (x * std + mean) * 2 - 1


@loads_weights
def googlenet(
    channels: int,
    image_size: ImageSize,
    num_classes: int,
    aux_logits: bool = True,
    dropout: float = 0.4,
    aux_dropout: float = 0.7,
) -> GoogLeNet:
    """The paper's table."""
    return GoogLeNet(channels, num_classes, False, aux_logits, dropout, aux_dropout)


@loads_weights
def googlenet_bn(
    channels: int,
    image_size: ImageSize,
    num_classes: int,
    aux_logits: bool = True,
    dropout: float = 0.2,
    aux_dropout: float = 0.7,
    transform_input: bool = False,
) -> GoogLeNet:
    """With batch normalisation: 6,624,904 parameters without and 13,004,888 with the auxiliary classifiers."""
    return GoogLeNet(channels, num_classes, True, aux_logits, dropout, aux_dropout, transform_input)
