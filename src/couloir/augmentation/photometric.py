"""Changing values: brightness, contrast, saturation, hue, and noise. Each sample has a draw of its own."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey value (ITU-R BT.601)."""


class Photometric(nn.Module):
    """Jitters brightness, contrast, saturation and hue, in this order; grey images have only the first two.

    Args:
        brightness: values are multiplied by 1 + U[-b, b].
        contrast: the distance to the image's mean grey is multiplied by 1 + U[-c, c].
        saturation: the distance to each pixel's grey is multiplied by 1 + U[-s, s].
        hue: colours are turned by U[-h, h] of the colour circle.
    """

    def __init__(self, brightness: float, contrast: float, saturation: float, hue: float) -> None:
        super().__init__()
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> the same."""
        draw = torch.rand(4, len(x), 1, 1, 1, device=x.device, dtype=x.dtype) * 2 - 1
        x = (x * (1 + self.brightness * draw[0])).clamp(0, 1)
        middle = grey(x).mean(dim=(1, 2, 3), keepdim=True)
        x = (middle + (x - middle) * (1 + self.contrast * draw[1])).clamp(0, 1)
        if x.shape[1] != 3:
            return x
        value = grey(x)
        x = (value + (x - value) * (1 + self.saturation * draw[2])).clamp(0, 1)
        if self.hue:
            from kornia.enhance import adjust_hue  # half a second to import, and only this needs it

            turned: Tensor = adjust_hue(x, draw[3].flatten() * (2 * math.pi * self.hue))
            x = turned.clamp(0, 1)
        return x


def grey(x: Tensor) -> Tensor:
    """The grey values of images (B, C, H, W): (B, 1, H, W)."""
    if x.shape[1] != 3:
        return x.mean(dim=1, keepdim=True)
    weights = torch.tensor(LUMA, device=x.device, dtype=x.dtype).view(1, 3, 1, 1)
    return (x * weights).sum(dim=1, keepdim=True)


class Noise(nn.Module):
    """Adds Gaussian noise to every input (Sietsma and Dow, 1991).

    Args:
        sigma: its deviation, in units of the input before standardisation: images lie in [0, 1].
    """

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, x: Tensor) -> Tensor:
        """(B, ...) -> the same shape."""
        return x + self.sigma * torch.randn_like(x)
