"""Inception v2 and v3: convolutions factorised into smaller and into asymmetric ones.

Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, 2016, Rethinking the Inception Architecture for Computer Vision, table 1,
in the form of the public checkpoints (torchvision's names):

| type | input |
|---|---|
| 3x3/2 32, 3x3 32, 3x3 64 padded | 299 |
| max pool 3x3/2 | 147 |
| 1x1 80, 3x3 192 | 73 |
| max pool 3x3/2 | 71 |
| 3 x modules of 5x5 and of two 3x3 (figure 5) | 35, 192 to 288 |
| reduction | 35 to 17, 768 |
| 4 x modules of 1x7 and 7x1 (figure 6), 128, 160, 160 and 192 channels within | 17, 768 |
| auxiliary classifier in training | 17, 768 |
| reduction | 17 to 8, 1280 |
| 2 x modules of 1x3 beside 3x1 (figure 7) | 8, 2048 |
| average pool, dropout, linear | 8, 1000 |

Version 2 is the paper's table 1 as it is printed; the widths within its modules, which the paper leaves to a file
beside it, are those of the public version 3:

| type | input |
|---|---|
| 3x3/2 32, 3x3 32, 3x3 64 padded | 299 |
| max pool 3x3/2 | 147 |
| 3x3 80, 3x3/2 192, 3x3 288 padded | 73 |
| 3 x figure 5, the third of them the reduction | 35, 288 |
| 5 x figure 6, the fifth of them the reduction | 17, 768 |
| 2 x figure 7 | 8, 1280 |
| average pool, dropout, linear | 8, 2048 |

The modules of figure 5 have no 5x5 at all, and the auxiliary classifier has no batch normalisation in front of its
output: that is what the paper's table 3 adds for version 3 (with RMSProp and smoothed labels).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from couloir.config.image_size import ImageSize
from couloir.model.googlenet import check_colour, on_unit_scale
from couloir.model.weights import loads_weights

Pair = tuple[int, int]


class Convolution(nn.Sequential):
    """Convolution without a bias, batch normalisation, ReLU; padded so that the map keeps its size unless told."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int = 1,
        padding: int | Pair | None = None,
        deviation: float = 0.1,
    ) -> None:
        super().__init__()
        sides = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
        padding = (sides[0] // 2, sides[1] // 2) if padding is None else padding
        conv = nn.Conv2d(in_channels, out_channels, sides, stride, padding, bias=False)
        nn.init.trunc_normal_(conv.weight, std=deviation, a=-2.0, b=2.0)
        self.add_module("conv", conv)
        self.add_module("bn", nn.BatchNorm2d(out_channels, eps=0.001))
        self.add_module("relu", nn.ReLU(inplace=True))


class ModuleA(nn.Module):
    """1x1; 5x5, or 3x3 as in the paper; two 3x3; pooling (figure 5):
    (B, in_channels, H, W) -> (B, 224 + pool_channels, H, W).
    """

    def __init__(self, in_channels: int, pool_channels: int, large: int = 5) -> None:
        super().__init__()
        self.mean = nn.AvgPool2d(3, stride=1, padding=1)
        self.branch1x1 = Convolution(in_channels, 64, 1)
        self.branch5x5_1 = Convolution(in_channels, 48, 1)
        self.branch5x5_2 = Convolution(48, 64, large)
        self.branch3x3dbl_1 = Convolution(in_channels, 64, 1)
        self.branch3x3dbl_2 = Convolution(64, 96, 3)
        self.branch3x3dbl_3 = Convolution(96, 96, 3)
        self.branch_pool = Convolution(in_channels, pool_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The four branches side by side."""
        five = self.branch5x5_2(self.branch5x5_1(x))
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), five, double, self.branch_pool(self.mean(x))], dim=1)


class ReductionA(nn.Module):
    """3x3/2; two 3x3, the second /2; pooling: (B, 288, 35, 35) -> (B, 768, 17, 17) (figure 10)."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.branch3x3 = Convolution(in_channels, 384, 3, stride=2, padding=0)
        self.branch3x3dbl_1 = Convolution(in_channels, 64, 1)
        self.branch3x3dbl_2 = Convolution(64, 96, 3)
        self.branch3x3dbl_3 = Convolution(96, 96, 3, stride=2, padding=0)

    def forward(self, x: Tensor) -> Tensor:
        """The three branches side by side."""
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, stride=2)], dim=1)


