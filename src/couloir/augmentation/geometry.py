"""Moving pixels: shifts, padded crops, mirrors, rotations, random resized crops. Each sample has a draw of its own.

A map moves with its image: a map of classes by nearest neighbours, a map of values as the image does. What comes in
from outside is black in the image, `IGNORED` in a map of classes and 0 in a map of values; with `border="mirror"` it is
the mirror image of what is inside, in the image and in its map. A box moves by its corners.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from couloir.augmentation.transform import Transform
from couloir.config.fields import IGNORED

PADDING_MODES = {"black": "zeros", "mirror": "reflection"}
"""What torch calls the borders that pixels are resampled beyond."""


def outside(x: Tensor) -> float:
    """What comes into images and maps from outside: black, no value, and for classes (integers) `IGNORED`."""
    return 0.0 if x.is_floating_point() else IGNORED


def padded(x: Tensor, rows: int, columns: int, border: str = "black") -> Tensor:
    """Images or maps (B, C, H, W) with so many rows above and below, and so many columns on the left and right."""
    if border == "black":
        return F.pad(x, [columns, columns, rows, rows], value=outside(x))
    for axis, margin in ((2, rows), (3, columns)):
        length = x.shape[axis]
        places = torch.arange(-margin, length + margin, device=x.device) % (2 * length)
        x = x.index_select(axis, torch.where(places < length, places, 2 * length - 1 - places))
    return x


def crop_at(x: Tensor, top: Tensor, left: Tensor, mirror: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut a window out of each image, mirrored where asked for: one gather, no interpolation.

    Args:
        x: images (B, C, H, W).
        top: first row of each window, (B,).
        left: first column of each window, (B,).
        mirror: which windows are mirrored, (B,) bool.
        size: height and width of the windows.
    """
    rows = top[:, None] + torch.arange(size[0], device=x.device)
    columns = torch.arange(size[1], device=x.device)
    columns = torch.where(mirror[:, None], columns.flip(0), columns) + left[:, None]
    # A third of the time of three indices in brackets.
    places = (rows[:, :, None] * x.shape[3] + columns[:, None, :]).view(len(x), 1, -1).expand(-1, x.shape[1], -1)
    return x.flatten(2).gather(2, places).view(*x.shape[:2], *size)


class PaddedCrop(Transform):
    """Pads, and crops the original size at random; a subclass says how far, and which are mirrored.

    Args:
        padding: pixels on each side.
        border: what they are: `black` or `mirror`.
    """

    def __init__(self, padding: int, border: str = "black") -> None:
        super().__init__()
        self.padding, self.border = padding, border

    def draw(self, x: Tensor) -> tuple[Tensor, ...]:
        """First rows and first columns of the windows in the padded images, and which are mirrored, (B,) each."""
        offsets = torch.randint(0, 2 * self.padding + 1, (2, len(x)), device=x.device)
        return offsets[0], offsets[1], self.mirrored(x)

    def mirrored(self, x: Tensor) -> Tensor:
        """Which images are mirrored, (B,) bool."""
        return torch.zeros(len(x), dtype=torch.bool, device=x.device)

    def inputs(self, x: Tensor, draw: tuple[Tensor, ...]) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        top, left, mirror = draw
        size = x.shape[2], x.shape[3]
        return crop_at(padded(x, self.padding, self.padding, self.border), top, left, mirror, size)

    map = inputs

    def boxes(self, values: Tensor, sample: Tensor, draw: tuple[Tensor, ...], size: tuple[int, int]) -> Tensor:
        """(N, 4) -> the same shape."""
        top, left, mirror = (part[sample].to(values.dtype) for part in draw)
        x0, y0, x1, y1 = (values + self.padding).unbind(dim=1)
        x0, x1, y0, y1 = x0 - left, x1 - left, y0 - top, y1 - top
        turned = mirror.bool()
        return torch.stack(
            [torch.where(turned, size[1] - x1, x0), y0, torch.where(turned, size[1] - x0, x1), y1], dim=1
        )


class Shift(PaddedCrop):
    """Translates each image by up to some pixels in both directions.

    Args:
        pixels: the largest shift.
        border: what comes in: `black` or `mirror`.
    """

    def __init__(self, pixels: int, border: str = "black") -> None:
        super().__init__(pixels, border)


