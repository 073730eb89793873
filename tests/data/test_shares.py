"""The batches of several processes: every sample in exactly one of them, in the same number of steps."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from couloir.config.fields import SAMPLE, SHARE
from couloir.data.batches import Batch, Batches, Share, samples_in
from couloir.data.rows import Rows
from couloir.data.source import ArraySource
from pairs import pair

SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 23, 24, 25, 31, 33)


def batches(count: int, size: int, rank: int = 0, world: int = 1, **options: Any) -> Batches:
    def read(batches: Sequence[Tensor], seeds: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
        yield from ((chosen.clone(), chosen.clone()) for chosen in batches)

    return Batches(count, size, read, lambda x, y: {"row": x, "value": y}, rank=rank, world=world, **options)


def counted(batch: Batch) -> list[int]:
    """The samples of a process's batch that count."""
    return [] if SHARE in batch and batch[SHARE].own == 0 else batch["row"].tolist()


@pytest.mark.parametrize("train", [True, False])
def test_no_sample_is_lost_or_taken_twice_whatever_the_sizes(train: bool) -> None:
    for count, size, world in itertools.product(SIZES, (1, 2, 4, 5), (2, 3, 4)):
        options: dict[str, Any] = {"shuffle": train, "drop_single": train, "seed": 3}
        alone = batches(count, size * world, **options)
        parts = [batches(count, size, rank, world, **options) for rank in range(world)]
        assert {len(part) for part in parts} == {len(alone)}, (count, size, world)
        for whole, *shares in zip(alone, *parts, strict=True):
            taken = [sample for share in shares for sample in counted(share)]
            assert sorted(taken) == sorted(whole["row"].tolist()), (count, size, world)
            assert {samples_in(share, world) for share in shares} == {len(whole["row"])}


def test_the_mean_over_processes_is_the_mean_over_all_samples_of_an_uneven_batch() -> None:
    for count, size, world in itertools.product(SIZES, (1, 2, 4, 5), (2, 3, 4)):
        for shares in zip(*(batches(count, size, rank, world) for rank in range(world)), strict=True):
            weights = [share[SHARE].weight if SHARE in share else 1.0 for share in shares]
            # The mean loss of a process is here the mean of its samples' numbers.
            mean = (
                sum(w * float(share["row"].double().mean()) for w, share in zip(weights, shares, strict=True)) / world
            )
            all_samples = torch.tensor([sample for share in shares for sample in counted(share)], dtype=torch.float64)
            assert mean == pytest.approx(float(all_samples.mean())), (count, size, world)


def test_batch_normalisation_has_two_samples_in_every_process_of_a_training() -> None:
    for count, size, world in itertools.product(SIZES[1:], (2, 4, 5), (2, 3, 4)):
        for rank in range(world):
            assert all(len(batch["row"]) >= 2 for batch in batches(count, size, rank, world, drop_single=True))


def test_a_process_without_a_sample_steps_along_and_counts_nothing() -> None:
    (batch,) = batches(1, 4, rank=1, world=2)
    assert batch["row"].tolist() == [0]
    assert batch[SHARE] == Share(own=0, whole=1, weight=0.0)


def test_one_process_has_batches_without_a_share() -> None:
    assert {tuple(batch) for batch in batches(9, 4)} == {("row", "value", SAMPLE)}


def test_even_batches_of_several_processes_have_no_share_either() -> None:
    assert {tuple(batch) for batch in batches(16, 4, rank=1, world=2)} == {("row", "value", SAMPLE)}


def test_worker_processes_take_the_same_share() -> None:
    inputs = torch.arange(40.0).view(20, 2)
    source, indices, targets = ArraySource(inputs.numpy(), np.zeros(20)), np.arange(20), torch.arange(20)
    here, fetched = (
        Batches(
            20, 3, Rows(source, indices, targets, workers, torch.device("cpu")), lambda x, y: {"row": x, "value": y},
            shuffle=True, rank=1, world=2,
        )
        for workers in (0, 1)
    )  # fmt: skip
    for (x, y), (x2, y2) in zip(map(pair, here), map(pair, fetched), strict=True):
        assert torch.equal(x, x2)
        assert torch.equal(y, y2)
        assert torch.equal(x, inputs[y])


def test_a_share_is_taken_up_where_it_was_left() -> None:
    first = batches(21, 3, rank=1, world=2, shuffle=True)
    seen = list(itertools.islice(first, 2))
    later = batches(21, 3, rank=1, world=2, shuffle=True)
    later.load_state_dict(first.state_dict())
    seen += list(later)
    expected = [batch["row"].tolist() for batch in batches(21, 3, rank=1, world=2, shuffle=True)]
    assert [batch["row"].tolist() for batch in seen] == expected


def test_balanced_draws_are_shared_without_loss_and_taken_up_where_they_were_left() -> None:
    options: dict[str, Any] = {"shuffle": True, "seed": 3, "strata": torch.tensor([0] * 18 + [1] * 5)}
    alone = [batch["row"].tolist() for batch in batches(23, 8, **options)]
    parts = [batches(23, 4, rank, 2, **options) for rank in range(2)]
    assert [counted(one) + counted(other) for one, other in zip(*parts, strict=True)] == alone
    first, later = (batches(23, 8, **options) for _ in range(2))
    seen = [batch["row"].tolist() for batch in itertools.islice(first, 1)]
    later.load_state_dict(first.state_dict())
    assert seen + [batch["row"].tolist() for batch in later] == alone
    assert [batch["row"].tolist() for batch in later] != alone, "another epoch draws others"
