"""Splits: seeded, disjoint, stratified; a class does not vanish."""

from __future__ import annotations

import numpy as np
import pytest

from couloir.data.splits import hashed, hold_out, hold_out_by_number, rare, take

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


def test_a_class_of_one_or_two_samples_is_trained_on_before_it_is_held_out() -> None:
    targets = np.array([0] * 40 + [1] + [2] * 40 + [3] * 2 + [4] * 3)
    assert rare(targets).tolist() == [1, 3]
    for seed in range(20):
        pool, test = hold_out(np.arange(len(targets)), targets, 0.2, seed, stratify=True)
        kept, val = hold_out(pool, targets, 0.2, seed + 1, stratify=True)
        assert len(test) == round(len(targets) * 0.2)
        assert not {1, 3} & set(targets[test]) | {1, 3} & set(targets[val])
        assert set(targets[kept]) == {0, 1, 2, 3, 4}


def test_without_a_rare_class_the_draw_is_the_one_of_the_classes_shares() -> None:
    pool = np.arange(0, 1000, 3)
    count = round(len(pool) * 0.2)
    _, held = hold_out(pool, TARGETS, 0.2, seed=5, stratify=True)
    assert np.array_equal(held, pool[take(TARGETS[pool], count, 5, stratify=True)])


def test_where_every_class_is_rare_they_are_held_out_all_the_same() -> None:
    kept, held = hold_out(np.arange(4), np.array([0, 0, 1, 1]), 0.25, seed=0, stratify=True)
    assert (len(kept), len(held)) == (3, 1)


def test_samples_are_held_out_by_a_hash_of_their_numbers_alone() -> None:
    pool = np.arange(200_000)
    left, held = hold_out_by_number(pool, 0.15, 3)
    assert sorted([*left, *held]) == pool.tolist()
    assert abs(len(held) - 30_000) < 4 * (200_000 * 0.15 * 0.85) ** 0.5  # four deviations of a binomial
    some = pool[::3]
    assert hold_out_by_number(some, 0.15, 3)[1].tolist() == [number for number in held.tolist() if number % 3 == 0]
    other = hold_out_by_number(pool, 0.15, 4)[1]
    assert abs(len(np.intersect1d(held, other)) - 4_500) < 4 * (200_000 * 0.0225 * 0.9775) ** 0.5
    for few in (2, 3):
        assert [len(part) > 0 for part in hold_out_by_number(np.arange(few), 0.01, 0)] == [True, True]
        assert [len(part) > 0 for part in hold_out_by_number(np.arange(few), 0.999, 0)] == [True, True]


def test_the_hash_is_splitmix64() -> None:
    def mixed(value: int) -> int:
        value = (value + 0x9E3779B97F4A7C15) % 2**64
        value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        value = (value ^ value >> 27) * 0x94D049BB133111EB % 2**64
        return value ^ value >> 31

    assert mixed(0) == 0xE220A8397B1DCDAF  # the first number of java.util.SplittableRandom(0)
    numbers = np.array([0, 1, 12_345, 2**40])
    assert hashed(numbers, 7).tolist() == [mixed(number ^ mixed(7)) for number in numbers.tolist()]
