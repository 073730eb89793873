"""The multi-layer perceptron: embeddings of categories?, [linear -> normalisation? -> activation -> dropout?] a hidden
layer, and a linear output. With a linear shortcut its outputs are f(x) + W x.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from couloir.config.image_size import ImageSize
from couloir.config.slopes import check_slopes
from couloir.errors import CouloirError
from couloir.model.activation import Maxout, fix_below_steps
from couloir.model.activation import activation as activation_layer
from couloir.model.linear import features
from couloir.model.weights import loads_weights


class Embedding(nn.Linear):
    """A vector for each category, as the bias-free linear map of its one-hot inputs (Guo and Berkhahn, 2016).

    Args:
        categories: how many there are.
        width: numbers of a vector.
    """

    active_inputs = 1
    """Inputs that are not zero at a time, for initializers: a vector is no sum over categories."""

    def __init__(self, categories: int, width: int) -> None:
        super().__init__(categories, width, bias=False)

    def reset_parameters(self) -> None:
        """Draw as a linear layer does, from U[-1/sqrt(F), 1/sqrt(F)], with the one input that is not zero as F."""
        nn.init.uniform_(self.weight, -1.0, 1.0)


class Embeddings(nn.Module):
    """Replaces the one-hot inputs of each category by their embedding; all other inputs come first, as they are.

    Args:
        channels: inputs.
        categories: where the one-hot inputs of each category begin, and how many there are.
        width: numbers that stand for a category.
    """

    def __init__(self, channels: int, categories: Sequence[Sequence[int]], width: int) -> None:
        super().__init__()
        self.blocks = [slice(begin, begin + count) for begin, count in categories]
        hot = {place for block in self.blocks for place in range(block.start, block.stop)}
        self.rest = [place for place in range(channels) if place not in hot]
        self.maps = nn.ModuleList(Embedding(count, width) for _, count in categories)
        self.width = len(self.rest) + width * len(self.maps)
        """Outputs."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, F) -> (B, width)."""
        parts = [embed(x[:, block]) for block, embed in zip(self.blocks, self.maps, strict=True)]
        return torch.cat([x[:, self.rest], *parts], dim=1)


class LinearShortcut(nn.Module):
    """f(x) + W x: a linear layer between inputs and outputs, beside the hidden layers.

    Ripley, 1996, Pattern Recognition and Neural Networks, section 5.1 (skip-layer connections).

    Args:
        inputs: makes rows of numbers of the samples, for both.
        body: f, from these to the outputs.
        width: numbers of a row.
        num_classes: outputs.
    """

    auxiliary = ("shortcut",)
    """It makes the outputs together with the last layer, so that it is a part of the head."""

    def __init__(self, inputs: nn.Sequential, body: nn.Sequential, width: int, num_classes: int) -> None:
        super().__init__()
        self.inputs, self.shortcut, self.body = inputs, nn.Linear(width, num_classes, bias=False), body

    def forward(self, x: Tensor) -> Tensor:
        """(B, ...) -> (B, num_classes)."""
        x = self.inputs(x)
        out: Tensor = self.body(x) + self.shortcut(x)
        return out


@loads_weights
def mlp(
    channels: int,
    image_size: ImageSize | None,
    num_classes: int,
    hidden: list[int],
    activation: str = "relu",
    slope: float | None = None,
    alpha: float | None = None,
    dropout: float = 0.0,
    batch_norm: bool = False,
    maxout_pieces: int = 2,
    embedding: int | None = None,
    categories: Sequence[Sequence[int]] | None = None,
    shortcut: str = "none",
    output_bias: bool = True,
) -> nn.Sequential | LinearShortcut:
    """A fully-connected network over the sample laid flat.

    Args:
        channels: channels of the images, or columns of the table.
        image_size: pixels of a side, or `[height, width]`, None for tables.
        num_classes: classes, or outputs of a regression.
        hidden: the widths of the hidden layers; none makes the network linear.
        activation: by name; `maxout` replaces linear layer and activation by one maxout layer. With `step` the output
            layer alone learns.
        slope: of leaky ReLUs and PReLUs; None: the usual one.
        alpha: of ELUs; None: 1.
        dropout: share of hidden units that is dropped in training (Srivastava et al., 2014).
        batch_norm: normalise over the batch before each activation (Ioffe and Szegedy, 2015).
        maxout_pieces: affine pieces of a maxout unit.
        embedding: numbers that stand for a category of a table instead of its one-hot inputs; None: these.
        categories: where the one-hot inputs of each category begin, and how many there are.
        shortcut: `linear` adds a linear map of the inputs to the outputs; `none`.
        output_bias: whether the layer of the outputs has a bias.

    Raises:
        CouloirError: there are no categories to embed, or the activation has no such slope.
    """
    check_slopes(activation, slope, alpha)
    inputs: list[nn.Module] = [nn.Flatten()]
    width = features(channels, image_size)
    if embedding is not None:
        if not categories:
            raise CouloirError("model.embedding is for categories, and the data has none.", next_step="leave it out")
        embeddings = Embeddings(width, categories, embedding)
        inputs.append(embeddings)
        width = embeddings.width
    layers: list[nn.Module] = []
    first = width
    for units in hidden:
        maxout = activation == "maxout"
        layers.append(Maxout(width, units, maxout_pieces) if maxout else nn.Linear(width, units))
        if batch_norm:
            layers.append(nn.BatchNorm1d(units))
        if not maxout:
            layers.append(activation_layer(activation, slope, alpha))
        if dropout:
            layers.append(nn.Dropout(dropout))
        width = units
    fix_below_steps(
        [*inputs, *layers] if shortcut == "none" else layers
    )  # the shortcut passes a gradient to the inputs
    layers.append(nn.Linear(width, num_classes, bias=output_bias))
    if shortcut == "none":
        return nn.Sequential(*inputs, *layers)
    return LinearShortcut(nn.Sequential(*inputs), nn.Sequential(*layers), first, num_classes)
