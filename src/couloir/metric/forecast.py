"""Metrics of forecasts, by step to come, and the forecasts that every other one is compared with.

Hyndman and Koehler, 2006, Another Look at Measures of Forecast Accuracy; Makridakis, 1993, Accuracy Measures:
Theoretical and Practical Concerns, for the symmetric percentage error.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from couloir.metric.precision import WIDE

MEASURES = ("mae", "mse", "mase", "smape")
"""In the order of the table by step."""


class ForecastErrors(Metric):
    """Sums of errors at each step to come, exact over a split.

    MAE and MSE are of standardised values. MASE is the mean of absolute errors, each divided by the mean absolute error
    of the seasonal naive forecast in the training part. sMAPE is the mean of 2 |y - p| / (|y| + |p|) in the data's
    units, 0 where both are 0: it lies between 0 and 2.

    Args:
        horizon: steps to come, H.
        scale: what the data divided its K targets by.
        offset: what it took off before.
        naive_errors: of the K targets, in the data's units; one that is 0 has no MASE, and empty: none has.
        brief: measure MAE and MSE alone.
    """

    full_state_update = False
    sums: Tensor
    counts: Tensor

    def __init__(
        self,
        horizon: int,
        scale: Sequence[float],
        offset: Sequence[float],
        naive_errors: Sequence[float] = (),
        brief: bool = False,
    ) -> None:
        super().__init__()
        self.names = MEASURES[:2] if brief else MEASURES
        self.scale, self.offset, self.naive_errors = list(scale), list(offset), list(naive_errors)
        self.add_state("sums", torch.zeros(len(MEASURES), horizon, dtype=WIDE), dist_reduce_fx="sum")
        self.add_state("counts", torch.zeros(len(MEASURES), dtype=WIDE), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add a batch of standardised values, (B, H, K) or, of images, (B, H, K, h, w)."""
        target, error = target.to(WIDE), prediction.to(WIDE) - target.to(WIDE)
        size = error.abs()
        self._add(0, size)
        self._add(1, error.square())
        if len(self.names) == 2:
            return
        shape = (-1,) + (1,) * (target.ndim - 3)
        scale, offset = (
            torch.tensor(each, dtype=WIDE, device=target.device).view(shape) for each in (self.scale, self.offset)
        )
        known = [place for place, value in enumerate(self.naive_errors) if value > 0]
        if known:
            chosen = torch.tensor(known, device=target.device)
            naive = torch.tensor([self.naive_errors[place] for place in known], dtype=WIDE, device=target.device)
            self._add(2, (size * scale).index_select(2, chosen) / naive.view(shape))
        truth = target * scale + offset
        sizes = truth.abs() + (truth + error * scale).abs()
        self._add(3, torch.where(sizes > 0, 2 * size * scale / sizes.clamp_min(torch.finfo(WIDE).tiny), 0.0))

    def _add(self, place: int, values: Tensor) -> None:
        self.sums[place] += values.transpose(0, 1).flatten(1).sum(dim=1)
        self.counts[place] += values[:, 0].numel()

    def compute(self) -> dict[str, Tensor]:
        """Each measure by its name, the mean over all steps to come; NaN where there is none."""
        return {name: values.mean() for name, values in self._by_step().items()}

    def _by_step(self) -> dict[str, Tensor]:
        return {name: self.sums[place] / self.counts[place] for place, name in enumerate(self.names)}


class ErrorsByStep(ForecastErrors):
    """The same at each step to come, (H,) by the measure's name."""

    def compute(self) -> dict[str, Tensor]:
        """Each measure at each step."""
        return self._by_step()


def naive(series: Tensor, horizon: int, targets: int) -> Tensor:
    """The last value that is known, for all steps to come.

    Args:
        series: (B, T, F, ...), the targets first.
        horizon: H.
        targets: K.

    Returns:
        (B, H, K, ...).
    """
    return seasonal_naive(series, horizon, targets, season=1)


def seasonal_naive(series: Tensor, horizon: int, targets: int, season: int) -> Tensor:
    """The value of the same place in the season before, as `naive`; `season` is in steps, at most T."""
    places = series.shape[1] - season + torch.arange(horizon, device=series.device) % season
    return series.index_select(1, places)[:, :, :targets]


class WorstWindows(Metric):
    """The windows of a split with the largest errors. Memory does not grow with the split.

    Args:
        count: windows that are kept at most.
    """

    full_state_update = False
    errors: Tensor
    numbers: Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        # Of a fixed size, so that processes can be stacked.
        self.add_state("errors", torch.full((count,), -torch.inf, dtype=WIDE), None)
        self.add_state("numbers", torch.zeros(count, dtype=torch.int64), None)

    def update(self, errors: Tensor, numbers: Tensor) -> None:
        """Take in the error of each window of a batch, (B,), and its number in the split; NaN is left out."""
        there = ~errors.isnan()
        self.errors, self.numbers = self._largest(
            torch.cat([self.errors, errors[there].to(WIDE)]), torch.cat([self.numbers, numbers[there]])
        )

    def _largest(self, errors: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """The largest; of the same error the first in the split, whatever process has seen it."""
        first = numbers.sort(stable=True).indices
        order = first[errors[first].sort(descending=True, stable=True).indices][: self.count]
        return errors[order], numbers[order]

    def compute(self) -> tuple[Tensor, Tensor]:
        """Errors and numbers of the worst windows of all processes, the worst first."""
        errors, numbers = self._largest(self.errors.view(-1), self.numbers.view(-1))
        there = errors > -torch.inf
        return errors[there], numbers[there]
