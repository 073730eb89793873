"""Changing values: brightness, contrast, saturation, hue, the light, and noise. Each sample has a draw of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from couloir.augmentation.transform import Transform
from couloir.errors import CouloirError

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey value (ITU-R BT.601)."""


class Photometric(Transform):
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

    def draw(self, x: Tensor) -> Tensor:
        """Brightness, contrast, saturation and hue of each image in [-1, 1], (4, B, 1, 1, 1)."""
        return torch.rand(4, len(x), 1, 1, 1, device=x.device, dtype=x.dtype) * 2 - 1

    def inputs(self, x: Tensor, draw: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> the same."""
        x = (x * (1 + self.brightness * draw[0])).clamp(0, 1)
        middle = grey(x).mean(dim=(1, 2, 3), keepdim=True)
        x = (middle + (x - middle) * (1 + self.contrast * draw[1])).clamp(0, 1)
        if x.shape[1] != 3:
            return x
        value = grey(x)
        x = (value + (x - value) * (1 + self.saturation * draw[2])).clamp(0, 1)
        return turn_hue(x, draw[3].flatten() * self.hue) if self.hue else x


def grey(x: Tensor) -> Tensor:
    """The grey values of images (B, C, H, W): (B, 1, H, W)."""
    if x.shape[1] != 3:
        return x.mean(dim=1, keepdim=True)
    weights = torch.tensor(LUMA, device=x.device, dtype=x.dtype).view(1, 3, 1, 1)
    return (x * weights).sum(dim=1, keepdim=True)


def turn_hue(x: Tensor, share: Tensor) -> Tensor:
    """Turn the hue of each image by a share of the colour circle; value and saturation (HSV) stay.

    Smith, 1978, Color Gamut Transform Pairs. Red lies at 0, green at 2 and blue at 4 sixths of the circle; a channel
    is as far below the largest as its distance to the hue says.

    Args:
        x: (B, 3, H, W) in [0, 1].
        share: (B,); 0.5 gives the complementary colours.

    Returns:
        (B, 3, H, W) in [0, 1].
    """
    red, green, blue = x.unbind(1)
    largest = x.amax(1)
    chroma = largest - x.amin(1)
    lead = torch.where(green == largest, blue - red + 2 * chroma, red - green + 4 * chroma)
    lead = torch.where(red == largest, green - blue, lead)
    sixths = lead / torch.where(chroma == 0, 1, chroma) + 6 * share.view(-1, 1, 1)
    start = torch.tensor([5, 3, 1], device=x.device, dtype=x.dtype).view(1, 3, 1, 1)
    place = (sixths.unsqueeze(1) + start).remainder(6)
    return largest.unsqueeze(1) - chroma.unsqueeze(1) * torch.minimum(place, 4 - place).clamp(0, 1)


class PCAColor(Transform):
    """Adds to every pixel of an image sum_i a_i lambda_i p_i, a_i drawn once an image from N(0, sigma²).

    Krizhevsky et al., 2012, ImageNet Classification with Deep Convolutional Neural Networks, section 4.1.

    Args:
        sigma: deviation of the factors.
        eigenvalues: lambda, of the covariance of the colours.
        eigenvectors: p, a row of red, green and blue for each.
    """

    def __init__(self, sigma: float, eigenvalues: list[float], eigenvectors: list[list[float]]) -> None:
        super().__init__()
        self.sigma = sigma
        self.components = torch.tensor(eigenvalues)[:, None] * torch.tensor(eigenvectors)

    def draw(self, x: Tensor) -> Tensor:
        """A factor of each component for each image, (B, 3).

        Raises:
            CouloirError: the images are not in colour.
        """
        if x.shape[1] != 3:
            raise CouloirError(
                f"augmentation=pca_color changes colours; the images have {x.shape[1]} channels.",
                next_step="augmentation=photometric takes grey images as well",
            )
        return torch.randn(len(x), 3, device=x.device, dtype=x.dtype) * self.sigma

    def inputs(self, x: Tensor, draw: Tensor) -> Tensor:
        """(B, 3, H, W) -> the same shape."""
        change = draw @ self.components.to(x)
        return (x + change[:, :, None, None]).clamp(0, 1)


class Noise(Transform):
    """Adds Gaussian noise to every input (Sietsma and Dow, 1991).

    Args:
        sigma: its deviation, in units of the input before standardisation: images lie in [0, 1].
    """

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def inputs(self, x: Tensor, draw: None) -> Tensor:
        """(B, ...) -> the same shape."""
        return x + self.sigma * torch.randn_like(x)
