"""Numbers about numbers: their measures, their histograms, and how they go together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


def measures(values: Numbers) -> dict[str, Any]:
    """Least, median, mean, deviation and greatest of some values, NaN left out; None each where there are none."""
    values = values[np.isfinite(values)]
    if not len(values):
        return dict.fromkeys(("min", "median", "mean", "std", "max"))
    constant = bool(values.min() == values.max())  # a mean of equal numbers may differ from them in the last digit
    return {
        "min": float(values.min()),
        "median": float(np.median(values)),
        "mean": float(values[0]) if constant else float(values.mean()),
        "std": 0.0 if constant else float(values.std()),
        "max": float(values.max()),
    }


def correlations(columns: Numbers) -> Numbers:
    """Pearson's correlation of each two columns over the rows where both have a value.

    Args:
        columns: (N, K); NaN where there is no value.

    Returns:
        (K, K); NaN where a column does not vary, or two columns have fewer than two rows in common.
    """
    there = np.isfinite(columns)
    counts = there.sum(axis=0)
    means = np.where(there, columns, 0.0).sum(axis=0) / np.maximum(counts, 1)
    centred = np.where(there, columns - means, 0.0)
    scale = np.sqrt(np.square(centred).sum(axis=0) / np.maximum(counts, 1))
    varies = scale > 1e-12 * (1 + np.abs(means))
    centred = centred / np.where(varies, scale, 1.0)
    mask = there.astype(np.float64)
    both = mask.T @ mask
    several = np.maximum(both, 1.0)
    sums, squares = centred.T @ mask, np.square(centred).T @ mask  # of column i over the rows of column j
    covariance = centred.T @ centred / several - (sums / several) * (sums.T / several)
    variance = squares / several - np.square(sums / several)
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Numbers = covariance / np.sqrt(variance * variance.T)
    result[(both < 2) | ~np.isfinite(result) | (np.minimum(variance, variance.T) < 1e-20)] = np.nan
    result[~varies] = np.nan
    result[:, ~varies] = np.nan
    return np.clip(result, -1.0, 1.0)


def correlation_ratio(groups: NDArray[np.int64], values: Numbers) -> float:
    """The root of the share of the variance of values that lies between groups: 1 where the group says the value.

    Args:
        groups: (N,), from 0.
        values: (N,), finite.
    """
    mean = values.mean() if len(values) else 0.0
    total = float(np.square(values - mean).sum())
    if not total:
        return float("nan")
    counts = np.bincount(groups)
    means = np.bincount(groups, weights=values - mean) / np.maximum(counts, 1)
    return float(np.sqrt(min(1.0, float((counts * np.square(means)).sum()) / total)))


def cramers_v(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    """Cramér's V of two categories: 0 where neither says anything about the other, 1 where one says the other.

    Args:
        one: (N,), from 0.
        other: (N,), from 0.
    """
    table = crossed(one, other)
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    smaller = min(table.shape) - 1
    if smaller < 1:
        return float("nan")
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / table.sum()
    chi2 = float((np.square(table - expected) / expected).sum())
    return float(np.sqrt(chi2 / (table.sum() * smaller)))


def crossed(one: NDArray[np.int64], other: NDArray[np.int64]) -> Numbers:
    """How often each two categories come together, (A, B)."""
    rows, columns = int(one.max(initial=-1)) + 1, int(other.max(initial=-1)) + 1
    counts: Numbers = np.bincount(one * columns + other, minlength=rows * columns).reshape(rows, columns).astype(float)
    return counts


def histogram(values: Numbers, edges: Numbers) -> list[int]:
    """How many values lie between each two edges; NaN nowhere."""
    counts: list[int] = np.histogram(values[np.isfinite(values)], edges)[0].tolist()
    return counts


def edges_of(values: Numbers, most: int = 30) -> Numbers:
    """The edges of the bins of a histogram: one a number for few integers, else `most` of one width."""
    values = values[np.isfinite(values)]
    if not len(values):
        return np.array([0.0, 1.0])
    low, high = float(values.min()), float(values.max())
    if low == high:
        return np.array([low - 0.5, high + 0.5])
    if high - low < most and bool(np.all(values == np.floor(values))):
        return np.arange(low, high + 2) - 0.5
    return np.linspace(low, high, most + 1)
