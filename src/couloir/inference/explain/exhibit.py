"""What an explanation is made of: pictures with the numbers behind them, charts, tables, and what they say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from couloir.artifacts.page import Chart


@dataclass(frozen=True)
class Panel:
    """One picture.

    Attributes:
        name: of its files, without an ending: `NAME.png` and, where it has values, `NAME.npy`.
        told: what it shows, in a few words: they stand below it.
        picture: uint8 (H, W) or (H, W, 3).
        values: the numbers that are shown, of any shape; None: the picture is all there is.
    """

    name: str
    told: str
    picture: NDArray[np.uint8]
    values: NDArray[Any] | None = None


@dataclass
class Exhibit:
    """What one method shows, of one sample or of the network.

    Attributes:
        method: its name, a key of `METHODS` in `words.py`.
        title: the heading.
        note: what it is, and how it is read, in a sentence or two.
        panels: its pictures.
        charts: its charts.
        html: tables and the like, made by the functions of `couloir.artifacts.page`.
        numbers: what was measured, plain values, for `explain.json` and `--json`.
        sample: the number of the sample among those that are explained; None: it is about all of them, or none.
        warning: why it must not be trusted, where that was measured; empty: nothing speaks against it.
        side: pixels that a picture is wide on the page.
        arrays: numbers that no picture of its own shows, by the names of their files, `NAME.npy`.
    """

    method: str
    title: str
    note: str = ""
    panels: list[Panel] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    html: str = ""
    numbers: dict[str, Any] = field(default_factory=dict)
    sample: int | None = None
    warning: str = ""
    side: int = 180
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)


def as_picture(pixels: Tensor) -> NDArray[np.uint8]:
    """An image in [0, 1] (C, H, W) as a picture: three channels are colours, (H, W, 3); of others the first is grey,
    (H, W).
    """
    levels = in_bytes(pixels).cpu().numpy()
    found: NDArray[np.uint8] = np.ascontiguousarray(levels.transpose(1, 2, 0)) if len(levels) == 3 else levels[0]
    return found


def in_bytes(pixels: Tensor) -> Tensor:
    """Pixels in [0, 1] as uint8 of the same shape."""
    return (pixels.detach().float().nan_to_num().clamp(0, 1) * 255).round().to(torch.uint8)


def as_array(values: Tensor) -> NDArray[np.float32]:
    """Numbers as float32, for a file."""
    found: NDArray[np.float32] = values.detach().float().cpu().numpy()
    return found
