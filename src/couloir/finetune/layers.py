"""A network's layers from the input to the head: in which order samples pass them, which is the head, which are blocks.

All of it follows from the network alone. The order is that in which a sample passes the modules, as a pass through the
network shows it, since a network may define its layers in another order than it calls them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from pytorch_lightning.utilities.seed import isolate_rng
from torch import nn

from couloir.errors import CouloirError, did_you_mean

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
CANNOT_PASS = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError)
"""How a network says that it is not called with the input alone, as the parts of a task of one's own may not be."""


@dataclass(frozen=True)
class Layer:
    """Some of a network's parameters, under the name of the module that they belong to."""

    name: str
    parameters: tuple[str, ...]


def passed(net: nn.Module, x: Any) -> list[str]:
    """The modules without children, and those with parameters of their own, in the order in which they are called.

    A module that is not called, such as one of an auxiliary head, stands behind the one that is defined before it.
    One that is called twice is there twice. Modes, buffers and random numbers stay as they are.

    Args:
        net: the network.
        x: some input.
    """
    names = {module: name for name, module in net.named_modules() if is_layer(module)}
    order: list[str] = []
    hooks = [
        module.register_forward_hook(lambda module, inputs, output: order.append(names[module])) for module in names
    ]
    modes = {module: module.training for module in net.modules()}
    net.eval()
    try:
        with isolate_rng(), torch.no_grad():
            net(x)
    except CANNOT_PASS:
        order.clear()
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes.items():
            module.training = training
    before: str | None = None
    there = set(order)
    for name in names.values():
        if name not in there:
            order.insert(0 if before is None else len(order) - order[::-1].index(before), name)
        before = name
    return order


def is_layer(module: nn.Module) -> bool:
    """Whether a module computes something itself: it has no parts, or parameters of its own beside them."""
    return next(module.children(), None) is None or next(module.parameters(recurse=False), None) is not None


def head_of(net: nn.Module, order: Iterable[str] | None = None, head: str | int | None = None) -> list[str]:
    """The names of the modules that are the head: the last layer with weights, and the auxiliary heads as a whole. Of a
    network with an encoder it is all else: what was trained before is the encoder.

    Args:
        net: the network; its attribute `auxiliary` names the modules of its auxiliary heads, `encoder_part` its
            encoder.
        order: of `passed`; None: as the network defines its modules.
        head: the module that is the head, where it is another one; the parts of a sequence are called 0, 1, ...

    Raises:
        CouloirError: there is no such module, or it has no parameters.
    """
    modules = dict(net.named_modules())
    auxiliary = [name for name in getattr(net, "auxiliary", ()) if modules.get(name) is not None]
    if head is not None:
        head = str(head)
        _check_head(head, modules)
        return [head, *(name for name in auxiliary if name != head)]
    if (encoder := getattr(net, "encoder_part", None)) in modules:
        return [name for name, part in _with_parameters(net) if name != encoder]
    main = [name for name in (modules if order is None else order) if not _within(name, auxiliary)]
    weighted = [name for name in main if _most_dimensions(modules[name]) > 1]
    weighted = weighted or [name for name in main if _most_dimensions(modules[name]) >= 0]
    if not weighted:
        raise CouloirError(
            f"{type(net).__name__} has no layer with parameters, so there is nothing to fine-tune.",
            next_step="leave finetune out, or choose another model",
        )
    return [weighted[-1], *auxiliary]


def _check_head(head: str, modules: dict[str, nn.Module]) -> None:
    with_parameters = [name for name, module in modules.items() if name and next(module.parameters(), None) is not None]
    if head not in with_parameters:
        there = "has no parameters" if head in modules and head else "is no module of this network"
        last = [name for name in with_parameters if _most_dimensions(modules[name]) > 1][-6:]
        raise CouloirError(
            f"finetune.head={head} {there}.",
            next_step=did_you_mean(head, with_parameters, form="finetune.head={}")
            or f"`couloir summary` with the same words shows the layers; the last ones are {', '.join(last)}",
        )


def _most_dimensions(module: nn.Module) -> int:
    """Of a module's own parameters; -1 where it has none."""
    return max((parameter.ndim for parameter in module.parameters(recurse=False)), default=-1)


def _within(name: str, parts: Iterable[str]) -> bool:
    """Whether a module, or a parameter, belongs to one of some modules."""
    return any(name == part or name.startswith(f"{part}.") or not part for part in parts)


def parameters_of(net: nn.Module, modules: Iterable[str]) -> tuple[str, ...]:
    """The names of the parameters of some modules; one that several modules share has the name of the first."""
    parts = [net.get_submodule(name) for name in modules]
    theirs = {id(parameter) for part in parts for parameter in part.parameters()}
    return tuple(name for name, parameter in net.named_parameters() if id(parameter) in theirs)


def layers_of(net: nn.Module, order: Sequence[str], head: Sequence[str]) -> list[Layer]:
    """All parameters by layers, from the input to the head, which is the last.

    A layer is a part of the network, or of a sequence of parts at the top of it: a residual block, a fire module, a
    dense block, a convolution. What has weights of one dimension alone, such as batch normalisation, belongs to the
    layer before it.

    Args:
        net: the network.
        order: of `passed`.
        head: of `head_of`.
    """
    heads = set(parameters_of(net, head))
    place = {name: number for number, name in reversed(list(enumerate(order)))}
    found: list[tuple[int, str, list[str]]] = []
    taken: set[str] = set(heads)
    for name in _blocks(net):
        own = [each for each in parameters_of(net, [name]) if each not in taken]
        taken.update(own)
        first = min((at for each, at in place.items() if _within(each, [name])), default=len(order))
        if own:
            found.append((first, name, own))
    found.sort(key=lambda entry: entry[0])
    shapes = {name: parameter.ndim for name, parameter in net.named_parameters()}
    layers: list[Layer] = []
    for _, name, own in found:
        if layers and all(shapes[each] <= 1 for each in own):
            layers[-1] = replace(layers[-1], parameters=(*layers[-1].parameters, *own))
        else:
            layers.append(Layer(name, tuple(own)))
    loose = tuple(name for name in shapes if name not in taken)  # of no part, such as a position's embedding
    if loose and layers:
        layers[0] = replace(layers[0], parameters=(*loose, *layers[0].parameters))
    elif loose:
        layers = [Layer("input", loose)]
    return [*layers, Layer(head[0], tuple(name for name in shapes if name in heads))]


def _blocks(net: nn.Module) -> Iterator[str]:
    """The parts of the network, those of a sequence at its top one by one; an only part is the network itself."""
    top, prefix = net, ""
    while len(parts := _with_parameters(top)) == 1 and not isinstance(top, CONTAINERS):
        ((name, top),) = parts
        prefix = f"{prefix}{name}."
    for name, part in _with_parameters(top):
        inner = _with_parameters(part) if isinstance(part, CONTAINERS) and not isinstance(top, CONTAINERS) else []
        if inner:
            yield from (f"{prefix}{name}.{within}" for within, _ in inner)
        else:
            yield f"{prefix}{name}"


def _with_parameters(module: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(name, part) for name, part in module.named_children() if next(part.parameters(), None) is not None]
