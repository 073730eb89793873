"""What the outputs of each call see, given what its inputs see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from torch import Tensor

from couloir.inference.explain.layers.axes import Axis, Field, constant
from couloir.inference.explain.rectifiers import OTHERS, RELUS

STEPS = {"floor", "ceil", "round", "trunc", "__gt__", "__ge__", "__lt__", "__le__", "gt", "ge", "lt", "le"}
"""Calls that work place by place and pass no gradient."""
POINTWISE = (OTHERS - {"glu"}) | set(RELUS) | STEPS | {
    "__add__", "__iadd__", "__imul__", "__isub__", "__itruediv__", "__mul__", "__neg__", "__pow__", "__radd__",
    "__rmul__", "__rsub__", "__rtruediv__", "__sub__", "__truediv__", "__floordiv__", "__mod__", "abs", "add", "add_",
    "addcmul", "alpha_dropout", "batch_norm", "bernoulli", "clone", "contiguous", "detach", "div", "div_", "double",
    "dropout", "dropout1d", "dropout2d", "exp", "expand", "expand_as", "feature_dropout", "float", "floor_divide",
    "fmod", "lerp", "local_response_norm", "log", "masked_fill", "maximum", "minimum", "mul", "mul_", "neg", "pow",
    "reciprocal", "remainder", "rsqrt", "sqrt", "square", "sub", "sub_", "to", "true_divide", "type", "where",
}  # fmt: skip
"""Calls whose every output depends on the inputs at its own place alone, or on other channels of that place."""
REDUCING = {"mean", "sum", "amax", "amin", "max", "min", "std", "var", "logsumexp", "argmax", "norm"}
SHAPING = {"view", "reshape", "flatten", "unflatten", "view_as", "reshape_as"}


class NoRule(Exception):
    """What a call does is not written here."""


@dataclass(frozen=True)
class Call:
    """One call, and one of the tensors that it gives."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    given: list[tuple[Tensor, Field]]
    shapes: list[tuple[int, ...]]
    out: Tensor

    def get(self, name: str, at: int, default: Any = None) -> Any:
        """An argument by its name or its place."""
        return self.kwargs.get(name, self.args[at] if len(self.args) > at else default)

    @property
    def field(self) -> Field:
        """Of the first input, which must be the only one that depends on the image, and known."""
        if len(self.given) != 1 or not self.given[0][1].known:
            raise NoRule
        return self.given[0][1]

    @property
    def maps(self) -> Field:
        """The same, of maps."""
        if not self.field.is_placed:
            raise NoRule
        return self.field

    def sizes(self) -> list[tuple[int, int]]:
        """Of rows and columns: how many units there were, and how many there are."""
        return [(self.shapes[0][dim], self.out.shape[dim]) for dim in (-2, -1)]


def rule(call: Call) -> Field:
    """The field of what a call gives."""
    name = call.name
    if name in POINTWISE:
        return _hull([(field, shape, 0) for (_, field), shape in zip(call.given, call.shapes, strict=True)], call.out)
    if name in REDUCING:
        return _reduced(call)
    if name in SHAPING:
        return _reshaped(call.field, call.shapes[0], tuple(call.out.shape))
    rule = RULES.get(name)
    if rule is None:
        raise NoRule
    return rule(call)


def whole(axis: Axis, shape: tuple[int, ...]) -> Axis:
    return axis if axis.dim is None else axis.hull(shape[axis.dim])


def _hull(parts: Sequence[tuple[Field, tuple[int, ...], int]], out: Tensor) -> Field:
    """What is made of several tensors place by place; each with its shape, and with how far its dimensions move."""
    if not all(field.known for field, _, _ in parts):
        raise NoRule
    axes = []
    for rows in (True, False):
        along = [_spread(field.rows if rows else field.columns, shape, move, out) for field, shape, move in parts]
        axes.append(_united(along))
    return Field(axes[0], axes[1])


def _spread(axis: Axis, shape: tuple[int, ...], move: int, out: Tensor) -> Axis:
    """An axis whose units stand for many where the result has more of them than the tensor."""
    if axis.dim is None:
        return axis
    if shape[axis.dim] == 1 != out.shape[axis.dim + move]:
        return axis.hull(1)
    return replace(axis, dim=axis.dim + move)


def _united(axes: Sequence[Axis]) -> Axis:
    """The hull of several axes unit by unit, where all of them are followed."""
    moving = [axis for axis in axes if axis.dim is not None]
    if len({axis.dim for axis in moving}) > 1:
        raise NoRule
    if not moving:
        return constant(min(int(axis.low[0]) for axis in axes), max(int(axis.high[0]) for axis in axes))
    start = min(axis.start for axis in moving)
    after = min(len(axis.low) - axis.start for axis in moving)
    cut = [(axis.low, axis.high) if axis.dim is None
           else (axis.low[axis.start - start : axis.start + after], axis.high[axis.start - start : axis.start + after])
           for axis in axes]  # fmt: skip
    low, high = cut[0]
    for lower, higher in cut[1:]:
        low, high = np.minimum(low, lower), np.maximum(high, higher)
    return Axis(low, high, start, moving[0].dim)


