"""A network cut in two: what is fixed and gives features, and the tail that learns and works on features alone.

A network's forward is a program, and nobody can read off it what happens between its modules. So the tail is taken for
its last modules in turn, and compared: two networks that give the same scores, also for the same draws of dropout, are
the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor, nn

from couloir.finetune.layers import CANNOT_PASS, is_layer
from couloir.finetune.parts import fixed_modules
from couloir.layer_kinds import undisturbed

SEED = 20_140_717
"""Of the draws for which network and tail are compared."""
DROPOUT = nn.Dropout.__module__


class _Reached(Exception):
    """What enters the tail is known; what comes after need not be computed."""


def tail_of(net: nn.Module, order: Sequence[str], learning: Collection[str], x: Tensor) -> list[str] | None:
    """The modules that follow the fixed part, in turn; None: the network cannot be cut in two.

    It begins with what learns, or with dropout in front of it.

    Args:
        net: the network, in training, its fixed modules as in evaluation.
        order: of `couloir.finetune.layers.passed`.
        learning: the names of the parameters that learn.
        x: some samples.
    """
    fixed = fixed_modules(net, order, learning)
    modules = dict(net.named_modules())
    first = next((place for place, name in enumerate(order) if name not in fixed), len(order))
    begin = next((place for place in range(first, len(order)) if _matters(modules[order[place]])), len(order))
    names = _largest(modules, order[:begin], order[begin:])
    return names if names and begin > 0 and _agrees(net, names, x) else None


def _matters(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None or type(module).__module__ == DROPOUT


def _largest(modules: dict[str, nn.Module], before: Sequence[str], layers: Sequence[str]) -> list[str]:
    """The largest modules that hold some layers, and none of those before them, in turn."""
    found: list[str] = []
    for layer in layers:
        parts = layer.split(".")
        above = (".".join(parts[:depth]) for depth in range(1, len(parts) + 1))
        whole = (name for name in above if is_layer(modules[name]) or _calls_itself(modules[name]))
        free = next((name for name in whole if not any(_is_in(other, name) for other in before)), layer)
        if not found or found[-1] != free:
            found.append(free)
    return found


def _is_in(layer: str, module: str) -> bool:
    return layer == module or layer.startswith(f"{module}.")


def _calls_itself(module: nn.Module) -> bool:
    """Whether it can be called: a list of modules cannot."""
    return not isinstance(module, nn.ModuleList | nn.ModuleDict)


def features_of(net: nn.Module, tail: Sequence[str], x: Tensor) -> Tensor:
    """What enters the tail for some samples, as in evaluation; modes and random numbers stay as they are.

    Args:
        net: the network; its own `forward` is called, also within `tail_alone`.
        tail: of `tail_of`.
        x: what the network takes.
    """
    caught: list[Tensor] = []

    def catch(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        caught.append(inputs[0].clone())  # the tail may work in place
        raise _Reached

    modes = {module: module.training for module in net.modules()}
    hook = net.get_submodule(tail[0]).register_forward_pre_hook(catch)
    net.eval()
    try:
        with isolate_rng(), torch.no_grad():
            type(net).forward(net, x)
    except _Reached:
        pass
    finally:
        hook.remove()
        for module, training in modes.items():
            module.training = training
    return caught[0]


@contextmanager
def tail_alone(net: nn.Module, tail: Sequence[str]) -> Iterator[None]:
    """Let a network work on features instead of samples; its weights, their names and its modes stay.

    Args:
        net: the network.
        tail: of `tail_of`.
    """
    names = tuple(tail)

    def forward(self: nn.Module, x: Tensor) -> Any:
        for name in names:
            x = self.get_submodule(name)(x)
        return x

    net.forward = MethodType(forward, net)
    try:
        yield
    finally:
        del net.forward


def _agrees(net: nn.Module, tail: Sequence[str], x: Tensor) -> bool:
    """Whether the tail, of the features, gives what the network gives, in training and in evaluation."""
    try:
        with undisturbed(net, but=nn.Module), torch.no_grad():
            features = features_of(net, tail, x)
            if not _same(features[:1], features_of(net, tail, x[:1])):
                return False  # they depend on the other samples of the batch
            for training in (True, False):
                if not training:
                    net.eval()
                torch.manual_seed(SEED)
                whole = net(x)
                torch.manual_seed(SEED)
                with tail_alone(net, tail):
                    part = net(features.clone())
                if not _same(whole, part):
                    return False
    except (*CANNOT_PASS, IndexError):
        return False
    return True


def _same(one: Any, other: Any) -> bool:
    if not isinstance(one, Tensor) or not isinstance(other, Tensor) or one.shape != other.shape:
        return False
    scale = float(one.abs().max()) if one.numel() else 0.0
    return bool(torch.allclose(other, one, rtol=1e-4, atol=1e-5 * scale, equal_nan=True))
