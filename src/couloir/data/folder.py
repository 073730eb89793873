"""Photographs as samples: their middles, and windows, cut out of their frames."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from couloir.config.image_size import ImageSize, size_of
from couloir.data.cache import Cache
from couloir.data.decode import COLOUR, MODES, Reading
from couloir.data.frames import AT_A_TIME, Frames
from couloir.data.listing import as_array
from couloir.data.source import ArraySource, Loaded, Source
from couloir.data.splits import Indices
from couloir.data.windows import CutsWindows, cut_out
from couloir.errors import CouloirError
from couloir.log import say
from couloir.machine import one_thread

T = TypeVar("T")

HASHED_BYTES = 2 << 30
"""Up to so many bytes of files are hashed whole; beyond, their names and sizes stand for them."""
MEASURED = 2000
"""Photographs, evenly spaced, that the channels' statistics are computed from: 100 million pixels of 224 x 224."""


class FileSource:
    """Photographs out of which their middles, or windows, are cut when they are asked for.

    Args:
        samples: paths and targets.
        image_size: of the samples.
        channels: 3 or 1.
        frames: the frames of these photographs and perhaps of others; None: of these alone, scaled until they just
        cover `image_size`.
        first: the number of the first sample among the frames.
        classes: how many there are, where a sample may have several.

    Attributes:
        squares: 1, the middle of each image, or 3, both ends of its longer side as well: (B, 3, C, H, W).
    """

    squares = 1
    measured = MEASURED
    windows: CutsWindows | None = None

    def __init__(
        self,
        samples: list[tuple[Path, Any]],
        image_size: ImageSize,
        channels: int,
        frames: Frames | None = None,
        first: int = 0,
        classes: int = 0,
    ) -> None:
        self.paths = [path for path, _ in samples]
        self.targets = as_array([target for _, target in samples], classes)
        self.size, self.channels, self.first = size_of(image_size), channels, first
        self.frames = frames or Frames(self.paths, image_size, Reading(channels))

    def fetch(self, indices: Tensor) -> Tensor:
        """The middles of some photographs: uint8 (B, C, H, W), or (B, 3, C, H, W) where three parts are asked for."""
        out = self.empty(len(indices))
        for start in range(0, len(indices), AT_A_TIME):
            self.cut(indices[start : start + AT_A_TIME].tolist(), out[start : start + AT_A_TIME])
        return out.movedim(-1, -3)

    def empty(self, count: int) -> Tensor:
        """Room for `count` samples: uint8 (B, H, W, C) or (B, 3, H, W, C)."""
        places = () if self.squares == 1 else (self.squares,)
        return torch.empty((count, *places, *self.size, self.channels), dtype=torch.uint8)

    def cut(self, indices: Sequence[int], out: Tensor, windows: CutsWindows | None = None, seed: int = 0) -> None:
        """Cut the middles of some photographs into `out`, or random windows, scaled to the same size.

        Args:
            indices: which of the samples.
            out: as `empty` makes it.
            windows: draws the windows; None: the middles.
            seed: what the windows follow from, together with the indices' places and the frames' sizes.

        Raises:
            CouloirError: a file cannot be read or decoded.
        """
        frames = self.frames.get([self.first + index for index in indices])
        with one_thread():
            self._cut(frames, out, windows, seed)

    def _cut(self, frames: list[Tensor], out: Tensor, windows: CutsWindows | None, seed: int) -> None:
        if windows is None:
            for room, frame in zip(out, frames, strict=True):
                cut_middle(frame, room.view(self.squares, *self.size, self.channels))
            return
        sizes = torch.tensor([frame.shape[:2] for frame in frames])
        boxes, mirror = windows.windows(sizes, torch.Generator().manual_seed(seed), self.size[1] / self.size[0])
        for room, frame, place, mirrored in zip(out, frames, boxes.tolist(), mirror.tolist(), strict=True):
            window = self.frames.resampled(cut_out(frame, place, self.outside), self.size)
            # torch mirrors planes whose channels come last in one vectorised pass, but not (H, W, C).
            room.copy_(window[None].permute(0, 3, 1, 2).flip(3)[0].permute(1, 2, 0) if mirrored else window)

    def hash_into(self, add: Callable[[bytes], object], indices: Indices) -> None:
        """The bytes of the files, or their names and sizes where they are too many to read through.

        Raises:
            CouloirError: a file is gone, or cannot be read.
        """
        paths = [self.paths[index] for index in indices]
        sizes = [_asked(path, Path.stat).st_size for path in paths]
        whole = sum(sizes) <= HASHED_BYTES
        for path, size in zip(paths, sizes, strict=True):
            add(f"{path.parent.name}/{path.name} {size}".encode(errors="surrogateescape"))
            if whole:
                add(_asked(path, Path.read_bytes))

    @property
    def outside(self) -> list[int]:
        """What each channel is where a window reaches beyond its photograph, (C,)."""
        return [0] * self.channels

    @property
    def problem(self) -> str | None:
        """Why the cache does not keep what it should, if so."""
        return None if self.frames.cache is None else self.frames.cache.problem

    def settle(self) -> None:
        """Wait until the cache has what was added to it."""
        if self.frames.cache is not None:
            self.frames.cache.settle()

    def to(self, device: torch.device) -> None:
        """Files stay where they are."""

    def in_memory(self) -> ArraySource:
        """The middles of all photographs, cut once."""
        source = ArraySource(self.fetch(torch.arange(len(self.targets))).numpy(), self.targets)
        source.measured, source.paths = MEASURED, self.paths
        return source

    def keep_frames(self) -> None:
        """Hold the frames in memory."""
        self.frames.keep(range(self.first, self.first + len(self.targets)))


