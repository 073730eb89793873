"""The pixels of images: how often each channel has each value, over some images of the training split."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from couloir.data.samples import Samples
from couloir.data.standardise import measured
from couloir.errors import CouloirError

LEVELS = 256
AT_A_TIME = 256
"""Images whose pixels are counted at a time."""


@dataclass
class Pixels:
    """The values of some images' pixels.

    Attributes:
        counts: how often each channel has each of 256 levels, (C, 256).
        images: how many images were counted.
        size: their height and width.
        broken: the numbers of those in the training split that cannot be decoded, and why.
    """

    counts: NDArray[np.int64]
    images: int = 0
    size: tuple[int, int] = (0, 0)
    broken: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, data: Samples) -> Pixels:
        """Count the pixels of the images by which training measures mean and deviation, evenly spaced."""
        split = data.splits["train"]
        found = cls(np.zeros((data.channels, LEVELS), dtype=np.int64))
        numbers = measured(split).tolist()
        for at in range(0, len(numbers), AT_A_TIME):
            part = numbers[at : at + AT_A_TIME]
            try:
                found.add(split.source.fetch(torch.from_numpy(split.indices[part]))[:, : data.channels])
            except CouloirError:  # one of them is broken: which one is found by looking at each
                for number in part:
                    found._add_one(split, number)
        return found

    def _add_one(self, split: Any, number: int) -> None:
        try:
            self.add(split.source.fetch(torch.from_numpy(split.indices[[number]]))[:, : len(self.counts)])
        except CouloirError as error:
            self.broken[number] = error.fact.rstrip(".")

    def add(self, images: Tensor) -> None:
        """Count the pixels of images: uint8 (B, C, H, W), or float in [0, 1]."""
        if images.dtype != torch.uint8:
            images = images.mul(LEVELS - 1).round().clamp(0, LEVELS - 1).to(torch.uint8)
        for channel, plane in enumerate(images.cpu().movedim(1, 0).numpy()):
            self.counts[channel] += np.bincount(plane.reshape(-1), minlength=LEVELS)
        self.images += len(images)
        self.size = (int(images.shape[-2]), int(images.shape[-1]))

    def facts(self) -> dict[str, Any]:
        """Size, and of each channel mean, deviation, least and greatest value; pixels count as [0, 1]."""
        levels = np.arange(LEVELS) / (LEVELS - 1)
        total = np.maximum(self.counts.sum(axis=1), 1)
        mean = (self.counts * levels).sum(axis=1) / total
        variance = (self.counts * np.square(levels - mean[:, None])).sum(axis=1) / total
        several = (self.counts > 0).sum(axis=1) > 1
        there = [np.flatnonzero(row) for row in self.counts]
        return {
            "channels": len(self.counts),
            "height": self.size[0],
            "width": self.size[1],
            "measured": self.images,
            "mean": mean.tolist(),
            "std": np.where(several, np.sqrt(variance), 0.0).tolist(),
            "min": [float(levels[at[0]]) if len(at) else None for at in there],
            "max": [float(levels[at[-1]]) if len(at) else None for at in there],
        }
