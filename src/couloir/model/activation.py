"""Activation functions by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from couloir.config.slopes import check_slopes
from couloir.errors import CouloirError


class ScaledTanh(nn.Module):
    """1.7159 tanh(2x/3), which maps 1 to 1 and -1 to -1 (LeCun et al., 1998, appendix A)."""

    elementwise = True

    def forward(self, x: Tensor) -> Tensor:
        """Element by element."""
        return 1.7159 * torch.tanh(x * (2 / 3))


class Step(nn.Module):
    """1 from zero on, 0 below, the all-or-none answer of a neuron (McCulloch and Pitts, 1943; Rosenblatt, 1958).

    Its slope is zero wherever there is one, and so is every gradient that comes back through it.
    """

    elementwise = True

    def forward(self, x: Tensor) -> Tensor:
        """Element by element; what is no number stays so."""
        return x.floor().clamp(-1, 0) + 1


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "scaled_tanh": ScaledTanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,  # slope 0.01 below zero, or another
    "prelu": nn.PReLU,  # the slope is learned, from 0.25 or another
    "elu": nn.ELU,  # alpha 1, or another
    "swish": nn.SiLU,  # x sigmoid(x)
    "step": Step,
}


def activation(name: str, slope: float | None = None, alpha: float | None = None) -> nn.Module:
    """A new activation layer.

    Args:
        name: a key of `ACTIVATIONS`.
        slope: below zero, of `leaky_relu`, and the one that `prelu` begins with; None: 0.01, and 0.25.
        alpha: of `elu`, alpha (e^x - 1) below zero; None: 1.

    Raises:
        CouloirError: there is none of that name, or it has no such slope.
    """
    if name not in ACTIVATIONS:
        raise CouloirError(
            f"There is no activation '{name}' here.", next_step=f"model.activation is one of {', '.join(ACTIVATIONS)}"
        )
    check_slopes(name, slope, alpha)
    if slope is not None:
        return nn.LeakyReLU(slope) if name == "leaky_relu" else nn.PReLU(init=slope)
    return ACTIVATIONS[name]() if alpha is None else nn.ELU(alpha)


def fix_below_steps(modules: Iterable[nn.Module]) -> None:
    """Fix the weights of all modules that pass what they give through a step function: no gradient reaches them.

    A momentum or a decay would else move weights that nothing has taught. What is above the last step learns, as in
    Rosenblatt's perceptron, whose hidden units are wired at random once and for all.

    Args:
        modules: in the order in which a sample passes them, and their parts in that order as well.
    """
    row = [part for module in modules for part in module.modules()]
    last = max((place for place, module in enumerate(row) if isinstance(module, Step)), default=0)
    for parameter in [parameter for part in row[:last] for parameter in part.parameters(recurse=False)]:
        parameter.requires_grad_(False)


def steps_in_words(net: nn.Module) -> str | None:
    """What a step function leaves without learning, as a run says it at its start; None where there is none."""
    if not any(isinstance(module, Step) for module in net.modules()):
        return None
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in net.parameters()]
    fixed, of = (sum(size for size, learns in sizes if not learns or every) for every in (False, True))
    return (
        f"no gradient passes a step function: {fixed:,} of {of:,} parameters, all those below the last step, stay as "
        "they began; what is above it learns"
    )


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
