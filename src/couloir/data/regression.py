"""A noisy line and a noisy polynomial: the course's first steps from regression to networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from couloir.errors import CouloirError

if TYPE_CHECKING:
    from couloir.data.samples import Samples


def line(samples: int, slope: float, intercept: float, range: list[float], noise: float, **keys: Any) -> Samples:
    """y = slope x + intercept + N(0, noise²), x uniform over the range."""
    return _curve([intercept, slope], samples, range, noise, keys)


def polynomial(
    samples: int, degree: int, coefficients: list[float] | None, range: list[float], noise: float, **keys: Any
) -> Samples:
    """y = sum of c_k x^k + N(0, noise²), k = 0..degree, x uniform over the range.

    Raises:
        CouloirError: the coefficients are not degree + 1 numbers.
    """
    if coefficients is None:
        coefficients = np.random.default_rng(keys["seed"]).uniform(-1, 1, size=degree + 1).tolist()
    if len(coefficients) != degree + 1:
        raise CouloirError(
            f"A polynomial of degree {degree} has {degree + 1} coefficients, not {len(coefficients)}.",
            place="data.coefficients, the constant first",
            next_step=f"give {degree + 1} numbers, or set data.degree={len(coefficients) - 1}",
        )
    return _curve(coefficients, samples, range, noise, keys)


def _curve(coefficients: list[float], samples: int, limits: list[float], noise: float, keys: dict[str, Any]) -> Samples:
    from couloir.data.samples import Samples
    from couloir.data.source import ArraySource, Loaded

    if len(limits) != 2 or limits[0] >= limits[1]:
        raise CouloirError(f"data.range={limits} is not a range.", next_step="write data.range=[low,high]")

    def load() -> Loaded:
        rng = np.random.default_rng(keys["seed"])
        x = rng.uniform(limits[0], limits[1], size=(samples, 1))
        y = np.polynomial.polynomial.polyval(x, coefficients) + rng.normal(scale=noise, size=(samples, 1))
        return Loaded(ArraySource(x.astype(np.float32), y.astype(np.float32)))

    return Samples(load, **keys)
