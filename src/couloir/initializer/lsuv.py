"""Layer-sequential unit variance: weights that are fitted to the data before training."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn

from couloir.config.image_size import ImageSize, sample_shape
from couloir.errors import CouloirError
from couloir.initializer.layers import set_weights, weighted_layers
from couloir.initializer.orthogonal import draw_orthogonal
from couloir.ragged import Field

NOISE_SAMPLES = 64
"""Samples in the batch that stands in where no data is given."""

NO_SPREAD = 1e-12
"""A variance below this share of the squared mean is rounding: the output is constant."""


def lsuv(
    net: nn.Module,
    *,
    batch: Field | None = None,
    channels: int = 1,
    image_size: ImageSize | None = None,
    tolerance: float = 0.1,
    max_iterations: int = 10,
) -> None:
    """Draw orthonormal weights, then scale each layer's in turn until its output has the variance 1; biases are zero.

    One forward pass in evaluation mode does it: each layer is scaled when the batch reaches it, in the order of
    execution, and passes on what it gives with its new weight. A layer that is used several times is scaled at its
    first use; one whose output does not vary keeps its orthonormal weight, and so do the matrices of recurrent units,
    whose outputs are bounded. Buffers and modes are as before.

    Source: Mishkin and Matas, 2015, All you need is a good init, algorithm 1.

    Args:
        net: any network.
        batch: standardised training samples (B, C, H, W) or (B, F), or sequences; standard-normal noise where
            it is left out.
        channels: C or F of the noise.
        image_size: H and W of the noise, or one number for both; None where samples are rows of a table.
        tolerance: how far the variance may be from 1.
        max_iterations: attempts for each layer.

    Raises:
        CouloirError: the network does not take the batch.
    """
    set_weights(net, draw_orthogonal)
    layers = weighted_layers(net)
    if not layers:
        return
    if batch is None:
        batch = torch.randn(NOISE_SAMPLES, *sample_shape(channels, image_size))

    scaled: set[int] = set()

    def scale(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> Tensor:
        weight = layer.weight
        assert isinstance(weight, Tensor)
        if id(weight) in scaled:
            return output
        scaled.add(id(weight))
        for _ in range(max_iterations):
            variance, mean = (value.item() for value in torch.var_mean(output.float(), correction=0))
            if not NO_SPREAD * mean**2 < variance < math.inf or abs(variance - 1) < tolerance:
                break
            weight.div_(math.sqrt(variance))
            output = layer.forward(*args, **kwargs)
        return output

    modes = {module: module.training for module in net.modules()}
    hooks = [layer.register_forward_hook(scale, with_kwargs=True) for layer in layers]
    net.eval()
    try:
        with torch.no_grad():
            net(_beside(batch, layers[0].weight))
    except (RuntimeError, ValueError, IndexError) as error:
        raise CouloirError(
            f"initializer=lsuv cannot send a batch of shape {_shape(batch)} through the network: "
            f"{(str(error) or type(error).__name__).splitlines()[0]}",
            next_step="check the model against data.channels and data.image_size, or choose another initializer",
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes.items():
            module.training = training


def _beside(batch: Field, weight: Tensor) -> Field:
    """A batch where a weight is, numbers in its precision; tokens stay integers."""
    if not isinstance(batch, Tensor):
        return type(batch)(cast(Tensor, _beside(batch[0], weight)), batch[1].to(weight.device))
    return batch.to(weight) if batch.is_floating_point() else batch.to(weight.device)


def _shape(batch: Field) -> tuple[int, ...]:
    return tuple((batch if isinstance(batch, Tensor) else batch[0]).shape)
