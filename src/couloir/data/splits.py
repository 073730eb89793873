"""Which samples train, validate and test: seeded, stratified by class, and the same on every machine. NumPy alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]

HASHED = 1 << 16
"""Numbers that are hashed at a time."""
FEW = 3
"""Samples that a class needs to be in training, validation and test."""


def take(targets: NDArray[np.generic], count: int, seed: int, stratify: bool) -> Indices:
    """The sorted indices of `count` samples, drawn without replacement.

    Stratified, each class keeps its share: its quota is rounded down, and the largest remainders get what is left. A
    class whose
    quota would be zero gets one sample as long as there are at least as many samples to draw as classes.

    Args:
        targets: one target a sample, (N,) or (N, 1).
        count: how many; at most N.
        seed: what the draw follows from.
        stratify: whether the targets are classes.
    """
    total = len(targets)
    rng = np.random.default_rng(seed)
    if count >= total:
        return np.arange(total)
    if not stratify:
        return np.sort(rng.permutation(total)[:count])
    classes, labels, sizes = np.unique(targets, return_inverse=True, return_counts=True)
    quotas = _quotas(sizes, count, at_least_one=count >= len(classes))
    labels = labels.reshape(-1)
    chosen = [rng.permutation(np.flatnonzero(labels == index))[:quota] for index, quota in enumerate(quotas)]
    return np.sort(np.concatenate(chosen))


def _quotas(sizes: NDArray[np.int64], count: int, at_least_one: bool) -> NDArray[np.int64]:
    exact = sizes * count / sizes.sum()
    quotas: NDArray[np.int64] = np.floor(exact).astype(np.int64)
    if at_least_one:
        quotas = np.maximum(quotas, 1)
    order = np.argsort(-(exact - np.floor(exact)), kind="stable")
    while quotas.sum() < count:
        for index in order:
            if quotas.sum() < count and quotas[index] < sizes[index]:
                quotas[index] += 1
    while quotas.sum() > count:
        quotas[np.argmax(quotas)] -= 1
    return quotas


def hold_out(
    pool: Indices, targets: NDArray[np.generic], fraction: float, seed: int, stratify: bool
) -> tuple[Indices, Indices]:
    """Split a pool of indices into what stays and what is held out, at least one sample each.

    A class of which the whole set has one or two samples is held out only where the others are too few: it is trained
    on first.

    Args:
        pool: indices into `targets`.
        targets: one target a sample of the whole set.
        fraction: the share that is held out, in (0, 1).
        seed: what the draw follows from.
        stratify: whether the targets are classes.
    """
    count = min(max(1, round(len(pool) * fraction)), len(pool) - 1)
    common = np.flatnonzero(~np.isin(targets[pool], rare(targets))) if stratify else np.arange(len(pool))
    if len(common) <= count:
        common = np.arange(len(pool))
    held = common[take(targets[pool[common]], count, seed, stratify)]
    return np.delete(pool, held), pool[held]


def hold_out_by_number(pool: Indices, fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Split a pool of indices into what stays and what is held out, about a fraction of them, at least one sample each.

    Whether a sample is held out follows from its number and the seed alone, by a hash: nothing is sorted or counted,
    and samples that are added behind the others change nothing for these.

    Args:
        pool: numbers of samples.
        fraction: the share that is held out, in (0, 1).
        seed: what the hash is mixed with.
    """
    held = np.empty(len(pool), dtype=bool)
    limit = np.uint64(min(int(fraction * 2.0**64), 2**64 - 1))
    for start in range(0, len(pool), HASHED):
        held[start : start + HASHED] = hashed(pool[start : start + HASHED], seed) < limit
    if not held.any():
        held[np.argmin(hashed(pool[:HASHED], seed))] = True
    if held.all():
        held[np.argmax(hashed(pool[:HASHED], seed))] = False
    return pool[~held], pool[held]


def hashed(numbers: Indices, seed: int) -> NDArray[np.uint64]:
    """A hash of 64 bits of each number and a seed: the mixing function of SplitMix64 (Steele et al., 2014)."""
    with np.errstate(over="ignore"):
        return _mixed(numbers.astype(np.uint64) ^ _mixed(np.array([seed % 2**64], np.uint64)))


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    result: NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return result


def rare(targets: NDArray[np.generic]) -> NDArray[np.generic]:
    """The classes with one or two samples.

    Args:
        targets: one label a sample, (N,).
    """
    classes, sizes = np.unique(targets, return_counts=True)
    few: NDArray[np.generic] = classes[sizes < FEW]
    return few