class ModuleB(nn.Module):
    """1x1; 1x7 and 7x1; the same twice; pooling (figure 6): (B, 768, H, W) -> (B, 768, H, W)."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.mean = nn.AvgPool2d(3, stride=1, padding=1)
        self.branch1x1 = Convolution(in_channels, 192, 1)
        self.branch7x7_1 = Convolution(in_channels, width, 1)
        self.branch7x7_2 = Convolution(width, width, (1, 7))
        self.branch7x7_3 = Convolution(width, 192, (7, 1))
        self.branch7x7dbl_1 = Convolution(in_channels, width, 1)
        self.branch7x7dbl_2 = Convolution(width, width, (7, 1))
        self.branch7x7dbl_3 = Convolution(width, width, (1, 7))
        self.branch7x7dbl_4 = Convolution(width, width, (7, 1))
        self.branch7x7dbl_5 = Convolution(width, 192, (1, 7))
        self.branch_pool = Convolution(in_channels, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The four branches side by side."""
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), seven, double, self.branch_pool(self.mean(x))], dim=1)


class ReductionB(nn.Module):
    """3x3/2; 1x7, 7x1 and 3x3/2; pooling: (B, 768, 17, 17) -> (B, 1280, 8, 8)."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.branch3x3_1 = Convolution(in_channels, 192, 1)
        self.branch3x3_2 = Convolution(192, 320, 3, stride=2, padding=0)
        self.branch7x7x3_1 = Convolution(in_channels, 192, 1)
        self.branch7x7x3_2 = Convolution(192, 192, (1, 7))
        self.branch7x7x3_3 = Convolution(192, 192, (7, 1))
        self.branch7x7x3_4 = Convolution(192, 192, 3, stride=2, padding=0)

    def forward(self, x: Tensor) -> Tensor:
        """The three branches side by side."""
        three = self.branch3x3_2(self.branch3x3_1(x))
        seven = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([three, seven, F.max_pool2d(x, 3, stride=2)], dim=1)


class ModuleC(nn.Module):
    """1x1; 1x3 beside 3x1; the same after a 3x3; pooling (figure 7): (B, C, H, W) -> (B, 2048, H, W)."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.mean = nn.AvgPool2d(3, stride=1, padding=1)
        self.branch1x1 = Convolution(in_channels, 320, 1)
        self.branch3x3_1 = Convolution(in_channels, 384, 1)
        self.branch3x3_2a = Convolution(384, 384, (1, 3))
        self.branch3x3_2b = Convolution(384, 384, (3, 1))
        self.branch3x3dbl_1 = Convolution(in_channels, 448, 1)
        self.branch3x3dbl_2 = Convolution(448, 384, 3)
        self.branch3x3dbl_3a = Convolution(384, 384, (1, 3))
        self.branch3x3dbl_3b = Convolution(384, 384, (3, 1))
        self.branch_pool = Convolution(in_channels, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The branches side by side."""
        three = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        parts = [self.branch1x1(x), self.branch3x3_2a(three), self.branch3x3_2b(three)]
        parts += [self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double), self.branch_pool(self.mean(x))]
        return torch.cat(parts, dim=1)


class Auxiliary(nn.Module):
    """5x5 average pooling of stride 3, 1x1 to 128, 5x5 to 768, linear: (B, 768, 17, 17) -> (B, num_classes).

    Args:
        in_channels: channels of the input.
        num_classes: classes.
        batch_norm: normalise the 768 features.
    """

    def __init__(self, in_channels: int, num_classes: int, batch_norm: bool = True) -> None:
        super().__init__()
        self.conv0 = Convolution(in_channels, 128, 1)
        self.conv1: nn.Module = Convolution(128, 768, 5, padding=0, deviation=0.01)
        if not batch_norm:
            self.conv1 = nn.Sequential(nn.Conv2d(128, 768, 5), nn.ReLU(inplace=True))
        self.fc = nn.Linear(768, num_classes)
        nn.init.trunc_normal_(self.fc.weight, std=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """Maps of fewer than 17x17, from smaller images, are spread to the 5x5 that the convolution takes."""
        x = F.avg_pool2d(x, 5, stride=3) if min(x.shape[2:]) >= 17 else F.adaptive_avg_pool2d(x, 5)
        x = F.adaptive_avg_pool2d(self.conv1(self.conv0(x)), 1)
        logits: Tensor = self.fc(torch.flatten(x, 1))
        return logits


class InceptionV3(nn.Module):
    """27,161,264 parameters with the auxiliary classifier, at three channels and a thousand classes.

    In training mode it returns the logits and those of the auxiliary classifier, if it has one.

    Args:
        channels: channels of the images.
        image_size: pixels of a side, or `[height, width]`; the paper's is 299.
        num_classes: classes, or outputs of a regression.
        aux_logits: an auxiliary classifier in training.
        dropout: share of the last features dropped in training.
        transform_input: take images standardised with ImageNet's statistics, for weights that were trained on [-1, 1].
    """

    auxiliary = ("AuxLogits",)
    auxiliary_weight = 0.4

    def __init__(
        self,
        channels: int,
        image_size: ImageSize,
        num_classes: int,
        aux_logits: bool = True,
        dropout: float = 0.5,
        transform_input: bool = False,
    ) -> None:
        super().__init__()
        if transform_input:
            check_colour(channels)
        self.transform_input = transform_input
        self.Conv2d_1a_3x3 = Convolution(channels, 32, 3, stride=2, padding=0)
        self.Conv2d_2a_3x3 = Convolution(32, 32, 3, padding=0)
        self.Conv2d_2b_3x3 = Convolution(32, 64, 3)
        self.maxpool1 = nn.MaxPool2d(3, stride=2)
        self.Conv2d_3b_1x1 = Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = Convolution(80, 192, 3, padding=0)
        self.maxpool2 = nn.MaxPool2d(3, stride=2)
        self.Mixed_5b = ModuleA(192, 32)
        self.Mixed_5c = ModuleA(256, 64)
        self.Mixed_5d = ModuleA(288, 64)
        self.Mixed_6a = ReductionA(288)
        self.Mixed_6b = ModuleB(768, 128)
        self.Mixed_6c = ModuleB(768, 160)
        self.Mixed_6d = ModuleB(768, 160)
        self.Mixed_6e = ModuleB(768, 192)
        self.AuxLogits = Auxiliary(768, num_classes) if aux_logits else None
        self.Mixed_7a = ReductionB(768)
        self.Mixed_7b = ModuleC(1280)
        self.Mixed_7c = ModuleC(2048)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(2048, num_classes)
        nn.init.trunc_normal_(self.fc.weight, std=0.1, a=-2.0, b=2.0)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(B, C, S, S) -> (B, num_classes), and in training those of the auxiliary classifier."""
        x = on_unit_scale(x) if self.transform_input else x
        x = self.maxpool1(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x))))
        x = self.maxpool2(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)))
        x = self.Mixed_6a(self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x))))
        x = middle = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(x))))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        logits: Tensor = self.fc(self.flatten(self.dropout(self.avgpool(x))))
        if self.AuxLogits is None or not self.training:
            return logits
        return logits, self.AuxLogits(middle)


