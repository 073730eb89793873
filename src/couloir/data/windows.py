"""Augmentations that cut windows: out of whole photographs, the source of the samples does it for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Generator, Tensor, nn


@runtime_checkable
class CutsWindows(Protocol):
    """Says where it would cut images of given sizes."""

    def windows(self, sizes: Tensor, generator: Generator, aspect: float = 1.0) -> tuple[Tensor, Tensor]:
        """A window for each image, and whether it is mirrored.

        Args:
            sizes: heights and widths in pixels, (B, 2).
            generator: what all random numbers are drawn from.
            aspect: width over height of the samples that the windows become.

        Returns:
            top, left, height and width in pixels, (B, 4), and (B,) bool. A window may reach beyond its image; top and
            left are negative then, or bottom and right too large.
        """


def windows_first(augmentation: Callable[..., Any] | None) -> tuple[CutsWindows | None, Callable[..., Any] | None]:
    """An augmentation as its windows and what comes after them; either may be None.

    Args:
        augmentation: one transform, or several in turn, of which the first may cut windows.
    """
    if isinstance(augmentation, CutsWindows):
        return augmentation, None
    if isinstance(augmentation, nn.Sequential) and len(augmentation) > 0 and isinstance(augmentation[0], CutsWindows):
        return augmentation[0], augmentation[1:] if len(augmentation) > 1 else None
    return None, augmentation


class Anywhere:
    """Windows of one size, each place as likely as every other.

    Args:
        size: their height and width in pixels; images are at least as large.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size

    def windows(self, sizes: Tensor, generator: Generator, aspect: float = 1.0) -> tuple[Tensor, Tensor]:
        """A window for each image, none of them mirrored."""
        room = sizes - torch.tensor(self.size)
        place = torch.rand(len(sizes), 2, generator=generator, dtype=torch.float64)
        corner = (place * (room + 1)).long().minimum(room)
        return torch.cat([corner, torch.tensor(self.size).expand(len(sizes), 2)], dim=1), torch.zeros(
            len(sizes), dtype=torch.bool
        )


def cut_out(frame: Tensor, place: Sequence[int], outside: Sequence[int]) -> Tensor:
    """A window of a frame; a copy where it reaches beyond it, else a part of it.

    Args:
        frame: uint8 (H, W, C).
        place: top, left, height and width of the window.
        outside: what each channel is beyond the frame, (C,).

    Returns:
        uint8 (height, width, C).
    """
    top, left, height, width = place
    rows, columns = (max(0, top), min(top + height, frame.shape[0])), (max(0, left), min(left + width, frame.shape[1]))
    inside = frame[rows[0] : rows[1], columns[0] : columns[1]]
    if inside.shape[:2] == (height, width):
        return inside
    window = torch.tensor(outside, dtype=frame.dtype).expand(height, width, -1).clone()
    window[rows[0] - top : rows[1] - top, columns[0] - left : columns[1] - left] = inside
    return window
