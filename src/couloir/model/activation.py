"""Activation functions by name."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from couloir.errors import CouloirError


class ScaledTanh(nn.Module):
    """1.7159 tanh(2x/3), which maps 1 to 1 and -1 to -1 (LeCun et al., 1998, appendix A)."""

    elementwise = True

    def forward(self, x: Tensor) -> Tensor:
        """Element by element."""
        return 1.7159 * torch.tanh(x * (2 / 3))


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "scaled_tanh": ScaledTanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,  # slope 0.01 below zero
    "prelu": nn.PReLU,  # the slope is learned, from 0.25
    "elu": nn.ELU,
    "swish": nn.SiLU,  # x sigmoid(x)
}


def activation(name: str) -> nn.Module:
    """A new activation layer.

    Raises:
        CouloirError: there is none of that name.
    """
    if name not in ACTIVATIONS:
        raise CouloirError(
            f"There is no activation '{name}' here.", next_step=f"model.activation is one of {', '.join(ACTIVATIONS)}"
        )
    return ACTIVATIONS[name]()


class Maxout(nn.Module):
    """A linear layer whose every output is the largest of several affine pieces, max_j (w_j x + b_j).

    Goodfellow et al., 2013, Maxout Networks, section 2.

    Args:
        in_features: inputs.
        out_features: outputs.
        pieces: affine pieces an output.
    """

    def __init__(self, in_features: int, out_features: int, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces
        self.linear = nn.Linear(in_features, out_features * pieces)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_features) -> (B, out_features)."""
        pieces: Tensor = self.linear(x)
        return pieces.reshape(x.shape[0], -1, self.pieces).amax(dim=2)