class FlipCrop(PaddedCrop):
    """Pads, crops the original size at random, and mirrors every other image.

    Args:
        padding: pixels on each side.
        flip: the probability that left and right are exchanged.
        border: what the padding is: `black` or `mirror`.
        vertical: the probability that top and bottom are.
    """

    def __init__(self, padding: int, flip: float, border: str = "black", vertical: float = 0.0) -> None:
        super().__init__(padding, border)
        self.flip, self.vertical = flip, vertical

    def draw(self, x: Tensor) -> tuple[Tensor, ...]:
        """Those of a padded crop, and which images are upside down, (B,) bool, where some are."""
        crop = super().draw(x)
        return (*crop, torch.rand(len(x), device=x.device) < self.vertical) if self.vertical else crop

    def mirrored(self, x: Tensor) -> Tensor:
        """Which images are mirrored, (B,) bool."""
        return torch.rand(len(x), device=x.device) < self.flip

    def inputs(self, x: Tensor, draw: tuple[Tensor, ...]) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        turned = draw[3:]
        x = super().inputs(x, draw[:3])
        return torch.where(turned[0][:, None, None, None], x.flip(2), x) if turned else x

    map = inputs

    def boxes(self, values: Tensor, sample: Tensor, draw: tuple[Tensor, ...], size: tuple[int, int]) -> Tensor:
        """(N, 4) -> the same shape."""
        turned = draw[3:]
        values = super().boxes(values, sample, draw[:3], size)
        if not turned:
            return values
        x0, y0, x1, y1 = values.unbind(dim=1)
        return torch.where(turned[0][sample, None], torch.stack([x0, size[0] - y1, x1, size[0] - y0], dim=1), values)


class Dihedral(Transform):
    """Mirrors images, and turns them by quarters: the symmetries of a square.

    Left and right are exchanged, top and bottom, rows and columns, each or not. Where all probabilities are a half, the
    eight symmetries are equally likely. Rows and columns of images that are not square stay: these have four
    symmetries. Nothing comes in from outside.

    Args:
        horizontal: the probability that left and right are exchanged.
        vertical: that top and bottom are.
        transpose: that rows and columns are.
    """

    def __init__(self, horizontal: float, vertical: float, transpose: float) -> None:
        super().__init__()
        self.horizontal, self.vertical, self.transpose = horizontal, vertical, transpose

    def draw(self, x: Tensor) -> Tensor:
        """Whether left and right, top and bottom, rows and columns are exchanged, (3, B) bool."""
        square = x.shape[2] == x.shape[3]
        shares = x.new_tensor([self.horizontal, self.vertical, self.transpose if square else 0.0])
        return torch.rand(3, len(x), device=x.device) < shares[:, None]

    def inputs(self, x: Tensor, draw: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        horizontal, vertical, transpose = draw[:, :, None, None, None]
        x = torch.where(horizontal, x.flip(3), x)
        x = torch.where(vertical, x.flip(2), x)
        return torch.where(transpose, x.transpose(2, 3), x) if x.shape[2] == x.shape[3] else x

    map = inputs

    def boxes(self, values: Tensor, sample: Tensor, draw: Tensor, size: tuple[int, int]) -> Tensor:
        """(N, 4) -> the same shape."""
        horizontal, vertical, transpose = draw[:, sample, None]
        x, y = values[:, [0, 2]], values[:, [1, 3]]
        x = torch.where(horizontal, size[1] - x.flip(1), x)
        y = torch.where(vertical, size[0] - y.flip(1), y)
        x, y = torch.where(transpose, y, x), torch.where(transpose, x, y)
        return torch.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], dim=1)


def sample_at(x: Tensor, places: Tensor, padding_mode: str) -> Tensor:
    """Resample images or maps: values bilinear, classes by nearest neighbours.

    Args:
        x: (B, C, H, W), floats or integers.
        places: where each pixel of the result lies in x, as columns and rows in [-1, 1], (B, h, w, 2).
        padding_mode: of `torch.nn.functional.grid_sample`.

    Returns:
        (B, C, h, w) of the type of x.
    """
    if x.is_floating_point():
        return F.grid_sample(x, places.to(x.dtype), padding_mode=padding_mode, align_corners=False)
    # Outside there are zeros: with the classes counted from IGNORED on, that is IGNORED itself.
    classes = x.to(places.dtype) - IGNORED
    found = F.grid_sample(classes, places, mode="nearest", padding_mode=padding_mode, align_corners=False)
    return (found + IGNORED).to(x.dtype)


