"""The multi-layer perceptron: [linear -> normalisation? -> activation -> dropout?] a hidden layer, and a linear
output.
"""

from __future__ import annotations

from torch import nn

from couloir.model.activation import Maxout
from couloir.model.activation import activation as activation_layer
from couloir.model.linear import features
from couloir.model.weights import loads_weights


@loads_weights
def mlp(
    channels: int,
    image_size: int | None,
    num_classes: int,
    hidden: list[int],
    activation: str = "relu",
    dropout: float = 0.0,
    batch_norm: bool = False,
    maxout_pieces: int = 2,
) -> nn.Sequential:
    """A fully-connected network over the sample laid flat.

    Args:
        channels: channels of the images, or columns of the table.
        image_size: pixels of a side, None for tables.
        num_classes: classes, or outputs of a regression.
        hidden: the widths of the hidden layers; none makes the network linear.
        activation: by name; `maxout` replaces linear layer and activation by one maxout layer.
        dropout: share of hidden units that is dropped in training (Srivastava et al., 2014).
        batch_norm: normalise over the batch before each activation (Ioffe and Szegedy, 2015).
        maxout_pieces: affine pieces of a maxout unit.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    width = features(channels, image_size)
    for units in hidden:
        maxout = activation == "maxout"
        layers.append(Maxout(width, units, maxout_pieces) if maxout else nn.Linear(width, units))
        if batch_norm:
            layers.append(nn.BatchNorm1d(units))
        if not maxout:
            layers.append(activation_layer(activation))
        if dropout:
            layers.append(nn.Dropout(dropout))
        width = units
    return nn.Sequential(*layers, nn.Linear(width, num_classes))
