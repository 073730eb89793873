"""A network of the same form with positive weights, which shows what depends on what."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from couloir.inference.explain.layers.call_fields import STEPS
from couloir.inference.explain.rectifiers import OTHERS, RELUS

NORMS = ("batch_norm", "local_response_norm")
"""Calls that leave what depends on what as it is."""


class _Positive(TorchFunctionMode):
    """A network whose weights are all positive, and which has neither activations nor maxima: each of its outputs
    grows with all pixels that it depends on.
    """

    def __init__(self) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(0)

    def weights(self, like: Tensor, inputs: int) -> Tensor:
        """Numbers in [0.5, 1.5] over the number of inputs, so that signals keep their size."""
        drawn = torch.rand(like.shape, generator=self._generator, dtype=torch.float64) + 0.5
        return drawn.to(like.device) / inputs

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs, name = dict(kwargs or {}), getattr(func, "__name__", "")
        if name in ("conv2d", "conv_transpose2d", "linear"):
            weight = args[1] if len(args) > 1 else kwargs.pop("weight")
            x = args[0] if args else kwargs.pop("input")
            kwargs.pop("bias", None)
            inputs = weight[0].numel() if name != "conv_transpose2d" else weight[:, 0].numel()
            return func(x.double(), self.weights(weight, inputs), None, *args[3:], **kwargs)
        if name in OTHERS - {"glu"} or name in RELUS or name in STEPS or name in NORMS:
            return args[0] if args else kwargs["input"]
        if name in ("max_pool2d", "max_pool2d_with_indices", "adaptive_max_pool2d"):
            return self._mean(func, name, args, kwargs)
        if name in ("amax", "max") and (len(args) > 1 or "dim" in kwargs):
            found = args[0].mean(*args[1:], **kwargs)
            return found if name == "amax" else (found, func(*args, **kwargs)[1])
        return func(*map(_double, args), **{key: _double(value) for key, value in kwargs.items()})

    def _mean(self, func: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Pooling by means over the windows of the maxima."""
        found = func(*args, **kwargs)
        x = args[0] if args else kwargs["input"]
        if name == "adaptive_max_pool2d":
            size = args[1] if len(args) > 1 else kwargs["output_size"]
            means = F.adaptive_avg_pool2d(x, size)
        else:
            kernel, dilation = _given(args, kwargs, "kernel_size", 1), _pair(_given(args, kwargs, "dilation", 4, 1))
            shape = (found[0] if isinstance(found, tuple) else found).shape
            stride, padding = _given(args, kwargs, "stride", 2) or kernel, _given(args, kwargs, "padding", 3, 0)
            means = _window_means(x, _pair(kernel), _pair(stride), _pair(padding), dilation, (shape[-2], shape[-1]))
        return (means, *found[1:]) if isinstance(found, tuple) else means


def _given(args: tuple[Any, ...], kwargs: dict[str, Any], name: str, at: int, default: Any = None) -> Any:
    """An argument by its name or its place."""
    return kwargs.get(name, args[at] if len(args) > at else default)


def _double(value: Any) -> Any:
    """Weights of a layer as precise as what passes it."""
    return value.double() if isinstance(value, nn.Parameter) and value.is_floating_point() else value


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[-1]))


def _window_means(
    x: Tensor, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int],
    size: tuple[int, int],
) -> Tensor:  # fmt: skip
    """The sum of each window over its number of pixels; what lies outside of the map is zero."""
    need = [(size[at] - 1) * stride[at] + dilation[at] * (kernel[at] - 1) + 1 for at in (0, 1)]
    after = [max(0, need[at] - x.shape[at - 2] - padding[at]) for at in (0, 1)]
    wide = F.pad(x, (padding[1], after[1], padding[0], after[0]))[..., : need[0], : need[1]]
    weight = wide.new_full((x.shape[-3], 1, *kernel), 1 / prod(kernel))
    return torch.conv2d(wide, weight, None, stride, 0, dilation, x.shape[-3])


def measured(net: nn.Module, x: Tensor, name: str, unit: tuple[int, int]) -> NDArray[np.bool_]:
    """Which pixels one unit of a layer depends on, by the gradient of a network of the same form with positive weights
    and without activations, in which nothing can cancel out.

    Args:
        net: the network, in evaluation mode.
        x: images of its size, (1, C, H, W).
        name: of the layer.
        unit: the unit's row and column in the layer's maps.

    Returns:
        (H, W); of all channels of the unit and of the image together.
    """
    found: list[Tensor] = []
    hook = net.get_submodule(name).register_forward_hook(lambda module, inputs, output: found.append(output))
    generator = torch.Generator().manual_seed(1)
    given = torch.rand(x.shape, generator=generator, dtype=torch.float64).to(x.device).requires_grad_()
    try:
        with torch.enable_grad(), _Positive():
            net(given)
    finally:
        hook.remove()
    (gradient,) = torch.autograd.grad(found[-1][..., unit[0], unit[1]].sum(), given)
    seen: NDArray[np.bool_] = (gradient[0] != 0).any(dim=0).cpu().numpy()
    return seen
