"""What ReLU hands down in the backward pass, where a picture wants another rule than the gradient's.

The gradient passes where the input was above zero. Guided backpropagation asks as well that what comes from above is
positive (Springenberg et al., 2015, Striving for Simplicity, section 3.4 and figure 1); the deconvolutional network
asks that alone (Zeiler and Fergus, 2014, Visualizing and Understanding Convolutional Networks, section 2.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from couloir.inference.explain.subject import Subject

GUIDED, DECONVNET = "guided", "deconvnet"
RELUS = {"relu": False, "relu_": True}
"""The names that ReLU has in torch, and whether it works in place."""
OTHERS = {
    "celu", "celu_", "clamp", "clamp_", "clamp_min", "clamp_min_", "elu", "elu_", "gelu", "glu", "hardshrink",
    "hardsigmoid", "hardswish", "hardtanh", "hardtanh_", "leaky_relu", "leaky_relu_", "logsigmoid", "mish", "prelu",
    "relu6", "rrelu", "rrelu_", "selu", "selu_", "sigmoid", "sigmoid_", "silu", "softplus", "softshrink", "softsign",
    "tanh", "tanh_", "tanhshrink", "threshold", "threshold_", "heaviside", "sign",
}  # fmt: skip
"""The names of activations that are no ReLU."""


class _Rectified(torch.autograd.Function):
    """ReLU whose backward pass obeys another rule."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, guided: bool, in_place: bool) -> Tensor:
        """max(x, 0), of any shape."""
        if in_place:
            ctx.mark_dirty(x)
        out = torch.relu_(x) if in_place else torch.relu(x)
        ctx.guided = guided
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor, None, None]:
        """What is positive above, and for the guided rule came from a positive input."""
        (out,) = ctx.saved_tensors
        handed = above[0].clamp_min(0)
        return handed * (out > 0) if ctx.guided else handed, None, None


class _Rule(TorchFunctionMode):
    """All ReLUs that are called meanwhile obey a rule."""

    def __init__(self, guided: bool) -> None:
        super().__init__()
        self.guided = guided

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name not in RELUS:
            return func(*args, **kwargs)
        x = args[0] if args else kwargs["input"]
        inplace = kwargs.get("inplace", args[1] if len(args) > 1 else False)
        return _Rectified.apply(x, self.guided, RELUS[name] or bool(inplace))  # type: ignore[no-untyped-call]


class _Seen(TorchFunctionMode):
    """Which activations are called meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if is_activation(name, args, kwargs or {}):
            self.names.append(name.rstrip("_"))
        return func(*args, **(kwargs or {}))


def is_activation(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a call of torch's is an activation. One that keeps values away from another number than zero is none:
    divisions are made safe by it.

    Args:
        name: of what is called.
        args: its arguments.
        kwargs: those with names.
    """
    if name.startswith("clamp"):
        return bool(kwargs.get("min", args[1] if len(args) > 1 else None) == 0)
    return name in OTHERS or name in RELUS


@contextmanager
def backward_rule(rule: str) -> Iterator[None]:
    """Change what ReLU hands down, of modules and of calls alike. The forward pass gives what it always gives; it must
    run within, the backward pass need not.

    Args:
        rule: `guided`: the gradient where it and the input are positive; `deconvnet`: where it is positive itself.
    """
    if rule not in (GUIDED, DECONVNET):
        raise ValueError(f"'{rule}' is no rule of the backward pass: '{GUIDED}' or '{DECONVNET}'")
    with _Rule(rule == GUIDED):
        yield


def rectifies(subject: Subject) -> str:
    """Why neither rule has a meaning for a network, in a sentence; empty where all its activations are ReLU."""
    with torch.no_grad(), _Seen() as seen:
        subject.net(subject.empty())
    others = sorted(set(seen.names) - set(RELUS))
    if others:
        return f"The rule is one for ReLU, and the network has other activations: {', '.join(others)}."
    return "" if seen.names else "The rule is one for ReLU, and the network has none."
