"""What Couloir uses of torch's private parts; `tests/test_torch_private.py` fails when they change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader


def is_tensor_function(name: str) -> bool:
    """Whether `torch.NAME` works on tensors.

    `torch._C._VariableFunctions`: in `torch` itself these stand beside what loads, saves, compiles and sets.
    """
    return any(callable(getattr(place, name, None)) for place in (torch._C._VariableFunctions, torch.functional))


def copy_all(to: list[Tensor], source: list[Tensor]) -> None:
    """Copy tensors into others, in place. `torch._foreach_copy_`: one call for all; `copy_` takes one a tensor."""
    torch._foreach_copy_(to, source)


def writes(tensor: Tensor) -> int:
    """How often a tensor's storage was written to. `_version`: autograd counts it, and nothing public tells it."""
    return tensor._version


def viewed(tensor: Tensor) -> Tensor:
    """The tensor that a view is of; of any other, that tensor itself. `_base`: nothing public tells it."""
    return tensor if tensor._base is None else tensor._base


def unscales(optimizer: Optimizer) -> bool:
    """Whether an optimizer's step takes a scaler's factor out of the gradients.

    `_step_supports_amp_scaling`: by this the scaler itself decides whether to do it before the step.
    """
    return bool(getattr(optimizer, "_step_supports_amp_scaling", False))


def run_what_does_not_compile() -> None:
    """Let a part that cannot be compiled run as it is, with a warning. `torch._dynamo.config`: nothing else does."""
    torch._dynamo.config.suppress_errors = True


def graph(net: nn.Module, x: Tensor) -> bytes:
    """TensorBoard's graph of a network.

    Args:
        net: it is traced as it is.
        x: an input, (1, ...).

    `torch.utils.tensorboard._pytorch_graph`: the public `add_graph` writes an event file of its own.
    """
    from torch.utils.tensorboard._pytorch_graph import graph

    definition, _ = graph(net, x)  # type: ignore[no-untyped-call]
    encoded: bytes = definition.SerializeToString()
    return encoded


def iterator_of(loader: DataLoader[Any] | None) -> Iterator[Any] | None:
    """The iterator that a loader keeps with its workers, if there is one.

    `_iterator`: to hold it elsewhere as well would keep the workers alive when the loader goes.
    """
    return getattr(loader, "_iterator", None)


def workers_of(iterator: Iterator[Any] | None) -> list[Any]:
    """The processes that work for a loader's iterator. `_workers`: nothing public names them."""
    return list(getattr(iterator, "_workers", []))


def shut_down(iterator: Iterator[Any]) -> None:
    """End a loader's workers now. `_shutdown_workers`: the public way is to wait until the iterator is collected."""
    iterator._shutdown_workers()  # type: ignore[attr-defined]


def scanned(step: Callable[..., tuple[Any, Tensor]], state: tuple[Tensor, ...], x: Tensor) -> Tensor:
    """What a step gives for each slice of (T, ...) in turn, (T, ...), in one loop that exporters keep as a loop.

    Args:
        step: (state, slice) -> (state, output), new tensors all.
        state: before the first step.
        x: the slices.

    `torch._higher_order_ops.scan`: nothing public loops over a number of steps that is open, and recurrent layers
    are written out for the number of steps that they are traced with.
    """
    from torch._higher_order_ops.scan import scan

    _, found = scan(step, state, x)
    outputs: Tensor = found
    return outputs
