"""A step of a fused optimizer without what torch does around its kernel, which takes a small network longer than it.

In each step torch looks at every parameter anew, sorts them by device and precision, opens a profiler's context and
asks for hooks. None of that changes from step to step. Here it is looked at once an epoch, and a step hands the same
tensors to the same kernel, so that the bits are the same. Whatever is not as it was then, such as a parameter without a
gradient or without a state, has torch's own step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from couloir.torch_private import fused_adam, fused_sgd, has_step_hooks, note_step, steps_by_its_class

State = dict[str, Any]


def step_of(optimizer: Optimizer) -> Callable[[], object]:
    """What takes a step of an optimizer: its kernel where nothing else would happen in the step, else its own `step`.

    The answer holds as long as nobody changes the optimizer's groups, other than their numbers, or gives it hooks.

    Args:
        optimizer: of any kind; nothing scales its gradients.
    """
    if type(optimizer) not in (Adam, AdamW, SGD) or has_step_hooks(optimizer) or not steps_by_its_class(optimizer):
        return optimizer.step
    if not optimizer.param_groups or not all(map(_is_plain, optimizer.param_groups)):
        return optimizer.step
    return _Direct(optimizer)


def _is_plain(group: State) -> bool:
    """Whether a group is fused, and all of its parameters go to the kernel in one call."""
    parameters = group["params"]
    first = next(iter(parameters), None)
    return (
        first is not None
        and group.get("fused") is True
        and not group.get("differentiable")
        and not isinstance(group["lr"], Tensor)
        and not first.is_complex()
        and all(each.device == first.device and each.dtype == first.dtype for each in parameters)
    )


class _Direct:
    """Steps of a fused optimizer by its kernel.

    Args:
        optimizer: `_is_plain` in all of its groups, without hooks.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self._beside: Any = _momentum if type(optimizer) is SGD else _means
        self._kernel: Any = fused_sgd if type(optimizer) is SGD else partial(fused_adam, type(optimizer) is AdamW)
        self._parameters: list[list[Tensor]] = [list(group["params"]) for group in optimizer.param_groups]
        self._states: list[list[State]] = []
        self._looked_at: Any = None
        """The optimizer's state that these are parts of; None: they must be found first."""

    def __call__(self) -> None:
        """Take one."""
        optimizer = self.optimizer
        if self._looked_at is not optimizer.state:
            self._states = [[optimizer.state.get(each, {}) for each in group] for group in self._parameters]
            self._looked_at = optimizer.state
        taken = []
        for group, parameters, states in zip(optimizer.param_groups, self._parameters, self._states, strict=True):
            gradients = [parameter.grad for parameter in parameters]
            beside = self._beside(group, states)
            if beside is None or any(each is None or each.is_sparse for each in gradients):
                self._looked_at = None
                optimizer.step()
                return
            taken.append((group, parameters, cast(list[Tensor], gradients), beside))
        with torch.no_grad():
            for each in taken:
                self._kernel(*each)
        note_step(optimizer)


def _means(group: State, states: Sequence[State]) -> list[list[Tensor]] | None:
    """Adam's running means and counts of steps; None before the first step."""
    names = ["exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if group["amsgrad"] else []), "step"]
    try:
        found = [[state[name] for state in states] for name in names]
    except KeyError:
        return None
    return found if group["amsgrad"] else [*found[:2], [], found[2]]


def _momentum(group: State, states: Sequence[State]) -> list[Tensor] | None:
    """The velocities; None before the first step."""
    if group["momentum"] == 0:
        return []
    found = [state.get("momentum_buffer") for state in states]
    return None if any(each is None for each in found) else cast(list[Tensor], found)
