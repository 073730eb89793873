"""A classifier's maps: the last one of each scale, cut out of the network so that others can work on them.

The network's forward is traced once. Where a sequence of layers has maps of several scales it is opened; blocks stay
whole. What is kept is all that leads to the last map of each scale, with its modules, and their names and modes; the
head, from the last layer with weights on, is left out.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call

from couloir.errors import CouloirError

SIDES = (512, 1024)
"""Pixels of the images for which maps are measured: what does not grow with the image is no map of it."""
SEVERAL = 3
"""So many scales have the parts of a module that is the trunk of a network, and no block."""
LARGEST = 128
"""No network needs larger images than that."""
DROPOUT = (nn.Dropout, nn.Dropout2d)
CANNOT = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError, NotImplementedError)
"""How a network says that it does not take images of this size, or cannot be traced."""


@dataclass(frozen=True)
class Scale:
    """A map: how often it is halved, as a logarithm to base two, and its channels."""

    halvings: int
    channels: int


def maps_of(net: nn.Module, channels: int, name: str) -> tuple[fx.GraphModule, list[Scale], list[str]]:
    """The network up to its last map, which returns the last map of each scale; what these are; its other layers.

    Args:
        net: takes images (B, C, H, W); its layers are those of the result.
        channels: C.
        name: what the user calls it.

    Raises:
        CouloirError: it has no maps of several scales, or they cannot be cut out.
    """
    try:
        with _in_mode(net, training=False):
            opened = _opened(net, channels)
            graph = _Tracer(opened).trace(net)
            found = _last_maps(net, graph, channels)
        if len(found) < 2:
            raise _refused(name, "it has no maps of several scales")
        calls = _calls_until(graph, found[-1][0].name)
        with _in_mode(net, training=True):
            if calls != _calls_until(_Tracer(opened).trace(net), found[-1][0].name):
                raise _refused(name, "its forward is another one in training")
    except CANNOT as error:
        raise _refused(name, f"its forward cannot be traced ({' '.join(str(error).split())[:120]})") from error
    for node in [node for node in graph.nodes if node.op == "output"]:
        graph.erase_node(node)
    graph.output(tuple(node for node, _ in found))
    graph.eliminate_dead_code()
    cut = fx.GraphModule(net, graph, class_name="Maps")  # with those modules alone that it still calls
    kept = set(cut.state_dict())
    return cut, [scale for _, scale in found], [each for each in net.state_dict() if each not in kept]


def smallest_side(cut: nn.Module, channels: int) -> int:
    """The smallest side of square images that leaves a pixel of each map; at most `LARGEST`."""
    state = _meta(cut)
    low, high = 1, LARGEST
    with _in_mode(cut, training=False):
        while low < high:
            middle = (low + high) // 2
            try:
                functional_call(cut, state, (_images(channels, middle),))
                high = middle
            except CANNOT:
                low = middle + 1
    return low


@contextmanager
def _in_mode(net: nn.Module, training: bool) -> Iterator[None]:
    """All modules in one mode, and back; nothing is kept for gradients."""
    modes = {module: module.training for module in net.modules()}
    net.train(training)
    try:
        with torch.no_grad():
            yield
    finally:
        for module, before in modes.items():
            module.training = before


def _refused(name: str, why: str) -> CouloirError:
    return CouloirError(
        f"model={name} cannot be an encoder: {why}.",
        place=f"model.encoder={name}",
        next_step="an encoder is a network whose maps shrink on the way to its head: model.encoder=resnet18, "
        "squeezenet or mobilenet_v2",
    )


def _meta(net: nn.Module) -> dict[str, Tensor]:
    """The network's values without their memory: a pass costs nothing, and changes nothing."""
    values = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    return {name: torch.empty_like(value, device="meta") for name, value in values.items()}


def _images(channels: int, side: int) -> Tensor:
    return torch.empty(1, channels, side, side, device="meta")


def _opened(net: nn.Module, channels: int) -> set[nn.Module]:
    """The modules within which maps of several scales follow each other: sequences, and trunks of networks."""
    sides: dict[nn.Module, int] = {}

    def note(module: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4:
            sides[module] = int(output.shape[-1])

    hooks = [module.register_forward_hook(note) for module in net.modules()]
    try:
        functional_call(net, _meta(net), (_images(channels, SIDES[0]),))
    except CANNOT:
        pass  # a head for images of one size; what comes before it is known by now
    finally:
        for hook in hooks:
            hook.remove()
    several = {module: len({sides[part] for part in module.children() if part in sides}) for module in net.modules()}
    return {
        module for module, count in several.items() if count >= (2 if isinstance(module, nn.Sequential) else SEVERAL)
    }


class _Tracer(fx.Tracer):
    """Opens some modules; every other is one call."""

    def __init__(self, opened: Collection[nn.Module]) -> None:
        super().__init__()
        self.opened = opened

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return m not in self.opened


class _Run(nn.Module):
    """A graph that is run call by call, as far as it goes for images of this size; it returns the calls' outputs."""

    def __init__(self, traced: fx.GraphModule) -> None:
        super().__init__()
        self.traced = traced

    def forward(self, x: Tensor) -> dict[fx.Node, Any]:
        """(B, C, H, W) -> what each call gave."""
        interpreter = fx.Interpreter(self.traced, garbage_collect_values=False)
        with suppress(*CANNOT):  # what follows the maps may be made for images of one size
            interpreter.run(x)
        return dict(interpreter.env)


def _last_maps(net: nn.Module, graph: fx.Graph, channels: int) -> list[tuple[fx.Node, Scale]]:
    """The last call of each scale before the head, and what it gives."""
    head = [node for node in graph.nodes if _weighs(node, net)][-1:]
    run = _Run(fx.GraphModule(net, graph))
    small, large = (functional_call(run, _meta(run), (_images(channels, side),)) for side in SIDES)
    found: dict[int, tuple[fx.Node, Scale]] = {}
    for node in graph.nodes:
        if node in head:
            break
        if node.op != "placeholder" and not _drops(node, net) and _grows(small.get(node), large.get(node)):
            halvings = round(math.log2(SIDES[0] / small[node].shape[-1]))
            found[halvings] = (node, Scale(halvings, int(small[node].shape[1])))
    return [found[halvings] for halvings in sorted(found) if halvings >= 0]


def _calls_until(graph: fx.Graph, name: str) -> list[tuple[str, ...]]:
    """The calls of a graph up to one, in words."""
    calls = {node.name: tuple(map(str, (node.op, node.target, node.args, node.kwargs))) for node in graph.nodes}
    return list(calls.values())[: list(calls).index(name) + 1 if name in calls else None]


def _weighs(node: fx.Node, net: nn.Module) -> bool:
    """Whether a call is of a layer with weights of more than one dimension."""
    if node.op != "call_module":
        return False
    return any(parameter.ndim > 1 for parameter in net.get_submodule(str(node.target)).parameters())


def _drops(node: fx.Node, net: nn.Module) -> bool:
    """Whether a call is of dropout, which belongs to what follows a map."""
    return node.op == "call_module" and isinstance(net.get_submodule(str(node.target)), DROPOUT)


def _grows(small: Any, large: Any) -> bool:
    """Whether a call gave a map that grows with the image."""
    if not isinstance(small, Tensor) or not isinstance(large, Tensor) or small.ndim != 4 or large.ndim != 4:
        return False
    return abs(math.log2(large.shape[-1] / small.shape[-1]) - 1) < 0.2
