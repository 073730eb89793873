"""Which weights an initializer sets, and how many numbers meet in them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from couloir.errors import CouloirError
from couloir.layer_kinds import TransposedConvolution, Weighted, set_forget_bias
from couloir.locally_connected import LocallyConnected

Layer = Weighted

POWER_ITERATIONS = 15
"""Steps that find the largest singular value of a new weight, as many as spectral normalisation begins with."""


def weighted_layers(net: nn.Module, normalised: bool = False) -> list[Layer]:
    """The linear, locally connected, convolutional and transposed convolutional layers of a network, each once, as they
    are defined.

    Args:
        net: any network.
        normalised: whether layers take part whose weight is computed from other tensors that follow from it, as
            spectral and weight normalisation do.

    Raises:
        CouloirError: a layer's weight is not there yet (lazy layers), or is computed from other parameters.
    """
    layers = []
    for name, layer in net.named_modules():
        if isinstance(layer, Weighted):
            there = isinstance(layer.weight, nn.Parameter) and not is_lazy(layer.weight)
            if not there and not (normalised and _is_normalised(layer)):
                raise CouloirError(
                    f"The weight of layer '{name}' ({type(layer).__name__}) cannot be set: it is made later, or is "
                    "computed from other parameters.",
                    next_step="use initializer=default, or initializer=custom with a function for this network",
                )
            layers.append(layer)
    return layers


def _is_normalised(layer: nn.Module) -> bool:
    """Whether its weight is computed from tensors that follow from a weight: each of its parametrisations has a way
    back, as those of spectral and weight normalisation have.
    """
    if not parametrize.is_parametrized(layer, "weight"):
        return False
    return all(hasattr(each, "right_inverse") for each in layer.get_submodule("parametrizations.weight").children())


def set_weights(net: nn.Module, draw: Callable[[Layer], object]) -> None:
    """Let `draw` set each weight in place, and set each bias to zero.

    Recurrent units have one matrix for each gate that reads the inputs, and one that reads the state: each is set as if
    it were a linear layer. A model's own `forget_bias` stays, and so do the vectors of embeddings, where nothing is
    summed over.

    Of a layer with spectral normalisation it sets the weight that is divided by its largest singular value; of one with
    weight normalisation direction and length become those of the weight.

    Args:
        net: any network; its normalisation layers are left alone.
        draw: sets `layer.weight`; called without gradients.
    """
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.RNNBase):
                _set_units(module, draw)
        for layer in weighted_layers(net, normalised=True):
            if isinstance(layer.weight, nn.Parameter):
                draw(layer)
            else:
                _set_normalised(layer, draw)
            if layer.bias is not None:
                layer.bias.zero_()


def _set_units(units: nn.RNNBase, draw: Callable[[Layer], object]) -> None:
    for name, parameter in units.named_parameters():
        if name.startswith("weight_"):
            for matrix in torch.split(parameter, units.hidden_size):
                draw(_as_linear(matrix))
        else:
            parameter.zero_()
    forget_bias = getattr(units, "forget_bias", None)
    if forget_bias is not None:
        set_forget_bias(units, forget_bias)


def _as_linear(matrix: Tensor) -> nn.Linear:
    """A linear layer whose weight is a part of a parameter, in the same memory."""
    layer = nn.Linear(1, 1, bias=False, device="meta")
    layer.weight = nn.Parameter(matrix.detach())
    return layer


def _set_normalised(layer: Layer, draw: Callable[[Layer], object]) -> None:
    with parametrize.cached():  # within it `layer.weight` is one tensor, which `draw` sets
        draw(layer)
        drawn = layer.weight
    layer.weight = drawn
    for _ in range(POWER_ITERATIONS):
        layer.weight  # noqa: B018  # each look in training takes a step of the power iteration


def fans(layer: Layer) -> tuple[int, int]:
    """The inputs that an output sums over, and the outputs that an input goes into: channels / groups x kernel.

    A layer most of whose inputs are zero says in `active_inputs` how many are not.
    """
    if isinstance(layer, LocallyConnected):
        kernel = layer.kernel_size**2
        return layer.in_channels * kernel, layer.out_channels * kernel
    first, second = layer.weight.shape[:2]
    kernel = math.prod(layer.weight.shape[2:])
    if isinstance(layer, nn.Linear):
        return getattr(layer, "active_inputs", second), first
    per_group = first // layer.groups
    if isinstance(layer, TransposedConvolution):  # its weight is (in, out / groups, ...)
        return per_group * kernel, second * kernel
    return second * kernel, per_group * kernel


def weight_matrices(layer: Layer) -> list[Tensor]:
    """Views of the weight, one for each group of channels, or for each place whose kernels are its own: what a group
    multiplies by has no part in another's.
    """
    if isinstance(layer, LocallyConnected):
        return list(layer.weight.flatten(3).flatten(1, 2).unbind(1))
    groups = 1 if isinstance(layer, nn.Linear) else layer.groups
    return list(layer.weight.chunk(groups))
