"""A map laid over the photograph that it is about.

The photograph is grey and pale, the map has the colours, and where it is zero the photograph alone is seen. A bar below
it shows the colours from the lowest value to the highest, so that it is read on a light page, a dark one and paper.
"""

from __future__ import annotations

from typing import cast

import matplotlib
import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from couloir.inference.explain.exhibit import as_picture

Picture = NDArray[np.uint8]
"""(H, W, 3)."""
LEAST = 180
"""Pixels of the longer side at least: smaller images are enlarged, each pixel to a square."""
BAR, GAP = 10, 4
"""Pixels that the bar and the line above it are high."""
ONE_SIGN, TWO_SIGNS = "YlOrRd", "RdBu_r"
"""Colours of maps that are never negative, pale yellow to dark red, and of others, blue below zero and red above."""
CLIPPED = 0.995
"""The share of pixels up to which the colours go: a few pixels of a gradient are many times larger than all others."""
GREY = 128


def photograph(pixels: Tensor) -> Picture:
    """An image in [0, 1] (C, H, W) as a picture in colours, enlarged where it is small."""
    found = as_picture(pixels)
    return enlarged(found if found.ndim == 3 else np.repeat(found[..., None], 3, axis=2))


def enlarged(picture: Picture, least: int = LEAST) -> Picture:
    """A small picture with each pixel as a square."""
    factor = -(-least // max(picture.shape[:2]))
    return picture if factor < 2 else picture.repeat(factor, axis=0).repeat(factor, axis=1)


def as_large_as(values: Tensor, pixels: Tensor) -> NDArray[np.float32]:
    """A map (h, w) at the size of an image (C, H, W), bilinearly; one of that size stays as it is."""
    found = values.detach().float().cpu()
    if found.shape != pixels.shape[1:]:
        size = [int(length) for length in pixels.shape[1:]]
        found = F.interpolate(found[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
    return cast("NDArray[np.float32]", found.numpy())


def most_of(values: NDArray[np.float32], signed: bool) -> tuple[float, float]:
    """The values that the colours end at; for maps with signs the same on both sides of zero."""
    size = np.abs(values[np.isfinite(values)]) if signed else values[np.isfinite(values)]
    most = float(np.quantile(size, CLIPPED)) if size.size else 0.0
    most = most if most > 0 else float(size.max(initial=0.0))
    return (-most if signed else 0.0), most


def laid_over(pixels: Tensor, values: Tensor, signed: bool = False, most: float = 0.0) -> tuple[Picture, str]:
    """A map over its image, with a bar; and in words what the bar's ends are.

    Args:
        pixels: the image in [0, 1], (C, H, W).
        values: the map, (h, w); it is enlarged to the image.
        signed: whether it has values below zero.
        most: the value that the colours end at; 0: by the map itself.
    """
    shown = as_large_as(values, pixels)
    low, high = (-most if signed else 0.0, most) if most else most_of(shown, signed)
    shares = shown / high if high > 0 else np.zeros_like(shown)
    grey = photograph_in_grey(pixels)[..., None]
    strength = np.abs(np.clip(shares, -1, 1))[..., None] ** 0.75
    colours = _colours(np.clip(shares, -1, 1), signed)
    mixed = (grey * (1 - strength) + colours * strength).round().astype(np.uint8)
    return with_bar(enlarged(mixed), signed), f"{low:.3g} to {high:.3g}"


def photograph_in_grey(pixels: Tensor) -> NDArray[np.float64]:
    """An image in [0, 1] (C, H, W) as pale grey values from 90 to 250, (H, W), which all colours stand out from."""
    grey = pixels.detach().double().cpu().clamp(0, 1).mean(dim=0).numpy()
    return cast("NDArray[np.float64]", 90 + 160 * grey)


def with_bar(picture: Picture, signed: bool) -> Picture:
    """A picture with the colours of its values below it, the lowest on the left."""
    width = picture.shape[1]
    shares = np.linspace(-1.0 if signed else 0.0, 1.0, width)
    strength = np.abs(shares)[:, None] ** 0.75
    bar = (250 * (1 - strength) + _colours(shares, signed) * strength).round().astype(np.uint8)
    line = np.full((GAP, width, 3), GREY, dtype=np.uint8)
    return np.concatenate([picture, line, np.broadcast_to(bar, (BAR, width, 3))])


def _colours(shares: NDArray[np.floating], signed: bool) -> NDArray[np.float64]:
    """Shares in [-1, 1] as colours (..., 3) from 0 to 255."""
    place = 0.5 + shares / 2 if signed else 0.15 + 0.85 * np.clip(shares, 0, 1)
    found = matplotlib.colormaps[TWO_SIGNS if signed else ONE_SIGN](place)[..., :3]
    return cast("NDArray[np.float64]", found * 255.0)
