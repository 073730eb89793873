"""The range test's suggestion, on curves whose steepest point is known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from couloir.inspect.rate_curve import draw_rate_curve, exponential_rates, read_curve

RATES = exponential_rates(1e-6, 10, 100)


def losses(middle: float, width: float, explosion: float, noise: float = 0.0, seed: int = 0) -> list[float]:
    """A plateau, a logistic fall whose steepest point is 10^middle, and an explosion from 10^explosion on."""
    x = np.log10(RATES)
    clean = 2.3 - 1.8 / (1 + np.exp(-(x - middle) / width)) + np.exp(4 * (x - explosion))
    values: list[float] = (clean + noise * np.random.default_rng(seed).standard_normal(len(x))).tolist()
    return values


def test_rates_grow_by_one_factor_from_the_first_to_the_last() -> None:
    rates = exponential_rates(1e-7, 10.0, 9)
    np.testing.assert_allclose(rates, np.geomspace(1e-7, 10, 9), rtol=1e-12)


@pytest.mark.parametrize(("middle", "width", "explosion"), [(-2, 0.25, 0.0), (-3, 0.4, -1.0), (-1, 0.15, 0.3)])
@pytest.mark.parametrize(("noise", "decades"), [(0.0, 0.1), (0.05, 0.25), (0.15, 0.6)])
def test_the_steepest_descent_is_found_through_noise(
    middle: float, width: float, explosion: float, noise: float, decades: float
) -> None:
    for seed in range(10):
        curve = read_curve(RATES, losses(middle, width, explosion, noise, seed))
        assert curve.steepest is not None
        assert abs(math.log10(curve.steepest) - middle) < decades


def test_the_least_loss_is_found_and_a_tenth_of_its_rate_is_the_careful_choice() -> None:
    values = losses(-2, 0.25, 0.0)
    curve = read_curve(RATES, values)
    assert curve.lowest is not None
    assert curve.conservative == curve.lowest / 10
    assert abs(math.log10(curve.lowest / RATES[int(np.argmin(values))])) < 0.25


def test_a_single_outlier_changes_nothing_to_speak_of() -> None:
    values = losses(-2, 0.25, 0.0, noise=0.02)
    spiked = list(values)
    spiked[30] = -5.0
    spiked[40] = 60.0
    plain, curve = read_curve(RATES, values), read_curve(RATES, spiked)
    assert plain.steepest is not None
    assert curve.steepest is not None
    assert abs(math.log10(curve.steepest / plain.steepest)) < 0.1


def test_an_explosion_does_not_reach_back() -> None:
    values = losses(-2, 0.25, 5.0)
    exploded = [*values[:75], *(value * 10 ** (n + 1) for n, value in enumerate(values[75:80])), math.nan]
    curve = read_curve(RATES[: len(exploded)], exploded)
    assert curve.steepest is not None
    assert abs(math.log10(curve.steepest) + 2) < 0.1
    assert math.isnan(curve.smoothed[-1])


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_unit_of_the_loss_does_not_matter(scale: float) -> None:
    values = losses(-2, 0.25, 0.0, noise=0.05)
    plain, scaled = read_curve(RATES, values), read_curve(RATES, [value * scale - scale for value in values])
    assert scaled.steepest == plain.steepest


def test_noise_alone_suggests_nothing() -> None:
    flat = [read_curve(RATES, losses(9, 0.1, 0.3, noise=0.3, seed=seed)).steepest for seed in range(40)]
    assert sum(rate is not None for rate in flat) <= 3


@pytest.mark.parametrize(
    "values",
    [[1.0 + n for n in range(30)], [2.0] * 30, [math.nan] * 30, [1.0, 0.5, math.inf]],
    ids=["rising", "constant", "nan", "short"],
)
def test_a_loss_that_does_not_fall_suggests_nothing(values: list[float]) -> None:
    curve = read_curve(RATES[: len(values)], values)
    assert curve.steepest is None
    assert curve.conservative is None


def test_the_picture_is_drawn_with_and_without_a_suggestion(tmp_path: Path) -> None:
    for name, values in (("with", losses(-2, 0.25, 0.0, noise=0.05)), ("without", [2.0] * 99 + [math.inf])):
        draw_rate_curve(read_curve(RATES, values), tmp_path / f"{name}.png", name)
        pixels = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"))
        orange = (np.abs(pixels.astype(int) - [0xD1, 0x57, 0x1B]).sum(axis=2) < 30).sum()
        assert (orange > 500) == (name == "with"), "the suggestion is marked in orange"
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50
