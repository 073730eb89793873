"""A class a pixel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from couloir.config.fields import IGNORED
from couloir.data.batches import Batch
from couloir.metric.segmentation import SegmentationMetrics, boundary_counts, classes_of, confusion
from couloir.task.dense import Dense

TOLERANCE = 2
"""Pixels by which a boundary may be beside the true one."""


class Segmentation(Dense):
    """Scores (B, K, H, W) against classes (B, H, W); pixels of the class `IGNORED` count for nothing.

    Args:
        ignore_index: the number that such pixels have in the batches of a data module of the user's own.
        keys: those of `Dense`.
    """

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

    def weight(self, target: Tensor) -> Tensor | None:
        """The pixels that count, or the sum of their weights."""
        own = getattr(self.loss, "total_weight", None)
        weighed: Tensor | None = None if own is None else own(target)
        return (target != IGNORED).sum().float() if weighed is None else weighed

    def answer(self, output: Tensor) -> Tensor:
        """The probabilities of the classes, (B, K, H, W)."""
        return torch.softmax(output.float(), dim=1)
