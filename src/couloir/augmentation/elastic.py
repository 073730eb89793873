"""Elastic deformations: each pixel is taken from a place of its own, a smooth random displacement away.

Maps move with their images as in `couloir.augmentation.geometry`, and a box becomes the box around all that was in it.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from couloir.augmentation.geometry import PADDING_MODES, sample_at
from couloir.augmentation.transform import Transform


class Displaced(Transform):
    """Resamples each image at displaced places; a subclass draws the displacements.

    Args:
        border: what comes in from outside: `black` or `mirror`.
    """

    def __init__(self, border: str) -> None:
        super().__init__()
        self.padding_mode = PADDING_MODES[border]

    def displacements(self, x: Tensor) -> Tensor:
        """How far each pixel is taken from, in pixels to the right and down, (B, 2, H, W)."""
        raise NotImplementedError

    def draw(self, x: Tensor) -> Tensor:
        """Where each pixel of the result lies in the image, as columns and rows in [-1, 1], (B, H, W, 2)."""
        height, width = x.shape[2:]
        columns = torch.arange(width, device=x.device, dtype=x.dtype) + 0.5
        rows = torch.arange(height, device=x.device, dtype=x.dtype)[:, None] + 0.5
        right, down = self.displacements(x).unbind(1)
        return torch.stack([(right + columns) * (2 / width) - 1, (down + rows) * (2 / height) - 1], dim=3)

    def inputs(self, x: Tensor, draw: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        return sample_at(x, draw, self.padding_mode)

    map = inputs

    def boxes(self, values: Tensor, sample: Tensor, draw: Tensor, size: tuple[int, int]) -> Tensor:
        """(N, 4) -> the box around all pixels that come out of it, (N, 4); of no pixels an empty one."""
        places = (draw + 1) / 2 * draw.new_tensor([size[1], size[0]])
        moved = []
        for box, number in zip(values, sample.tolist(), strict=True):  # all at once would be N images in memory
            inside = ((places[number] >= box[:2]) & (places[number] < box[2:])).all(dim=2)
            ends = [_ends(inside.any(dim=0)), _ends(inside.any(dim=1))]
            moved.append(torch.stack([ends[0][0], ends[1][0], ends[0][1], ends[1][1]]))
        return torch.stack(moved).to(values.dtype) if moved else values


def _ends(found: Tensor) -> Tensor:
    """The first place and the one after the last that is found, of (L,) bool; twice the same where none is."""
    found = found.int()
    return torch.stack([found.argmax(), (len(found) - found.flip(0).argmax()) * found.amax()])


class Elastic(Displaced):
    """Displaces the points of a coarse grid over the image at random, and the pixels between them smoothly.

    Ronneberger et al., 2015, U-Net: Convolutional Networks for Biomedical Image Segmentation, section 3.1: a grid of
    3x3, normal displacements, bicubic interpolation between them.

    Args:
        grid: points on each side of the image, its corners among them.
        deviation: of each point's displacement in each direction, in pixels.
        border: what comes in from outside: `black` or `mirror`.
    """

    def __init__(self, grid: int, deviation: float, border: str = "mirror") -> None:
        super().__init__(border)
        self.grid, self.deviation = grid, deviation

    def displacements(self, x: Tensor) -> Tensor:
        """How far each pixel is taken from, in pixels to the right and down, (B, 2, H, W)."""
        points = torch.randn(len(x), 2, self.grid, self.grid, device=x.device, dtype=x.dtype) * self.deviation
        down, across = (self._between(length, x) for length in x.shape[2:])
        return down @ points @ across.T

    def _between(self, length: int, like: Tensor) -> Tensor:
        """What each point counts for each of `length` pixels, (length, grid): interpolation is linear in the points."""
        points = torch.eye(self.grid, device=like.device, dtype=like.dtype)[None, None]
        return F.interpolate(points, (length, self.grid), mode="bicubic", align_corners=True)[0, 0]


class Simard(Displaced):
    """Displaces each pixel at random, and smooths the displacements.

    Simard et al., 2003, Best Practices for Convolutional Neural Networks Applied to Visual Document Analysis, section
    2: uniform displacements in [-1, 1] are smoothed by a Gaussian, and multiplied. Outside the image they are zero.

    Args:
        alpha: the factor, in pixels.
        sigma: the Gaussian's deviation, in pixels.
        border: what comes in from outside: `black` or `mirror`.
    """

    def __init__(self, alpha: float, sigma: float, border: str = "black") -> None:
        super().__init__(border)
        self.alpha, self.sigma = alpha, sigma

    def displacements(self, x: Tensor) -> Tensor:
        """How far each pixel is taken from, in pixels to the right and down, (B, 2, H, W)."""
        drawn = torch.rand(len(x), 2, *x.shape[2:], device=x.device, dtype=x.dtype) * 2 - 1
        down, across = (self._smoothing(length, x) for length in x.shape[2:])
        return down @ (self.alpha * drawn) @ across

    def _smoothing(self, length: int, like: Tensor) -> Tensor:
        """The Gaussian as a matrix over `length` pixels, (length, length)."""
        places = torch.arange(length, device=like.device, dtype=like.dtype)
        distance = (places - places[:, None]) / self.sigma
        weights = torch.exp(-distance.square() / 2) / (self.sigma * math.sqrt(2 * math.pi))
        return weights * (distance.abs() < 5)  # beyond, numbers become so small that a product takes ten times as long
