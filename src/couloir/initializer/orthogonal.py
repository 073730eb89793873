"""Weights whose rows (or columns, where there are fewer of them) are orthogonal to each other."""

from __future__ import annotations

from torch import nn

from couloir.initializer.layers import Layer, set_weights, weight_matrices


def orthogonal(net: nn.Module, gain: float = 1.0) -> None:
    """Draw weights as random orthogonal matrices times `gain`, set biases to zero.

    A convolution's weight is the matrix (out_channels, in_channels x kernel) of each of its groups.

    Source: Saxe et al., 2014, Exact solutions to the nonlinear dynamics of learning in deep linear neural networks.
    """
    set_weights(net, lambda layer: draw_orthogonal(layer, gain))


def draw_orthogonal(layer: Layer, gain: float = 1.0) -> None:
    """Set one layer's weight to orthogonal matrices, one a group of channels."""
    for matrix in weight_matrices(layer):
        nn.init.orthogonal_(matrix, gain)
