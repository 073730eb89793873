"""Which layers' gradients and weights are large, or no numbers any more."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from couloir.distributed import average, highest, several
from couloir.layer_kinds import BatchNorm
from couloir.metric.precision import WIDE

Named = list[tuple[str, Tensor]]
"""Parameters with their names in the network, as they stood when training began: FSDP hides them within a step."""
WRAPPER = "_fsdp_wrapped_module."


def named_parameters(net: nn.Module) -> Named:
    """The network's parameters that are trained, in its order, under the names that they have without FSDP."""
    return [(name.replace(WRAPPER, ""), p) for name, p in net.named_parameters() if p.requires_grad]


def gradient_norms(parameters: Named, sharded: bool = False) -> dict[str, float]:
    """The norm of each layer's gradients, in the network's order; layers without any are left out. Waits for a GPU.

    Args:
        parameters: the layer of `features.0.weight` is `features.0`.
        sharded: each process has a part of every gradient; all must call this together then.
    """
    squares: dict[str, Tensor] = {}
    nothing = torch.zeros((), dtype=WIDE)
    for name, parameter in parameters:
        if parameter.grad is None and not sharded:
            continue
        gradient = parameter.grad
        # The sum in WIDE: in float32 the square of a gradient of 1e20 is infinite.
        norm = nothing if gradient is None else torch.linalg.vector_norm(gradient, dtype=WIDE)
        layer = name.rpartition(".")[0]
        squares[layer] = squares.get(layer, nothing).to(norm.device) + norm.square()
    if not squares:
        return {}
    values = torch.stack([value.to(norm.device) for value in squares.values()]).cpu()
    if sharded and several():
        average(values)
        values *= torch.distributed.get_world_size()
    return dict(zip(squares, values.sqrt().tolist(), strict=True))


def largest(norms: dict[str, float], net: nn.Module) -> str:
    """`largest in layers.4 (Linear), norm 3.1e+05`, or where they were no numbers any more; empty without norms.

    Args:
        norms: those of `gradient_norms`.
        net: the network, whose layers have types.
    """
    broken = [layer for layer, norm in norms.items() if not math.isfinite(norm)]
    if broken:
        some = f"in {len(broken)} of {len(norms)} layers, from" if len(broken) > 1 else "in"
        back = " backwards" if len(broken) > 1 else ""
        return f"not finite {some} {layer_with_type(broken[-1], net)}{back}"
    if not norms:
        return ""
    layer = max(norms, key=norms.__getitem__)
    return f"largest in {layer_with_type(layer, net)}, norm {norms[layer]:.3g}"


def broken_layer(net: nn.Module) -> str | None:
    """The first layer with a weight, or a running mean or variance, that is NaN or infinite; the same in all processes.

    Args:
        net: the network.

    Returns:
        the layer with its type, or None where all are finite; `one of the others' part` where another process has it.
    """
    tensors = [*net.named_parameters(), *_running_statistics(net)]
    finite = [value.detach().isfinite().all() for _, value in tensors]
    sound = all(_read(finite))
    if not highest(not sound):
        return None
    if sound:
        return "a layer in another process's share"
    name = next(name for (name, _), whole in zip(tensors, _read(finite), strict=True) if not whole)
    return layer_with_type(name.replace(WRAPPER, "").rpartition(".")[0], net)


def _running_statistics(net: nn.Module) -> Iterable[tuple[str, Tensor]]:
    for name, module in net.named_modules():
        if isinstance(module, BatchNorm) and module.running_mean is not None and module.running_var is not None:
            yield from ((f"{name}.running_mean", module.running_mean), (f"{name}.running_var", module.running_var))


def _read(flags: list[Tensor]) -> list[bool]:
    """Single truths, read from their device together."""
    return torch.stack([flag.to(flags[0].device) for flag in flags]).tolist() if flags else []


def layer_with_type(layer: str, net: nn.Module) -> str:
    """`features.0 (Conv2d)`; the network's own type where a parameter belongs to no layer of it."""
    try:
        module = net.get_submodule(layer)
    except AttributeError:  # wrapped by FSDP
        return layer
    return f"{layer} ({type(module).__name__})" if layer else type(module).__name__
