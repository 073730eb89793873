"""A shuffled order that reads a set almost from front to back: blocks in a drawn order, mixed within a window of them.

An epoch puts the blocks, runs of samples that lie beside each other, into a drawn order, and cuts this into windows of
some blocks; the samples of a window are shuffled. The order is a pure function of the seed and the epoch, any stretch
of it is found without the rest, and no more than the order of the blocks and of one window is in memory.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

KEPT = 4
"""Windows whose orders are kept: workers are some batches ahead of the training."""


class BlockOrder:
    """The orders of a split's epochs.

    Args:
        bounds: where each block begins among the split's samples, and how many there are, (K + 1,); no block is empty.
        window: blocks whose samples are mixed.
        seed: what the orders follow from.
        nodes: machines that share each batch: each gets the samples of some blocks of the window, so that it reads
            these alone.
    """

    def __init__(self, bounds: NDArray[np.int64], window: int, seed: int, nodes: int = 1) -> None:
        self.bounds, self.window, self.seed, self.nodes = bounds, window, seed, nodes

    def epoch(self, number: int) -> EpochOrder:
        """The order of one epoch."""
        return EpochOrder(self, number)


class EpochOrder:
    """The order of one epoch, from which stretches are taken.

    Attributes:
        blocks: the numbers of the blocks in their order, (K,).
        ends: where each window ends in the epoch, (W,).
    """

    def __init__(self, order: BlockOrder, number: int) -> None:
        self._order, self._number = order, number
        # The seed of `couloir.data.batches`: two seeds of one epoch, and two epochs of one seed, share no stream.
        generator = torch.Generator().manual_seed(order.seed * 1_000_003 + number)
        self.blocks = torch.randperm(len(order.bounds) - 1, generator=generator).numpy()
        sizes = np.diff(order.bounds)[self.blocks]
        reached = np.cumsum(sizes)
        self.ends = reached[np.minimum(np.arange(order.window, len(sizes) + order.window, order.window),
                                       len(sizes)) - 1]  # fmt: skip
        self._windows: OrderedDict[int, tuple[NDArray[np.int64], NDArray[np.int64]]] = OrderedDict()

    def take(self, start: int, stop: int) -> Tensor:
        """The samples of the epoch from one place to another: a batch of all processes, (stop - start,)."""
        parts, depths = [], []
        number = int(np.searchsorted(self.ends, start, side="right"))
        while start < stop:
            samples, places = self._window(number)
            begin = int(self.ends[number - 1]) if number else 0
            end = min(stop, int(self.ends[number]))
            parts.append(samples[start - begin : end - begin])
            depths.append(places[start - begin : end - begin] + begin)
            start, number = end, number + 1
        batch = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if self._order.nodes > 1:
            batch = batch[_by_node(np.concatenate(depths), self._order.nodes)]
        return torch.from_numpy(batch)

    def window_of(self, place: int) -> int:
        """The number of the window that a place of the epoch is in."""
        return int(np.searchsorted(self.ends, place, side="right"))

    def blocks_of(self, window: int) -> NDArray[np.int64]:
        """The blocks of a window, in their order."""
        return self.blocks[window * self._order.window : (window + 1) * self._order.window]

    def _window(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The samples of a window in their order, and where each of them stands in the row of its blocks."""
        known = self._windows.get(number)
        if known is None:
            blocks, bounds = self.blocks_of(number), self._order.bounds
            starts, sizes = bounds[blocks], bounds[blocks + 1] - bounds[blocks]
            begins = np.cumsum(sizes) - sizes
            total = int(sizes.sum())
            row = np.arange(total) + np.repeat(starts - begins, sizes)
            digest = hashlib.sha256(f"window {self._order.seed} {self._number} {number}".encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:7]))
            places = torch.randperm(total, generator=generator).numpy()
            known = self._windows[number] = row[places], places
            if len(self._windows) > KEPT:
                self._windows.popitem(last=False)
        return known


def _by_node(places: NDArray[np.int64], nodes: int) -> NDArray[np.int64]:
    """An order of a batch in which each machine's part has the samples of neighbouring blocks, in their drawn order.

    Args:
        places: where the samples stand in the row of the window's blocks, (B,).
        nodes: how many machines there are; each gets a part of the same size, as far as they go in evenly.
    """
    deep = np.argsort(places, kind="stable")
    return np.concatenate([np.sort(part) for part in np.array_split(deep, nodes)])


def block_bounds(starts: NDArray[np.int64], block: int, indices: NDArray[np.int64]) -> NDArray[np.int64]:
    """The blocks of a split of shards: none reaches over two shards, and all of a shard's are about as large.

    Args:
        starts: the number of the first sample of each shard, and of all samples, (S + 1,).
        block: samples of a block, at most.
        indices: the samples of the split, ascending, (N,).

    Returns:
        where each block begins among the split's samples, and N, (K + 1,).
    """
    sizes = np.diff(starts)
    pieces = -(-sizes // block)
    shard = np.repeat(np.arange(len(sizes)), pieces)
    piece = np.arange(len(shard)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    firsts = starts[shard] + piece * sizes[shard] // pieces[shard]
    found = np.searchsorted(indices, firsts)
    return np.unique(np.append(found, len(indices)))
