"""Photographs in shards as samples: their middles, and windows, cut out of frames that are decoded just now."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from couloir.config.image_size import ImageSize, size_of
from couloir.config.world import World
from couloir.data.decode import Pixels, Reading, decoded
from couloir.data.doubles import Doubles, Place, same_marks
from couloir.data.folder import MEASURED, FileSource
from couloir.data.frames import Frames
from couloir.data.shards.blocks import Blocks
from couloir.data.shards.index import mark_of
from couloir.data.shards.naming import name_of
from couloir.data.shards.order import BlockOrder, block_bounds
from couloir.data.shards.rows import Rows, Store
from couloir.data.splits import Indices
from couloir.errors import CouloirError


class ShardFrames(Frames):
    """Whole photographs out of shards.

    Args:
        rows: where they are.
        store: what reads the shards.
        resize: what a frame covers.
        reading: how pixels are made of the bytes.
        blocks: brings what stands on a server to this machine; None: the shards are on a disk.
    """

    def __init__(
        self, rows: Rows, store: Store, resize: ImageSize, reading: Reading, blocks: Blocks | None = None
    ) -> None:
        super().__init__([], resize, reading)
        self.rows, self.store, self.blocks = rows, store, blocks

    def get(self, numbers: Sequence[int]) -> list[Tensor]:
        """Some frames, in order.

        Raises:
            CouloirError: a photograph cannot be read or decoded.
        """
        if self.blocks is not None:
            self.blocks.bring(numbers)
        frames = super().get(numbers)
        self.rows.release()
        return frames

    def content(self, number: int) -> bytes:
        """The bytes of a photograph.

        Raises:
            CouloirError: the shard cannot be read, or is no longer the one of the index.
        """
        shard, offset, size = self.rows.place(number)
        mark = int(self.rows.table[number]["mark"])
        if self.blocks is None:
            content = self.store.read(shard, offset, size)
        else:
            content = self.blocks.read(number)
            if mark_of(content) != mark:
                self.blocks.forget(number)
                content = self.blocks.read(number)
        if len(content) < size or mark_of(content) != mark:
            raise CouloirError(
                f"{name_of(shard)} has changed while it was read: {self.rows.member(number)} is not where it was.",
                place=shard,
                next_step="start again: the shard is indexed anew",
            )
        return content

    def pixels(self, number: int) -> Pixels:
        """What a photograph holds, (H, W, C); threads call it."""
        return self.of_bytes(number, self.content(number))

    def of_bytes(self, number: int, content: bytes) -> Pixels:
        """What the bytes of a photograph hold, (H, W, C).

        Raises:
            CouloirError: they cannot be decoded.
        """
        called = _Called(self.rows, number)
        try:
            return decoded(cast(Any, called), content, self.resize, self.reading)
        except CouloirError as error:
            if error.place != str(called):
                raise
            raise CouloirError(
                error.fact, place=f"{self.rows.place(number)[0]}, {called}", next_step=error.next_step
            ) from error


class _Called:
    """What messages call a photograph, looked up where there is a message."""

    def __init__(self, rows: Rows, number: int) -> None:
        self._rows, self._number = rows, number

    @property
    def name(self) -> str:
        return PurePosixPath(str(self)).name

    def __str__(self) -> str:
        return self._rows.member(self._number)


class ShardSource(FileSource):
    """Photographs in shards.

    Args:
        rows: the samples.
        store: what reads the shards.
        image_size: of the samples.
        resize: what a frame covers.
        reading: how pixels are made of the bytes.
        block: samples that lie beside each other and stay together when blocks are put into an order.
        window: blocks whose samples are mixed.
        blocks: brings what stands on a server to this machine; None: the shards are on a disk.
    """

    def __init__(
        self, rows: Rows, store: Store, image_size: ImageSize, resize: ImageSize, reading: Reading, block: int,
        window: int, blocks: Blocks | None = None,
    ) -> None:  # fmt: skip
        self.rows, self.store, self.block, self.window = rows, store, block, window
        self.paths = []
        self.targets = rows.labels
        self.size, self.channels, self.first = size_of(image_size), reading.channels, 0
        self.frames: ShardFrames = ShardFrames(rows, store, resize, reading, blocks)
        self.measured = MEASURED

    def measured_among(self, indices: Indices) -> Indices:
        """Which samples mean and deviation are computed from: evenly spaced; on a server in blocks that are so.

        Args:
            indices: of a split, ascending.

        Returns:
            their numbers in the split.
        """
        if self.frames.blocks is None or len(indices) <= self.measured:
            return np.arange(0, len(indices), max(1, -(-len(indices) // self.measured)))
        bounds = block_bounds(self.rows.starts, self.block, indices)
        count = max(1, self.measured // self.block)
        chosen = np.unique(np.linspace(0, len(bounds) - 2, min(count, len(bounds) - 1)).astype(int))
        return np.concatenate([np.arange(bounds[block], bounds[block + 1]) for block in chosen.tolist()])

    def orders(self, indices: Indices, seed: int, world: World) -> BlockOrder:
        """The orders of the epochs of some of the samples.

        Args:
            indices: which, ascending.
            seed: what the orders follow from.
            world: the processes that share the batches; those of one machine read the same blocks.
        """
        nodes = world.size // world.local_size if world.size % max(1, world.local_size) == 0 else 1
        return BlockOrder(block_bounds(self.rows.starts, self.block, indices), self.window, seed, nodes)

    def hash_into(self, add: Callable[[bytes], object], indices: Indices) -> None:
        """What the index says of the images: sizes, and hashes over both ends of each, wherever they stand."""
        for part in self.rows.parts(indices):
            add(np.ascontiguousarray(part["size"]).tobytes())
            add(np.ascontiguousarray(part["mark"]).tobytes())

    def name(self, index: int) -> str:
        """What a sample is called: shard and member."""
        return self.rows.name(index)

    def content(self, index: int) -> bytes:
        """The bytes of a sample's image.

        Raises:
            CouloirError: the shard cannot be read.
        """
        return self.frames.content(index)

    def marks(self, indices: Indices) -> Iterator[NDArray[np.uint64]]:
        """A hash of each of some images, over its size and both of its ends, some thousand at a time."""
        for part in self.rows.parts(indices):
            yield part["mark"] + part["size"] * np.uint64(0x9E3779B97F4A7C15)


def same_images(splits: Mapping[str, Any]) -> Doubles:
    """The samples of splits of shards that are the same image.

    On a disk all bytes of those are compared whose size and ends are the same; from a server, these decide.

    Args:
        splits: `couloir.data.division.Split` by name, their sources `ShardSource`.
    """

    def confirm(place: Place) -> tuple[int, bytes] | None:
        split = splits[place.split]
        try:
            content = split.source.content(int(split.indices[place.number]))
        except CouloirError:
            return None
        return len(content), hashlib.sha256(content).digest()

    remote = any(split.source.store.remote for split in splits.values())
    count = sum(len(split.indices) for split in splits.values())
    marks = {name: partial(split.source.marks, split.indices) for name, split in splits.items()}
    return same_marks(marks, count, None if remote else confirm)
