"""Weights without chance: the framework's own, zeros, ones, a constant."""

from __future__ import annotations

from torch import nn

from couloir.initializer.layers import set_weights


def default(net: nn.Module) -> None:
    """Leave every parameter as the framework, or the model itself, has set it."""


def zeros(net: nn.Module) -> None:
    """Set weights and biases to zero."""
    constant(net, value=0.0)


def ones(net: nn.Module) -> None:
    """Set weights to one, biases to zero."""
    constant(net, value=1.0)


def constant(net: nn.Module, value: float = 0.1) -> None:
    """Set weights to one value, biases to zero."""
    set_weights(net, lambda layer: nn.init.constant_(layer.weight, value))
