"""Folders of small videos, a folder of pictures each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

LEVEL = {"bright": 170, "dark": 30}


def make_videos(root: Path, classes: Sequence[str] = ("bright", "dark"), each: int = 6, frames: int = 5) -> Path:
    """Grey videos `root/<class>/video<n>/f<k>.png` of 8x8 pixels, of which one class is bright and the other dark."""
    generator = np.random.default_rng(0)
    for name in classes:
        for number in range(each):
            folder = root / name / f"video{number}"
            folder.mkdir(parents=True)
            for frame in range(frames):
                pixels = LEVEL[name] + generator.integers(0, 40, (8, 8)) + frame
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"f{frame}.png")
    return root
