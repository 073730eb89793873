"""Kinds of layers, for `isinstance` and annotations, made of torch's public classes, and what holds for a kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from couloir.locally_connected import LocallyConnected

TransposedConvolution = nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d
Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d | TransposedConvolution
Weighted = nn.Linear | Convolution | LocallyConnected
"""Layers whose output is a sum of products of weights and inputs."""
BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm


def learned_weight(layer: nn.Module) -> Tensor:
    """The tensor (O, ...) that an optimizer changes where it learns a layer's weight.

    A layer with spectral normalisation computes the weight that it uses out of it, and in training to ask such a layer
    for `weight` moves its state. Of a layer with weight normalisation it is the direction, and not the length.
    """
    if is_parametrized(layer, "weight"):
        parts: Any = layer.get_submodule("parametrizations.weight")
        weight = parts.original1 if hasattr(parts, "original1") else parts.original
    else:
        weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight


def set_forget_bias(units: nn.Module, value: float) -> None:
    """Set the biases of the forget gates of all layers of an `nn.LSTM`, which adds two, to one value in sum.

    Jozefowicz, Zaremba and Sutskever, 2015, An Empirical Exploration of Recurrent Network Architectures, section 3: at
    1, what is remembered does not vanish before anything has been learned.
    """
    with torch.no_grad():
        for name, parameter in units.named_parameters():
            if name.startswith("bias_"):
                forget = parameter.chunk(4)[1]  # input, forget, cell, output
                forget.fill_(value if name.startswith("bias_ih") else 0.0)


@contextmanager
def in_evaluation(net: nn.Module) -> Iterator[None]:
    """Run a network as in evaluation: nothing is dropped, and running means neither move nor depend on the batch."""
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def statistics_kept(net: nn.Module) -> Iterator[None]:
    """Run batch normalisation without moving its running means; what it saves for a backward pass stays the same."""
    tracking = [module for module in net.modules() if isinstance(module, BatchNorm)]
    before = [(module.momentum, module.num_batches_tracked) for module in tracking]
    counts = [None if counter is None else counter.clone() for _, counter in before]
    for module in tracking:
        module.momentum = 0.0
    try:
        yield
    finally:
        for module, (momentum, counter), count in zip(tracking, before, counts, strict=True):
            module.momentum = momentum
            if counter is not None and count is not None:
                counter.copy_(count)


@contextmanager
def undisturbed(net: nn.Module, but: Any = ()) -> Iterator[None]:
    """The network as in evaluation; its modes and buffers and torch's random numbers are as before afterwards.

    Args:
        net: the network.
        but: kinds of modules that stay in their mode.
    """
    modes = {module: module.training for module in net.modules()}
    buffers = {buffer: buffer.clone() for buffer in net.buffers()}
    devices = {parameter.device for parameter in net.parameters() if parameter.device.type == "cuda"}
    with torch.random.fork_rng(devices=list(devices)):
        net.eval()
        for module, training in modes.items():
            if isinstance(module, but):
                module.training = training
        try:
            yield
        finally:
            for module, training in modes.items():
                module.training = training
            with torch.no_grad():
                for buffer, before in buffers.items():
                    buffer.copy_(before)


@contextmanager
def looking(net: nn.Module) -> Iterator[None]:
    """The same without gradients."""
    with undisturbed(net), torch.no_grad():
        yield
