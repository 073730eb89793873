"""Three-dimensional convolution over videos: kernels have a length in time besides height and width.

C3D: Tran, Bourdev, Fergus, Torresani and Paluri, 2015, Learning Spatiotemporal Features with 3D Convolutional Networks,
figure 3. All kernels are 3x3x3 with stride 1, all poolings 2x2x2 but the first, which is 1x2x2. Maps of 16 frames of
112x112:

| layer | kernels | maps behind it | pooling behind it | maps |
|---|---|---|---|---|
| conv1a | 64 | 16x112x112 | pool1 1x2x2 | 16x56x56 |
| conv2a | 128 | 16x56x56 | pool2 2x2x2 | 8x28x28 |
| conv3a, conv3b | 256 | 8x28x28 | pool3 2x2x2 | 4x14x14 |
| conv4a, conv4b | 512 | 4x14x14 | pool4 2x2x2 | 2x7x7 |
| conv5a, conv5b | 512 | 2x7x7 | pool5 2x2x2 | 1x4x4 |
| fc6, fc7 | 4096 units | | | |

The last window of a pooling counts where it is not full, as in the authors' program: 7 becomes 4. A pooling that would
meet maps of one place is left out.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from couloir.config.image_size import ImageSize, size_of
from couloir.config.video_networks import (
    HORIZON,
    Sides,
    Size,
    by_dimension,
    check_odd,
    check_stack,
    convolved,
    maps,
    pool_of,
)
from couloir.errors import CouloirError
from couloir.model.activation import activation as activation_layer
from couloir.model.sequence.network import SEQUENCE
from couloir.model.weights import loads_weights
from couloir.ragged import Padded

C3D_STAGES = ((1, 1), (2, 1), (4, 2), (8, 2), (8, 2))
"""Kernels of each stage, in multiples of those of the first, and its convolutions."""


class MaxPool3d(nn.MaxPool3d):
    """The largest value of windows that stand side by side.

    It pools over height and width, then over time, which gives the same: torch's own pooling has no deterministic
    backward pass on a GPU.
    """

    def __init__(self, window: Sides, ceil_mode: bool = False) -> None:
        super().__init__(by_dimension(window), ceil_mode=ceil_mode)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, C, T', H', W')."""
        return _apart(F.max_pool2d, x, by_dimension(self.kernel_size), ceil_mode=self.ceil_mode)


class AvgPool3d(nn.AvgPool3d):
    """The mean of windows that stand side by side, as `MaxPool3d` does it."""

    def __init__(self, window: Sides) -> None:
        super().__init__(by_dimension(window))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, C, T', H', W')."""
        return _apart(F.avg_pool2d, x, by_dimension(self.kernel_size))


def _apart(pool: Callable[..., Tensor], x: Tensor, window: Size, **keys: bool) -> Tensor:
    time, height, width = window
    y = pool(x.flatten(1, 2), (height, width), **keys)
    y = y.view(*x.shape[:3], *y.shape[2:])
    if time == 1:
        return y
    z = pool(y.flatten(3), (time, 1), **keys)
    return z.view(*z.shape[:3], *y.shape[3:])


class GlobalAvgPool3d(nn.Module):
    """The mean of each map."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, C)."""
        return x.mean(dim=(2, 3, 4))


class VideoNetwork(nn.Sequential):
    """Layers for videos that are all as long."""

    causal = False

    def forward(self, x: Tensor | Padded) -> Tensor:
        """(B, C, T, H, W) -> (B, K) or (B, H, C, h, w).

        Raises:
            CouloirError: the videos of a batch differ in length.
        """
        if isinstance(x, Padded):
            raise CouloirError(
                "The layers of this network are made for videos of one length, and those of a batch differ.",
                next_step="clips of one length, as data=frames data.frames=16 cuts them",
            )
        out: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return out


