"""Where people look: a map in [0, 1], or a density over the pixels of an image."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchmetrics import Metric

from couloir.config.image_size import Size
from couloir.metric.means import Means
from couloir.metric.saliency import NAMES, scores
from couloir.task.dense import Dense


class Saliency(Dense):
    """Maps (B, 1, H, W) against maps in [0, 1].

    Args:
        output: `sigmoid`, a value in [0, 1] for each pixel; `density`, a softmax over all pixels: prediction and target
            both sum to one.
        keys: those of `Dense`.
    """

    beside = -math.inf
    ranked = NAMES

    def __init__(self, output: str, **keys: Any) -> None:
        super().__init__(**keys)
        self.density = output == "density"
        self.shown_as = "shares" if self.density else "values"

    def measures(self) -> dict[str, Metric]:
        """The mean over all images of CC, SIM, NSS, KL divergence and AUC-Judd."""
        return {"maps": Means(NAMES)}

    def prediction(self, output: Tensor) -> Tensor:
        """The map, (B, 1, H, W)."""
        scores = output.float()
        return scores.flatten(1).softmax(dim=1).view_as(scores) if self.density else scores.sigmoid()

    def criterion(self, outputs: Any, y: Tensor) -> Tensor:
        """The loss of the map."""
        return super().criterion(outputs, as_density(y) if self.density else y)

    def statistics(self, prediction: Tensor, target: Tensor, x: Tensor | None) -> tuple[Tensor, ...]:
        """The scores of each sample, (B, 5); none in training, where sorting all pixels would cost too much."""
        return () if x is None else (scores(prediction, target),)

    def each(self, tensors: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """The scores of each sample."""
        return dict(zip(NAMES, tensors[0].unbind(dim=1), strict=True))

    def at_size(self, answer: Tensor, size: Size) -> Tensor:
        """The maps at another size; a density sums to one again."""
        found = super().at_size(answer, size)
        return as_density(found) if self.density else found

    def write_answer(self, answer: Any, stem: Path) -> Path:
        """The map as a grey PNG of 8 bits: 255 is 1 or, of a density, its largest value.

        Args:
            answer: (1, H, W).
            stem: the path without a suffix.
        """
        file = stem.with_name(f"{stem.name}.png")
        Image.fromarray((self.visible(answer) * 255).round().astype(np.uint8)).save(file)
        return file

    def visible(self, answer: Any) -> NDArray[np.float32]:
        """A map (1, H, W) from black to white, (H, W): a density as shares of its largest value."""
        values = torch.as_tensor(np.asarray(answer))[0]
        found: NDArray[np.float32] = (shown(values) if self.density else values).numpy()
        return found

    def planes(self, image: Tensor, output: Tensor, target: Tensor) -> Tensor:
        """The image, the true map and the predicted one; densities as shares of the largest value of both.

        On a scale of its own a map that is the same everywhere would be all bright, and least wrong where it misses
        most.
        """
        predicted = self.prediction(output[None])
        if not self.density:
            return torch.cat([image, target, predicted[0]])
        maps = torch.cat([as_density(target[None])[0], predicted[0]])
        return torch.cat([image, maps / maps.amax().clamp_min(torch.finfo(maps.dtype).tiny)])

    def answer(self, output: Tensor) -> Tensor:
        """The map, (B, 1, H, W)."""
        return self.prediction(output)


def as_density(maps: Tensor) -> Tensor:
    """Maps (B, 1, H, W), each divided by its sum; one of zeros stays as it is."""
    total = maps.sum(dim=(1, 2, 3), keepdim=True)
    return maps / total.masked_fill(total == 0, 1)


def shown(maps: Tensor) -> Tensor:
    """Maps (..., H, W) as shares of the largest value of each; one of zeros stays as it is."""
    most = maps.amax(dim=(-2, -1), keepdim=True)
    return maps / most.masked_fill(most == 0, 1)
