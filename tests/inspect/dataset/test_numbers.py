"""Measures, correlations and histograms against NumPy and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pointbiserialr
from scipy.stats.contingency import association

from couloir.inspect.dataset.numbers import (
    correlation_ratio,
    correlations,
    cramers_v,
    edges_of,
    histogram,
    measures,
)  # fmt: skip


def test_measures_are_numpys_and_leave_gaps_out() -> None:
    values = np.array([3.0, np.nan, 1.0, 8.0, 1.0])
    there = [3.0, 1.0, 8.0, 1.0]
    assert measures(values) == {
        "min": 1.0, "median": 2.0, "mean": pytest.approx(np.mean(there)), "std": pytest.approx(np.std(there)),
        "max": 8.0,
    }  # fmt: skip
    assert measures(np.full(7, 0.1))["std"] == 0.0, "equal numbers do not vary, in no digit"
    assert set(measures(np.array([np.nan])).values()) == {None}


def test_correlations_are_numpys_over_the_rows_that_two_columns_share() -> None:
    generator = np.random.default_rng(0)
    columns = generator.normal(size=(60, 4)) @ generator.normal(size=(4, 4)) + 1e4
    columns[generator.random(columns.shape) < 0.2] = np.nan
    columns = np.hstack([columns, np.full((60, 1), 5.0)])
    found = correlations(columns)
    for one in range(4):
        for other in range(4):
            both = np.isfinite(columns[:, one]) & np.isfinite(columns[:, other])
            expected = np.corrcoef(columns[both, one], columns[both, other])[0, 1]
            assert found[one, other] == pytest.approx(expected, abs=1e-9)
    assert np.isnan(found[4]).all(), "a column that does not vary has none"


def test_the_correlation_ratio_of_two_groups_is_the_point_biserial_correlation() -> None:
    generator = np.random.default_rng(1)
    groups = generator.integers(2, size=80)
    values = generator.normal(size=80) + groups
    assert correlation_ratio(groups, values) == pytest.approx(abs(pointbiserialr(groups, values).statistic))
    assert correlation_ratio(groups, groups * 3.0 + 1) == pytest.approx(1)
    assert np.isnan(correlation_ratio(groups, np.ones(80)))


def test_cramers_v_is_scipys() -> None:
    generator = np.random.default_rng(2)
    one, other = generator.integers(3, size=200), generator.integers(4, size=200)
    other[one == 1] = 2
    table = np.zeros((3, 4), dtype=int)
    np.add.at(table, (one, other), 1)
    assert cramers_v(one, other) == pytest.approx(association(table, method="cramer"))
    assert cramers_v(one, (one + 1) % 3 + 4) == pytest.approx(1), "codes that do not begin at 0"
    assert np.isnan(cramers_v(one, np.zeros(200, dtype=int)))


def test_few_integers_have_a_bar_each_and_every_value_lies_in_one() -> None:
    values = np.array([1.0, 3.0, 3.0, np.nan, 4.0])
    edges = edges_of(values)
    assert edges.tolist() == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert histogram(values, edges) == [1, 0, 2, 1]
    fractions = np.random.default_rng(3).normal(size=500)
    assert sum(histogram(fractions, edges_of(fractions))) == 500
    assert histogram(np.full(3, 2.0), edges_of(np.full(3, 2.0))) == [3]
