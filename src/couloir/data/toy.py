"""Toy sets of points in the plane, where a decision boundary can be looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from couloir.data.classes import check_choice

if TYPE_CHECKING:
    from couloir.data.samples import Samples

OF_TWO, TWO = ("moons", "circles"), ["0", "1"]
"""Sets of two classes, and their names; the others have as many as `num_classes` says."""
Points = tuple[NDArray[Any], NDArray[Any]]


def moons(samples: int, noise: float, **keys: Any) -> Samples:
    """Two interleaving half circles; `noise` is the deviation of the points around them."""
    from sklearn.datasets import make_moons

    return _points(lambda: make_moons(samples, noise=noise, random_state=keys["seed"]), keys)


def circles(samples: int, noise: float, factor: float, **keys: Any) -> Samples:
    """A circle in a circle; `factor` is the ratio of their radii."""
    from sklearn.datasets import make_circles

    return _points(lambda: make_circles(samples, noise=noise, factor=factor, random_state=keys["seed"]), keys)


def spirals(samples: int, noise: float, turns: float, **keys: Any) -> Samples:
    """`num_classes` arms of an Archimedean spiral, each `turns` times round the origin."""
    return _points(lambda: spiral_points(samples, noise, turns, keys["num_classes"], keys["seed"]), keys)


def blobs(samples: int, spread: float, **keys: Any) -> Samples:
    """`num_classes` Gaussian clouds of deviation `spread`, centred anywhere in [-10, 10]²."""
    from sklearn.datasets import make_blobs

    return _points(
        lambda: make_blobs(samples, centers=keys["num_classes"], cluster_std=spread, random_state=keys["seed"]), keys
    )


def spiral_points(samples: int, noise: float, turns: float, arms: int, seed: int) -> Points:
    """The points (N, 2) and arms (N,) of `arms` spirals; the radius grows from 0 to 1 along each."""
    rng = np.random.default_rng(seed)
    labels = np.arange(samples) % arms
    radius = np.sqrt(rng.uniform(size=samples))  # the root spreads the points evenly over the length of the arm
    angle = 2 * np.pi * (turns * radius + labels / arms)
    points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return points + rng.normal(scale=noise, size=(samples, 2)), labels


def _points(make: Any, keys: dict[str, Any]) -> Samples:
    from couloir.data.samples import Samples
    from couloir.data.source import ArraySource, Loaded

    def load() -> Loaded:
        points, labels = make()[:2]
        classes = [str(label) for label in range(keys["num_classes"])]
        return Loaded(ArraySource(points.astype(np.float32), labels.astype(np.int64)), classes=classes)

    return Samples(load, **keys)


def inspect(target: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Check which classes take part, where the set has classes of its own.

    Raises:
        CouloirError: as `couloir.data.classes.check_choice`.
    """
    if target in OF_TWO:
        check_choice(keys, TWO)
    return {}