class InceptionV2(nn.Module):
    """27,353,168 parameters with the auxiliary classifier, at three channels and a thousand classes.

    In training mode it returns the logits and those of the auxiliary classifier, if it has one.

    Args:
        channels: channels of the images.
        image_size: pixels of a side, or `[height, width]`; the paper's is 299.
        num_classes: classes, or outputs of a regression.
        aux_logits: an auxiliary classifier in training.
        dropout: share of the last features dropped in training.
    """

    auxiliary = ("aux",)
    auxiliary_weight = 0.4

    def __init__(
        self,
        channels: int,
        image_size: ImageSize,
        num_classes: int,
        aux_logits: bool = True,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            Convolution(channels, 32, 3, stride=2, padding=0),
            Convolution(32, 32, 3, padding=0),
            Convolution(32, 64, 3),
            nn.MaxPool2d(3, stride=2),
            Convolution(64, 80, 3, padding=0),
            Convolution(80, 192, 3, stride=2, padding=0),
            Convolution(192, 288, 3),
        )
        self.figure5 = nn.Sequential(ModuleA(288, 64, large=3), ModuleA(288, 64, large=3), ReductionA(288))
        self.figure6 = nn.Sequential(*(ModuleB(768, width) for width in (128, 160, 160, 192)))
        self.aux = Auxiliary(768, num_classes, batch_norm=False) if aux_logits else None
        self.reduction = ReductionB(768)
        self.figure7 = nn.Sequential(ModuleC(1280), ModuleC(2048))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(2048, num_classes)
        nn.init.trunc_normal_(self.fc.weight, std=0.1, a=-2.0, b=2.0)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(B, C, S, S) -> (B, num_classes), and in training those of the auxiliary classifier."""
        x = middle = self.figure6(self.figure5(self.stem(x)))
        x = self.figure7(self.reduction(x))
        logits: Tensor = self.fc(self.flatten(self.dropout(self.avgpool(x))))
        if self.aux is None or not self.training:
            return logits
        return logits, self.aux(middle)


inception_v2 = loads_weights(InceptionV2)
inception_v3 = loads_weights(InceptionV3)
