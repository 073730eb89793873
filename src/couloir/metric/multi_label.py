"""Metrics of multi-label classification: the share of labels that are right, and of samples whose labels all are."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from couloir.metric.precision import WIDE


class MultiLabelMetrics(Metric):
    """Counts right labels and wholly right samples.

    Args:
        probabilities: whether predictions are probabilities; else logits.
    """

    full_state_update = False
    right: Tensor
    whole: Tensor
    labels: Tensor
    count: Tensor

    def __init__(self, probabilities: bool = False) -> None:
        super().__init__()
        self.threshold = 0.5 if probabilities else 0.0
        for name in ("right", "whole", "labels", "count"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add a batch: predictions (B, K), and labels (B, K) in {0, 1} or, after mixup, probabilities."""
        right = (prediction > self.threshold) == (target > 0.5)
        self.right += right.sum()
        self.whole += right.all(dim=1).sum()
        self.labels += target.numel()
        self.count += len(target)

    def compute(self) -> dict[str, Tensor]:
        """`label_accuracy` and `exact_match`."""
        return {"label_accuracy": self.right.to(WIDE) / self.labels, "exact_match": self.whole.to(WIDE) / self.count}
