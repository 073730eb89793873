"""Some of many samples, the same ones whatever the batches and the processes are.

Each sample has a key that looks random and follows from its own pixels, and those with the lowest keys are kept.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

SEED = 18
"""What the keys follow from."""
KEYS = 1 << 24
"""A key is below it: an integer that float32 holds exactly."""


def keys(images: Tensor) -> Tensor:
    """A number for each image (B, C, H, W) in [0, 1], float32 (B, 1).

    What rounding has changed in a pixel does not change the key: 256 levels count.
    """
    levels = (images.flatten(1) * 255).round().long()
    return ((levels * _factors(levels.shape[1]).to(levels.device)).sum(dim=1, keepdim=True) % KEYS).float()


@lru_cache(maxsize=4)
def _factors(pixels: int) -> Tensor:
    return torch.randint(KEYS, (pixels,), generator=torch.Generator().manual_seed(SEED))


def lowest(parts: list[Tensor] | Tensor, width: int, count: int) -> Tensor:
    """Of rows whose first column is a key, those with the lowest keys.

    Args:
        parts: the rows, flat, in parts or as one: TorchMetrics joins flat tensors of processes that have other numbers
            of samples, or none.
        width: the columns of a row.
        count: rows to keep at most.

    Returns:
        The rows, (N, width).
    """
    rows = (parts if isinstance(parts, Tensor) else torch.cat(parts)).view(-1, width)
    return rows if len(rows) <= count else rows[rows[:, 0].sort(stable=True).indices[:count]]
