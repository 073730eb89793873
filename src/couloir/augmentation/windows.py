"""Windows of a fixed size, cut out of larger images without scaling, or zoomed by a range of factors."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from couloir.augmentation.geometry import crop_at, moved_boxes, outside, padded, sample_at
from couloir.augmentation.transform import Transform
from couloir.config.image_size import ImageSize, in_words, size_of
from couloir.errors import CouloirError


class Windows(NamedTuple):
    """Windows of a batch.

    Attributes:
        places: top, left, height and width in pixels, (B, 4).
        mirror: which windows are mirrored, (B,) bool.
        theta: from the windows' coordinates to the images', both in [-1, 1], (B, 2, 3).
        grid: where each pixel of a zoomed window lies in its image, (B, h, w, 2) in [-1, 1]; None: nothing is zoomed.
        beyond: whether that is outside of the image, (B, 1, h, w) bool.
    """

    places: Tensor
    mirror: Tensor
    theta: Tensor
    grid: Tensor | None = None
    beyond: Tensor | None = None


class RandomWindow(Transform):
    """Cuts a window out of each image, anywhere in it, and mirrors every other one.

    Where whole photographs are at hand, the windows are cut out of those (`windows`), where the samples are in memory,
    out of them. A window that is larger than its image holds all of it, somewhere, and what is around it comes from
    outside: black in the image, `IGNORED` in a map of classes, 0 in a map of values.

    Args:
        size: of the windows in the result: pixels of the sides, or height and width.
        scale: the least and the largest factor by which what a window shows is enlarged; 1: not scaled.
        flip: the probability of a mirror image.

    Raises:
        CouloirError: the scale is not two factors.
    """

    def __init__(self, size: ImageSize, scale: list[float], flip: float) -> None:
        super().__init__()
        if len(scale) != 2:
            raise CouloirError(
                f"The scale of windows is the least and the largest factor, not {scale}.", next_step="[0.5,2.0]"
            )
        self.size, self.scale, self.flip = size_of(size), scale, flip

    def windows(self, sizes: Tensor, generator: torch.Generator, aspect: float = 1.0) -> tuple[Tensor, Tensor]:
        """Windows out of photographs of heights and widths (B, 2): top, left, height and width (B, 4); mirrored, (B,).

        Where a window is larger than the photograph, its top or left is negative.

        Raises:
            CouloirError: the samples that the windows are scaled to have another shape; their width is `aspect` times
                their height.
        """
        if abs(self.size[1] / self.size[0] - aspect) > 1e-6:
            raise CouloirError(
                f"Windows of {in_words(self.size)} pixels do not have the shape of the samples, whose width is "
                f"{aspect:.3g} times their height.",
                next_step="leave the windows' size out: it is data.image_size",
            )
        return self._placed(torch.rand(4, len(sizes), generator=generator, dtype=torch.float64), sizes)

    def _placed(self, drawn: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Windows (B, 4) and which are mirrored (B,), of numbers in [0, 1), (4, B), and the images' sizes (B, 2)."""
        zoom = self.scale[0] + (self.scale[1] - self.scale[0]) * drawn[0]
        sides = (drawn.new_tensor(self.size) / zoom[:, None]).round().clamp(min=1)
        room = sizes - sides
        # A product may be rounded up to the number of places, hence the limit.
        offset = (drawn[1:3].T * (room.abs() + 1)).floor().minimum(room.abs())
        return torch.cat([offset + room.clamp(max=0), sides], dim=1).long(), drawn[3] < self.flip

    def draw(self, x: Tensor) -> Windows:
        """A window for each image of a batch (B, C, H, W)."""
        sizes = x.new_tensor(x.shape[2:]).expand(len(x), 2)
        places, mirror = self._placed(torch.rand(4, len(x), device=x.device, dtype=x.dtype), sizes)
        sides, zero = places[:, 2:] / sizes, torch.zeros(len(x), device=x.device, dtype=x.dtype)
        middle = (2 * places[:, :2] + places[:, 2:]) / sizes - 1
        across = torch.where(mirror, -sides[:, 1], sides[:, 1])
        rows = [torch.stack([across, zero, middle[:, 1]], dim=1), torch.stack([zero, sides[:, 0], middle[:, 0]], dim=1)]
        windows = Windows(places, mirror, torch.stack(rows, dim=1))
        if self.scale[0] == self.scale[1] == 1:
            return windows
        grid = F.affine_grid(windows.theta, [len(x), 1, *self.size], align_corners=False)
        across, down = grid.abs().unbind(3)
        return windows._replace(grid=grid, beyond=((across > 1) | (down > 1))[:, None])

    def inputs(self, x: Tensor, draw: Windows) -> Tensor:
        """(B, C, H, W) -> (B, C, h, w)."""
        if draw.grid is None or draw.beyond is None:  # exact, and less work
            rows, columns = (max(0, side - length) for side, length in zip(self.size, x.shape[2:], strict=True))
            top, left = draw.places[:, 0] + rows, draw.places[:, 1] + columns
            return crop_at(padded(x, rows, columns), top, left, draw.mirror, self.size)
        # The outermost pixels go on, or zooming would darken the edges; then what lies beyond the image is taken out.
        return sample_at(x, draw.grid, "border").masked_fill(draw.beyond, outside(x))

    map = inputs

    def boxes(self, values: Tensor, sample: Tensor, draw: Windows, size: tuple[int, int]) -> Tensor:
        """(N, 4) -> the same shape."""
        return moved_boxes(values, draw.theta[sample], size, self.size)
