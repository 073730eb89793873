"""From bytes to what the network takes: one pass over the pixels, from core's cache to core's cache."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from couloir.data.division import Split
from couloir.data.source import CHUNK
from couloir.data.splits import Indices
from couloir.machine import one_thread

PART = 1 << 17
"""Values that are converted at a time: half a MB, which stays in a core's cache."""
POOLED_BYTES = 1 << 24
"""Batches from this size on are written into memory that an earlier batch has left: fresh pages cost more than the
arithmetic does.
"""
CHUNK_VALUES = 1 << 21
"""Values that the statistics are computed from at a time: 16 MB in double precision, and some copies of them."""
CHUNK_BYTES = 1 << 24
"""Bytes of images that are counted at a time."""
STREAM = 0x9E4D
"""What the seed is paired with where pixels are put in another order, so that nothing else draws the same numbers."""
POOL = 4
"""Batches that the pool holds: those that a training loop has in hand or fetched ahead, and one to write."""


class Standardise:
    """Subtracts each channel's mean and divides by its deviation; uint8 counts as [0, 1] before that.

    Args:
        mean: the channels' means, images in [0, 1].
        std: their deviations.
        image: whether samples are images, channels third from the end; else columns of tables, channels last.
        order: the places of an image's pixels, row by row, in the order in which they stand afterwards, (H W,); None:
            they stay where they are.
    """

    def __init__(self, mean: list[float], std: list[float], image: bool, order: Tensor | None = None) -> None:
        self.order = order
        shape = (-1, 1, 1) if image else (-1,)
        self.mean = torch.tensor(mean, dtype=torch.float32).view(shape)
        self.std = torch.tensor(std, dtype=torch.float32).view(shape)
        # (x / 255 - mean) / std = x * scale + shift. Tables keep the subtraction: years lose their digits otherwise.
        exact = torch.tensor(std, dtype=torch.float64)
        self.scale = (1 / (255 * exact)).float().view(shape)
        self.shift = (-torch.tensor(mean, dtype=torch.float64) / exact).float().view(shape)
        self._pool = Pool()

    def __call__(self, x: Tensor) -> Tensor:
        """uint8 or float32 (..., C, H, W) or (..., F) -> float32 of the same shape and memory format, on its device."""
        return self._scaled(x) if self.order is None else in_order(self._scaled(x), self.order)

    def _scaled(self, x: Tensor) -> Tensor:
        if x.dtype != torch.uint8:
            return (x - self.mean.to(x.device)).div_(self.std.to(x.device))
        if x.device.type != "cpu" or x.ndim < 4 or x.numel() <= PART:
            return x.float().mul_(self.scale.to(x.device)).add_(self.shift.to(x.device))
        channels_last = x.movedim(-3, -1)
        if x.shape[-3] > 1 and channels_last.is_contiguous():
            width, channels = channels_last.shape[-2:]
            rows = channels_last.reshape(*channels_last.shape[:-2], width * channels)
            out = self._pool.room(rows.shape)
            # A row of pixels repeats the channels' constants, so that the inner loop is as long as a row.
            _in_parts(rows, self.scale.view(-1).repeat(width), self.shift.view(-1).repeat(width), out)
            return out.view(channels_last.shape).movedim(-1, -3)
        out = self._pool.room(x.shape)
        _in_parts(x, self.scale, self.shift, out)
        return out


def pixel_order(pixels: int, seed: int) -> Tensor:
    """An order of an image's pixels that follows from a seed, (pixels,) int64."""
    return torch.from_numpy(np.random.default_rng([STREAM, seed]).permutation(pixels))


def in_order(x: Tensor, order: Tensor) -> Tensor:
    """Images (..., H, W) with their pixels in another order: first comes the one at the place `order[0]`, and so on."""
    return x.flatten(-2).index_select(-1, order.to(x.device)).view(x.shape)


