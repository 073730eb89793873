"""Metrics that cost a step next to nothing: batches are kept, and taken in many at a time."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from couloir.metrics.accumulator import WIDE

BATCHES = 64
"""Batches that are kept at most; a metric's dozen small operations are then run once for all of them."""
VALUES = 1 << 20
"""Predicted values that are kept at most, 4 MiB in float32."""


class Gathered:
    """Hands a metric its batches together: `update(prediction, target, loss)` on many samples in one call.

    Args:
        metric: takes predictions (B, ...), targets and the mean loss of the B samples.
    """

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self._batches: list[tuple[Tensor, Tensor, Tensor]] = []
        self._values = 0

    def add(self, prediction: Tensor, target: Tensor, loss: Tensor) -> None:
        """Keep a batch: predictions (B, ...), its targets, and its mean loss; nothing waits for the device."""
        self._batches.append((prediction.detach(), target, loss.detach()))
        self._values += prediction.numel()
        if len(self._batches) >= BATCHES or self._values >= VALUES:
            self.flush()

    def flush(self) -> Metric:
        """The metric, with all batches taken in."""
        if self._batches:
            predictions, targets, losses = zip(*self._batches, strict=True)
            self.forget()
            sizes = torch.tensor([len(target) for target in targets], dtype=WIDE)
            losses_sum = (torch.stack(losses).to(WIDE) * sizes.to(losses[0].device)).sum()
            self.metric.update(torch.cat(predictions), torch.cat(targets), losses_sum / sizes.sum())
        return self.metric

    def forget(self) -> None:
        """Drop the batches that the metric has not taken in."""
        self._batches, self._values = [], 0
