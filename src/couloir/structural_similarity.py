"""The structural similarity of two images, as a measure and, since it has a gradient, as a loss.

Source: Wang, Bovik, Sheikh and Simoncelli, 2004, Image Quality Assessment: From Error Visibility to Structural
Similarity, section III B: a Gaussian window of 11 x 11 with the deviation 1.5, K1 = 0.01, K2 = 0.03.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW, DEVIATION = 11, 1.5
"""Side and deviation of the Gaussian window, in pixels."""
C1, C2 = 0.01**2, 0.03**2
"""What keeps quotients of dark and of even places finite, for values in [0, 1]."""
BLOCK = 64
"""Pixels that one product with a matrix smooths: on a CPU ten times faster than a convolution with a window."""


def structural_similarity(first: Tensor, second: Tensor) -> Tensor:
    """The mean similarity of each pair of images, (B,), at most 1, over channels and places.

    Places are those where the whole window lies in the image, as in the paper; TorchMetrics also counts a mirrored
    border.

    Args:
        first: values in [0, 1], (B, C, H, W).
        second: values of the same shape. Of images below 11 pixels the window is the largest odd one that they hold.
    """
    first, second = (x if x.dtype == torch.float64 else x.float() for x in (first, second))
    side = min(WINDOW, *first.shape[2:])
    window = _gaussian(side if side % 2 else side - 1, first)
    maps = torch.stack([first, second, first.square(), second.square(), first * second])
    # In half precision the variance, a small difference of large squares, would be lost.
    with torch.autocast(maps.device.type, enabled=False):
        mean1, mean2, square1, square2, product = _smoothed(_smoothed(maps, window).mT, window).mT.unbind()
    variance1, variance2 = square1 - mean1.square(), square2 - mean2.square()
    luminance = (2 * mean1 * mean2 + C1) / (mean1.square() + mean2.square() + C1)
    structure = (2 * (product - mean1 * mean2) + C2) / (variance1 + variance2 + C2)
    return (luminance * structure).flatten(1).mean(dim=1)


def _gaussian(side: int, like: Tensor) -> Tensor:
    places = torch.arange(side, dtype=like.dtype, device=like.device) - (side - 1) / 2
    window = torch.exp(-(places**2) / (2 * DEVIATION**2))
    return window / window.sum()


def _smoothed(x: Tensor, window: Tensor) -> Tensor:
    """The last axis smoothed, (..., L - side + 1): blocks of it times a matrix with the window in each column."""
    length = x.shape[-1] - len(window) + 1
    block = min(length, BLOCK)
    matrix = x.new_zeros(block + len(window) - 1, block)
    for shift, weight in enumerate(window):
        matrix.diagonal(-shift).fill_(weight)
    blocks = F.pad(x, (0, -length % block)).unfold(-1, len(matrix), block)
    return (blocks @ matrix).flatten(-2)[..., :length]
