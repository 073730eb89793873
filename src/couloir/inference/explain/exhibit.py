"""What an explanation is made of: pictures with the numbers behind them, charts, tables, and what they say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

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
