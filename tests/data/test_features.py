"""Numbers become float32 without losing what they differ by."""

from __future__ import annotations

import numpy as np
import pytest

from couloir.data.features import offset_of


def test_float32_of_ordinary_numbers_needs_no_offset() -> None:
    rng = np.random.default_rng(0)
    for values in (rng.normal(size=99), np.arange(1990, 2020.0), np.full(9, 36.6), np.array([np.nan, 16777216, 5])):
        assert offset_of(values) == 0.0


@pytest.mark.parametrize(
    "values",
    [np.arange(20240101, 20240131.0), 1.7e9 + np.arange(300.0), 1e6 + np.random.default_rng(0).random(50) / 100],
    ids=["YYYYMMDD", "seconds since 1970", "small differences of large numbers"],
)
def test_numbers_that_float32_would_blur_are_shifted_first(values: np.ndarray) -> None:
    offset = offset_of(values)
    kept = (values - offset).astype(np.float32).astype(np.float64) + offset
    assert len(np.unique(values.astype(np.float32))) < len(values)
    np.testing.assert_allclose(kept, values, rtol=0, atol=1e-6 * np.ptp(values))
