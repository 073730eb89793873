"""A class a pixel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchmetrics import Metric

from couloir.config.fields import IGNORED, SHARE
from couloir.data.batches import Batch
from couloir.metric.segmentation import (
    Confusions,
    SegmentationMetrics,
    boundary_counts,
    classes_of,
    confusion,
    overlaps,
)
from couloir.palette import palette
from couloir.task.dense import Dense
from couloir.task.task import Step

MOST = 100
"""Classes up to which a row of `predictions.csv` has the IoU of each."""
TOLERANCE = 2
"""Pixels by which a boundary may be beside the true one."""


class Segmentation(Dense):
    """Scores (B, K, H, W) against classes (B, H, W); pixels of the class `IGNORED` count for nothing.

    Args:
        ignore_index: the number that such pixels have in the batches of a data module of the user's own.
        keys: those of `Dense`.
    """

    shown_as = "classes"
    ranked = ("mean_iou", "pixel_accuracy")
    classes_shown = 2

    def __init__(self, ignore_index: int, **keys: Any) -> None:
        super().__init__(**keys)
        self.ignore_index = ignore_index

    def counted(self, batch: Batch) -> Batch:
        """A batch in which the pixels that do not count are `IGNORED`."""
        if self.ignore_index == IGNORED:
            return batch
        target = batch[self.target]
        return {**batch, self.target: target.masked_fill(target == self.ignore_index, IGNORED)}

    def measures(self) -> dict[str, Metric]:
        """Pixel accuracy, IoU by class and its mean, Dice, and the F1 of the boundaries."""
        return {"maps": SegmentationMetrics(self.num_classes, self.classes, boundaries=True)}

    def measured_of(self, split: str) -> dict[str, Metric]:
        """In training without the boundaries."""
        if split != "train":
            return self.measures()
        return {"maps": SegmentationMetrics(self.num_classes, self.classes)}

    def statistics(self, prediction: Tensor, target: Tensor, x: Tensor | None) -> tuple[Tensor, ...]:
        """The confusions of each sample's pixels, (B, K, K), and of whole images the counts of their boundaries."""
        classes = classes_of(prediction)
        found = confusion(classes, target, self.num_classes)
        if x is None:
            return (found,)
        return found, boundary_counts(classes, target, self.num_classes, TOLERANCE)

    def each(self, tensors: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Pixel accuracy, the mean IoU over the classes that an image has or is said to have, and the IoU of each."""
        right, iou = overlaps(tensors[0])
        by_class = {"iou": iou} if self.num_classes <= MOST else {}
        return {"pixel_accuracy": right, "mean_iou": iou.nanmean(dim=1), **by_class}

    def examine(self, data: Any) -> dict[str, Metric]:
        """How often the pixels of each class are taken for each class; the worst images."""
        return {"confusion": Confusions(self.num_classes), **super().examine(data)}

    def observe(self, batch: Batch, step: Step) -> None:
        """Count pixels, and keep the worst images."""
        self.seen["confusion"].update(*self.confused(step))
        super().observe(batch, step)

    def confused(self, step: Step) -> tuple[Tensor, ...]:
        """The confusions of each sample's pixels."""
        return step.tensors[:1]

    def note(self, split: str, batch: Batch, step: Step) -> Tensor:
        """Count, in a validation, how many pixels of each class there are, and how many are taken for it."""
        if split == "val":
            if self.validated is None:
                self.validated = torch.zeros(2, self.num_classes, dtype=torch.long, device=self.device)
            share = batch.get(SHARE)
            if share is None or share.own > 0:
                pixels = step.tensors[0].sum(dim=0)
                self.validated += torch.stack([pixels.sum(dim=1), pixels.sum(dim=0)])
        return super().note(split, batch, step)

    def planes(self, image: Tensor, output: Tensor, target: Tensor) -> Tensor:
        """The image, the true classes and the predicted ones."""
        classes = torch.stack([target, classes_of(output[None])[0]])
        return torch.cat([image, classes.to(image.dtype)])

    def write_answer(self, answer: Any, stem: Path) -> Path:
        """The most probable class of each pixel as a PNG whose values are the numbers of the classes, in colours.

        Args:
            answer: probabilities (K, H, W), K at most 255.
            stem: the path without a suffix.
        """
        file = stem.with_name(f"{stem.name}.png")
        picture = Image.fromarray(np.asarray(answer).argmax(axis=0).astype(np.uint8))
        picture.putpalette(palette().tobytes())
        picture.save(file)
        return file

    def weight(self, target: Tensor) -> Tensor | None:
        """The pixels that count, or the sum of their weights."""
        own = getattr(self.loss, "total_weight", None)
        weighed: Tensor | None = None if own is None else own(target)
        return (target != IGNORED).sum().float() if weighed is None else weighed

    def answer(self, output: Tensor) -> Tensor:
        """The probabilities of the classes, (B, K, H, W)."""
        return torch.softmax(output.float(), dim=1)
