"""Colours of classes: the same in a mask's file, laid over its image, and beside the truth."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray

FIRST = (
    (205, 205, 205), (230, 159, 0), (0, 114, 178), (0, 158, 115), (204, 60, 90), (240, 228, 66), (86, 180, 233),
    (136, 46, 160), (120, 94, 40), (190, 240, 120), (255, 150, 190), (40, 60, 70),
)  # fmt: skip
"""Colours that people tell apart, also most of those who see no red or no green (after Okabe and Ito); the first
class, which most often is the background, has a pale grey.
"""
GOLDEN = 0.618033988749895
"""The step from one hue to the next, so that neighbours in the list differ much."""
IGNORED_COLOUR = (0, 0, 0)
"""Of pixels that take no part."""
COLOURS = 256


def palette() -> NDArray[np.uint8]:
    """The colour of each class, (256, 3); the last one is that of pixels that take no part."""
    colours = list(FIRST)
    for number in range(COLOURS - 1 - len(FIRST)):
        lightness, strength = (0.5, 0.65, 0.35)[number % 3], (0.9, 0.6)[number // 3 % 2]
        red, green, blue = colorsys.hls_to_rgb((number * GOLDEN) % 1, lightness, strength)
        colours.append((round(255 * red), round(255 * green), round(255 * blue)))
    return np.array([*colours, IGNORED_COLOUR], dtype=np.uint8)


def coloured(classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A map of classes (H, W) as a picture (H, W, 3)."""
    found: NDArray[np.uint8] = palette()[classes]
    return found
