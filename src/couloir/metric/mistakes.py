"""The samples that a network is most wrong about, with their pictures: what LeCun et al., 1998, figure 8 shows of the
82 test digits that LeNet-5 takes for others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric

from couloir.config.image_size import ImageSize, Size, size_of

KEPT = 100
"""Mistakes that are kept at most."""
SIDE = 96
"""Pixels of a picture's longer side at most; larger ones are made smaller."""
FRAMES = 9
"""Frames of a video that are shown at most."""
NO_MISTAKE = 2.0
"""The place of a mistake that is not taken: no probability is as large."""


def _shown_size(image_size: ImageSize) -> Size:
    """The size of a picture: the longer side is `SIDE` at most."""
    height, width = size_of(image_size)
    factor = min(1.0, SIDE / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


def frames_beside(videos: Tensor) -> Tensor:
    """Videos (B, C, T, H, W) as pictures (B, C, h, w): up to `FRAMES` evenly spaced frames, row by row in a square.

    Where a place of the square has no frame, it is as dark as the darkest value.
    """
    length = videos.shape[2]
    count = min(FRAMES, length)
    columns = math.ceil(math.sqrt(count))
    rows = -(-count // columns)
    chosen = torch.linspace(0, length - 1, count, device=videos.device).round().long()
    shown = videos.index_select(2, chosen)
    if rows * columns > count:
        empty = shown.amin().expand(*shown.shape[:2], rows * columns - count, *shown.shape[3:])
        shown = torch.cat([shown, empty], dim=2)
    batch, channels, _, height, width = shown.shape
    grid = shown.view(batch, channels, rows, columns, height, width).transpose(3, 4)
    return grid.reshape(batch, channels, rows * height, columns * width)


class Mistakes(NamedTuple):
    """Samples that a network takes for another class, the one that it believes least first.

    Attributes:
        position: their numbers in the split, counted from zero, N; None where several processes share the split.
        label: their classes, N.
        prediction: what they are taken for, N.
        confidence: the probability that the network gives to that, N.
        label_confidence: the probability that it gives to their own class, N.
        images: uint8, (N, C, H, W); None for tables.
        files: the files that they were read from, N; empty where there are none.
        texts: what they are, N; empty where they are no texts.
    """

    position: list[int] | None
    label: list[int]
    prediction: list[int]
    confidence: list[float]
    label_confidence: list[float]
    images: np.ndarray[Any, np.dtype[np.uint8]] | None
    files: Sequence[str] = ()
    texts: Sequence[str] = ()


class WorstMistakes(Metric):
    """Collects the `KEPT` wrong predictions of a split in which the true class has the least probability.

    Args:
        mean: what standardised images were shifted by, a value a channel, images in [0, 1]; None: there are no images.
        std: what they were divided by.
        image_size: of the images; None: there are none.
    """

    full_state_update = False
    numbers: Tensor
    pictures: Tensor
    seen: Tensor

    def __init__(self, mean: list[float] | None, std: list[float] | None, image_size: ImageSize | None) -> None:
        super().__init__()
        self._mean = torch.tensor(mean or [])
        self._std = torch.tensor(std or [])
        size = (0, 0) if image_size is None else _shown_size(image_size)
        # label_confidence, confidence, label, prediction, index; of a fixed size, so that processes can be stacked.
        empty = torch.tensor([NO_MISTAKE, 0, 0, 0, 0], dtype=torch.float32).repeat(KEPT, 1)
        self.add_state("numbers", empty, dist_reduce_fx=None)
        self.add_state("pictures", torch.zeros(KEPT, len(self._mean), *size, dtype=torch.uint8), None)
        self.add_state("seen", torch.zeros((), dtype=torch.long), None)

    def update(self, probabilities: Tensor, target: Tensor, x: Tensor) -> None:
        """Take a batch in: (B, C) probabilities, (B,) classes, and the standardised inputs (B, ...)."""
        own = probabilities.gather(1, target[:, None])[:, 0]
        confidence, predicted = probabilities.max(dim=1)
        index = torch.arange(len(target), device=target.device) + self.seen
        self.seen = self.seen + len(target)
        worst = self.numbers[:, 0].max()
        chosen = ((predicted != target) & (own < worst)).nonzero()[:, 0]
        if len(chosen) == 0:
            return
        columns = (own, confidence, target, predicted, index)
        found = torch.stack([column[chosen].float() for column in columns], dim=1)
        numbers = torch.cat([self.numbers, found])
        kept = numbers[:, 0].sort(stable=True).indices[:KEPT]
        self.numbers = numbers[kept]
        if self.pictures.numel():
            self.pictures = torch.cat([self.pictures, self._picture(x[chosen])])[kept]

    def _picture(self, x: Tensor) -> Tensor:
        """Standardised images (B, C, H, W), or videos (B, C, T, H, W), as uint8, small enough."""
        x = frames_beside(x) if x.ndim == 5 else x
        shape = (1, -1, 1, 1)
        images = x.float() * self._std.to(x.device).view(shape) + self._mean.to(x.device).view(shape)
        size = self.pictures.shape[-2:]
        if images.shape[-2:] != size:
            images = F.interpolate(images, size=size, mode="bilinear", antialias=True)
        return (images.clamp(0, 1) * 255).round().to(torch.uint8)

    def compute(self) -> Mistakes:
        """The mistakes of all processes."""
        numbers, pictures = self.numbers.view(-1, 5).cpu(), self.pictures.cpu()
        several = self.seen.dim() > 0
        if several:
            pictures = pictures.flatten(0, 1)
        order = numbers[:, 0].sort(stable=True).indices[:KEPT]
        order = order[numbers[order, 0] < NO_MISTAKE]
        own, confidence, label, prediction, position = numbers[order].T.tolist()
        # Lists and an array: what TorchMetrics finds to be a tensor of one number loses its dimensions.
        return Mistakes(
            None if several else [int(number) for number in position],
            [int(number) for number in label],
            [int(number) for number in prediction],
            confidence,
            own,
            pictures[order].numpy() if pictures.numel() else None,
        )
