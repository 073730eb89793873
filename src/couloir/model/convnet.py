"""The course's pattern, INPUT -> [[CONV -> RELU]*N -> POOL?]*M -> [FC -> RELU]*K -> FC.

What it covers (the course, convolutional networks, architectures):

| N, M, K | network |
|---|---|
| 0, 0, 0 | INPUT -> FC, a linear classifier |
| 0, 0, K | INPUT -> [FC -> RELU]*K -> FC, a multi-layer perceptron |
| 1, 1, 0 without pooling | INPUT -> CONV -> RELU -> FC |
| 1, 2, 1 | INPUT -> [CONV -> RELU -> POOL]*2 -> FC -> RELU -> FC |
| 2, 3, 2 | INPUT -> [[CONV -> RELU]*2 -> POOL]*3 -> [FC -> RELU]*2 -> FC |
"""

from __future__ import annotations

import math

from torch import nn

from couloir.config.image_size import ImageSize, Size, size_of
from couloir.errors import CouloirError
from couloir.model.activation import activation as activation_layer
from couloir.model.weights import loads_weights

GROUPS = 8
"""Groups of group normalisation, where they divide the channels; one otherwise."""


@loads_weights
def convnet(
    channels: int,
    image_size: ImageSize,
    num_classes: int,
    N: int,
    M: int,
    K: int,
    widths: int | list[int],
    hidden: int | list[int],
    kernel_size: int,
    stride: int,
    padding: int | str,
    dilation: int,
    pool: str,
    activation: str,
    norm: str,
    batch_norm: bool,
    dropout: float,
) -> nn.Sequential:
    """A plain convolutional network.

    Args:
        channels: channels of the images.
        image_size: pixels of a side, or `[height, width]`.
        num_classes: classes, or outputs of a regression.
        N: convolutions a stage.
        M: stages.
        K: hidden fully-connected layers.
        widths: channels of the stages: a list of M, or the first, which doubles from stage to stage.
        hidden: widths of the fully-connected layers: a list of K, or one for all.
        kernel_size: pixels of the kernels' sides.
        stride: steps of the convolutions.
        padding: zeros around each map, or `same`.
        dilation: distance of the kernels' elements.
        pool: `max`, `average` (2x2, which halves the map) or `none`, after each stage.
        activation: by name.
        norm: `none`, `batch`, `group` or `instance`, before each activation of a convolution.
        batch_norm: the same as `norm=batch`.
        dropout: share of units dropped before each fully-connected layer.

    Raises:
        CouloirError: a list has another length than there are stages or layers, two keys contradict each other, or no
            pixel is left.
    """
    stage_widths = _as_list("widths", widths, M, [2**stage for stage in range(M)])
    fc_widths = _as_list("hidden", hidden, K, [1] * K)
    if padding == "same" and stride != 1:
        raise CouloirError(
            "model.padding=same needs model.stride=1.", next_step="give the padding in pixels, or use pooling instead"
        )
    if batch_norm and norm not in ("none", "batch"):
        raise CouloirError(
            f"model.batch_norm=true means model.norm=batch, but model.norm is {norm}.",
            next_step="leave one of the two out",
        )
    norm = "batch" if batch_norm else norm
    layers: list[nn.Module] = []
    size, width = size_of(image_size), channels
    for stage, out_channels in enumerate(stage_widths, 1):
        for _ in range(N):
            size = _next_size(size, stage, kernel_size, stride, padding, dilation)
            layers.append(nn.Conv2d(width, out_channels, kernel_size, stride, padding, dilation))
            if norm == "instance" and size == (1, 1):
                raise CouloirError(
                    f"The image is too small for this convnet: stage {stage} has one pixel, and model.norm="
                    "instance needs at least two.",
                    next_step="another model.norm, fewer stages (model.M), or larger images",
                )
            layers += _norm(norm, out_channels)
            layers.append(activation_layer(activation))
            width = out_channels
        if pool != "none":
            size = _next_size(size, stage, 2, 2, 0, 1)
            layers.append(nn.MaxPool2d(2) if pool == "max" else nn.AvgPool2d(2))
    layers.append(nn.Flatten())
    width *= math.prod(size)
    for units in fc_widths:
        layers += [nn.Dropout(dropout)] if dropout else []
        layers += [nn.Linear(width, units), activation_layer(activation)]
        width = units
    layers += [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(*layers, nn.Linear(width, num_classes))


def _as_list(key: str, value: int | list[int], count: int, factors: list[int]) -> list[int]:
    if isinstance(value, int):
        return [value * factor for factor in factors]
    if len(value) != count:
        letter = "M" if key == "widths" else "K"
        raise CouloirError(
            f"model.{key} has {len(value)} entries, model.{letter} is {count}.",
            next_step=f"give {count} widths, or one number for all",
        )
    return value


def _next_size(size: Size, stage: int, kernel_size: int, stride: int, padding: int | str, dilation: int) -> Size:
    """The size of the next map, each side floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1."""
    if padding == "same":
        return size
    window = dilation * (kernel_size - 1) + 1
    height, width = ((side + 2 * int(padding) - window) // stride + 1 for side in size)
    if min(height, width) < 1:
        raise CouloirError(
            f"The image is too small for this convnet: in stage {stage} a map of {size[0]}x{size[1]} pixels meets "
            f"windows of {window}.",
            next_step="fewer stages (model.M), more padding (model.padding=same), model.pool=none, or larger images",
        )
    return height, width


def _norm(name: str, channels: int) -> list[nn.Module]:
    if name == "batch":
        return [nn.BatchNorm2d(channels)]
    if name == "instance":
        return [nn.InstanceNorm2d(channels, affine=True)]
    if name == "group":
        return [nn.GroupNorm(GROUPS if channels % GROUPS == 0 else 1, channels)]
    return []