class Resampled(Transform):
    """Resamples each image and its maps under an affine map.

    A subclass draws `theta`, (B, 2, 3), from output to input coordinates in [-1, 1].

    Args:
        border: what comes in from outside: `black` or `mirror`.
    """

    def __init__(self, border: str = "black") -> None:
        super().__init__()
        self.padding_mode = PADDING_MODES[border]

    def inputs(self, x: Tensor, draw: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        return sample_at(x, F.affine_grid(draw, list(x.shape), align_corners=False), self.padding_mode)

    map = inputs

    def boxes(self, values: Tensor, sample: Tensor, draw: Tensor, size: tuple[int, int]) -> Tensor:
        """(N, 4) -> the box around the four moved corners, (N, 4)."""
        return moved_boxes(values, draw[sample], size, size)


def moved_boxes(values: Tensor, theta: Tensor, before: tuple[int, int], after: tuple[int, int]) -> Tensor:
    """Boxes around the moved corners of boxes.

    Args:
        values: x0, y0, x1, y1 in pixels, (N, 4).
        theta: the map of each box's image, (N, 2, 3).
        before: height and width of the images.
        after: those of the resampled images.
    """
    corners = values[:, [[0, 1], [2, 1], [0, 3], [2, 3]]]  # (N, 4, 2)
    corners = corners / values.new_tensor([before[1], before[0]]) * 2 - 1
    linear, shift = theta[:, :, :2].to(values.dtype), theta[:, :, 2].to(values.dtype)
    moved = torch.linalg.solve(linear[:, None], (corners - shift[:, None])[..., None])[..., 0]
    moved = (moved + 1) / 2 * values.new_tensor([after[1], after[0]])
    return torch.cat([moved.amin(dim=1), moved.amax(dim=1)], dim=1)


class Rotate(Resampled):
    """Rotates each image about its centre.

    Args:
        degrees: the largest angle in either direction.
        border: what comes in: `black` or `mirror`.
    """

    def __init__(self, degrees: float, border: str = "black") -> None:
        super().__init__(border)
        self.degrees = degrees

    def draw(self, x: Tensor) -> Tensor:
        """A rotation for each image, (B, 2, 3)."""
        draws = torch.rand(len(x), device=x.device, dtype=x.dtype) * 2 - 1
        return rotation(draws * math.radians(self.degrees), x.shape[2] / x.shape[3])


def rotation(angles: Tensor, ratio: float) -> Tensor:
    """The maps (B, 2, 3) that turn images counter-clockwise by angles in radians, (B,).

    Args:
        angles: of the images.
        ratio: height over width: the coordinates run over [-1, 1] on both sides, whatever their lengths.
    """
    cos, sin, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    rows = [torch.stack([cos, -sin * ratio, zero], dim=1), torch.stack([sin / ratio, cos, zero], dim=1)]
    return torch.stack(rows, dim=1)


class Affine(Resampled):
    """Turns, scales, shears and shifts each image in one bilinear step.

    LeCun et al., 1998, Gradient-Based Learning Applied to Document Recognition, section III.B, shifts, scales, squeezes
    and shears its digits; the rotation comes on top.

    Args:
        degrees: the largest angle in either direction.
        scale: each side is divided by up to 1 plus or minus this, on its own.
        shear: the largest horizontal shift, as a share of the distance from the middle row.
        pixels: the largest shift in each direction.
        border: what comes in: `black` or `mirror`.
    """

    def __init__(self, degrees: float, scale: float, shear: float, pixels: float, border: str = "black") -> None:
        super().__init__(border)
        self.degrees, self.scale, self.shear, self.pixels = degrees, scale, shear, pixels

    def draw(self, x: Tensor) -> Tensor:
        """A map for each image, (B, 2, 3)."""
        draw = torch.rand(6, len(x), device=x.device, dtype=x.dtype) * 2 - 1
        angle, shear = draw[0] * math.radians(self.degrees), draw[3] * self.shear
        width, height = 1 + draw[1] * self.scale, 1 + draw[2] * self.scale
        cos, sin, ratio = angle.cos(), angle.sin(), x.shape[2] / x.shape[3]
        right, down = draw[4] * 2 * self.pixels / x.shape[3], draw[5] * 2 * self.pixels / x.shape[2]
        rows = [
            torch.stack([cos * width, (cos * shear - sin) * height * ratio, right], dim=1),
            torch.stack([sin * width / ratio, (sin * shear + cos) * height, down], dim=1),
        ]
        return torch.stack(rows, dim=1)


class Cutout(Transform):
    """Blanks a square of each image, whose centre lies anywhere in it; what lies outside is cut off.

    DeVries and Taylor, 2017, Improved Regularization of Convolutional Neural Networks with Cutout, section 3.2.

    Args:
        pixels: the side of the square.
        value: what stands in it.
    """

    def __init__(self, pixels: int, value: float) -> None:
        super().__init__()
        self.pixels, self.value = pixels, value

    def draw(self, x: Tensor) -> Tensor:
        """The pixels that are blanked, (B, 1, H, W) bool."""
        masks = []
        for length in x.shape[2:]:
            first = torch.randint(0, length, (len(x), 1), device=x.device) - self.pixels // 2
            positions = torch.arange(length, device=x.device)
            masks.append((positions >= first) & (positions < first + self.pixels))
        return masks[0][:, None, :, None] & masks[1][:, None, None, :]

    def inputs(self, x: Tensor, draw: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        return x.masked_fill(draw, self.value)


ATTEMPTS = 10
"""Windows that are drawn for a photograph until one fits into it."""


class RandomResizedCrop(Resampled):
    """Cuts out a window of random area and shape, scales it back to the full size, and mirrors every other image.

    Szegedy et al., 2015, Going Deeper with Convolutions, section 6. Where whole photographs are at hand, the
    windows are cut out of those (`windows`), where only squares are, out of the squares.

    Args:
        scale: the least and the largest share of the area.
        ratio: the least and the largest width over height; drawn evenly on a logarithmic scale.
        flip: the probability of a mirror image.
        of: what `scale` is a share of: `whole`, the photograph; `square`, the square of its shorter side, but anywhere
        in the photograph; `middle`, the square in its middle, in which the windows stay.
    """

    def __init__(self, scale: list[float], ratio: list[float], flip: float, of: str = "whole") -> None:
        super().__init__()
        self.padding_mode = "border"  # the windows lie in the images, and their outermost pixels at the edge
        self.scale, self.ratio, self.flip, self.of = scale, ratio, flip, of

    def draw(self, x: Tensor) -> Tensor:
        """A window for each image, (B, 2, 3)."""
        draw = torch.rand(5, len(x), device=x.device, dtype=x.dtype)
        area = self.scale[0] + (self.scale[1] - self.scale[0]) * draw[0]
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        aspect = torch.exp(low + (high - low) * draw[1])
        width = (area * aspect).sqrt().clamp(max=1.0)
        height = (area / aspect).sqrt().clamp(max=1.0)
        centre_x, centre_y = (1 - width) * (2 * draw[2] - 1), (1 - height) * (2 * draw[3] - 1)
        sign = torch.where(draw[4] < self.flip, -1.0, 1.0).to(x.dtype)
        zero = torch.zeros_like(width)
        rows = [torch.stack([width * sign, zero, centre_x], dim=1), torch.stack([zero, height, centre_y], dim=1)]
        return torch.stack(rows, dim=1)

    def windows(self, sizes: Tensor, generator: torch.Generator, aspect: float = 1.0) -> tuple[Tensor, Tensor]:
        """Windows out of photographs of heights and widths (B, 2): top, left, height and width (B, 4); mirrored, (B,).

        Area and shape are drawn up to ten times, until the window fits; a photograph into which none of them fits
        gives its middle, as large as the ratios allow. `aspect` is the width over the height of the samples that the
        windows are scaled to: `ratio` says how far a window's own may be from it, and what is said of squares goes for
        rectangles of this shape.
        """
        count = len(sizes)
        draw = torch.rand(2, ATTEMPTS, count, generator=generator, dtype=torch.float64)
        place = torch.rand(2, count, generator=generator, dtype=torch.float64)
        mirror = torch.rand(count, generator=generator) < self.flip
        height, width = sizes.double().unbind(dim=1)
        square_h = torch.minimum(height, width / aspect)
        square_w = square_h * aspect
        if self.of == "middle":
            height, width = square_h, square_w
        area = height * width if self.of == "whole" else square_h * square_w
        area = area * (self.scale[0] + (self.scale[1] - self.scale[0]) * draw[0])
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        shape = aspect * torch.exp(low + (high - low) * draw[1])
        h, w = (area / shape).sqrt().round(), (area * shape).sqrt().round()
        fits = (h >= 1) & (h <= height) & (w >= 1) & (w <= width)
        first = fits.int().argmax(dim=0, keepdim=True)
        fallback_h = torch.minimum(height, width / (aspect * self.ratio[0])).round()
        fallback_w = torch.minimum(width, height * (aspect * self.ratio[1])).round()
        fitting = fits.any(dim=0)
        h = torch.where(fitting, h.gather(0, first)[0], fallback_h).clamp(min=1)
        w = torch.where(fitting, w.gather(0, first)[0], fallback_w).clamp(min=1)
        place = torch.where(fitting, place, 0.5)
        top, left = (place[0] * (height - h + 1)).floor(), (place[1] * (width - w + 1)).floor()
        if self.of == "middle":
            top = top + ((sizes[:, 0] - square_h) / 2).floor()
            left = left + ((sizes[:, 1] - square_w) / 2).floor()
        return torch.stack([top, left, h, w], dim=1).long(), mirror