def _in_parts(x: Tensor, scale: Tensor, shift: Tensor, out: Tensor) -> None:
    """out = x * scale + shift, a few samples at a time: what one step writes, the next finds in the core's cache."""
    count = max(1, PART // max(1, x[0].numel()))
    part = torch.empty((min(count, len(x)), *x.shape[1:]), dtype=torch.float32)
    with one_thread():
        for start in range(0, len(x), count):
            samples = x[start : start + count]
            torch.addcmul(shift, part[: len(samples)].copy_(samples), scale, out=out[start : start + count])


class Pool:
    """Memory of earlier batches, used again once nobody holds them."""

    def __init__(self) -> None:
        self._rooms: list[tuple[NDArray[np.float32], weakref.ref[Any]]] = []
        """Memory, and the view of it that was lent."""

    def room(self, shape: torch.Size) -> Tensor:
        """Uninitialised float32 of a shape."""
        count = int(np.prod(shape))
        if count * 4 < POOLED_BYTES:
            return torch.empty(shape)
        lent = [room for room in self._rooms if room[1]() is not None]
        free = [room for room in self._rooms if room[1]() is None]
        if len(lent) >= POOL:  # somebody collects batches
            return torch.empty(shape)
        fitting = [room for room in free if len(room[0]) >= count]
        if fitting:
            memory = fitting[-1][0]
            free = [room for room in free if room[0] is not memory][-1:]  # one in reserve is enough
        else:
            memory, free = np.empty(count, np.float32), []  # what is too small now would be so again
        # The tensor's storage, and whatever shares it, keeps this view alive; nothing else does.
        view = memory[:count]
        self._rooms = [*lent, *free, (memory, weakref.ref(view))]
        return torch.from_numpy(view).view(shape)


def measured(split: Split) -> Indices:
    """The numbers in a split of the samples that are measured: as many as its source says, or those that it names."""
    among = getattr(split.source, "measured_among", None)
    if among is not None:
        return cast(Indices, among(split.indices))
    return np.arange(0, len(split.indices), max(1, -(-len(split.indices) // split.source.measured)))


def channel_statistics(split: Split, channels: int, values: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel over a split, (C,) float64 each; a channel that never varies has exactly 0.

    Args:
        split: as many of its samples count as its source says, evenly spaced.
        channels: C.
        values: raw inputs -> what is measured, (B, C, ...); bytes count as [0, 1].
    """
    chosen = torch.from_numpy(split.indices[measured(split)])
    first = values(split.source.fetch(chosen[:1]))
    size = first.numel()
    if first.dtype == torch.uint8:
        parts = torch.split(chosen, max(1, min(CHUNK, CHUNK_BYTES // size)))
        mean, std, shift = _of_bytes((values(split.source.fetch(part)) for part in parts), channels)
    else:
        parts = torch.split(chosen, max(1, min(CHUNK, CHUNK_VALUES // size)))
        shift = first.double().mean(dim=0).reshape(channels, -1).mean(dim=1)
        mean, std = _of_numbers((values(split.source.fetch(part)) for part in parts), shift)
    return mean, torch.where(std > 1e-12 * (1 + shift.abs()), std, 0.0)


def _of_bytes(parts: Iterable[Tensor], channels: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, deviation and mean of each channel of bytes (B, C, ...): 256 values, counted.

    A quarter of the time of sums over pixels in double precision, which are written to memory five times for these.
    """
    counts = torch.zeros(channels, 256, dtype=torch.int64)
    for part in parts:
        for channel, counted in enumerate(counts):
            counted += torch.bincount(part[:, channel].reshape(-1), minlength=256)
    value = torch.arange(256, dtype=torch.float32).div_(255).double()  # as a network gets them: in single precision
    share = counts.double() / counts.sum(dim=1, keepdim=True)
    mean = share @ value
    return mean, (share * (value - mean[:, None]).square()).sum(dim=1).sqrt(), mean


def _of_numbers(parts: Iterable[Tensor], shift: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel of floats (B, C, ...).

    Args:
        parts: the samples.
        shift: about the channels' means, (C,): near zero the difference of squares below does not cancel.
    """
    total = torch.zeros(2, len(shift), dtype=torch.float64)
    count = 0
    for part in parts:
        x = part.double().transpose(0, 1).reshape(len(shift), -1) - shift[:, None]
        total += torch.stack([x.sum(dim=1), x.square().sum(dim=1)])
        count += x.shape[1]
    mean = total[0] / count
    return mean + shift, (total[1] / count - mean.square()).clamp_min(0).sqrt()