def _pair(value: Any) -> tuple[int, int]:
    """A number, or one for rows and one for columns."""
    if isinstance(value, int):
        return value, value
    values = [int(each) for each in value]
    return (values[0], values[0]) if len(values) == 1 else (values[0], values[1])


def _windowed(call: Call, kernel: Any, stride: Any, padding: Any, dilation: Any = 1) -> Field:
    kernels, strides, dilations = _pair(kernel), _pair(stride), _pair(dilation)
    if padding == "same":
        before = [dilations[at] * (kernels[at] - 1) // 2 for at in (0, 1)]
    else:
        before = [0, 0] if padding == "valid" else list(_pair(padding))
    sizes = call.sizes()
    return call.maps.each(
        lambda axis, at: axis.windows(kernels[at], strides[at], before[at], dilations[at], sizes[at][1])
    )


def _convolved(call: Call) -> Field:
    kernel = call.get("weight", 1).shape[2:]
    return _windowed(call, kernel, call.get("stride", 3, 1), call.get("padding", 4, 0), call.get("dilation", 5, 1))


def _max_pooled(call: Call) -> Field:
    kernel = call.get("kernel_size", 1)
    stride = call.get("stride", 2) or kernel
    return _windowed(call, kernel, stride, call.get("padding", 3, 0), call.get("dilation", 4, 1))


def _mean_pooled(call: Call) -> Field:
    kernel = call.get("kernel_size", 1)
    return _windowed(call, kernel, call.get("stride", 2) or kernel, call.get("padding", 3, 0))


def _adaptively_pooled(call: Call) -> Field:
    def pooled(axis: Axis, at: int) -> Axis:
        before, after = call.sizes()[at]
        if before % after == 0 and after > 1:
            return axis.windows(before // after, before // after, 0, 1, after)
        units = np.arange(after)
        return axis.real(before).taken(units * before // after, -((units + 1) * before // -after) - 1, 0, axis.dim)

    return call.maps.each(pooled)


def _transposed(call: Call) -> Field:
    """Output o takes input i where o = stride i - padding + dilation k for some k of the kernel."""
    kernels = call.get("weight", 1).shape[2:]
    strides, paddings = _pair(call.get("stride", 3, 1)), _pair(call.get("padding", 4, 0))
    dilations = _pair(call.get("dilation", 7, 1))
    if any(dilations[at] != 1 or kernels[at] < strides[at] for at in (0, 1)):
        raise NoRule

    def enlarged(axis: Axis, at: int) -> Axis:
        count = len(axis.low) * strides[at]
        start = axis.start * strides[at]
        places = np.arange(count) - start + paddings[at]
        first = -((places - kernels[at] + 1) // -strides[at])
        return axis.taken(first + axis.start, places // strides[at] + axis.start, start, axis.dim)

    return call.maps.each(enlarged)


def _interpolated(call: Call) -> Field:
    mode = call.get("mode", 3, "nearest")
    corners, smooth = call.get("align_corners", 4), call.get("antialias", 6, False)

    def resized(axis: Axis, at: int) -> Axis:
        before, after = call.sizes()[at]
        if after == before:
            return axis
        if after % before == 0 and mode == "nearest":
            return axis.repeated(after // before)
        units = np.arange(after)
        source = units * (before - 1) / max(1, after - 1) if corners else (units + 0.5) * before / after - 0.5
        if mode == "nearest":
            first = last = np.asarray(units * before // after)
        elif mode == "bilinear":
            first, last = np.floor(source).astype(np.int64), np.ceil(source).astype(np.int64)
        elif mode == "bicubic":
            exact = source == np.floor(source)
            first = np.floor(source).astype(np.int64) - ~exact
            last = np.floor(source).astype(np.int64) + 2 * ~exact
        else:
            raise NoRule
        return axis.real(before).taken(first, last, 0, axis.dim)

    if smooth:
        raise NoRule
    return call.maps.each(resized)


def _padded(call: Call) -> Field:
    given = list(call.get("pad", 1))
    if call.get("mode", 2, "constant") == "circular":
        raise NoRule
    before = {-1 - at: given[2 * at] for at in range(len(given) // 2)}  # the last dimension comes first

    def moved(axis: Axis, at: int) -> Axis:
        if axis.dim not in before:
            return axis
        return axis.windows(1, 1, before[axis.dim], 1, call.out.shape[axis.dim])

    return call.field.each(moved)


def _sliced(call: Call) -> Field:
    keys = call.args[1] if isinstance(call.args[1], tuple) else (call.args[1],)
    shape = call.shapes[0]
    if Ellipsis in keys:
        at = keys.index(Ellipsis)
        keys = (*keys[:at], *[slice(None)] * (len(shape) - sum(key is not None for key in keys) + 1), *keys[at + 1 :])
    keys = (*keys, *[slice(None)] * (len(shape) - sum(key is not None for key in keys)))
    lists = [at for at, key in enumerate(keys) if not (key is None or isinstance(key, int | slice))]
    if len(lists) > 1 or any(np.ndim(keys[at]) != 1 for at in lists):
        raise NoRule
    axes = []
    for axis in (call.field.rows, call.field.columns):
        if axis.dim is None:
            axes.append(axis)
            continue
        place = len(shape) + axis.dim
        at = next(at for at in range(len(keys)) if keys[at] is not None
                  and sum(key is not None for key in keys[:at]) == place)  # fmt: skip
        key, dim = keys[at], sum(not isinstance(key, int) for key in keys[:at]) - call.out.ndim
        if isinstance(key, int):
            low, high = axis.at(range(shape[place])[key])
            axes.append(constant(low, high))
            continue
        if not isinstance(key, slice):
            raise NoRule
        first, _, step = key.indices(shape[place])
        axes.append(replace(axis.windows(1, step, -first, 1, call.out.shape[dim]), dim=dim))
    return Field(axes[0], axes[1])


def _joined(call: Call) -> Field:
    """Concatenated: along an axis of the image one behind the other, else place by place."""
    dim = call.get("dim", 1, 0)
    dim = dim - call.out.ndim if dim >= 0 else dim
    parts = [(field, shape, 0) for (_, field), shape in zip(call.given, call.shapes, strict=True)]
    if any(dim in (field.rows.dim, field.columns.dim) for field, _, _ in parts):
        raise NoRule
    return _hull(parts, call.out)


def _stacked(call: Call) -> Field:
    dim = call.get("dim", 1, 0)
    new = dim - call.out.ndim if dim >= 0 else dim
    return _hull([(_moved(field, {}, new), shape, 0) for (_, field), shape in
                  zip(call.given, [(*shape[: new + 1 or None], 1, *shape[len(shape) + new + 1 :]) for shape in
                                   call.shapes], strict=True)], call.out)  # fmt: skip


def _moved(field: Field, order: dict[int, int], new: int = 0) -> Field:
    """The same where dimensions have other places: `order` maps old ones to new ones, `new` is one that is added."""

    def moved(axis: Axis, at: int) -> Axis:
        if axis.dim is None:
            return axis
        dim = order.get(axis.dim, axis.dim)
        return replace(axis, dim=dim - 1 if new and dim <= new else dim)

    return field.each(moved)


def _unsqueezed(call: Call) -> Field:
    dim = call.get("dim", 1)
    return _moved(call.field, {}, dim - call.out.ndim if dim >= 0 else dim)


def _permuted(call: Call) -> Field:
    """`permute` and `transpose`, by what they do to the numbers of dimensions."""
    count = call.out.ndim
    if call.name in ("transpose", "swapaxes", "swapdims"):
        order = list(range(count))
        one, other = call.get("dim0", 1), call.get("dim1", 2)
        order[one], order[other] = order[other], order[one]
    else:
        dims = call.kwargs.get("dims", call.args[1:])
        order = [each % count for each in (dims[0] if len(dims) == 1 and not isinstance(dims[0], int) else dims)]
    return _moved(call.field, {old - count: place - count for place, old in enumerate(order)})


def _split(call: Call) -> Field:
    dim = call.get("dim", 2, 0)
    dim = dim - call.out.ndim if dim >= 0 else dim
    if dim in (call.field.rows.dim, call.field.columns.dim):
        raise NoRule
    return call.field


def _mixed(call: Call) -> Field:
    """A fully connected layer: its last dimension sees all of what was there."""
    if len(call.given) != 1:
        raise NoRule
    field, shape = call.given[0][1], call.shapes[0]
    if len(shape) == 2:
        return replace(field.each(lambda axis, at: whole(axis, shape)), known=True)
    return call.field.each(lambda axis, at: axis.hull(shape[-1]) if axis.dim == -1 else axis)


def _reduced(call: Call) -> Field:
    """A mean, a sum or a maximum over some dimensions."""
    (_, field), shape = call.given[0], call.shapes[0]
    dims = call.kwargs.get("dim", call.kwargs.get("axis", call.args[1] if len(call.args) > 1 else None))
    if len(call.given) > 1 or isinstance(dims, Tensor):
        raise NoRule
    every = range(len(shape)) if dims is None or dims == () else [dims] if isinstance(dims, int) else dims
    gone = sorted(each % len(shape) - len(shape) for each in every)
    keeps = call.out.ndim == len(shape)
    if not field.known and not {-1, -2} <= set(gone) and len(gone) < len(shape):
        raise NoRule

    def reduced(axis: Axis, at: int) -> Axis:
        if axis.dim is None or axis.dim in gone:
            return whole(axis, shape)
        return axis if keeps else replace(axis, dim=axis.dim + sum(each > axis.dim for each in gone))

    return replace(field.each(reduced), known=True)


def _normalised(call: Call) -> Field:
    """Divided by what was measured over dimensions: `layer_norm` the last ones, the others all maps of a sample."""
    over = 2 if call.name != "layer_norm" else len(call.get("normalized_shape", 1))
    shape = call.shapes[0]

    def whole(axis: Axis, at: int) -> Axis:
        if axis.dim is None or axis.dim < -over:
            return axis
        return axis.hull(shape[axis.dim])

    return call.field.each(whole)


def _over_a_dimension(call: Call) -> Field:
    """Softmax, or GLU, along one dimension."""
    dim = call.get("dim", 1, -1)
    dim = dim - call.out.ndim if dim >= 0 else dim
    shape = call.shapes[0]
    if call.name == "glu" and dim in (call.field.rows.dim, call.field.columns.dim):
        raise NoRule
    return call.field.each(lambda axis, at: axis.hull(shape[dim]) if axis.dim == dim else axis)


def _scattered(call: Call) -> Field:
    """Put at places of one dimension, which is none of the image's."""
    dim = call.get("dim", 1)
    dim = dim - call.out.ndim if dim >= 0 else dim
    if any(dim in (field.rows.dim, field.columns.dim) for _, field in call.given):
        raise NoRule
    return _hull([(field, shape, 0) for (_, field), shape in zip(call.given, call.shapes, strict=True)], call.out)


def _shuffled(call: Call) -> Field:
    factor = int(call.get("upscale_factor", 1))
    return call.maps.each(lambda axis, at: axis.repeated(factor))


def _gathered(call: Call) -> Field:
    factor = int(call.get("downscale_factor", 1))
    return _windowed(call, factor, factor, 0)


def _reshaped(field: Field, before: tuple[int, ...], after: tuple[int, ...]) -> Field:
    """Another shape: dimensions that are split or put together are compared group by group."""
    groups = _groups(before, after)

    def placed(axis: Axis, at: int) -> Axis:
        if axis.dim is None:
            return axis
        place = len(before) + axis.dim
        if before[place] == 1:
            return axis.hull(1)
        old, new = next((old, new) for old, new in groups if place in old)
        within = [each for each in old if before[each] > 1]
        there = [each for each in new if after[each] > 1]
        if within[0] != place or len(there) != 1:
            raise NoRule
        return replace(axis.repeated(prod(before[each] for each in within[1:])), dim=there[0] - len(after))

    return field.each(placed)


def _groups(before: Sequence[int], after: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """The dimensions of two shapes in the smallest groups of as many elements, in order."""
    groups, old, new, sizes, i, j = [], list[int](), list[int](), [1, 1], 0, 0
    while i < len(before) or j < len(after):
        if i < len(before) and (sizes[0] <= sizes[1] or j == len(after)):
            old.append(i)
            sizes[0] *= before[i]
            i += 1
        else:
            new.append(j)
            sizes[1] *= after[j]
            j += 1
        if sizes[0] == sizes[1] > 1:
            groups.append((old, new))
            old, new, sizes = [], [], [1, 1]
    if old or new:
        groups.append((old, new))
    return groups


RULES: dict[str, Callable[[Call], Field]] = {
    "conv2d": _convolved,
    "conv_transpose2d": _transposed,
    **dict.fromkeys(["max_pool2d", "max_pool2d_with_indices"], _max_pooled),
    **dict.fromkeys(["avg_pool2d", "lp_pool2d"], _mean_pooled),
    **dict.fromkeys(["adaptive_avg_pool2d", "adaptive_max_pool2d"], _adaptively_pooled),
    **dict.fromkeys(["interpolate", "upsample"], _interpolated),
    "pad": _padded,
    "__getitem__": _sliced,
    **dict.fromkeys(["cat", "concat", "concatenate"], _joined),
    "stack": _stacked,
    "unsqueeze": _unsqueezed,
    **dict.fromkeys(["permute", "transpose", "swapaxes", "swapdims"], _permuted),
    **dict.fromkeys(["chunk", "split"], _split),
    "linear": _mixed,
    **dict.fromkeys(["layer_norm", "group_norm", "instance_norm"], _normalised),
    **dict.fromkeys(["softmax", "log_softmax", "glu"], _over_a_dimension),
    **dict.fromkeys(["scatter", "scatter_"], _scattered),
    "pixel_shuffle": _shuffled,
    "pixel_unshuffle": _gathered,
}
"""What calls do beside those that work place by place."""
