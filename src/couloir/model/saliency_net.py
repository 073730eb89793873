"""ML-Net: where people look, from maps of three depths of VGG-16.

Cornia, Baraldi, Serra and Cucchiara, 2016, A Deep Multi-Level Network for Saliency Prediction, section III:

| part | map | |
|---|---|---|
| encoder | 1/8 | VGG-16's convolutions; the fourth pooling has stride 1, the fifth is left out |
| levels | 1/8 | the maps after the third and the fourth pooling and the last one, side by side: 256 + 512 + 512 |
| readout | 1/8 | dropout 0.5; 3x3, 64, ReLU; 1x1, one map |
| prior | 1/8 | times a learned mask of few values, interpolated |
| output | 1 | enlarged bilinearly |

The paper rectifies the map and divides it by its maximum; here the task makes a map in [0, 1] or a density of it. The
mask is written as one plus what is learned, which begins at zero: a weight decay of it is the paper's penalty.
Parameters of the encoder have torchvision's names, and so the files of a VGG-16 fit.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from couloir.config.image_size import ImageSize, size_of
from couloir.model.start import he_normal_by_fan_out
from couloir.model.upsampling import padded
from couloir.model.vgg import D, features
from couloir.model.weights import loads_weights

HALVED = 8
"""How much smaller than the image the maps are."""


class Levels(nn.Module):
    """The convolutions of VGG-16, and three of their maps.

    Args:
        channels: channels of the images.
        width: factor of the channels of every layer, 1 in the paper.
        batch_norm: normalise before each activation.
        dilation: of the last three convolutions; 2 lets them see as much of the image as they did in VGG-16.
    """

    def __init__(self, channels: int, width: float, batch_norm: bool, dilation: int) -> None:
        super().__init__()
        stages = [[max(1, round(entry * width)) for entry in stage] for stage in D]
        layers = list(features(stages, channels, batch_norm))[:-1]
        self.poolings = [place for place, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
        # Three pixels for two: with two, a map of stride 1 would lie half a pixel beside the image.
        layers[self.poolings[3]] = nn.MaxPool2d(3, stride=1, padding=1)
        for layer in layers[self.poolings[3] :]:
            if isinstance(layer, nn.Conv2d):
                layer.dilation = layer.padding = (dilation, dilation)
        self.features = nn.Sequential(*layers)
        self.channels = stages[2][-1] + stages[3][-1] + stages[4][-1]
        he_normal_by_fan_out(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, 8h, 8w) -> the maps of three depths side by side, (B, channels, h, w)."""
        levels = []
        for place, layer in enumerate(self.features):
            x = layer(x)
            if place in self.poolings[2:] or place == len(self.features) - 1:
                levels.append(x)
        return torch.cat(levels, dim=1)


class Prior(nn.Module):
    """A mask of few values that is interpolated to the size of a map and multiplied with it (section III.C).

    Args:
        size: its height and width, or one number for both.
    """

    def __init__(self, size: ImageSize) -> None:
        super().__init__()
        self.mask = nn.Parameter(torch.zeros(1, 1, *size_of(size)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, K, h, w) -> the same shape."""
        return x * (1 + F.interpolate(self.mask, size=x.shape[2:], mode="bilinear", align_corners=False))


class SaliencyNet(nn.Module):
    """The table.

    Args:
        channels: channels of the images.
        num_classes: maps, one for saliency.
        width: factor of all hidden channels.
        batch_norm: normalise in the encoder.
        dilation: of the last three convolutions of the encoder.
        prior: `learned` or `none`.
        prior_size: height and width of the learned mask.
        dropout: share of the levels' values dropped in training.
    """

    encoder_part = "encoder"
    encoder_head = ("classifier",)

    def __init__(
        self,
        channels: int,
        num_classes: int,
        width: float,
        batch_norm: bool,
        dilation: int,
        prior: str,
        prior_size: ImageSize,
        dropout: float,
    ) -> None:
        super().__init__()
        self.encoder = Levels(channels, width, batch_norm, dilation)
        hidden = max(1, round(64 * width))
        seen = nn.Conv2d(self.encoder.channels, hidden, 3, padding=1)
        scores = nn.Conv2d(hidden, num_classes, 1)
        self.readout = nn.Sequential(nn.Dropout(dropout), seen, nn.ReLU(inplace=True), scores)
        # By fan-in: twenty times as many maps come in as go out, and those of the encoder are large already.
        nn.init.kaiming_normal_(seen.weight, nonlinearity="relu")
        nn.init.normal_(scores.weight, std=0.01)  # all pixels alike to begin with
        self.prior = Prior(prior_size) if prior == "learned" else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> raw scores (B, num_classes, H, W)."""
        height, width = x.shape[2:]
        x = padded(x, HALVED)
        scores: Tensor = self.readout(self.encoder(x))
        scores = scores if self.prior is None else self.prior(scores)
        scores = F.interpolate(scores, size=x.shape[2:], mode="bilinear", align_corners=False)
        return scores[:, :, :height, :width]


@loads_weights
def saliency_net(
    channels: int,
    image_size: ImageSize,
    num_classes: int,
    width: float = 1.0,
    batch_norm: bool = False,
    dilation: int = 1,
    prior: str = "none",
    prior_size: ImageSize = (6, 8),
    dropout: float = 0.5,
) -> SaliencyNet:
    """15,452,097 parameters at three channels, one map and width 1; the prior has 48 more."""
    return SaliencyNet(channels, num_classes, width, batch_norm, dilation, prior, prior_size, dropout)
