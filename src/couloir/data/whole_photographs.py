"""Photographs that a finished run looks at whole, each at its own size, as validation sees whole images."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from couloir.config.image_size import ImageSize
from couloir.data.decode import Pixels, Reading
from couloir.data.pairs import NoMap, Pair, Pairs
from couloir.data.skipped import Skipped
from couloir.data.unseen import Raw
from couloir.errors import CouloirError
from couloir.machine import cores

PIXELS = 1 << 20
"""Pixels of whole images that pass together at most; a larger image passes alone."""


class _Read(NamedTuple):
    """A photograph, or why it cannot be read."""

    pixels: Pixels
    frame: Tensor
    error: CouloirError | None


class WholePhotographs:
    """Photographs out of files, whole: those of one size that follow each other pass together.

    Args:
        paths: the files.
        reading: how pixels are made of them.
        resize: what a photograph is scaled to cover before; None: it keeps its size.
        alone: one at a time, so that several runs see the same ones together.
    """

    def __init__(
        self, paths: list[Path], reading: Reading, resize: ImageSize | None = None, alone: bool = False
    ) -> None:
        self.frames = Pairs([Pair(path, None) for path in paths], resize, None, reading, NoMap())
        self.paths, self.alone = paths, alone
        self.targets: NDArray[Any] | None = None
        self.known = np.zeros(len(paths), dtype=bool)
        self.skipped: list[Skipped] = []

    def __len__(self) -> int:
        return len(self.paths)

    def batches(self, batch_size: int) -> Generator[Raw]:
        """Decoded by threads, a few ahead of whoever asks: memory does not grow with the number of files."""
        kept: list[_Read] = []
        for read in self._read_ahead():
            if kept and (
                read.error is not None or not _alike(kept[0], read)
                or len(kept) >= (1 if self.alone else at_once(batch_size, *kept[0].pixels.shape[:2]))
            ):  # fmt: skip
                yield _together(kept)
                kept = []
            if read.error is None:
                kept.append(read)
            else:
                yield Raw(torch.zeros(1, self.frames.channels, 1, 1, dtype=torch.uint8), {0: read.error})
        if kept:
            yield _together(kept)

    def _read_ahead(self) -> Iterator[_Read]:
        pool = ThreadPoolExecutor(cores())
        try:
            numbers = iter(range(len(self.paths)))
            waiting: deque[Future[_Read]] = deque(
                pool.submit(self._read, number) for number in islice(numbers, cores())
            )
            while waiting:
                found = waiting.popleft().result()
                with suppress(StopIteration):
                    waiting.append(pool.submit(self._read, next(numbers)))
                yield found
        finally:
            pool.shutdown(cancel_futures=True)

    def _read(self, number: int) -> _Read:
        try:
            pixels = self.frames.pixels(number)
            return _Read(pixels, self.frames.scaled(pixels), None)
        except CouloirError as error:
            return _Read(np.zeros((1, 1, 1), np.uint8), torch.empty(0), error)


def at_once(batch_size: int, height: int, width: int) -> int:
    """How many images of a size pass together."""
    return max(1, min(batch_size, PIXELS // (height * width)))


def _alike(one: _Read, other: _Read) -> bool:
    return one.pixels.shape == other.pixels.shape and one.frame.shape == other.frame.shape


def _together(reads: list[_Read]) -> Raw:
    height, width = reads[0].pixels.shape[:2]
    x = torch.stack([read.frame for read in reads]).movedim(-1, -3)
    return Raw(x, size=(height, width), pixels=np.stack([read.pixels for read in reads]))
