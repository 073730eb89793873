"""An epoch in blocks: each sample once, a pure function of seed and epoch, any stretch without the rest."""

from __future__ import annotations

import itertools

import numpy as np
import torch

from couloir.data.batches import Batches
from couloir.data.shards.order import BlockOrder, block_bounds

STARTS = np.array([0, 50, 50, 101, 230])
"""Four shards, one of them empty."""


def order(
    indices: np.ndarray | None = None, block: int = 8, window: int = 4, seed: int = 0, nodes: int = 1
) -> BlockOrder:
    indices = np.arange(230) if indices is None else indices
    return BlockOrder(block_bounds(STARTS, block, indices), window, seed, nodes)


def test_no_block_reaches_over_two_shards_or_is_larger_than_stated() -> None:
    bounds = block_bounds(STARTS, 8, np.arange(230))
    assert set(STARTS) <= set(bounds)
    assert np.diff(bounds).max() <= 8
    assert np.diff(bounds).min() >= 7
    part = np.flatnonzero(np.arange(230) % 3 > 0)
    shards = np.searchsorted(STARTS, part, side="right")
    bounds = block_bounds(STARTS, 8, part)
    assert all(len(set(shards[a:b])) == 1 for a, b in itertools.pairwise(bounds))


def test_an_epoch_has_each_sample_once_whatever_stretches_it_is_taken_in() -> None:
    whole = order().epoch(3).take(0, 230)
    assert sorted(whole.tolist()) == list(range(230))
    for size in (1, 7, 64, 230):
        epoch = order().epoch(3)
        parts = [epoch.take(start, min(230, start + size)) for start in range(0, 230, size)]
        assert torch.equal(torch.cat(parts), whole)
    assert torch.equal(order().epoch(3).take(100, 120), whole[100:120])


def test_the_order_follows_from_seed_and_epoch() -> None:
    def taken(seed: int, epoch: int) -> list[int]:
        found: list[int] = order(seed=seed).epoch(epoch).take(0, 230).tolist()
        return found

    assert taken(1, 2) == taken(1, 2)
    assert len({tuple(taken(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9


def test_a_window_mixes_its_blocks_and_no_others() -> None:
    shuffled = order()
    epoch = shuffled.epoch(0)
    place = 0
    for window in range(len(epoch.ends)):
        blocks = epoch.blocks_of(window)
        wanted = np.concatenate([np.arange(*shuffled.bounds[[block, block + 1]]) for block in blocks])
        samples = epoch.take(place, int(epoch.ends[window])).numpy()
        assert sorted(samples) == sorted(wanted)
        assert (np.abs(np.diff(samples)) != 1).mean() > 0.7
        place = int(epoch.ends[window])
    assert place == 230


def test_every_place_of_a_window_is_as_likely_for_each_of_its_samples() -> None:
    bounds = block_bounds(np.array([0, 8]), 2, np.arange(8))
    counts = np.zeros((8, 8))
    for epoch in range(2000):
        samples = BlockOrder(bounds, 4, 0).epoch(epoch).take(0, 8).numpy()
        counts[samples, np.arange(8)] += 1
    expected = 2000 / 8
    assert ((counts - expected) ** 2 / expected).sum() < 90  # chi squared, 49 degrees of freedom: p = 0.0003


def test_machines_read_neighbouring_blocks_and_share_the_same_batches() -> None:
    one, shared = order(window=32).epoch(0), order(window=32, nodes=4).epoch(0)
    depth = np.empty(230, np.int64)
    row = np.concatenate([np.arange(*order(window=32).bounds[[block, block + 1]]) for block in one.blocks])
    depth[row] = np.arange(230)
    for start in range(0, 224, 32):
        batch, parts = one.take(start, start + 32), shared.take(start, start + 32).view(4, 8)
        assert sorted(batch.tolist()) == sorted(parts.flatten().tolist())
        places = depth[parts.numpy()]
        assert (places.max(axis=1)[:-1] < places.min(axis=1)[1:]).all()
        for part in parts.tolist():  # within a machine's part the drawn order stays
            assert part == [sample for sample in batch.tolist() if sample in part]


def batches(rank: int = 0, world: int = 1, size: int = 8) -> Batches:
    def read(chosen: object, seeds: object) -> object:
        return ((each, each) for each in chosen)  # type: ignore[attr-defined]

    return Batches(
        230, size, read, lambda x, y: {"x": x}, True, orders=order(), drop_single=True, rank=rank, world=world
    )  # type: ignore[arg-type]


def test_batches_go_on_in_the_middle_of_an_epoch_and_processes_share_each_batch() -> None:
    loader = batches()
    first = [batch["x"].tolist() for batch in loader]
    assert [sample for batch in first for sample in batch] == order().epoch(0).take(0, 230).tolist()
    resumed = batches()
    resumed.load_state_dict({"epoch": 0, "position": 20})
    assert [batch["x"].tolist() for batch in resumed] == first[20:]
    assert [batch["x"].tolist() for batch in resumed] == [batch["x"].tolist() for batch in loader]
    apart = [[(batch["x"].tolist(), batch.get("share")) for batch in batches(rank, 2, 4)] for rank in (0, 1)]
    for whole, *parts in zip(first, *apart, strict=True):
        assert sorted(whole) == sorted([*parts[0][0], *parts[1][0]])
    assert [share is None for _, share in apart[0]] == [True] * 28 + [False]
