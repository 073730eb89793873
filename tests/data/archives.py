"""Small tar shards, written by the standard library, for the tests of what reads them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from photographs import smooth

Member = tuple[str, bytes]


def jpeg(seed: int, side: int = 20) -> bytes:
    """The bytes of a small photograph."""
    content = io.BytesIO()
    smooth(side + 4, side, seed).save(content, "JPEG", quality=90)
    return content.getvalue()


def png(value: int) -> bytes:
    """The bytes of a picture of one colour that says its number."""
    content = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(content, "PNG")
    return content.getvalue()


def archive(file: Path, members: Iterable[Member], kind: Any = tarfile.PAX_FORMAT) -> Path:
    """A tar archive of some members."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w", format=kind) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file


def samples(first: int, count: int, classes: int = 3, names: list[str] | None = None) -> list[Member]:
    """Pictures whose pixels are their numbers, and their labels: numbers or names in turn."""
    found: list[Member] = []
    for number in range(first, first + count):
        label = number % classes
        found += [
            (f"{number:05}.png", png(number)),
            (f"{number:05}.cls", (names[label] if names else f"{label}").encode()),
        ]
    return found


def make_shards(root: Path, *sizes: int, split: str = "train", **keys: Any) -> Path:
    """A folder of shards of so many samples each."""
    first = 0
    for number, size in enumerate(sizes):
        archive(root / f"{split}-{number:06}.tar", samples(first, size, **keys))
        first += size
    return root
