"""Random images of any size, for measuring speed and memory; there is nothing in them to learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from couloir.config.image_size import sample_shape

if TYPE_CHECKING:
    from couloir.data.samples import Samples


def synthetic(samples: int, **keys: Any) -> Samples:
    """`samples` images of uniform noise with labels drawn at random, every class present where there is room."""
    from couloir.data.samples import Samples
    from couloir.data.source import ArraySource, Loaded

    def load() -> Loaded:
        rng = np.random.default_rng(keys["seed"])
        shape = (samples, *sample_shape(keys["channels"], keys["image_size"]))
        images = rng.integers(256, size=shape, dtype=np.uint8)
        labels = rng.permutation(np.arange(samples) % keys["num_classes"])
        return Loaded(ArraySource(images, labels), classes=[str(label) for label in range(keys["num_classes"])])

    return Samples(load, **keys)
