"""Residual networks that give each pixel a class: a fully convolutional head, or one that looks at several distances.

Shelhamer, Long and Darrell, 2017, Fully Convolutional Networks for Semantic Segmentation, is where the head of
`fcn_resnet50` comes from; `deeplabv3_resnet50` is Chen et al., 2017, Rethinking Atrous Convolution for Semantic Image
Segmentation, section 3.3:

| part | map | fcn_resnet50 | deeplabv3_resnet50 |
|---|---|---|---|
| backbone | 1/8 | ResNet-50, its last two stages dilated | the same |
| classifier | 1/8 | 3x3, 512; dropout 0.1 | 1x1, 3x3 at rates 12, 24, 36, mean of the map, 256 each |
| | 1/8 | | 1x1, 256; dropout 0.5; 3x3, 256 |
| | 1/8 | 1x1, classes | 1x1, classes |
| output | 1 | enlarged bilinearly | the same |

In training `aux_classifier` sees the map of the third stage: 3x3, 256; dropout 0.1; 1x1, classes.
Parameters have torchvision's names, and so its two published files fit, and those of a ResNet-50 fit the backbone.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from couloir.config.image_size import ImageSize
from couloir.model.resnet import Backbone, Bottleneck
from couloir.model.start import he_normal_by_fan_out
from couloir.model.weights import loads_weights

Outputs = Tensor | tuple[Tensor, Tensor]
FROM_THIRD, FROM_FOURTH = 1024, 2048
"""Channels of the maps of a ResNet-50's last two stages."""
RATES = (12, 24, 36)
"""Distances of the kernels' elements where the map is an eighth of the image (section 4.1)."""


def _normalised(in_channels: int, out_channels: int, kernel_size: int, dilation: int = 1) -> list[nn.Module]:
    """A convolution that keeps the size of its map, batch normalisation and ReLU."""
    padding = dilation * (kernel_size // 2)
    return [
        nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    ]


def fcn_head(in_channels: int, num_classes: int) -> nn.Sequential:
    """3x3 to a quarter of the channels, dropout, and a 1x1 kernel a class: (B, in_channels, h, w) -> scores."""
    width = in_channels // 4
    return nn.Sequential(*_normalised(in_channels, width, 3), nn.Dropout(0.1), nn.Conv2d(width, num_classes, 1))


class OfTheWhole(nn.Sequential):
    """The mean of a map, a 1x1 convolution of it, and that value for every pixel of the map again."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(1), *_normalised(in_channels, out_channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> (B, out_channels, h, w)."""
        mean = x
        for layer in self:
            mean = layer(mean)
        return mean.expand(-1, -1, *x.shape[2:])


class SpatialPyramid(nn.Module):
    """Atrous spatial pyramid pooling: kernels of several rates side by side, and the mean of the map (figure 5).

    Args:
        in_channels: channels of the input.
        width: channels of each branch, and of the output.
        rates: of the 3x3 kernels.
    """

    def __init__(self, in_channels: int, width: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        kernels = [nn.Sequential(*_normalised(in_channels, width, 3, rate)) for rate in rates]
        near = nn.Sequential(*_normalised(in_channels, width, 1))
        self.convs = nn.ModuleList([near, *kernels, OfTheWhole(in_channels, width)])
        self.project = nn.Sequential(*_normalised(len(self.convs) * width, width, 1), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> (B, width, h, w)."""
        out: Tensor = self.project(torch.cat([branch(x) for branch in self.convs], dim=1))
        return out


class Segmenter(nn.Module):
    """A backbone, a head over its last map, and in training another one over the map before.

    Args:
        channels: channels of the images.
        classifier: the head, for 2048 channels.
        num_classes: classes of a pixel.
        auxiliary: whether there is the second head.
    """

    auxiliary = ("aux_classifier",)
    auxiliary_weight = 0.5  # as torchvision's reference trains them
    encoder_part = "backbone"
    encoder_head = ("fc",)

    def __init__(self, channels: int, classifier: nn.Module, num_classes: int, auxiliary: bool) -> None:
        super().__init__()
        self.backbone = Backbone(Bottleneck, (3, 4, 6, 3), channels, dilated=(False, True, True))
        self.classifier = classifier
        self.aux_classifier = fcn_head(FROM_THIRD, num_classes) if auxiliary else None
        he_normal_by_fan_out(self.backbone)

    def forward(self, x: Tensor) -> Outputs:
        """(B, C, H, W) -> raw scores (B, num_classes, H, W), and in training those of the second head."""
        third, fourth = self.backbone(x)
        scores = _enlarged(self.classifier(fourth), x)
        if self.aux_classifier is None or not self.training:
            return scores
        return scores, _enlarged(self.aux_classifier(third), x)


def _enlarged(scores: Tensor, x: Tensor) -> Tensor:
    """Scores of a smaller map at the size of the images."""
    return F.interpolate(scores, size=x.shape[2:], mode="bilinear", align_corners=False)


@loads_weights
def fcn_resnet50(channels: int, image_size: ImageSize, num_classes: int, auxiliary: bool = True) -> Segmenter:
    """35,322,218 parameters at three channels and 21 classes, 2,365,205 of them of the head for training."""
    return Segmenter(channels, fcn_head(FROM_FOURTH, num_classes), num_classes, auxiliary)


@loads_weights
def deeplabv3_resnet50(channels: int, image_size: ImageSize, num_classes: int, auxiliary: bool = True) -> Segmenter:
    """42,004,074 parameters at three channels and 21 classes, 2,365,205 of them of the head for training."""
    pyramid = SpatialPyramid(FROM_FOURTH, 256, RATES)
    head = nn.Sequential(pyramid, *_normalised(256, 256, 3), nn.Conv2d(256, num_classes, 1))
    return Segmenter(channels, head, num_classes, auxiliary)
