"""Metrics of regression: mean absolute error, root mean squared error, and the coefficient of determination."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from couloir.metric.precision import WIDE


class RegressionMetrics(Metric):
    """Sums what MAE, RMSE and R² need, in the units of the data.

    Args:
        scale: what the data divided its targets by.
    """

    full_state_update = False
    absolute: Tensor
    squared: Tensor
    target_sum: Tensor
    target_squared: Tensor
    count: Tensor

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        for name in ("absolute", "squared", "target_sum", "target_squared", "count"):
            self.add_state(name, torch.zeros((), dtype=WIDE), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add a batch: prediction and target of one shape (B, ...)."""
        error = (prediction.to(WIDE) - target.to(WIDE)) * self.scale
        # R² does not change when all targets move together, so the scaled targets serve: small numbers cancel less.
        values = target.to(WIDE) * self.scale
        self.absolute += error.abs().sum()
        self.squared += error.square().sum()
        self.target_sum += values.sum()
        self.target_squared += values.square().sum()
        self.count += target.numel()

    def compute(self) -> dict[str, Tensor]:
        """`mae`, `rmse` and `r2`; R² of constant targets is NaN."""
        variation = self.target_squared - self.target_sum.square() / self.count
        r2 = torch.where(variation > 0, 1 - self.squared / variation, torch.nan)
        return {
            "mae": self.absolute / self.count,
            "rmse": (self.squared / self.count).sqrt(),
            "r2": r2,
        }
