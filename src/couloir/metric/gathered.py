"""Metrics that cost a step next to nothing: batches are kept, and taken in many at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from couloir.metric.chosen import number
from couloir.metric.precision import WIDE
from couloir.metric.torchmetrics_private import set_update_count

BATCHES = 64
"""Batches that are kept at most; a metric's dozen small operations are then run once for all of them."""
VALUES = 1 << 20
"""Predicted values that are kept at most, 4 MiB in float32."""

Readable = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""From a network's own output and the targets that its loss sees to what further metrics take; sample by sample."""


class Gathered:
    """Hands metrics their batches together: `update(prediction, target, loss)` on many samples in one call.

    Args:
        metric: takes predictions (B, ...), targets and the mean loss of the B samples; computes numbers by name.
        further: more metrics by name, which take `update(prediction, target)` of what `readable` returns.
        readable: makes of predictions and targets what the further metrics take; None: they take them as they are.
    """

    def __init__(
        self, metric: Metric, further: Mapping[str, Metric] | None = None, readable: Readable | None = None
    ) -> None:
        self.metric = metric
        self.further = dict(further or {})
        self.readable = readable
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
        """The first metric, with all batches taken in, by the further ones as well."""
        if self._batches:
            predictions, targets, losses = zip(*self._batches, strict=True)
            self.forget()
            sizes = torch.tensor([len(target) for target in targets], dtype=WIDE)
            losses_sum = (torch.stack(losses).to(WIDE) * sizes.to(losses[0].device)).sum()
            prediction, target = torch.cat(predictions), torch.cat(targets)
            self.metric.update(prediction, target, losses_sum / sizes.sum())
            if self.further:
                if self.readable is not None:
                    prediction, target = self.readable(prediction, target)
                for metric in self.further.values():
                    metric.update(prediction, target)
        return self.metric

    def compute(self) -> dict[str, Tensor]:
        """The number of every metric by name, over all batches and all processes."""
        numbers: dict[str, Tensor] = self.flush().compute()
        return numbers | {name: number(metric) for name, metric in self.further.items()}

    def forget(self) -> None:
        """Drop the batches that the metrics have not taken in."""
        self._batches, self._values = [], 0

    def reset(self) -> None:
        """Begin anew."""
        self.forget()
        for metric in (self.metric, *self.further.values()):
            metric.reset()

    def state_dict(self) -> dict[str, Any]:
        """The metrics' sums and lists, and the batches that are kept: taken in earlier, they would round otherwise."""
        batches = [[part.cpu() for part in batch] for batch in self._batches]
        further = {name: _state(metric) for name, metric in self.further.items()}
        return {**_state(self.metric), "further": further, "batches": batches}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from such a state."""
        self.reset()
        device = self.metric.device
        _load(self.metric, state)
        for name, metric in self.further.items():
            _load(metric, state["further"][name])
        self._batches = [(x.to(device), y.to(device), loss.to(device)) for x, y, loss in state["batches"]]
        self._values = sum(prediction.numel() for prediction, _, _ in self._batches)


def _state(metric: Metric) -> dict[str, Any]:
    """What a metric has taken in: its tensors, and its lists of tensors."""
    sums = {name: _moved(value, "cpu") for name, value in metric.metric_state.items()}
    return {"sums": sums, "updates": metric.update_count}


def _load(metric: Metric, state: dict[str, Any]) -> None:
    for name, value in state["sums"].items():
        setattr(metric, name, _moved(value, metric.device))
    set_update_count(metric, state["updates"])


def _moved(value: Tensor | list[Tensor], device: Any) -> Tensor | list[Tensor]:
    """A copy of a metric's state on a device."""
    if isinstance(value, list):
        return [part.detach().to(device, copy=True) for part in value]
    return value.detach().to(device, copy=True)
