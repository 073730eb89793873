"""LeNet-5 as it was in 1998.

LeCun, Bottou, Bengio and Haffner, 1998, Gradient-Based Learning Applied to Document Recognition, section II.B,
figures 2 and 3, table I:

| layer | what | map | parameters |
|---|---|---|---|
| C1 | convolution 5x5, squashed | 6 x 28 x 28 | 156 |
| S2 | mean of 2x2, times a coefficient, plus a bias, squashed | 6 x 14 x 14 | 12 |
| C3 | convolution 5x5 of the maps in table I, squashed | 16 x 10 x 10 | 1,516 |
| S4 | as S2 | 16 x 5 x 5 | 32 |
| C5 | convolution 5x5, squashed | 120 x 1 x 1 | 48,120 |
| F6 | fully connected, squashed | 84 | 10,164 |
| output | radial basis functions about fixed bitmaps | 10 | 0 |

which makes 60,000. Squashing is 1.7159 tanh(2 x / 3).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from couloir.config.image_size import ImageSize, side_of
from couloir.errors import CouloirError
from couloir.model.activation import ScaledTanh
from couloir.model.lenet import in_field
from couloir.model.weights import loads_weights

TABLE_I = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)  # fmt: skip
"""The maps of S2 that each of the sixteen maps of C3 sees."""

BITMAPS = """
.#####.  ...##..  .#####.  #######  .#####.  .#####.  ..####.  #######  .#####.  .#####.
.......  ..###..  .......  .....##  .......  .......  .##....  .....##  ##...##  ##..###
..###..  .####..  .#####.  ....##.  .......  #######  ##.....  .....##  ##...##  ##...##
.##.##.  ...##..  ##...##  ...##..  .##..##  ##.....  ##.....  ....##.  ##...##  ##...##
##...##  ...##..  #....##  ..####.  .##..##  ##.....  ######.  ...##..  .#####.  ##..###
##...##  ...##..  ....##.  .....##  ###..##  .####..  ###..##  ...##..  ##...##  .######
##...##  ...##..  ..###..  .....##  ##...##  ..####.  ##...##  ..##...  ##...##  .....##
##...##  ...##..  .##....  .....##  ##...##  .....##  ##...##  ..##...  ##...##  .....##
.##.##.  ...##..  ##.....  ##...##  ##..###  ##...##  ###..##  ..##...  ##...##  ....##.
..###..  .######  #######  .#####.  .######  .#####.  .#####.  ..##...  .#####.  .####..
.......  .......  .......  .......  .....##  .......  .......  .......  .......  .......
.......  .......  .......  .......  .....##  .......  .......  .......  .......  .......
"""
"""The ten digits, 7 pixels wide and 12 high, as they are drawn in figure 3."""


def bitmaps() -> Tensor:
    """The digits' codes: +1 for ink and -1 for paper, (10, 84)."""
    rows = [line.split("  ") for line in BITMAPS.strip().splitlines()]
    digits = [[1.0 if pixel == "#" else -1.0 for row in rows for pixel in row[digit]] for digit in range(10)]
    return torch.tensor(digits)


class Subsampling(nn.Module):
    """The mean of each 2x2 window, times the map's coefficient, plus its bias: (B, C, H, W) -> (B, C, H / 2, W / 2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mean = nn.AvgPool2d(2)
        self.scale = nn.Conv2d(channels, channels, 1, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """Two parameters a map."""
        out: Tensor = self.scale(self.mean(x))
        return out


class TableConvolution(nn.Module):
    """The convolution of C3, 5x5: (B, 6, 14, 14) -> (B, 16, 10, 10).

    Maps that see equally many inputs are one grouped convolution, so that each kernel is a parameter of its own and the
    fan-in of every unit is that of the table.
    """

    def __init__(self) -> None:
        super().__init__()
        self.three = nn.Conv2d(6 * 3, 6, 5, groups=6)
        self.four = nn.Conv2d(9 * 4, 9, 5, groups=9)
        self.all = nn.Conv2d(6, 1, 5)
        for name, rows in (("seen_by_three", TABLE_I[:6]), ("seen_by_four", TABLE_I[6:15])):
            self.register_buffer(name, torch.tensor(rows).flatten(), persistent=False)
        self.seen_by_three: Tensor
        self.seen_by_four: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Each map of the output sums over its own maps of the input."""
        three, four = self.three(x[:, self.seen_by_three]), self.four(x[:, self.seen_by_four])
        return torch.cat([three, four, self.all(x)], dim=1)


class RadialBasis(nn.Module):
    """Minus the squared distances to fixed codes: (B, F) -> (B, codes); the largest is the nearest code.

    Args:
        codes: (codes, F).
    """

    def __init__(self, codes: Tensor) -> None:
        super().__init__()
        self.register_buffer("codes", codes, persistent=False)
        self.codes: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """-sum_i (x_i - w_ij)²."""
        return -(x[:, None, :] - self.codes).square().sum(dim=2)

    def second_derivatives(self, x: Tensor, h: Tensor, gradient: Tensor) -> Tensor:
        """As `couloir.optimizer.curvature` asks for them: the slope is -2 (x - w), and its own second derivative, -2,
        meets the loss's gradient.
        """
        difference = x[:, None, :] - self.codes
        return (4 * difference.square() * h[:, :, None]).sum(dim=1) - 2 * gradient.sum(dim=1, keepdim=True)


class LeNet5Of1998(nn.Module):
    """60,000 parameters for one channel, whatever the size of the images, which fill the field as in `LeNet5`.

    Args:
        channels: channels of the images.
        image_size: pixels of a side.
        num_classes: ten; the codes are those of the ten digits.

    Raises:
        CouloirError: there are not ten classes.
    """

    def __init__(self, channels: int, image_size: ImageSize, num_classes: int) -> None:
        super().__init__()
        if num_classes != 10:
            raise CouloirError(
                f"model=lenet5_1998 compares with the bitmaps of ten digits; the data has {num_classes} classes.",
                next_step="model=lenet5 takes any number of classes",
            )
        self.image_size = side_of(image_size, "lenet5_1998")
        self.c1 = nn.Conv2d(channels, 6, 5)
        self.s2 = Subsampling(6)
        self.c3 = TableConvolution()
        self.s4 = Subsampling(16)
        self.c5 = nn.Conv2d(16, 120, 5)
        self.f6 = nn.Linear(120, 84)
        self.squash = nn.ModuleList([ScaledTanh() for _ in range(6)])
        self.rbf = RadialBasis(bitmaps())

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) -> minus the squared distances to the ten bitmaps, (B, 10)."""
        x = in_field(x, self.image_size, "paper")
        x = self.squash[1](self.s2(self.squash[0](self.c1(x))))
        x = self.squash[3](self.s4(self.squash[2](self.c3(x))))
        x = self.squash[4](self.c5(x))
        x = self.squash[5](self.f6(torch.flatten(x, 1)))
        scores: Tensor = self.rbf(x)
        return scores


lenet5_1998 = loads_weights(LeNet5Of1998)