class FramesToCome(nn.Module):
    """One kernel over all frames and a pixel for each channel of each frame to come.

    Args:
        width: channels of the maps.
        length: frames of the maps.
        horizon: frames to come, H.
        channels: theirs, C.
    """

    def __init__(self, width: int, length: int, horizon: int, channels: int) -> None:
        super().__init__()
        self.horizon, self.channels = horizon, channels
        self.convolution = nn.Conv3d(width, horizon * channels, (length, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, W, T, h, w) -> (B, H, C, h, w)."""
        out: Tensor = self.convolution(x)
        return out.view(len(out), self.horizon, self.channels, *out.shape[3:])


def _convolution(
    name: str, before: int, after: int, kernel_size: Size, stride: Size, batch_norm: bool, activation: nn.Module
) -> dict[str, nn.Module]:
    """A convolution, and what stands behind it, by their names."""
    padding = kernel_size[0] // 2, kernel_size[1] // 2, kernel_size[2] // 2
    norm = {f"norm{name}": nn.BatchNorm3d(after)} if batch_norm else {}
    convolution = nn.Conv3d(before, after, kernel_size, stride, padding)
    return {f"conv{name}": convolution, **norm, f"activation{name}": activation}


@loads_weights
def c3d(
    channels: int,
    length: int,
    image_size: ImageSize,
    num_classes: int,
    width: int = 64,
    fc: int = 4096,
    kernel_size: Sides = 3,
    stride: Sides = 1,
    batch_norm: bool = False,
    dropout: float = 0.5,
) -> VideoNetwork:
    """C3D.

    Args:
        channels: channels of the videos.
        length: their frames.
        image_size: pixels of the frames' sides, or `[height, width]`.
        num_classes: classes.
        width: kernels of the first convolution; the others have 2, 4, 4, 8, 8, 8 and 8 times as many.
        fc: units of the two fully-connected layers.
        kernel_size: of all convolutions: one number, or frames, height and width.
        stride: of all convolutions, as `kernel_size`.
        batch_norm: whether batch normalisation stands behind each convolution.
        dropout: share of the units of the fully-connected layers that is dropped in training.

    Raises:
        CouloirError: a kernel has no middle.
    """
    check_odd(kernel_size)
    size: Size = (length, *size_of(image_size))
    kernel, step = by_dimension(kernel_size), by_dimension(stride)
    layers: dict[str, nn.Module] = {}
    before = channels
    for stage, (factor, convolutions) in enumerate(C3D_STAGES, 1):
        for letter in "ab"[:convolutions]:
            layers |= _convolution(f"{stage}{letter}", before, factor * width, kernel, step, batch_norm, nn.ReLU())
            before, size = factor * width, convolved(size, step)
        window = 1 if stage == 1 else 2, 2, 2
        if size != (1, 1, 1):
            layers[f"pool{stage}"] = MaxPool3d(window, ceil_mode=True)
        size = convolved(size, window)
    layers["flatten"] = nn.Flatten()
    before *= math.prod(size)
    for number in (6, 7):
        layers[f"fc{number}"] = nn.Linear(before, fc)
        layers |= {f"activation{number}": nn.ReLU(), f"dropout{number}": nn.Dropout(dropout)}
        before = fc
    layers["fc8"] = nn.Linear(fc, num_classes)
    return VideoNetwork(OrderedDict(layers))


@loads_weights
def conv3d(
    channels: int,
    length: int,
    image_size: ImageSize,
    num_classes: int,
    answers: str = SEQUENCE,
    horizon: int | None = None,
    N: int = 1,
    widths: Sequence[int] = (16, 32, 64),
    kernel_size: Sides = 3,
    stride: Sides = 1,
    pool: Sides | None = None,
    pooling: str = "max",
    activation: str = "relu",
    batch_norm: bool = False,
    hidden: Sequence[int] = (),
    dropout: float = 0.0,
) -> VideoNetwork:
    """A stack of three-dimensional convolutions, [[CONV -> RELU]*N -> POOL]*M, and either the mean of each map with
    [FC -> RELU]*K -> FC behind it, or one frame of maps for each frame to come.

    Args:
        channels: channels of the videos.
        length: their frames, T.
        image_size: pixels of the frames' sides, or `[height, width]`.
        num_classes: classes; of frames to come their channels.
        answers: `sequence` or `horizon`: (B, K), or (B, H, C, h, w).
        horizon: frames to come, H.
        N: convolutions a stage.
        widths: kernels of the convolutions of each stage.
        kernel_size: one number, or frames, height and width.
        stride: of each convolution, as `kernel_size`.
        pool: windows of the pooling behind each stage, as `kernel_size`; None: 2, or 1 where frames are predicted.
        pooling: `max` or `average`.
        activation: by name.
        batch_norm: whether batch normalisation stands behind each convolution.
        hidden: units of the fully-connected layers before the last.
        dropout: share of units dropped before each fully-connected layer.

    Raises:
        CouloirError: a kernel has no middle, a pooling leaves nothing, or a key has no place where frames are
            predicted.
    """
    check_odd(kernel_size)
    check_stack(answers, pool, stride, hidden, dropout)
    keys = {"answers": answers, "N": N, "widths": widths, "stride": stride, "pool": pool}
    last = maps((length, *size_of(image_size)), keys)
    window = by_dimension(pool_of(answers, pool))
    kernel, step = by_dimension(kernel_size), by_dimension(stride)
    layers: dict[str, nn.Module] = {}
    before = channels
    for stage, width in enumerate(widths, 1):
        for number in range(1, N + 1):
            name, then = f"{stage}_{number}", activation_layer(activation)
            layers |= _convolution(name, before, width, kernel, step, batch_norm, then)
            before = width
        if window != (1, 1, 1):
            layers[f"pool{stage}"] = MaxPool3d(window) if pooling == "max" else AvgPool3d(window)
    if answers == HORIZON:
        layers["future"] = FramesToCome(before, last[0], horizon or 1, num_classes)
        return VideoNetwork(OrderedDict(layers))
    layers["mean"] = GlobalAvgPool3d()
    for number, units in enumerate(hidden, 1):
        layers |= {f"dropout{number}": nn.Dropout(dropout), f"fc{number}": nn.Linear(before, units)}
        layers[f"activation{number}"] = activation_layer(activation)
        before = units
    layers |= {"dropout": nn.Dropout(dropout), "output": nn.Linear(before, num_classes)}
    return VideoNetwork(OrderedDict(layers))
