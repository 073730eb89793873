"""Means of numbers that each sample has, over the whole split and all processes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from couloir.metric.precision import WIDE


class Means(Metric):
    """The mean of each of several numbers over all samples that have it.

    Args:
        names: of the numbers, N of them.
    """

    full_state_update = False
    sums: Tensor
    counts: Tensor

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        self.add_state("sums", torch.zeros(len(self.names), dtype=WIDE), dist_reduce_fx="sum")
        self.add_state("counts", torch.zeros(len(self.names), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, values: Tensor) -> None:
        """Add samples: their numbers (B, N); NaN where a sample has no such number."""
        there = ~values.isnan()
        self.sums += torch.where(there, values, 0.0).to(WIDE).sum(dim=0)
        self.counts += there.sum(dim=0)

    def compute(self) -> dict[str, Tensor]:
        """Each mean by its name; NaN where no sample has the number."""
        return dict(zip(self.names, self.sums / self.counts, strict=True))
