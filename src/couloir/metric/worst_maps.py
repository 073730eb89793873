"""The images whose maps a network gets most wrong, with their pictures, their truth and what the network says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric

from couloir.config.image_size import Size

KEPT = 12
"""Images that are kept at most."""
SIDE = 256
"""Pixels of a picture's longer side at most; larger ones are made smaller."""
NOT_TAKEN = torch.inf
"""The score of a place that no image has taken."""
Pictures = Callable[[int], tuple[Tensor, int]]
"""A place in a batch -> the planes of its pictures, float32 in [0, 1] or classes from 0 to 255, (P, H, W), and how many
of the last ones are classes.
"""


class WorstMaps(NamedTuple):
    """Images, the worst first.

    Attributes:
        position: their numbers in the split, counted from zero, N.
        numbers: what each is measured by, by name, N each.
        planes: the planes of each one's pictures, uint8 (P, h, w) each; values from 0 to 255 for 0 to 1, or classes.
        files: the files that they were read from, N; empty where there are none.
    """

    position: list[int]
    numbers: dict[str, list[float]]
    planes: list[np.ndarray[Any, np.dtype[np.uint8]]]
    files: Sequence[str] = ()


class WorstOfMaps(Metric):
    """Collects the `KEPT` images of a split that have the least score. Memory does not grow with the split.

    Args:
        names: of the numbers that an image is measured by; the first is the score.
        planes: of its pictures, P.
    """

    full_state_update = False
    scores: Tensor
    positions: Tensor
    numbers: Tensor
    sizes: Tensor
    pictures: Tensor

    def __init__(self, names: Sequence[str], planes: int) -> None:
        super().__init__()
        self.names, self.planes = tuple(names), planes
        # Of a fixed size, so that processes can be stacked.
        self.add_state("scores", torch.full((KEPT,), NOT_TAKEN, dtype=torch.float64), None)
        self.add_state("positions", torch.zeros(KEPT, dtype=torch.int64), None)
        self.add_state("numbers", torch.zeros(KEPT, len(self.names), dtype=torch.float64), None)
        self.add_state("sizes", torch.ones(KEPT, 2, dtype=torch.int64), None)
        self.add_state("pictures", torch.zeros(KEPT, planes, SIDE, SIDE, dtype=torch.uint8), None)

    def update(self, numbers: Tensor, positions: Tensor, pictures: Pictures) -> None:
        """Take a batch in: (B, N) numbers, the samples' (B,) places in the split, and what makes their pictures.

        An image without a score, NaN, is left out.
        """
        numbers = numbers.double()
        for place in numbers[:, 0].sort(stable=True).indices.tolist():
            score, position = numbers[place, 0], int(positions[place])
            last = int(self._order(self.scores, self.positions)[-1])
            if score.isnan() or (float(score), position) >= (float(self.scores[last]), int(self.positions[last])):
                continue
            planes, classes = pictures(place)
            small = shrunk(planes, classes)
            self.scores[last], self.positions[last], self.numbers[last] = score, position, numbers[place]
            self.sizes[last] = torch.tensor(small.shape[1:])
            self.pictures[last, :, : small.shape[1], : small.shape[2]] = small

    @staticmethod
    def _order(scores: Tensor, positions: Tensor) -> Tensor:
        """The worst first; of the same score the first in the split, whatever process has seen it."""
        first = positions.sort(stable=True).indices
        return first[scores[first].sort(stable=True).indices]

    def compute(self) -> WorstMaps:
        """The images of all processes."""
        scores, positions = self.scores.view(-1).cpu(), self.positions.view(-1).cpu()
        order = self._order(scores, positions)[:KEPT]
        order = order[scores[order] < NOT_TAKEN]
        numbers, sizes = self.numbers.view(-1, len(self.names)).cpu(), self.sizes.view(-1, 2).cpu()
        pictures = self.pictures.view(-1, self.planes, SIDE, SIDE)
        planes = []
        for place in order.tolist():
            height, width = sizes[place].tolist()
            planes.append(pictures[place, :, :height, :width].cpu().numpy().copy())
        values = dict(zip(self.names, numbers[order].T.tolist(), strict=True))
        return WorstMaps(positions[order].tolist(), values, planes)


def shrunk(planes: Tensor, classes: int) -> Tensor:
    """Planes (P, H, W) as uint8 (P, h, w), the longer side `SIDE` at most.

    Args:
        planes: values in [0, 1], and classes from 0 to 255.
        classes: so many of the last are classes, which take the nearest pixel.
    """
    size = shown_size(planes.shape[-2], planes.shape[-1])
    values, numbers = planes[: len(planes) - classes].float(), planes[len(planes) - classes :].float()
    if size != tuple(planes.shape[-2:]):
        if len(values):
            values = F.interpolate(values[None], size, mode="bilinear", antialias=True)[0]
        if classes:
            numbers = F.interpolate(numbers[None], size, mode="nearest-exact")[0]
    return torch.cat([(values.clamp(0, 1) * 255).round(), numbers]).to(torch.uint8)


def shown_size(height: int, width: int) -> Size:
    """The size of a picture of an image."""
    factor = min(1.0, SIDE / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))
