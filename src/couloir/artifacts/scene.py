"""A figure of which only some parts change from picture to picture: the others are drawn once, so that axes and scales
stay where they are, and a picture takes some milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from couloir.artifacts.sample_grid import Pixels

STYLE: Any = {"font.size": 9, "axes.linewidth": 0.8, "text.usetex": False}


class Scene:
    """A figure with parts that move.

    Args:
        figure: with everything in it.
        moving: the parts that change, in the order in which they are drawn.
        change: puts them where some values have them.
    """

    def __init__(self, figure: Figure, moving: Sequence[Artist], change: Callable[..., None]) -> None:
        self._canvas: Any = FigureCanvasAgg(figure)
        self._figure, self._moving, self._change = figure, list(moving), change
        self._still: Any = None
        for artist in self._moving:
            artist.set_animated(True)

    def picture(self, *values: Any) -> Pixels:
        """The picture with the parts where these values have them, (H, W, 3)."""
        with matplotlib.rc_context(STYLE):
            if self._still is None:
                self._canvas.draw()
                self._still = self._canvas.copy_from_bbox(self._figure.bbox)
            self._change(*values)
            self._canvas.restore_region(self._still)
            for artist in self._moving:
                self._figure.draw_artist(artist)
            return np.asarray(self._canvas.buffer_rgba())[..., :3].copy()
