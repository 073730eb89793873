"""The frames of a folder's photographs, by number: out of memory, out of the cache, or decoded just now."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from couloir.config.image_size import ImageSize, Size, covered_size, size_of
from couloir.data.cache import Cache
from couloir.data.decode import COLOUR, Pixels, Reading, decode, resampled, scaled
from couloir.data.headers import UNREADABLE, read_header
from couloir.machine import cores, one_thread

AT_A_TIME = 64
"""Photographs that are decoded together where many are wanted."""
MEASURED = 256
"""Headers that the mean size of the photographs is estimated from."""


class Frames:
    """Whole photographs as uint8 (H, W, C), each scaled until it just covers one size.

    The pixels are the same wherever they come from.

    Args:
        paths: the files.
        resize: what a frame covers: pixels of its shorter side, or a height and a width.
        reading: how their pixels are made.
        cache: where frames are kept on disk, if they are.
    """

    def __init__(
        self, paths: list[Path], resize: ImageSize, reading: Reading = COLOUR, cache: Cache | None = None
    ) -> None:
        self.paths, self.resize, self.reading, self.cache = paths, resize, reading, cache
        self.channels = reading.channels
        self._kept: dict[int, int] = {}
        self._pixels = torch.empty(0, dtype=torch.uint8)
        self._sizes: list[tuple[int, int, int]] = []

    def get(self, numbers: Sequence[int]) -> list[Tensor]:
        """Some frames, in order; what had to be decoded is added to the cache.

        Raises:
            CouloirError: a file cannot be read or decoded.
        """
        frames = [self._find(number) for number in numbers]
        missing = [place for place, frame in enumerate(frames) if frame is None]
        if missing:
            decoded = self._decode([numbers[place] for place in missing])
            for place, frame in zip(missing, decoded, strict=True):
                frames[place] = frame
            if self.cache is not None:
                self.cache.add([numbers[place] for place in missing], decoded)
        return [frame for frame in frames if frame is not None]

    def _find(self, number: int) -> Tensor | None:
        row = self._kept.get(number)
        if row is not None:
            start, height, width = self._sizes[row]
            return self._pixels[start : start + height * width * self.channels].view(height, width, self.channels)
        return None if self.cache is None else self.cache.read(number)

    def _decode(self, numbers: list[int]) -> list[Tensor]:
        if len(numbers) == 1 or get_worker_info() is not None:
            with one_thread():
                return [self._decode_one(number) for number in numbers]
        with one_thread(), ThreadPoolExecutor(cores()) as pool:  # decoding and scaling leave Python's lock
            return list(pool.map(self._decode_one, numbers))

    def _decode_one(self, number: int) -> Tensor:
        return self.scaled(self.pixels(number))

    def pixels(self, number: int) -> Pixels:
        """What a file holds, (H, W, C); threads call it."""
        return decode(self.paths[number], self.resize, self.reading)

    def scaled(self, pixels: Pixels) -> Tensor:
        """A file's pixels as a frame, (H', W', C)."""
        return scaled(pixels, self.resize)

    def resampled(self, part: Tensor, size: Size) -> Tensor:
        """A part of a frame at another size."""
        return resampled(part, size)

    def size(self, height: int, width: int) -> Size:
        """The size of the frame of a file of this size."""
        return covered_size(height, width, size_of(self.resize))

    def keep(self, numbers: Sequence[int]) -> None:
        """Hold some frames in memory from now on, one after the other in one buffer.

        Raises:
            CouloirError: a file cannot be read or decoded.
        """
        pixels = torch.empty(int(self.estimated_bytes(len(numbers))), dtype=torch.uint8)
        sizes: list[tuple[int, int, int]] = []
        end = 0
        for start in range(0, len(numbers), AT_A_TIME):
            for frame in self.get(numbers[start : start + AT_A_TIME]):
                sizes.append((end, frame.shape[0], frame.shape[1]))
                end += frame.numel()
                if end > len(pixels):  # the estimate was short: an eighth more, so that it seldom happens twice
                    pixels = torch.cat([pixels, torch.empty(frame.numel() + len(pixels) // 8, dtype=torch.uint8)])
                pixels[end - frame.numel() : end] = frame.view(-1)
        self._pixels = pixels[:end]
        self._sizes, self._kept = sizes, {number: row for row, number in enumerate(numbers)}

    def estimated_bytes(self, count: int) -> float:
        """About how many bytes `count` frames have, from the headers of some evenly spaced files."""
        areas: list[int] = []
        for path in self.paths[:: max(1, -(-len(self.paths) // MEASURED))]:
            try:
                header = read_header(path)
                areas.append(math.prod(self.size(header.height, header.width)))
            except UNREADABLE:
                continue  # decoding will say what is wrong
        mean = sum(areas) / len(areas) if areas else math.prod(size_of(self.resize)) * 4 / 3
        return count * self.channels * mean
