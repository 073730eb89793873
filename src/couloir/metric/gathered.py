"""Metrics that cost a step next to nothing: batches are kept, and taken in many at a time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from couloir.metric.precision import WIDE

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
        self.added = 0
        """Batches that have come in so far."""

    def add(self, prediction: Tensor, target: Tensor, loss: Tensor) -> None:
        """Keep a batch: predictions (B, ...), its targets, and its mean loss; nothing waits for the device."""
        # Those before it, and not it as well: the newest can be taken back.
        if len(self._batches) >= BATCHES or self._values >= VALUES:
            self.flush()
        self._batches.append((prediction.detach(), target, loss.detach()))
        self._values += prediction.numel()
        self.added += 1

    def take_back(self) -> None:
        """Drop the newest batch, which must have come in since the last `flush`."""
        prediction, _, _ = self._batches.pop()
        self._values -= prediction.numel()
        self.added -= 1

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

    def reset(self) -> None:
        """Begin anew."""
        self.forget()
        self.metric.reset()

    def state_dict(self) -> dict[str, Any]:
        """The metric's sums, and the batches that are kept: taken in earlier, they would be rounded otherwise."""
        sums = {name: getattr(self.metric, name).detach().cpu().clone() for name in self.metric._defaults}
        batches = [[part.cpu() for part in batch] for batch in self._batches]
        return {"sums": sums, "updates": self.metric._update_count, "batches": batches}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from such a state."""
        self.reset()
        device = self.metric.device
        for name, value in state["sums"].items():
            setattr(self.metric, name, value.to(device))
        self.metric._update_count = state["updates"]
        self._batches = [(x.to(device), y.to(device), loss.to(device)) for x, y, loss in state["batches"]]
        self._values = sum(prediction.numel() for prediction, _, _ in self._batches)
