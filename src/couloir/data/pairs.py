"""Images and their maps from files: in a frame a map is further channels of its image, so that nothing parts them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from couloir.config.fields import IGNORED
from couloir.config.image_size import ImageSize, Size, covered_size, size_of
from couloir.data.cache import Cache
from couloir.data.decode import MODES, Pixels, Reading, decode, resampled
from couloir.data.folder import FileSource
from couloir.data.frames import Frames
from couloir.data.headers import UNREADABLE, read_header, undecodable
from couloir.data.source import ArraySource, Loaded, Source
from couloir.data.splits import Indices
from couloir.data.windows import Anywhere, CutsWindows
from couloir.errors import CouloirError
from couloir.log import say

SPLITS = 3
"""Splits of a set that holds nothing out of its training samples."""


class Pair(NamedTuple):
    """An image and the file of its map; None: the image alone."""

    image: Path
    map: Path | None


class ReadMap(Protocol):
    """Reads the file of a map; `str` of it says what the values follow from besides the file."""

    planes: int
    """Channels of a map."""
    classes: bool
    """Whether they are numbers of classes, and not values."""

    def __call__(self, path: Path) -> NDArray[np.uint8]:
        """The map, upright: classes (H, W, 1), with `IGNORED` where none counts, or 0 to 255 for 0 to 1, (H, W, M)."""


class NoMap:
    """Reads nothing: images alone."""

    planes, classes = 0, False

    def __call__(self, path: Path) -> NDArray[np.uint8]:
        """Never called."""
        raise AssertionError(path)

    def __str__(self) -> str:
        """One reading of nothing."""
        return "no map"


class Pairs(Frames):
    """Whole images with their maps, uint8 (H, W, C + M), at their own sizes or scaled until they just cover one.

    Args:
        pairs: the files.
        resize: what a frame covers; None: images keep their sizes.
        least: images that do not cover this are enlarged until they do; None: none is.
        reading: how the images' pixels are made.
        read: how the maps are read.
        multiple: heights and widths are cut off at the right and at the bottom to multiples of this.
        cache: where frames are kept on disk, if they are.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        resize: ImageSize | None,
        least: ImageSize | None,
        reading: Reading,
        read: ReadMap,
        multiple: int = 1,
        cache: Cache | None = None,
    ) -> None:
        super().__init__([pair.image for pair in pairs], resize or least or 1, reading, cache)
        self.pairs, self.exact, self.least, self.read, self.multiple = list(pairs), resize, least, read, multiple
        self.channels = reading.channels + read.planes

    def size(self, height: int, width: int) -> Size:
        """The size of the frame of an image of this size."""
        if self.exact is not None:
            height, width = covered_size(height, width, size_of(self.exact))
        elif self.least is not None:
            rows, columns = size_of(self.least)
            if height < rows or width < columns:
                height, width = covered_size(height, width, (rows, columns))
        return height // self.multiple * self.multiple, width // self.multiple * self.multiple

    def pixels(self, number: int) -> Pixels:
        """An image and its map, (H, W, C + M).

        Raises:
            CouloirError: a file cannot be read, or the map has another size.
        """
        path, file = self.pairs[number]
        image = decode(path, None, self.reading)
        if file is None:
            return image
        found = self.read(file)
        if found.shape[:2] != image.shape[:2]:
            raise CouloirError(
                f"{file.name} has {found.shape[1]} x {found.shape[0]} pixels, and its image {path.name} "
                f"{image.shape[1]} x {image.shape[0]}.",
                place=str(file),
                next_step="give both the same size, or remove them; data.on_error=skip leaves such pairs out",
            )
        return np.concatenate([image, found], axis=2)

    def scaled(self, pixels: Pixels) -> Tensor:
        """A file's pixels as a frame."""
        height, width = pixels.shape[:2]
        size = self.size(height, width)
        frame = torch.from_numpy(pixels)
        if self.multiple > 1:  # cut off, not squeezed
            scale = max(size[0] / height, size[1] / width)
            whole = (max(size[0], round(height * scale)), max(size[1], round(width * scale)))
            whole = (height, width) if self.exact is None and scale <= 1 else whole
            return self.resampled(frame, whole)[: size[0], : size[1]].contiguous()
        return self.resampled(frame, size).contiguous()

    def resampled(self, part: Tensor, size: Size) -> Tensor:
        """A part of a frame at another size; classes take the nearest pixel."""
        return resampled(part, size, self.read.planes if self.read.classes else 0)


