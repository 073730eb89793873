"""Networks of one layer: linear, polynomial, and the perceptron."""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn

from couloir.config.image_size import ImageSize, sample_shape
from couloir.config.slopes import STEP, nothing_learns
from couloir.model.activation import activation as activation_layer


def features(channels: int, image_size: ImageSize | None) -> int:
    """Numbers a sample has once it is laid flat."""
    return math.prod(sample_shape(channels, image_size))


def linear(channels: int, image_size: ImageSize | None, num_classes: int, output_bias: bool = True) -> nn.Sequential:
    """y = W x + b over the sample laid flat: linear regression, or, with cross-entropy, logistic regression.

    Args:
        channels: channels of the images, or columns of the table.
        image_size: pixels of a side, or `[height, width]`, None for tables.
        num_classes: classes, or outputs of a regression.
        output_bias: whether there is a b.
    """
    inputs = features(channels, image_size)
    layers = OrderedDict(flatten=nn.Flatten(), linear=nn.Linear(inputs, num_classes, bias=output_bias))
    return nn.Sequential(layers)


class Powers(nn.Module):
    """x -> (x, x², ..., x^degree) for each input, without products of different inputs.

    Args:
        degree: the highest power.
    """

    def __init__(self, degree: int) -> None:
        super().__init__()
        self.degree = degree

    def forward(self, x: Tensor) -> Tensor:
        """(B, F) -> (B, F degree), all first powers first."""
        return torch.cat([x**power for power in range(1, self.degree + 1)], dim=1)


def polynomial(channels: int, image_size: ImageSize | None, num_classes: int, degree: int) -> nn.Sequential:
    """y = b + sum over k of w_k x^k: still linear in its parameters.

    Args:
        channels: channels of the images, or columns of the table.
        image_size: pixels of a side, or `[height, width]`, None for tables.
        num_classes: classes, or outputs of a regression.
        degree: the highest power.
    """
    inputs = features(channels, image_size) * degree
    layers = OrderedDict(flatten=nn.Flatten(), powers=Powers(degree), linear=nn.Linear(inputs, num_classes))
    return nn.Sequential(layers)


class Perceptron(nn.Sequential):
    """A single layer of neurons, f(W x + b) (McCulloch and Pitts, 1943; Rosenblatt, 1958).

    Args:
        channels: channels of the images, or columns of the table.
        image_size: pixels of a side, or `[height, width]`, None for tables.
        num_classes: neurons, one a class.
        activation: f, by name, but for `step`, behind which nothing learns.
        output_bias: whether there is a b.
        slope: of leaky ReLUs and PReLUs; None: the usual one.
        alpha: of ELUs; None: 1.

    Raises:
        CouloirError: f is a step function, or has no such slope.
    """

    def __init__(
        self,
        channels: int,
        image_size: ImageSize | None,
        num_classes: int,
        activation: str = "sigmoid",
        output_bias: bool = True,
        slope: float | None = None,
        alpha: float | None = None,
    ) -> None:
        super().__init__()
        if activation == STEP:
            raise nothing_learns()
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(features(channels, image_size), num_classes, bias=output_bias)
        self.activation = activation_layer(activation, slope, alpha)
        self.output = "probabilities" if activation == "sigmoid" else "logits"
        """What the losses are told: a sigmoid's outputs are probabilities, not logits."""
