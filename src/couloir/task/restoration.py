"""Image to image: more pixels, less noise, sharper edges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torchmetrics import Metric

from couloir.metric.means import Means
from couloir.metric.restoration import psnr, ssim
from couloir.task.dense import Dense


class Restoration(Dense):
    """Images (B, C, f H, f W) in [0, 1] of inputs (B, C, H, W).

    Args:
        keys: those of `Dense`.
    """

    shown_as = "images"
    ranked = ("psnr", "ssim", "input_psnr")

    def measures(self) -> dict[str, Metric]:
        """PSNR and SSIM, and the PSNR of the input itself."""
        return {"maps": Means(self.ranked)}

    def measured_of(self, split: str) -> dict[str, Metric]:
        """In training PSNR alone."""
        return {"maps": Means(("psnr",))} if split == "train" else self.measures()

    def statistics(self, prediction: Tensor, target: Tensor, x: Tensor | None) -> tuple[Tensor, ...]:
        """PSNR, SSIM and the input's PSNR of each sample, (B, 3); in training the first alone, (B, 1)."""
        if x is None:
            return (psnr(prediction, target)[:, None],)
        given = enlarged(x * self.input_std + self.input_mean, target)
        return (torch.stack([psnr(prediction, target), ssim(prediction, target), psnr(given, target)], dim=1),)

    def each(self, tensors: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """PSNR, SSIM and the input's PSNR of each sample."""
        return dict(zip(self.ranked, tensors[0].unbind(dim=1), strict=True))

    def planes_of(self, channels: int) -> int:
        """Those of three images."""
        return 3 * channels

    def planes(self, image: Tensor, output: Tensor, target: Tensor) -> Tensor:
        """The input at the size of the target, the clean image and the answer."""
        clean, answer = (x if len(x) == len(image) else x[:1] for x in (target, self.answer(output)))
        return torch.cat([enlarged(image[None], target)[0], clean, answer])

    def write_answer(self, answer: Any, stem: Path) -> Path:
        """The image as a PNG; of another number of channels than 1 and 3 as an array.

        Args:
            answer: in [0, 1], (C, H, W).
            stem: the path without a suffix.
        """
        pixels = (np.asarray(answer).clip(0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0)
        if pixels.shape[2] not in (1, 3):
            return super().write_answer(answer, stem)
        file = stem.with_name(f"{stem.name}.png")
        Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(file)
        return file

    def answer(self, output: Tensor) -> Tensor:
        """The image, in [0, 1]."""
        return output.float().clamp(0, 1)


def enlarged(x: Tensor, target: Tensor) -> Tensor:
    """Images (B, C, H, W) at the size of others, bicubically."""
    if x.shape[-2:] == target.shape[-2:]:
        return x
    return F.interpolate(x, target.shape[-2:], mode="bicubic", align_corners=False)
