"""Metrics of regression: mean absolute error, root mean squared error, and the coefficient of determination."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from couloir.metric.precision import WIDE


class RegressionMetrics(Metric):
    """Sums what MAE, RMSE and R² need, in the units of the data.

    Of several values MAE and RMSE are those over all of them together, and R² is the mean of theirs.

    Args:
        scale: what the data divided its targets by; a list of one number a value, where there are several.
    """

    full_state_update = False
    absolute: Tensor
    squared: Tensor
    target_sum: Tensor
    target_squared: Tensor
    count: Tensor

    def __init__(self, scale: float | list[float] = 1.0) -> None:
        super().__init__()
        self.scale = scale
        shape = (len(scale),) if isinstance(scale, list) else ()
        for name in ("absolute", "squared", "target_sum", "target_squared", "count"):
            self.add_state(name, torch.zeros(shape, dtype=WIDE), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add a batch: prediction and target of one shape (B, ...); (B, K) of K values."""
        several = isinstance(self.scale, list)
        scale: Any = torch.tensor(self.scale, dtype=WIDE, device=target.device) if several else self.scale
        error = (prediction.to(WIDE) - target.to(WIDE)) * scale
        # R² does not change when all targets move together, so the scaled targets serve: small numbers cancel less.
        values = target.to(WIDE) * scale
        over = (0,) if several else tuple(range(values.ndim))
        self.absolute += error.abs().sum(over)
        self.squared += error.square().sum(over)
        self.target_sum += values.sum(over)
        self.target_squared += values.square().sum(over)
        self.count += len(target) if several else target.numel()

    def compute(self) -> dict[str, Tensor]:
        """`mae`, `rmse` and `r2`; R² of constant targets is NaN, and has no part in the mean over several values."""
        variation = self.target_squared - self.target_sum.square() / self.count
        r2 = torch.where(variation > 0, 1 - self.squared / variation, torch.nan)
        return {
            "mae": (self.absolute / self.count).mean(),
            "rmse": (self.squared / self.count).mean().sqrt(),
            "r2": r2.nanmean(),
        }