class PairSource(FileSource):
    """Images with their maps: windows of one size, or whole images, each in the top left corner of the largest.

    Args:
        pairs: of the split.
        image_size: of the windows.
        frames: of these pairs and perhaps of others.
        first: the number of the first pair among the frames.
        sizes: height and width of each image, where samples are whole images; None: they are windows.
        anywhere: whether training windows lie anywhere where no augmentation says where; else in the middle.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        image_size: ImageSize,
        frames: Pairs,
        first: int,
        sizes: Sequence[Size] | None = None,
        anywhere: bool = False,
    ) -> None:
        super().__init__([(pair.image, 0) for pair in pairs], image_size, frames.channels, frames, first)
        self.targets: NDArray[Any] = np.arange(len(pairs))
        self.pairs, self.whole = list(pairs), sizes is not None
        self.windows: CutsWindows | None = Anywhere(self.size) if anywhere else None
        self.sizes: NDArray[np.int64] | None = None
        if sizes:
            self.sizes = np.array(sizes, np.int64)
            self.size = (int(self.sizes[:, 0].max()), int(self.sizes[:, 1].max()))

    def _cut(self, frames: list[Tensor], out: Tensor, windows: CutsWindows | None, seed: int) -> None:
        if not self.whole:
            super()._cut(frames, out, windows, seed)
            return
        for room, frame in zip(out, frames, strict=True):
            if tuple(frame.shape[:2]) != self.size:
                room.copy_(torch.tensor(self.outside, dtype=torch.uint8))
            room[: frame.shape[0], : frame.shape[1]] = frame

    @property
    def outside(self) -> list[int]:
        """Black, and for maps no class or no value."""
        assert isinstance(self.frames, Pairs)
        read = self.frames.read
        return [0] * (self.channels - read.planes) + [IGNORED if read.classes else 0] * read.planes

    def hash_into(self, add: Callable[[bytes], object], indices: Indices) -> None:
        """The bytes of the images' files, then of the maps'."""
        super().hash_into(add, indices)
        maps = [self.pairs[index].map for index in indices]
        if any(path is not None for path in maps):
            files = FileSource([(path, 0) for path in maps if path is not None], 1, 1, self.frames)
            files.hash_into(add, np.arange(len(files.paths)))

    def in_memory(self) -> ArraySource:
        """The samples, cut once."""
        source = super().in_memory()
        source.sizes = self.sizes
        return source

    def pixels_of_classes(self, indices: Indices, count: int) -> NDArray[np.int64]:
        """How many pixels of the whole images have each of `count` classes, (count,)."""
        total = np.zeros(IGNORED + 1, np.int64)
        for index in indices:
            frame = self.frames.get([self.first + int(index)])[0]
            total += torch.bincount(frame[..., -1].reshape(-1), minlength=IGNORED + 1).numpy()
        return total[:count]


def _header(path: Path) -> Size:
    """Height and width of an image, by its header.

    Raises:
        CouloirError: the file has no header.
    """
    try:
        header = read_header(path)
    except UNREADABLE as error:
        raise undecodable(path, error) from error
    return header.height, header.width


def load_pairs(
    splits: dict[str, list[Pair]],
    image_size: ImageSize,
    memory_budget: float,
    reading: Reading,
    read: ReadMap,
    resize: ImageSize | None = None,
    multiple: int = 1,
    anywhere: bool = True,
    cache: tuple[Path, float] | None = None,
) -> Loaded:
    """Images and their maps by split as sources: windows to train on, whole images to validate and test on.

    Args:
        splits: `train`, and `val` and `test` where the set brings them.
        image_size: pixels of the windows' sides, or height and width.
        memory_budget: GiB that the training frames may take in memory, and the whole images of the other splits.
        reading: how the images' pixels are made.
        read: how the maps are read.
        resize: what images are scaled to before windows are cut; None: they keep their sizes, and those smaller than a
            window are enlarged for training.
        multiple: whole images are cut off to multiples of this.
        anywhere: whether windows lie anywhere; else in the middle.
        cache: the folder of all caches and the bytes they may take; None: no cache.

    Raises:
        CouloirError: a file cannot be decoded, or there is no such number of channels.
    """
    if reading.channels not in MODES:
        raise CouloirError(f"Images have 1 or 3 channels, not {reading.channels}.", next_step="data.channels=3 or 1")
    pairs = [pair for part in splits.values() for pair in part]
    windows = Pairs(pairs, resize, resize or image_size, reading, read, multiple)
    whole = Pairs(pairs, resize, None, reading, read, multiple)
    headers = [_header(pair.image) for pair in pairs]
    if all(windows.size(*size) == whole.size(*size) for size in headers):
        whole = windows  # no image has to be enlarged: what is kept of one is kept for both
    for frames in {id(windows): windows, id(whole): whole}.values():
        frames.cache = _cache(cache, frames, resize)
    budget = memory_budget * 2**30
    sources: dict[str, Source] = {}
    first = 0
    for split, part in splits.items():
        sizes = [whole.size(*size) for size in headers[first : first + len(part)]]
        complete = PairSource(part, image_size, whole, first, sizes)
        if split == "train":
            cut = PairSource(part, image_size, windows, first, anywhere=anywhere)
            if windows.estimated_bytes(len(part)) <= budget:
                cut.keep_frames()
                if whole is not windows and len(splits) < SPLITS:
                    complete.keep_frames()
            sources[split], held = cut, complete
        else:
            fits = len(part) * complete.channels * math.prod(complete.size) <= budget
            sources[split] = complete.in_memory() if fits else complete
        first += len(part)
    return Loaded(sources["train"], sources.get("val"), sources.get("test"), held_out=held)


def _cache(cache: tuple[Path, float] | None, frames: Pairs, resize: ImageSize | None) -> Cache | None:
    if cache is None:
        return None
    digest = hashlib.sha256()
    for _, path in frames.pairs:
        if path is not None:
            stat = path.stat()
            digest.update(f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}".encode(errors="surrogateescape"))
    made = f"{frames.reading} {frames.read} {frames.exact} {frames.least} {frames.multiple} {digest.hexdigest()}"
    paths = [pair.image for pair in frames.pairs]
    kept = Cache(cache[0], paths, resize or frames.least or 1, frames.channels, cache[1], made)
    if kept.problem is not None:
        say.warning("%s", kept.problem)
        return None
    return kept
