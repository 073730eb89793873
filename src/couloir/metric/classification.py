"""Metrics of classification: accuracy, and top-5 accuracy where there are more than five classes."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from couloir.metric.precision import WIDE

TOP = 5
"""Of more classes than this, a true class among so many of the most probable ones counts as well."""


def predicted(scores: Tensor) -> Tensor:
    """The class of each sample (B,) that scores (B, C) speak for, as accuracy counts it.

    Of classes with the same score, the largest one of several and the largest one of all need not be the same.
    """
    return scores.topk(TOP, dim=1).indices[:, 0] if scores.shape[1] > TOP else scores.argmax(dim=1)


class ClassificationMetrics(Metric):
    """Sums on the device what an epoch's accuracies need.

    One metric with three sums rather than two metrics: nothing is read back before the epoch ends, and every sum
    reduces exactly over several processes.

    Args:
        num_classes: the number of classes C; top-5 accuracy is measured where C > 5.
    """

    full_state_update = False
    correct: Tensor
    correct_top5: Tensor
    count: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.top5 = num_classes > TOP
        for name in ("correct", "correct_top5", "count"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add a batch: scores (B, C), and labels (B,) or class probabilities (B, C)."""
        labels = target if target.ndim == 1 else target.argmax(dim=1)
        self.count += len(labels)
        if self.top5:
            best = prediction.topk(TOP, dim=1).indices == labels[:, None]
            self.correct += best[:, 0].sum()
            self.correct_top5 += best.sum()
        else:
            self.correct += (predicted(prediction) == labels).sum()

    def compute(self) -> dict[str, Tensor]:
        """`accuracy` and, with more than five classes, `top5_accuracy`; each in the sums' precision."""
        values = {"accuracy": self.correct.to(WIDE) / self.count}
        if self.top5:
            values["top5_accuracy"] = self.correct_top5.to(WIDE) / self.count
        return values
