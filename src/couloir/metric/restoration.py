"""How near restored images come to the clean ones: PSNR and SSIM of each."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio

from couloir.structural_similarity import structural_similarity

MOST = 100.0
"""Decibels that an image counts which is restored exactly; its PSNR has no bound."""


def psnr(prediction: Tensor, clean: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in decibels, (B,): 10 log10(1 / MSE), over all channels together.

    Args:
        prediction: (B, C, H, W); what lies outside [0, 1] is moved to its border, as in a file of the image.
        clean: the same shape.
    """
    pair = (prediction.float().clamp(0, 1), clean.float().clamp(0, 1))
    each: Tensor = peak_signal_noise_ratio(*pair, data_range=1.0, reduction="none", dim=(1, 2, 3))
    return torch.clamp(each, max=MOST)


def ssim(prediction: Tensor, clean: Tensor) -> Tensor:
    """Structural similarity of each image, (B,), at most 1; see `couloir.structural_similarity`.

    Args:
        prediction: (B, C, H, W); what lies outside [0, 1] is moved to its border.
        clean: the same shape.
    """
    return structural_similarity(prediction.float().clamp(0, 1), clean.float().clamp(0, 1))
