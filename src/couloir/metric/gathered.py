"""Metrics that cost a step next to nothing: batches are kept, and taken in many at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from couloir.metric.chosen import number
from couloir.metric.precision import WIDE
from couloir.metric.torchmetrics_private import set_update_count

BATCHES = 64
"""Batches that are kept at most; a metric's dozen small operations are then run once for all of them."""
VALUES = 1 << 20
"""Values that are kept at most of the tensor that has most of them, 4 MiB in float32."""
Tensors = tuple[Tensor, ...]
Kept = tuple[int | Tensor, Tensors, Tensors]
"""Of a batch: its samples or the sum of their weights, its mean losses, and what the metrics take."""


class MeanLosses(Metric):
    """The means of losses over all samples, or over their weights.

    Args:
        names: of the losses, L of them.
    """

    full_state_update = False
    sums: Tensor
    count: Tensor

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        self.add_state("sums", torch.zeros(len(names), dtype=WIDE), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=WIDE), dist_reduce_fx="sum")

    def update(self, means: Tensor, count: int | Tensor) -> None:
        """Add the mean losses (L,) of `count` samples, or of samples whose weights add up to it."""
        self.sums += means.to(WIDE) * count
        self.count = self.count + count

    def compute(self) -> dict[str, Tensor]:
        """Each loss by its name, in the sums' precision."""
        return dict(zip(self.names, self.sums / self.count, strict=True))


