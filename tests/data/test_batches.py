"""Samples of about the same length stand in one batch, in an order that follows from seed and epoch."""

from __future__ import annotations

import torch

from couloir.data.batches import Batches, bucketed


def batches(lengths: torch.Tensor, **keys: int) -> Batches:
    return Batches(len(lengths), 8, lambda chosen, seeds: iter(()), lambda x, y: {}, True, lengths=lengths, **keys)


def test_each_sample_comes_once_and_batches_are_of_about_one_length() -> None:
    lengths = torch.randint(1, 100, (1003,), generator=torch.Generator().manual_seed(0))
    order = bucketed(torch.randperm(1003), lengths, 8, torch.Generator().manual_seed(1))
    assert order.sort().values.tolist() == list(range(1003))
    spread = torch.stack([lengths[part].max() - lengths[part].min() for part in order[:1000].view(-1, 8)])
    assert spread.float().median() <= 5
    firsts = lengths[order[:1000].view(-1, 8)[:, 0]]
    assert (firsts.diff() < 0).any()  # the batches themselves are shuffled
    assert len(order[1000:]) == 3


def test_the_order_follows_from_seed_and_epoch() -> None:
    lengths = torch.arange(100) % 17
    one, again, other = batches(lengths, seed=1), batches(lengths, seed=1), batches(lengths, seed=2)
    assert torch.equal(one.order(3), again.order(3))
    assert not torch.equal(one.order(3), one.order(4))
    assert not torch.equal(one.order(3), other.order(3))


def test_processes_that_share_a_text_draw_the_same_windows() -> None:
    lengths = torch.ones(32, dtype=torch.long)
    apart = [batches(lengths, rank=rank, world=2).seed_of(1, 2) for rank in (0, 1)]
    alike = [batches(lengths, rank=rank, world=2, own_draws=False).seed_of(1, 2) for rank in (0, 1)]
    assert apart[0] != apart[1]
    assert alike[0] == alike[1] == batches(lengths).seed_of(1, 2)
