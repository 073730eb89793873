"""Random weights of a stated spread, the same for every layer."""

from __future__ import annotations

from torch import nn

from couloir.errors import CouloirError
from couloir.initializer.layers import set_weights


def normal(net: nn.Module, mean: float = 0.0, std: float = 0.01) -> None:
    """Draw weights from N(mean, std^2), set biases to zero."""
    set_weights(net, lambda layer: nn.init.normal_(layer.weight, mean, std))


def uniform(net: nn.Module, low: float = -0.05, high: float = 0.05) -> None:
    """Draw weights from U[low, high], set biases to zero.

    Raises:
        CouloirError: low is above high.
    """
    if low > high:
        raise CouloirError(
            f"initializer=uniform draws between low and high, and low = {low:g} is above high = {high:g}.",
            next_step="exchange initializer.low and initializer.high",
        )
    set_weights(net, lambda layer: nn.init.uniform_(layer.weight, low, high))
