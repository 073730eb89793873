"""What Couloir uses of torch's private parts; `tests/test_torch_private.py` fails when they change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks
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


def backward(loss: Tensor) -> None:
    """`loss.backward()` of a number. `_execution_engine`: on the way to it torch asks for the kind of twenty things."""
    if type(loss) is not Tensor or loss.ndim or not loss.is_floating_point():
        loss.backward()  # type: ignore[no-untyped-call]
        return
    one = _ones.get((loss.device, loss.dtype))
    if one is None:
        one = _ones[loss.device, loss.dtype] = torch.ones_like(loss)
    torch.autograd.Variable._execution_engine.run_backward(
        (loss,), (one,), False, False, (), allow_unreachable=True, accumulate_grad=True
    )


_ones: dict[tuple[torch.device, torch.dtype], Tensor] = {}


def has_step_hooks(optimizer: Optimizer) -> bool:
    """Whether somebody hears of an optimizer's steps. `_optimizer_step_pre_hooks` and others: nothing public tells."""
    own = optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks
    return bool(own or _global_optimizer_pre_hooks or _global_optimizer_post_hooks)


def steps_by_its_class(optimizer: Optimizer) -> bool:
    """Whether an optimizer's `step` is that of its class, or a schedule's note around it.

    `_wrapped_by_lr_sched`: schedules put a method of their own into the optimizer, which tells them of its steps.
    """
    own = optimizer.__dict__.get("step")
    wraps = hasattr(own, "_wrapped_by_lr_sched") and getattr(own, "__wrapped__", None)
    return own is None or wraps is type(optimizer).step


def note_step(optimizer: Optimizer) -> None:
    """Let schedules know that their optimizer has taken a step. `_opt_called`: `step` itself would set it."""
    optimizer._opt_called = True  # type: ignore[attr-defined]


def fused_adam(
    decoupled: bool,
    group: dict[str, Any],
    parameters: list[Tensor],
    gradients: list[Tensor],
    beside: list[list[Tensor]],
) -> None:
    """A step of Adam, in place. `torch._fused_adam_`: what `torch.optim.Adam(fused=True)` calls, after its checks.

    Args:
        decoupled: whether weights decay beside the step, as AdamW has it.
        group: the optimizer's settings.
        parameters: of one device and precision.
        gradients: theirs.
        beside: their running means, those of squares, the largest of these or nothing, and the steps so far.
    """
    means, squares, largest, steps = beside
    torch._foreach_add_(steps, 1)
    first, second = group["betas"]
    kernel = torch._fused_adamw_ if decoupled or group.get("decoupled_weight_decay") else torch._fused_adam_
    kernel(
        parameters,
        gradients,
        means,
        squares,
        largest,
        steps,
        lr=group["lr"],
        beta1=first,
        beta2=second,
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        amsgrad=group["amsgrad"],
        maximize=group["maximize"],
    )


def fused_sgd(
    group: dict[str, Any], parameters: list[Tensor], gradients: list[Tensor], velocities: list[Tensor]
) -> None:
    """A step of gradient descent, in place. `torch._fused_sgd_`: what `torch.optim.SGD(fused=True)` calls.

    Args:
        group: the optimizer's settings.
        parameters: of one device and precision.
        gradients: theirs.
        velocities: theirs; none without momentum.
    """
    torch._fused_sgd_(
        parameters,
        gradients,
        velocities,
        weight_decay=group["weight_decay"],
        momentum=group["momentum"],
        lr=group["lr"],
        dampening=group["dampening"],
        nesterov=group["nesterov"],
        maximize=group["maximize"],
        is_first_step=False,
    )


def around_compiled(net: nn.Module, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> bool:
    """Put something around the calls of a module that `nn.Module.compile` has compiled.

    `_compiled_call_impl`: its hooks are compiled along, and nothing public is called around it.

    Returns:
        Whether it is compiled; otherwise nothing has changed.
    """
    if net._compiled_call_impl is None:
        return False
    net._compiled_call_impl = wrap(net._compiled_call_impl)
    return True


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
