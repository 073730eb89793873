"""LeNet-5 in its modern reading.

LeCun, Bottou, Bengio and Haffner, 1998, Gradient-Based Learning Applied to Document Recognition, section II.B and
figure 2:

| layer | what | map | parameters |
|---|---|---|---|
| input | | 1 x 32 x 32 | |
| C1 | convolution 5x5 | 6 x 28 x 28 | 156 |
| S2 | pooling 2x2 | 6 x 14 x 14 | |
| C3 | convolution 5x5, all maps connected | 16 x 10 x 10 | 2,416 |
| S4 | pooling 2x2 | 16 x 5 x 5 | |
| C5 | convolution 5x5 | 120 x 1 x 1 | 48,120 |
| F6 | fully connected | 84 | 10,164 |
| output | fully connected | 10 | 850 |

What is modern: ReLU and maximum pooling by default, C3 without the paper's table of connections, pooling without
weights, dropout, and a linear output for a softmax in place of radial basis functions.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from couloir.config.image_size import ImageSize, side_of
from couloir.model.activation import activation as activation_layer
from couloir.model.activation import fix_below_steps
from couloir.model.weights import loads_weights

FIELD = 32
"""Pixels of the side of the paper's input."""
IMAGE = 28
"""Pixels of the side of the images within it: what matters stays away from the border, where few units look."""


class LeNet5(nn.Module):
    """61,706 parameters for one channel and ten classes, whatever the size of the images.

    The input field is the paper's 32x32. Images of 28x28 are centred in it, as the paper centres MNIST's; those of
    another size are scaled to 28x28 first, but 32x32 fills the field as it is. The field is square, and so must the
    images be.

    Args:
        channels: channels of the images.
        image_size: pixels of a side.
        num_classes: classes, or outputs of a regression.
        activation: by name.
        pool: `max` or `average`.
        dropout: share of the units of C5 and F6 that is dropped in training.
        border: what surrounds the images in the field: `mean`, zero, which is the mean of standardised data, or
        `paper`, each image's darkest value.
        slope: of leaky ReLUs and PReLUs; None: the usual one.
        alpha: of ELUs; None: 1.
    """

    def __init__(
        self,
        channels: int,
        image_size: ImageSize,
        num_classes: int,
        activation: str = "relu",
        pool: str = "max",
        dropout: float = 0.0,
        border: str = "mean",
        slope: float | None = None,
        alpha: float | None = None,
    ) -> None:
        super().__init__()
        self.image_size, self.border = side_of(image_size, "lenet5"), border
        pooling = nn.MaxPool2d if pool == "max" else nn.AvgPool2d
        self.c1 = nn.Conv2d(channels, 6, kernel_size=5)
        self.f1 = activation_layer(activation, slope, alpha)
        self.s2 = pooling(2)
        self.c3 = nn.Conv2d(6, 16, kernel_size=5)
        self.f3 = activation_layer(activation, slope, alpha)
        self.s4 = pooling(2)
        self.c5 = nn.Conv2d(16, 120, kernel_size=5)
        self.f5 = activation_layer(activation, slope, alpha)
        self.drop5 = nn.Dropout(dropout)
        self.f6 = nn.Linear(120, 84)
        self.a6 = activation_layer(activation, slope, alpha)
        self.drop6 = nn.Dropout(dropout)
        fix_below_steps(self.children())
        self.output_layer = nn.Linear(84, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) -> (B, num_classes)."""
        x = in_field(x, self.image_size, self.border)
        x = self.s2(self.f1(self.c1(x)))
        x = self.s4(self.f3(self.c3(x)))
        x = self.drop5(torch.flatten(self.f5(self.c5(x)), 1))
        x = self.drop6(self.a6(self.f6(x)))
        logits: Tensor = self.output_layer(x)
        return logits


def in_field(x: Tensor, image_size: int, border: str) -> Tensor:
    """The images in the paper's field, (B, C, 32, 32), with a border of zeros or of each image's darkest value."""
    if image_size == FIELD:
        return x
    if image_size != IMAGE:
        x = F.interpolate(x, (IMAGE, IMAGE), mode="bilinear", antialias=image_size > IMAGE)
    around = x.amin(dim=(2, 3), keepdim=True) if border == "paper" else torch.zeros_like(x[:, :, :1, :1])
    return F.pad(x - around, [(FIELD - IMAGE) // 2] * 4) + around


lenet5 = loads_weights(LeNet5)
