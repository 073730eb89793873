"""Second derivatives of the loss for each weight, carried backwards layer by layer.

LeCun, Bottou, Bengio and Haffner, 1998, Gradient-Based Learning Applied to Document Recognition, appendix C (and
LeCun et al., 2012, Efficient BackProp, section 7). With a = W x, x' = f(a), and only the diagonal kept at every layer:

    d²E/da_i²  = f'(a_i)² d²E/dx'_i²
    d²E/dx_k²  = sum_i w_ik² d²E/da_i²
    d²E/dw_ik² = sum over the places where the weight is used of x_k² d²E/da_i²

which is a backward pass with squared weights, squared inputs and squared slopes; what is dropped (f'', and everything
off the diagonal) is what keeps the result from being negative.

torch's own layers are known here. Any other layer without parameters may say what it is: `elementwise = True`, each
output is a function of one input; `selects = True`, its factors are zero or one; or it has a method
`second_derivatives(x, h, gradient)`, which returns d²E/dx² from its input x, d²E/d(output)² h, and dE/d(output).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from couloir.errors import CouloirError
from couloir.layer_kinds import BatchNorm, Weighted, statistics_kept

Criterion = Callable[[Any, Tensor], Tensor]
ELEMENTWISE = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SiLU, nn.Sigmoid, nn.Tanh, nn.PReLU)
AVERAGES = (nn.AvgPool2d, nn.AdaptiveAvgPool2d)
SELECTIONS = (
    nn.MaxPool2d, nn.Flatten, nn.Identity, nn.Dropout, nn.Dropout2d, nn.ZeroPad2d, nn.AdaptiveMaxPool2d,
)  # fmt: skip
"""Layers whose factors are zero or one, so that squaring changes nothing (dropout passes everything on here)."""
CHUNK = 100
"""Samples that go through the network at a time."""


def diagonal_curvature(net: nn.Module, criterion: Criterion, x: Tensor, y: Tensor) -> dict[nn.Parameter, Tensor]:
    """The mean over samples of d²E/dw² for each parameter, non-negative, of the parameter's shape.

    Nothing is dropped, and batch normalisation takes the samples' own statistics for constants, since running means say
    nothing before the first epoch. The network is left as it was.

    Args:
        net: the network.
        criterion: maps (the network's output, targets) to the mean loss of the batch.
        x: inputs (B, ...).
        y: targets (B, ...).

    Raises:
        CouloirError: a layer whose second derivatives are not known.
    """
    _check_joins(net)
    parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
    total = [torch.zeros_like(parameter) for parameter in parameters]
    modes = {module: module.training for module in net.modules()}
    for module in net.modules():
        module.training = isinstance(module, BatchNorm)
    try:
        for part, targets in zip(torch.split(x, CHUNK), torch.split(y, CHUNK), strict=True):
            with statistics_kept(net), _squared(net) as backward:
                output = net(part)
                gradient, second = _at_the_output(output, targets, criterion)
                backward.gradient = gradient * len(part)
                found = torch.autograd.grad(output, parameters, second * len(part), allow_unused=True)
            for sums, value in zip(total, found, strict=True):
                if value is not None:
                    sums += value / len(x)
    finally:
        for module, training in modes.items():
            module.training = training
    return {parameter: sums.clamp_min(0) for parameter, sums in zip(parameters, total, strict=True)}


def _at_the_output(output: Tensor, y: Tensor, criterion: Criterion) -> tuple[Tensor, Tensor]:
    """dE/dz and d²E/dz² of the mean loss for each sample and output, (B, C)."""
    z = output.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(criterion(z, y), z, create_graph=True)
    columns = []
    for column in range(z.shape[1]):
        if not gradient.requires_grad:  # a loss that is linear in the prediction
            return gradient, torch.zeros_like(z)
        (row,) = torch.autograd.grad(gradient[:, column].sum(), z, retain_graph=True)
        columns.append(row[:, column])
    return gradient.detach(), torch.stack(columns, dim=1).clamp_min(0)


class _Backward:
    """What the layers' rules share: the loss's gradient at the output, and whether a rule is at work."""

    def __init__(self) -> None:
        self.gradient = torch.empty(0)
        self.at_work = False


@contextmanager
def _squared(net: nn.Module) -> Iterator[_Backward]:
    """Let every layer of the network send second derivatives backwards in place of first ones."""
    shared = _Backward()
    # What has a `forward` of its own is a layer that samples pass unchanged at present (`couloir.finetune.parts`), and
    # so do second derivatives.
    layers = [module for module in net.modules() if not list(module.children()) and "forward" not in vars(module)]
    for layer in layers:
        _check(layer)
        layer.forward = _replacement(layer, shared)
    try:
        yield shared
    finally:
        for layer in layers:
            del layer.forward


def _check(layer: nn.Module) -> None:
    known = (Weighted, BatchNorm, *ELEMENTWISE, *AVERAGES, *SELECTIONS)
    says = any(getattr(layer, name, None) for name in ("elementwise", "selects", "second_derivatives"))
    if not says and not isinstance(layer, known):
        raise CouloirError(
            f"optimizer=sdlm has no second derivatives for the layer {type(layer).__name__}.",
            next_step="choose a network of linear, convolutional and batch-normalisation layers, or another optimizer",
        )


def _check_joins(net: nn.Module) -> None:
    """Sums and concatenations of maps carry second derivatives as they are; products and means do not."""
    for module in net.modules():
        if getattr(module, "scales_its_branches", False):
            raise CouloirError(
                f"optimizer=sdlm has no second derivatives for the layer {type(module).__name__}, which multiplies "
                "or averages its branches.",
                next_step="choose another network, or another optimizer",
            )


def _replacement(layer: nn.Module, shared: _Backward) -> Callable[..., Any]:
    plain = type(layer).forward

    def forward(x: Tensor, *rest: Any) -> Any:
        if shared.at_work or rest:
            return plain(layer, x, *rest)
        out: Tensor = _Layer.apply(layer, shared, x, *layer.parameters(recurse=False))  # type: ignore[no-untyped-call]
        return out

    return forward


class _Layer(torch.autograd.Function):
    """A layer whose backward pass carries second derivatives."""

    @staticmethod
    def forward(ctx: Any, layer: nn.Module, shared: _Backward, x: Tensor, *parameters: Tensor) -> Tensor:
        ctx.layer, ctx.shared = layer, shared
        ctx.save_for_backward(x)
        out: Tensor = type(layer).forward(layer, x.detach().clone())
        return out

    @staticmethod
    def backward(ctx: Any, *received: Any) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        (h,) = received
        ctx.shared.at_work = True
        try:
            with torch.enable_grad():
                return None, None, *_rule(ctx.layer, x.detach(), h.detach(), ctx.shared.gradient)
        finally:
            ctx.shared.at_work = False


def _rule(layer: nn.Module, x: Tensor, h: Tensor, gradient: Tensor) -> tuple[Tensor | None, ...]:
    """Second derivatives of a layer's input and of its parameters, from those of its output."""
    if isinstance(layer, Weighted):
        return _of_products(layer, x, h)
    if isinstance(layer, BatchNorm):
        return _of_standardisation(layer, x, h)
    own_rule = getattr(layer, "second_derivatives", None)
    if own_rule is not None:
        return (own_rule(x, h, gradient),)
    if isinstance(layer, ELEMENTWISE) or getattr(layer, "elementwise", False):
        slope = _backward(lambda x: layer(x), x, torch.ones_like(h))
        own = (h * x.clamp_max(0).square(),) if isinstance(layer, nn.PReLU) else ()
        return (h * slope.square(), *(_to_shape(value, layer.weight.shape) for value in own))  # type: ignore[arg-type]
    if isinstance(layer, AVERAGES):
        h = h * _share(layer, x)  # each factor of a window is its share, and so is the sum's; once more squares it
    return (_backward(lambda x: layer(x), x, h),)


def _share(layer: nn.AvgPool2d | nn.AdaptiveAvgPool2d, x: Tensor) -> Tensor:
    """The factor of every pixel of each window, (H', W')."""
    ones = torch.ones_like(x[:1, :1])
    means = layer(ones)[0, 0]
    if isinstance(layer, nn.AvgPool2d):
        keys = (layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode)
        pixels = F.avg_pool2d(ones, *keys, divisor_override=1)[0, 0]
        share: Tensor = means / pixels
        return share  # a window that hangs over the border may count what is not there
    counts = [_bins(length, bins, x) for length, bins in zip(x.shape[2:], means.shape, strict=True)]
    return 1 / (counts[0][:, None] * counts[1])


def _bins(length: int, bins: int, like: Tensor) -> Tensor:
    """Pixels of each bin of an adaptive pooling, along one side."""
    ends = [(start * length // bins, -(-(start + 1) * length // bins)) for start in range(bins)]
    return torch.tensor([end - start for start, end in ends], dtype=like.dtype, device=like.device)


def _of_products(layer: Weighted, x: Tensor, h: Tensor) -> tuple[Tensor | None, ...]:
    bias = None if layer.bias is None else torch.zeros_like(layer.bias)
    weight = layer.weight.detach()

    def output(x: Tensor, weight: Tensor) -> Tensor:
        named = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
        out: Tensor = functional_call(layer, named, (x,))
        return out

    of_input = _backward(lambda x: output(x, weight.square()), x, h)
    of_weight = _backward(lambda weight: output(x.square(), weight), weight, h)
    if bias is None:
        return of_input, of_weight
    return of_input, of_weight, _to_shape(h, bias.shape)


def _of_standardisation(layer: BatchNorm, x: Tensor, h: Tensor) -> tuple[Tensor | None, ...]:
    variance, mean = torch.var_mean(x, dim=[axis for axis in range(x.ndim) if axis != 1], correction=0, keepdim=True)
    plain = (x - mean) * (variance + layer.eps).rsqrt()
    if not layer.affine:
        return (h / (variance + layer.eps),)
    of_input = h * layer.weight.view_as(mean).square() / (variance + layer.eps)
    return of_input, _to_shape(h * plain.square(), layer.weight.shape), _to_shape(h, layer.bias.shape)


def _to_shape(values: Tensor, shape: torch.Size) -> Tensor:
    """The sum over samples and the places that share a parameter: one for each channel, or for each of its places, or
    one in all where there is one parameter.
    """
    if shape.numel() == 1 and values.shape[1] != 1:
        return values.sum().reshape(shape)
    if shape.numel() == values[0].numel():  # each place has a parameter of its own
        return values.sum(dim=0).reshape(shape)
    return values.flatten(2).sum(dim=(0, 2))


def _backward(function: Callable[[Tensor], Tensor], x: Tensor, h: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(function(x.clone()), x, h)  # the layer may work in place
    return gradient
