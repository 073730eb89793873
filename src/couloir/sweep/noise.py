"""How far the numbers of a setting's runs lie apart, and whether two settings differ by more than that."""

from __future__ import annotations

import math
from collections.abc import Sequence

LEVEL = 0.05
"""From this probability on that chance alone does as much, a difference is within noise."""


def deviation(values: Sequence[float]) -> float | None:
    """The sample standard deviation (with n - 1); None for fewer than two values."""
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


def within_noise(one: Sequence[float], other: Sequence[float]) -> bool | None:
    """Whether two settings' means differ by no more than their seeds do: Welch's t-test, two-sided.

    Source: Welch, 1947, The Generalization of Student's Problem when Several Population Variances are Involved.

    Args:
        one: a number of each run of the first setting.
        other: the same of the second.

    Returns:
        True where p >= 0.05; None where either has fewer than two runs, so that nothing is known of the noise.
    """
    if len(one) < 2 or len(other) < 2:
        return None
    squares = [(deviation(values) or 0.0) ** 2 / len(values) for values in (one, other)]
    difference = sum(one) / len(one) - sum(other) / len(other)
    if sum(squares) == 0:
        return difference == 0
    from scipy.special import stdtr  # at the end of a sweep only: a plan is made without it

    freedom = sum(squares) ** 2 / sum(
        square**2 / (len(values) - 1) for square, values in zip(squares, (one, other), strict=True)
    )
    probability = 2 * float(stdtr(freedom, -abs(difference) / math.sqrt(sum(squares))))
    return probability >= LEVEL


def within_noise_of_folds(one: Sequence[float], other: Sequence[float], share: float) -> bool | None:
    """Whether two settings' means differ by no more than their folds do: the corrected resampled t-test, two-sided.

    The runs of a setting train on much the same samples, so that their numbers lie closer together than those of
    independent runs; and both settings have the same folds, so that runs are compared in pairs.
    Source: Nadeau and Bengio, 2003, Inference for the Generalization Error, section 3.

    Args:
        one: a number of each run of the first setting.
        other: the same of the second, in the same order of folds.
        share: measured samples to training samples of a run.

    Returns:
        True where p >= 0.05; None where the runs are fewer than two, or do not pair.
    """
    if len(one) < 2 or len(one) != len(other):
        return None
    differences = [a - b for a, b in zip(one, other, strict=True)]
    mean, spread = sum(differences) / len(differences), deviation(differences) or 0.0
    if spread == 0:
        return mean == 0
    from scipy.special import stdtr  # at the end of a sweep only: a plan is made without it

    error = spread * math.sqrt(1 / len(differences) + share)
    return 2 * float(stdtr(len(differences) - 1, -abs(mean) / error)) >= LEVEL


def closer_than_samples_tell(one: float, other: float, samples: int) -> bool:
    """Whether two accuracies in [0, 1] differ by less than the binomial standard error of one on so many samples."""
    return abs(one - other) < standard_error(one, samples)


def standard_error(accuracy: float, samples: int) -> float:
    """The binomial standard error of an accuracy in [0, 1] that so many samples were counted for."""
    return math.sqrt(max(accuracy * (1 - accuracy), 0.0) / samples)
