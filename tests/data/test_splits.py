"""Splits: seeded, disjoint, stratified; a class does not vanish."""

from __future__ import annotations

import numpy as np
import pytest

from couloir.data.splits import hold_out, take

TARGETS = np.repeat([0, 1, 2], [600, 300, 100])


def test_a_stratified_part_keeps_the_shares_of_the_classes() -> None:
    chosen = take(TARGETS, 100, seed=0, stratify=True)
    assert np.bincount(TARGETS[chosen]).tolist() == [60, 30, 10]
    assert len(set(chosen.tolist())) == 100


@pytest.mark.parametrize("count", [1, 2, 3, 7, 11, 333, 999, 1000, 5000])
def test_a_part_has_exactly_the_size_asked_for(count: int) -> None:
    chosen = take(TARGETS, count, seed=1, stratify=True)
    assert len(chosen) == len(set(chosen.tolist())) == min(count, 1000)


def test_a_rare_class_keeps_a_sample() -> None:
    targets = np.repeat([0, 1], [997, 3])
    assert set(targets[take(targets, 10, seed=0, stratify=True)]) == {0, 1}


def test_the_seed_decides() -> None:
    first, again, other = (take(TARGETS, 50, seed=seed, stratify=True) for seed in (4, 4, 5))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("stratify", [True, False])
def test_what_is_held_out_and_what_stays_are_the_pool(stratify: bool) -> None:
    pool = np.arange(0, 1000, 3)
    kept, held = hold_out(pool, TARGETS, 0.2, seed=0, stratify=stratify)
    assert len(held) == round(len(pool) * 0.2)
    assert np.array_equal(np.sort(np.concatenate([kept, held])), pool)


def test_two_samples_are_still_split() -> None:
    kept, held = hold_out(np.array([5, 9]), TARGETS, 0.01, seed=0, stratify=True)
    assert len(kept) == len(held) == 1
