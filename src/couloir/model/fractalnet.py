"""FractalNet: depth without residuals, by a rule that is applied to itself.

Larsson, Maire and Shakhnarovich, 2017, FractalNet: Ultra-Deep Neural Networks without Residuals, section 2 and 4.1:

    f_1(x) = conv(x),   f_{C+1}(x) = join(f_C(f_C(x)), conv(x))

where columns that end at the same depth meet in one join, their mean.

| block | 1 | 2 | 3 | 4 | 5 |
|---|---|---|---|---|---|
| map | 32 | 16 | 8 | 4 | 2 |
| channels | 64 | 128 | 256 | 512 | 512 |
| dropout | 0 | 0.1 | 0.2 | 0.3 | 0.4 |

Three columns make 20 layers and, with the linear one, 21 (not counting the widening ones below). A convolution is 3x3,
batch normalisation and ReLU; blocks end in 2x2 maximum pooling of each column, before their last join.
Drop-path leaves columns out of a step: in half of the batches each join loses each of its inputs
with the probability 0.15 and keeps at least one (local), in the others a single column is left (global).

Where the channels change, a 1x1 convolution widens them before the block. The paper does not draw it; with it the
network has the 38.6 million parameters that the paper and DenseNet's table 2 state, without it 33.7.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from couloir.config.image_size import ImageSize, in_words, size_of
from couloir.errors import CouloirError
from couloir.model.start import he_normal_by_fan_out
from couloir.model.weights import loads_weights

WIDTHS = (64, 128, 256, 512, 512)
LOCAL = "local"


class Fractal(nn.Module):
    """The fractal of some columns.

    Args:
        columns: C, how often the rule is applied.
        width: channels of the input and of the output.
        dropout: share of the maps dropped in training, before each normalisation.
        drop_path: the probability that a join loses an input.
    """

    scales_its_branches = True

    def __init__(self, columns: int, width: int, dropout: float, drop_path: float) -> None:
        super().__init__()
        self.drop_path, self.columns = drop_path, columns
        self.conv = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.Dropout2d(dropout),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )
        self.deep: nn.ModuleList | None = None
        if columns > 1:
            self.deep = nn.ModuleList([Fractal(columns - 1, width, dropout, drop_path) for _ in range(2)])

    def columns_of(self, x: Tensor, path: int | str | None) -> list[Tensor]:
        """What each column gives, deepest first, (B, width, H, W): all of them, or the one that `path` names."""
        if self.deep is None or path == self.columns:
            return [self.conv(x)]
        first, second = self.deep
        assert isinstance(first, Fractal)
        assert isinstance(second, Fractal)
        deeper = second.columns_of(first(x, path), path)
        return deeper if isinstance(path, int) else [*deeper, self.conv(x)]

    def forward(self, x: Tensor, path: int | str | None = None) -> Tensor:
        """(B, width, H, W) -> the same shape; `path` is `local`, the number of the only column left, or None."""
        return join(self.columns_of(x, path), path, self.drop_path)


def join(columns: list[Tensor], path: int | str | None, drop_path: float) -> Tensor:
    """The mean of the columns that meet; with local drop-path each is left out now and then, but never all."""
    if path == LOCAL and len(columns) > 1:
        kept = torch.rand(len(columns), device="cpu") >= drop_path
        if not kept.any():
            kept[torch.randint(len(columns), (), device="cpu")] = True
        columns = [column for column, keep in zip(columns, kept.tolist(), strict=True) if keep]
    return columns[0] if len(columns) == 1 else torch.stack(columns).mean(dim=0)


class FractalNet(nn.Module):
    """38.6 million parameters at three channels, ten classes and three columns.

    Args:
        channels: channels of the images.
        image_size: pixels of a side, or `[height, width]`; the last map is averaged to one pixel.
        num_classes: classes, or outputs of a regression.
        columns: C; a block is 2^(C - 1) layers deep.
        dropout: share of the maps dropped in the last block; the first has none, the others lie evenly in between.
        drop_path: the probability that a join loses an input in a local batch; 0 turns drop-path off.

    Raises:
        CouloirError: no pixel is left after five poolings.
    """

    def __init__(
        self,
        channels: int,
        image_size: ImageSize,
        num_classes: int,
        columns: int = 3,
        dropout: float = 0.4,
        drop_path: float = 0.15,
    ) -> None:
        super().__init__()
        if min(size_of(image_size)) < 2 ** len(WIDTHS):
            raise CouloirError(
                f"Images of {in_words(image_size)} pixels are too small for model=fractalnet, which halves them five "
                "times.",
                next_step="enlarge them with data.image_size=32 or more",
            )
        self.columns, self.drop_path = columns, drop_path
        self.widenings, self.fractals = nn.ModuleList(), nn.ModuleList()
        before = channels
        for number, width in enumerate(WIDTHS):
            widening = nn.Sequential(
                nn.Conv2d(before, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
            )
            self.widenings.append(nn.Identity() if width == before else widening)
            self.fractals.append(Fractal(columns, width, dropout * number / (len(WIDTHS) - 1), drop_path))
            before = width
        self.pool = nn.MaxPool2d(2)
        self.head = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(before, num_classes)
        he_normal_by_fan_out(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) -> (B, num_classes)."""
        path = self._draw_path()
        for widening, fractal in zip(self.widenings, self.fractals, strict=True):
            assert isinstance(fractal, Fractal)
            columns = fractal.columns_of(widening(x), path)
            x = join([self.pool(column) for column in columns], path, self.drop_path)
        logits: Tensor = self.fc(torch.flatten(self.head(x), 1))
        return logits

    def _draw_path(self) -> int | str | None:
        """One draw a step: local drop-path, or one column for the whole network."""
        if not self.training or self.drop_path == 0:
            return None
        return LOCAL if torch.rand((), device="cpu") < 0.5 else 1 + int(torch.randint(self.columns, (), device="cpu"))


fractalnet = loads_weights(FractalNet)
