"""Decoding photographs: once into memory where they fit, batch by batch where they do not."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from couloir.data.source import ArraySource, Loaded, Source
from couloir.data.splits import Indices
from couloir.errors import CouloirError

MODES = {1: "L", 3: "RGB"}
HASHED_BYTES = 2 << 30
"""Up to so many bytes of files are hashed whole; beyond, their names and sizes stand for them."""


class FileSource:
    """Images that are decoded when they are asked for.

    Args:
        samples: paths and labels.
        image_size: the side of the square that each image becomes: its shorter side is scaled to it, the middle is
        cut out.
        channels: 3 or 1.

    Attributes:
        squares: 1, the middle of each image, or 3, both ends of its longer side as well: (B, 3, C, S, S).
    """

    squares = 1

    def __init__(self, samples: list[tuple[Path, int]], image_size: int, channels: int) -> None:
        self.paths = [path for path, _ in samples]
        self.targets: NDArray[Any] = np.array([label for _, label in samples], dtype=np.int64)
        self.image_size, self.mode = image_size, MODES[channels]

    def fetch(self, indices: Tensor) -> Tensor:
        """Decode some images: uint8 (B, C, S, S), or (B, 3, C, S, S) where three squares are asked for."""
        paths = [self.paths[index] for index in indices.tolist()]
        if self.squares == 1:
            return torch.stack([decode(path, self.image_size, self.mode) for path in paths])
        return torch.stack([decode_squares(path, self.image_size, self.mode, (0.0, 0.5, 1.0)) for path in paths])

    def hash_into(self, digest: hashlib._Hash, indices: Indices) -> None:
        """The bytes of the files, or their names and sizes where they are too many to read through."""
        paths = [self.paths[index] for index in indices]
        sizes = [path.stat().st_size for path in paths]
        for path, size in zip(paths, sizes, strict=True):
            digest.update(f"{path.parent.name}/{path.name} {size}".encode())
            if sum(sizes) <= HASHED_BYTES:
                digest.update(path.read_bytes())

    def to(self, device: torch.device) -> None:
        """Files stay where they are."""

    def in_memory(self) -> ArraySource:
        """All images, decoded once by as many threads as there are cores (decoding leaves Python's lock)."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            images = list(pool.map(lambda path: decode(path, self.image_size, self.mode), self.paths))
        return ArraySource(torch.stack(images).numpy(), self.targets)


def load_folder(
    splits: dict[str, list[tuple[Path, int]]], classes: list[str], image_size: int, channels: int, memory_budget: float
) -> Loaded:
    """Paths and labels by split as sources, in memory if they fit into `memory_budget` GiB once decoded.

    Raises:
        CouloirError: `channels` is neither 1 nor 3, or a file cannot be decoded.
    """
    if channels not in MODES:
        raise CouloirError(f"Images have 1 or 3 channels, not {channels}.", next_step="data.channels=3 or 1")
    count = sum(len(samples) for samples in splits.values())
    fits = count * channels * image_size**2 <= memory_budget * 2**30
    sources: dict[str, Source] = {}
    for split, samples in splits.items():
        source = FileSource(samples, image_size, channels)
        sources[split] = source.in_memory() if fits else source
    return Loaded(sources["train"], sources.get("val"), sources.get("test"), classes)


def decode(path: Path, size: int, mode: str) -> Tensor:
    """The middle of one image as uint8 (C, size, size).

    Raises:
        CouloirError: the file cannot be decoded.
    """
    return decode_squares(path, size, mode, (0.5,))[0]


def decode_squares(path: Path, size: int, mode: str, places: tuple[float, ...]) -> Tensor:
    """Squares of one image, its shorter side scaled to `size`: uint8 (places, C, size, size).

    Args:
        path: the file.
        size: pixels of the squares' sides.
        mode: Pillow's, `RGB` or `L`.
        places: where on the longer side: 0 its beginning, 0.5 its middle, 1 its end.

    Raises:
        CouloirError: the file cannot be decoded.
    """
    try:
        with Image.open(path) as opened:
            # A JPEG is decoded at the smallest of its own scales that is still large enough.
            opened.draft(mode, (size, size))
            image = opened.convert(mode)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise CouloirError(
            f"{path.name} cannot be decoded: {error}", place=str(path), next_step="remove or mend the file"
        ) from error
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    squares = []
    for place in places:
        left, top = int((width - size) * place), int((height - size) * place)
        pixels = np.asarray(image.crop((left, top, left + size, top + size)))
        squares.append(torch.from_numpy(pixels.copy()).reshape(size, size, len(mode)).permute(2, 0, 1))
    return torch.stack(squares)
