"""Whether two settings differ, against SciPy's own test."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_ind

from couloir.sweep.noise import closer_than_samples_tell, deviation, within_noise


def test_a_difference_within_noise_is_told_as_scipy_tells_it() -> None:
    generator = np.random.default_rng(0)
    verdicts = []
    for _ in range(200):
        one = generator.normal(0.9, generator.uniform(0.001, 0.02), generator.integers(2, 8)).tolist()
        other = generator.normal(0.91, generator.uniform(0.001, 0.02), generator.integers(2, 8)).tolist()
        verdicts.append(within_noise(one, other))
        assert verdicts[-1] == (ttest_ind(one, other, equal_var=False).pvalue >= 0.05)
    assert 20 < sum(map(bool, verdicts)) < 180, "both verdicts were put to the test"


def test_settings_whose_seeds_agree_to_the_digit_differ_or_are_the_same() -> None:
    assert within_noise([0.5, 0.5], [0.5, 0.5, 0.5]) is True
    assert within_noise([0.5, 0.5], [0.6, 0.6]) is False


@pytest.mark.parametrize("other", [[], [0.9]])
def test_nothing_is_said_of_noise_with_a_single_seed(other: list[float]) -> None:
    assert within_noise([0.5, 0.6], other) is None
    assert within_noise(other, [0.5, 0.6]) is None
    assert deviation(other) is None


def test_the_deviation_is_that_of_a_sample() -> None:
    assert deviation([1.0, 2.0, 4.0]) == pytest.approx(np.std([1.0, 2.0, 4.0], ddof=1))


def test_accuracies_that_a_split_cannot_tell_apart() -> None:
    # The standard error of 0.9 on 100 samples is sqrt(0.09 / 100) = 0.03.
    assert closer_than_samples_tell(0.9, 0.871, 100)
    assert not closer_than_samples_tell(0.9, 0.869, 100)
    assert not closer_than_samples_tell(1.0, 1.0, 100), "a standard error of zero says nothing"
