"""Which pixels each unit of a layer depends on, by tracing one pass of a sample through the network.

With each tensor goes, for both axes, the interval of pixels that each of its rows and columns sees. A window takes the
first pixel of its first unit and the last of its last one; a sum, a concatenation or a skip connection takes the hull
of all its parts (Araujo, Norris and Sim, 2019, Computing Receptive Fields of Convolutional Neural Networks, section 2,
which has the recurrence for chains). This is done twice: in the image alone, and as if all maps went on beyond their
borders, so that a field has its whole size also where it lies partly in the padding. What a call does whose rule is
not written here is measured instead, by `positive.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from couloir.inference.explain.layers.axes import Axis, Field, constant
from couloir.inference.explain.layers.call_fields import Call, NoRule, rule, whole
from couloir.locally_connected import LocallyConnected

MARGIN = 8192
"""Pixels beyond each border that are followed."""
MADE = ("new_zeros", "new_ones", "new_full", "new_empty", "new_tensor", "zeros_like", "ones_like", "full_like",
        "empty_like", "rand_like", "randn_like")  # fmt: skip
"""Calls that take of a tensor its form alone."""


class Fields(NamedTuple):
    """What the units of one tensor see.

    Attributes:
        whole: as if all maps went on beyond their borders; pixels have numbers below 0, and beyond the image's size.
        inside: in the image.
    """

    whole: Field
    inside: Field


def trace(net: nn.Module, x: Tensor, names: Iterable[str]) -> dict[str, Fields]:
    """What the units of some layers see.

    Args:
        net: the network, in evaluation mode.
        x: images of its size, (1, C, H, W).
        names: of the layers.

    Returns:
        by name; of a layer that is called more than once the last call counts.
    """
    tracing, found = _Tracing(x), dict[str, Fields]()

    def keep(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and (fields := tracing.of(output)) is not None:
                found[name] = fields

        return hook

    local = [module for module in net.modules() if isinstance(module, LocallyConnected)]
    hooks = [module.register_forward_hook(tracing.windows_of) for module in local]
    hooks += [net.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    try:
        with torch.no_grad(), tracing:
            net(x)
    finally:
        for hook in hooks:
            hook.remove()
    return found


class _Tracing(TorchFunctionMode):
    """Fields go with the tensors of one pass."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self._kept: dict[int, tuple[Tensor, Fields]] = {}
        self.give(x, Fields(_of_image(x, MARGIN), _of_image(x, 0)))

    def of(self, tensor: Any) -> Fields | None:
        """The fields of a tensor; None: it does not depend on the image."""
        entry = self._kept.get(id(tensor))
        return None if entry is None else entry[1]

    def give(self, tensor: Tensor, fields: Fields) -> None:
        """Note the fields of a tensor, which is kept, so that no other one gets its identity."""
        self._kept[id(tensor)] = tensor, fields

    def windows_of(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        """Note what a locally connected layer sees: its calls are those of a matrix product."""
        assert isinstance(module, LocallyConnected)
        fields = self.of(inputs[0])
        if fields is None or not all(field.known and field.is_placed for field in fields):
            return
        kernel, stride, dilation, size = module.kernel_size, module.stride, module.dilation, module.size
        before = module.padding[0], module.padding[2]
        parts = [
            field.each(lambda axis, at: axis.windows(kernel, stride, before[at], dilation, size[at]))
            for field in fields
        ]
        self.give(output, Fields(*parts))

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = [(each, fields) for each in _tensors((args, kwargs)) if (fields := self.of(each)) is not None]
        shapes = [tuple(each.shape) for each, _ in given]  # before a call that works in place
        out = func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        sides = [[(each, fields[side]) for each, fields in given] for side in (0, 1)]
        if name == "__setitem__" and given:
            self.give(args[0], Fields(*(_unknown(side, shapes) for side in sides)))
        for each in _tensors(out) if given and name not in MADE else ():
            self.give(each, Fields(*(_after(Call(name, args, kwargs, side, shapes, each)) for side in sides)))
        return out


def _of_image(x: Tensor, margin: int) -> Field:
    """What the pixels themselves see, so many beyond each border among them."""
    there = [np.arange(-margin, size + margin) for size in x.shape[-2:]]
    return Field(Axis(there[0], there[0], margin, -2), Axis(there[1], there[1], margin, -1))


def _after(call: Call) -> Field:
    """What is known behind a call."""
    try:
        return rule(call)
    except NoRule:
        return _unknown(call.given, call.shapes)


def _unknown(given: Sequence[tuple[Tensor, Field]], shapes: Sequence[tuple[int, ...]]) -> Field:
    """What all units see together, where nobody knows which of them sees what."""
    parts = [[whole(axis, shape) for (_, field), shape in zip(given, shapes, strict=True)
              for axis in [field.rows if place == 0 else field.columns]] for place in (0, 1)]  # fmt: skip
    low_high = [(min(int(axis.low[0]) for axis in axes), max(int(axis.high[0]) for axis in axes)) for axes in parts]
    rows, columns = (constant(low, high) for low, high in low_high)
    return Field(rows, columns, known=False)


def _tensors(value: Any) -> Iterable[Tensor]:
    """The tensors of arguments or results."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _tensors(each)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
