"""VGG: nothing but 3x3 convolutions, and how deep one can go with them.

Simonyan and Zisserman, 2015, Very Deep Convolutional Networks for Large-Scale Image Recognition, table 1 (each row
ends in 2x2 maximum pooling; then FC-4096, FC-4096, FC-1000):

| map | A | A-LRN | B | C | D | E |
|---|---|---|---|---|---|---|
| 224 | 64 | 64, LRN | 64 64 | 64 64 | 64 64 | 64 64 |
| 112 | 128 | 128 | 128 128 | 128 128 | 128 128 | 128 128 |
| 56 | 256 256 | 256 256 | 256 256 | 256 256 1x1-256 | 256 256 256 | 256 x 4 |
| 28 | 512 512 | 512 512 | 512 512 | 512 512 1x1-512 | 512 512 512 | 512 x 4 |
| 14 | 512 512 | 512 512 | 512 512 | 512 512 1x1-512 | 512 512 512 | 512 x 4 |

Parameters have torchvision's names, with and without batch normalisation. `vgg_like` is the small network of the same
kind that Keras's guide to the sequential model has trained a generation on.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from couloir.config.image_size import ImageSize, in_words, size_of
from couloir.errors import CouloirError
from couloir.model.head import BroughtTo, hidden_4096
from couloir.model.normalisation import local_response_norm
from couloir.model.start import he_normal_by_fan_out
from couloir.model.weights import loads_weights

# A width is a 3x3 convolution, a negative one a 1x1 convolution; each row is a stage.
A = [[64], [128], [256, 256], [512, 512], [512, 512]]
B = [[64, 64], [128, 128], [256, 256], [512, 512], [512, 512]]
C = [[64, 64], [128, 128], [256, 256, -256], [512, 512, -512], [512, 512, -512]]
D = [[64, 64], [128, 128], [256] * 3, [512] * 3, [512] * 3]
E = [[64, 64], [128, 128], [256] * 4, [512] * 4, [512] * 4]


class VGG(nn.Module):
    """Stages of small convolutions, a pooling to 7x7 whatever the size of the images, three fully-connected layers.

    Args:
        stages: the widths of the convolutions, stage by stage; a negative one is 1x1.
        channels: channels of the images.
        num_classes: classes, or outputs of a regression.
        batch_norm: normalise before each activation of a convolution.
        dropout: share of the units of the hidden fully-connected layers dropped in training.
        lrn: local response normalisation after the first convolution.
    """

    def __init__(
        self,
        stages: list[list[int]],
        channels: int,
        num_classes: int,
        batch_norm: bool,
        dropout: float,
        lrn: bool = False,
    ) -> None:
        super().__init__()
        self.features = features(stages, channels, batch_norm, lrn)
        self.avgpool = BroughtTo(7)
        self.classifier = hidden_4096(512 * 7 * 7, num_classes, dropout)
        he_normal_by_fan_out(self, linear_deviation=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) -> (B, num_classes)."""
        logits: Tensor = self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))
        return logits


def features(stages: list[list[int]], channels: int, batch_norm: bool, lrn: bool = False) -> nn.Sequential:
    """All but the fully-connected layers of a column of the table: (B, channels, H, W) -> (B, last width, H/32, W/32).

    Args:
        stages: the widths of the convolutions, stage by stage; a negative one is 1x1.
        channels: channels of the images.
        batch_norm: normalise before each activation.
        lrn: local response normalisation after the first convolution.
    """
    layers: list[nn.Module] = []
    width = channels
    for number, stage in enumerate(stages):
        for entry in stage:
            kernel_size = 3 if entry > 0 else 1
            layers.append(nn.Conv2d(width, abs(entry), kernel_size, padding=kernel_size // 2))
            layers += [nn.BatchNorm2d(abs(entry))] if batch_norm else []
            layers.append(nn.ReLU(inplace=True))
            width = abs(entry)
        layers += [local_response_norm()] if lrn and number == 0 else []
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def _named(stages: list[list[int]], lrn: bool = False) -> Callable[..., VGG]:
    """The constructor of one column of the table."""

    def build(
        channels: int, image_size: ImageSize, num_classes: int, batch_norm: bool = False, dropout: float = 0.5
    ) -> VGG:
        return VGG(stages, channels, num_classes, batch_norm, dropout, lrn)

    return loads_weights(build)


vgg11 = _named(A)
vgg11_lrn = _named(A, lrn=True)
vgg13 = _named(B)
vgg16_1x1 = _named(C)
vgg16 = _named(D)
vgg19 = _named(E)


@loads_weights
def vgg_like(channels: int, image_size: ImageSize, num_classes: int) -> nn.Sequential:
    """32, 32, pooling, 64, 64, pooling, 256, classes; 3x3 without padding, dropout 0.25, 0.25 and 0.5.

    Keras's guide to the sequential model, "VGG-like convnet"; the head depends on the size of the images: at 100x100
    pixels, three channels and ten classes it has 7,998,250 parameters.

    Raises:
        CouloirError: no pixel is left.
    """
    height, width = (((side - 4) // 2 - 4) // 2 for side in size_of(image_size))
    if min(height, width) < 1:
        raise CouloirError(
            f"Images of {in_words(image_size)} pixels are too small for model=vgg_like: it has four convolutions "
            "without padding and two poolings, and needs at least 16 pixels.",
            next_step="enlarge them with data.image_size=16 or more",
        )
    return nn.Sequential(
        nn.Conv2d(channels, 32, 3),
        nn.ReLU(inplace=True),
        nn.Conv2d(32, 32, 3),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(inplace=True),
        nn.Conv2d(64, 64, 3),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(64 * height * width, 256),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.Linear(256, num_classes),
    )
