"""LeNet-1, the first of the family.

LeCun, Boser, Denker, Henderson, Howard, Hubbard and Jackel, 1990, Handwritten Digit Recognition with a Back-Propagation
Network, section 3 and table 1, on images of 28x28:

| layer | what | map | parameters | in the paper |
|---|---|---|---|---|
| H1 | convolution 5x5, squashed | 4 x 24 x 24 | 104 | 104 |
| H2 | mean of 2x2; in the paper times a coefficient, plus a bias, squashed | 4 x 12 x 12 | 0 | 8 |
| H3 | convolution 5x5, all maps connected; in the paper those of table 1, squashed | 12 x 8 x 8 | 1,212 | 512 |
| H4 | as H2 | 12 x 4 x 4 | 0 | 24 |
| output | fully connected | 10 | 1,930 | 1,930 |

which makes 3,246 parameters, and 2,578 in the paper (98,442 connections). Squashing is 1.7159 tanh(2 x / 3).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from couloir.config.image_size import ImageSize, side_of
from couloir.model.activation import activation as activation_layer
from couloir.model.activation import fix_below_steps
from couloir.model.lenet import IMAGE
from couloir.model.lenet_1998 import Subsampling
from couloir.model.weights import loads_weights

TABLE_1 = ((0,), (0, 1), (0, 1), (1,), (0, 1), (0, 1), (2,), (2, 3), (2, 3), (3,), (2, 3), (2, 3))
"""The maps of H2 that each of the twelve maps of H3 sees."""


class TwoHalves(nn.Module):
    """The convolution of H3, 5x5, as table 1 connects it: (B, 4, 12, 12) -> (B, 12, 8, 8).

    Maps that see equally many inputs are one grouped convolution, so that each kernel is a parameter of its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self.places = [[place for place, seen in enumerate(TABLE_1) if len(seen) == count] for count in (1, 2)]
        self.one, self.two = nn.Conv2d(4, 4, 5, groups=4), nn.Conv2d(16, 8, 5, groups=8)
        order = sorted(range(len(TABLE_1)), key=lambda place: (len(TABLE_1[place]), place))
        inputs = [torch.tensor([map_ for place in places for map_ in TABLE_1[place]]) for places in self.places]
        self.register_buffer("of_one", inputs[0], persistent=False)
        self.register_buffer("of_two", inputs[1], persistent=False)
        self.register_buffer("back", torch.tensor(order).argsort(), persistent=False)
        self.of_one: Tensor
        self.of_two: Tensor
        self.back: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Each map of the output sums over its own maps of the input."""
        return torch.cat([self.one(x[:, self.of_one]), self.two(x[:, self.of_two])], dim=1)[:, self.back]


class LeNet1(nn.Module):
    """3,246 parameters for one channel and ten classes, 2,578 as in the paper, whatever the size of the images.

    Images of another size than 28x28 are scaled to it.

    Args:
        channels: channels of the images.
        image_size: pixels of a side.
        num_classes: classes, or outputs of a regression.
        activation: by name.
        original: the table of connections and the trained subsampling of the paper.
        slope: of leaky ReLUs and PReLUs; None: the usual one.
        alpha: of ELUs; None: 1.

    Raises:
        CouloirError: the activation has no such slope.
    """

    def __init__(
        self,
        channels: int,
        image_size: ImageSize,
        num_classes: int,
        activation: str = "scaled_tanh",
        original: bool = False,
        slope: float | None = None,
        alpha: float | None = None,
    ) -> None:
        super().__init__()
        self.image_size = side_of(image_size, "lenet1")

        def pooling(maps: int) -> nn.Module:
            return (
                nn.Sequential(Subsampling(maps), activation_layer(activation, slope, alpha))
                if original
                else nn.AvgPool2d(2)
            )

        self.h1 = nn.Conv2d(channels, 4, kernel_size=5)
        self.a1 = activation_layer(activation, slope, alpha)
        self.h2 = pooling(4)
        self.h3: nn.Module = TwoHalves() if original else nn.Conv2d(4, 12, kernel_size=5)
        self.a3 = activation_layer(activation, slope, alpha)
        self.h4 = pooling(12)
        fix_below_steps(self.children())
        self.flatten = nn.Flatten()
        self.output_layer = nn.Linear(12 * 4 * 4, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) -> (B, num_classes)."""
        if self.image_size != IMAGE:
            x = F.interpolate(x, (IMAGE, IMAGE), mode="bilinear", antialias=self.image_size > IMAGE)
        x = self.h2(self.a1(self.h1(x)))
        x = self.h4(self.a3(self.h3(x)))
        logits: Tensor = self.output_layer(self.flatten(x))
        return logits


lenet1 = loads_weights(LeNet1)
