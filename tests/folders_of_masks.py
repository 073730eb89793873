"""Folders of small images and their masks, for the tests of what reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from photographs import smooth


def mask_of(width: int, height: int, seed: int, values: tuple[int, ...] = (0, 255)) -> NDArray[np.uint8]:
    """Stripes of some values, each of which is there, (H, W)."""
    place = (np.arange(width)[None] + 2 * np.arange(height)[:, None] + seed) // 5
    return np.array(values, np.uint8)[place % len(values)]


def make_masks(
    root: Path,
    count: int = 10,
    values: tuple[int, ...] = (0, 255),
    folders: str = "{what}",
    sides: tuple[int, int] = (40, 32),
) -> Path:
    """`root/images/*.jpg` and `root/masks/*.png`, every third pair of another size.

    Args:
        root: the folder.
        count: pairs.
        values: greys of the masks.
        folders: where they are, such as `train/{what}`.
        sides: width and height of most.
    """
    images, masks = (root / folders.format(what=what) for what in ("images", "masks"))
    images.mkdir(parents=True, exist_ok=True)
    masks.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        width, height = sides if number % 3 else (sides[0] + 7, sides[1] + 5)
        smooth(width, height, seed=number).save(images / f"{number:03}.jpg", quality=95)
        Image.fromarray(mask_of(width, height, number, values)).save(masks / f"{number:03}.png")
    return root


def make_recipes(root: Path) -> Path:
    """`root/images` and `root/masks` that do for data=membrane and for data=pedestrians, each with a test split."""
    for what in ("images", "masks"):
        (root / what).mkdir(parents=True)
        for name in ("20.png", "25.png", "21.jpg", "22.jpg"):
            image = Image.fromarray(mask_of(40, 30, 0))
            image.save(root / what / (name if what == "images" else f"{name[:2]}.png"))
    return root
