"""What the codes of a split say of a network that encodes: how many of their units carry something."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from couloir.metric.precision import WIDE

ACTIVE = 0.01
"""The variance of a unit's posterior mean from which on it counts as active."""


class ActiveUnits(Metric):
    """The number of units whose posterior mean varies over the split: Var_x(E_q(z|x)[z_j]) > 0.01.

    Source: Burda et al., 2016, Importance Weighted Autoencoders, section 5.2.

    Args:
        code_size: the units, K.
    """

    full_state_update = False
    sums: Tensor
    squares: Tensor
    count: Tensor

    def __init__(self, code_size: int) -> None:
        super().__init__()
        for name in ("sums", "squares"):
            self.add_state(name, torch.zeros(code_size, dtype=WIDE), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, means: Tensor) -> None:
        """Add samples: the means of their codes (B, K)."""
        wide = means.to(WIDE)
        self.sums += wide.sum(dim=0)
        self.squares += wide.square().sum(dim=0)
        self.count += len(means)

    def compute(self) -> dict[str, Tensor]:
        """The number, as `active_units`."""
        mean = self.sums / self.count
        return {"active_units": (self.squares / self.count - mean.square() > ACTIVE).sum().to(WIDE)}
