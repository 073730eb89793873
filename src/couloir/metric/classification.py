"""Metrics of classification: loss, accuracy, and top-5 accuracy where there are more than five classes."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from couloir.metric.precision import WIDE


class ClassificationMetrics(Metric):
    """Sums on the device what an epoch's loss and accuracies need, in one update a batch.

    One metric with four sums rather than three metrics: nothing is read back before the epoch ends, and every sum
    reduces exactly
    over several processes.

    Args:
        num_classes: the number of classes C; top-5 accuracy is measured where C > 5.
    """

    full_state_update = False
    loss_sum: Tensor
    correct: Tensor
    correct_top5: Tensor
    count: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.top5 = num_classes > 5
        self.add_state("loss_sum", torch.zeros((), dtype=WIDE), dist_reduce_fx="sum")
        for name in ("correct", "correct_top5", "count"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor, loss: Tensor) -> None:
        """Add a batch: scores (B, C), labels (B,) or class probabilities (B, C), and the batch's mean loss."""
        labels = target if target.ndim == 1 else target.argmax(dim=1)
        self.loss_sum += loss.to(WIDE) * len(labels)
        self.count += len(labels)
        if self.top5:
            best = prediction.topk(5, dim=1).indices == labels[:, None]
            self.correct += best[:, 0].sum()
            self.correct_top5 += best.sum()
        else:
            self.correct += (prediction.argmax(dim=1) == labels).sum()

    def compute(self) -> dict[str, Tensor]:
        """`loss`, `accuracy` and, with more than five classes, `top5_accuracy`; each in the sums' precision."""
        values = {"loss": self.loss_sum / self.count, "accuracy": self.correct.to(WIDE) / self.count}
        if self.top5:
            values["top5_accuracy"] = self.correct_top5.to(WIDE) / self.count
        return values
