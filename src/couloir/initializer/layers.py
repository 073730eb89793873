"""Which weights an initializer sets, and how many numbers meet in them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from couloir.errors import CouloirError
from couloir.layer_kinds import Convolution, TransposedConvolution

Layer = nn.Linear | Convolution


def weighted_layers(net: nn.Module) -> list[Layer]:
    """The linear, convolutional and transposed convolutional layers of a network, each once, as they are defined.

    Raises:
        CouloirError: a layer's weight is not there yet (lazy layers), or is computed from other parameters.
    """
    layers = []
    for name, layer in net.named_modules():
        if isinstance(layer, nn.Linear | Convolution):
            if not isinstance(layer.weight, nn.Parameter) or is_lazy(layer.weight):
                raise CouloirError(
                    f"The weight of layer '{name}' ({type(layer).__name__}) cannot be set: it is made later, or is "
                    "computed from other parameters as weight normalisation does.",
                    next_step="use initializer=default, or initializer=custom with a function for this network",
                )
            layers.append(layer)
    return layers


def set_weights(net: nn.Module, draw: Callable[[Layer], object]) -> None:
    """Let `draw` set each weight in place, and set each bias to zero.

    Args:
        net: any network; its normalisation layers are left alone.
        draw: sets `layer.weight`; called without gradients.
    """
    with torch.no_grad():
        for layer in weighted_layers(net):
            draw(layer)
            if layer.bias is not None:
                layer.bias.zero_()


def fans(layer: Layer) -> tuple[int, int]:
    """The inputs that an output sums over, and the outputs that an input goes into: channels / groups x kernel.

    A layer most of whose inputs are zero says in `active_inputs` how many are not.
    """
    first, second = layer.weight.shape[:2]
    kernel = math.prod(layer.weight.shape[2:])
    if isinstance(layer, nn.Linear):
        return getattr(layer, "active_inputs", second), first
    per_group = first // layer.groups
    if isinstance(layer, TransposedConvolution):  # its weight is (in, out / groups, ...)
        return per_group * kernel, second * kernel
    return second * kernel, per_group * kernel


def weight_matrices(layer: Layer) -> list[Tensor]:
    """Views of the weight, one for each group of channels: what a group multiplies by has no part in another's."""
    groups = 1 if isinstance(layer, nn.Linear) else layer.groups
    return list(layer.weight.chunk(groups))