class Gathered:
    """Hands metrics their batches together: `update(*tensors)` on many samples in one call.

    Args:
        losses: the names of the losses.
        metrics: metrics by name; one that computes a dictionary names its values itself.
        chosen: further metrics, which take what `convert` makes of the tensors.
        convert: of many samples at once.
        select: what of the tensors the task's own metric of a name takes; None: all.
    """

    def __init__(
        self,
        losses: Sequence[str],
        metrics: Mapping[str, Metric],
        chosen: Mapping[str, Metric] | None = None,
        convert: Callable[[Tensors], Tensors] | None = None,
        select: Callable[[str, Tensors], Tensors] | None = None,
    ) -> None:
        self.means = MeanLosses(losses)
        self.own, self.chosen, self.convert = dict(metrics), dict(chosen or {}), convert
        self.select = select or (lambda name, tensors: tensors)
        self.metrics = nn.ModuleDict({"losses": self.means})
        for kind, group in (("own", self.own), ("chosen", self.chosen)):
            self.metrics.update({f"{kind}_{name}": metric for name, metric in group.items()})
        self._batches: list[Kept] = []
        self._values = 0
        self.added = 0
        """Batches that have come in so far."""

    def add(self, count: int | Tensor, losses: Tensors, tensors: Tensors) -> None:
        """Keep a batch; nothing waits for the device.

        Args:
            count: samples, whose means the losses are, or the sum of their weights.
            losses: a scalar for each name.
            tensors: what the metrics take, (B, ...) each.
        """
        # Those before it, and not it as well: the newest can be taken back.
        if len(self._batches) >= BATCHES or self._values >= VALUES:
            self.flush()
        count = count.detach() if isinstance(count, Tensor) else count
        self._batches.append((count, tuple(x.detach() for x in losses), tuple(x.detach() for x in tensors)))
        self._values += _size(tensors)
        self.added += 1

    @property
    def newest(self) -> Tensor:
        """The loss of the newest batch; NaN before the first."""
        return self._batches[-1][1][0] if self._batches else torch.tensor(torch.nan)

    def take_back(self) -> None:
        """Drop the newest batch, which must have come in since the last `flush`."""
        _, _, tensors = self._batches.pop()
        self._values -= _size(tensors)
        self.added -= 1

    def flush(self) -> None:
        """Have the metrics take in all batches."""
        if not self._batches:
            return
        counts, losses, tensors = zip(*self._batches, strict=True)
        self.forget()
        if losses[0]:
            values = torch.stack([value for batch in losses for value in batch]).to(WIDE).view(len(counts), -1)
            weighted = isinstance(counts[0], Tensor)
            sizes = torch.stack(counts).to(WIDE) if weighted else torch.tensor(counts, dtype=WIDE).to(values.device)
            mean = (values * sizes[:, None]).sum(dim=0) / sizes.sum()
            self.means.update(mean, sizes.sum() if weighted else sum(counts))
        if not tensors[0]:
            return
        joined = tuple(torch.cat(parts) for parts in zip(*tensors, strict=True))
        for name, metric in self.own.items():
            metric.update(*self.select(name, joined))
        if self.chosen:
            with torch.no_grad():
                converted = joined if self.convert is None else self.convert(joined)
            for metric in self.chosen.values():
                metric.update(*converted)

    def compute(self) -> dict[str, Tensor]:
        """The losses, then the metrics, by name, over all processes."""
        self.flush()
        values: dict[str, Tensor] = self.means.compute() if self.means.names else {}
        for name, metric in self.own.items():
            value = metric.compute()
            values |= value if isinstance(value, dict) else {name: value}
        return values | {name: number(metric) for name, metric in self.chosen.items()}

    def forget(self) -> None:
        """Drop the batches that the metrics have not taken in."""
        self._batches, self._values = [], 0

    def reset(self) -> None:
        """Begin anew."""
        self.forget()
        for metric in self.metrics.values():
            cast(Metric, metric).reset()

    def state_dict(self) -> dict[str, Any]:
        """The metrics' states, and the batches that are kept: taken in earlier, they would be rounded otherwise."""
        states = {name: _state(cast(Metric, metric)) for name, metric in self.metrics.items()}
        batches = [
            [_moved(count, "cpu"), [x.cpu() for x in losses], [x.cpu() for x in rest]]
            for count, losses, rest in self._batches
        ]
        return {"states": states, "batches": batches}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from such a state, or from one of a version that kept the loss in the task's metric."""
        self.reset()
        if "states" not in state:
            state = self._of_an_older_version(state)
        device = self.means.sums.device
        for name, saved in state["states"].items():
            _load(cast(Metric, self.metrics[name]), saved)
        self._batches = [
            (_moved(count, device), tuple(x.to(device) for x in losses), tuple(x.to(device) for x in rest))
            for count, losses, rest in state["batches"]
        ]
        self._values = sum(_size(rest) for _, _, rest in self._batches)

    def _of_an_older_version(self, state: dict[str, Any]) -> dict[str, Any]:
        """The state of one metric that summed the loss as well, in today's form."""
        sums, updates = dict(state["sums"]), state["updates"]
        losses = {"sums": sums.pop("loss_sum")[None], "count": sums["count"].to(WIDE)}
        (name,) = self.own
        return {
            "states": {
                "losses": {"sums": losses, "updates": updates},
                f"own_{name}": {"sums": sums, "updates": updates},
            },
            "batches": [[len(target), [loss], [prediction, target]] for prediction, target, loss in state["batches"]],
        }


def _size(tensors: Tensors) -> int:
    """The values of the largest of a batch's tensors: predictions, or images beside a few numbers each."""
    return max((x.numel() for x in tensors), default=0)


def _state(metric: Metric) -> dict[str, Any]:
    """What a metric has taken in: its tensors, and its lists of tensors."""
    sums = {name: _moved(value, "cpu") for name, value in metric.metric_state.items()}
    return {"sums": sums, "updates": metric.update_count}


def _load(metric: Metric, state: dict[str, Any]) -> None:
    for name, value in state["sums"].items():
        setattr(metric, name, _moved(value, metric.device))
    set_update_count(metric, state["updates"])


def _moved(value: Any, device: Any) -> Any:
    """A copy of a metric's state, a tensor or a list of tensors, on a device; a number as it is."""
    if isinstance(value, list):
        return [part.detach().to(device, copy=True) for part in value]
    return value.detach().to(device, copy=True) if isinstance(value, Tensor) else value