def cut_middle(frame: Tensor, out: Tensor) -> None:
    """Cut the middle of a frame, or the middle and both ends of its longer side.

    Args:
        frame: uint8 (H', W', C).
        out: room for them, uint8 (1, H, W, C) or (3, H, W, C).
    """
    height, width = out.shape[1:3]
    for part, place in zip(out, (0.5,) if len(out) == 1 else (0.0, 0.5, 1.0), strict=True):
        top, left = int((frame.shape[0] - height) * place), int((frame.shape[1] - width) * place)
        part.copy_(frame[top : top + height, left : left + width])


def _asked(path: Path, question: Callable[[Path], T]) -> T:
    try:
        return question(path)
    except OSError as error:
        raise CouloirError(
            f"{path.name} cannot be read: {error.strerror}.", place=str(path), next_step="remove or repair it"
        ) from error


def load_folder(
    splits: dict[str, list[tuple[Path, Any]]],
    classes: list[str],
    image_size: ImageSize,
    memory_budget: float,
    reading: Reading = COLOUR,
    resize: ImageSize | None = None,
    windows: bool = False,
    cache: tuple[Path, float] | None = None,
) -> Loaded:
    """Paths and targets by split as sources, in memory where they fit once decoded.

    Args:
        splits: paths and targets of each split.
        classes: the classes' names.
        image_size: pixels of the samples' sides, or height and width.
        memory_budget: GiB that the training split may take in memory, as whole frames or as samples, and GiB that the
        other splits may take as samples.
        reading: how pixels are made of the files.
        resize: what a frame covers: pixels of its shorter side, or a height and a width; None: `image_size`.
        windows: whether the training samples are windows of whole frames.
        cache: the folder of all caches and the bytes they may take; None: no cache.

    Raises:
        CouloirError: `channels` is neither 1 nor 3, or a file cannot be decoded.
    """
    channels = reading.channels
    if channels not in MODES:
        raise CouloirError(f"Images have 1 or 3 channels, not {channels}.", next_step="data.channels=3 or 1")
    resize = resize or image_size
    paths = [path for samples in splits.values() for path, _ in samples]
    kept = None if cache is None else Cache(cache[0], paths, resize, channels, cache[1], str(reading))
    if kept is not None and kept.problem is not None:
        say.warning("%s", kept.problem)
        kept = None
    frames = Frames(paths, resize, reading, kept)
    budget = memory_budget * 2**30
    fits = len(paths) * channels * math.prod(size_of(image_size)) <= budget
    sources: dict[str, Source] = {}
    first = 0
    for split, samples in splits.items():
        source = FileSource(samples, image_size, channels, frames, first, len(classes))
        first += len(samples)
        if windows and split == "train":
            if fits and frames.estimated_bytes(len(samples)) <= budget:
                source.keep_frames()
            sources[split] = source
        else:
            sources[split] = source.in_memory() if fits else source
    if kept is not None and kept.problem is not None:
        say.warning("%s", kept.problem)
    return Loaded(sources["train"], sources.get("val"), sources.get("test"), classes)
