"""scikit-learn's handwritten digits: 1,797 images of 8x8, bundled, so that the first sentence needs no network."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from couloir.config.image_size import ImageSize
from couloir.data.classes import check_choice

if TYPE_CHECKING:
    from couloir.data.samples import Samples
    from couloir.data.source import Loaded


CLASSES = [str(digit) for digit in range(10)]


def digits(**keys: Any) -> Samples:
    """The digits as `Samples`; `keys` are those of `couloir.data.samples.Samples`."""
    from couloir.data.samples import Samples

    return Samples(lambda: _load(keys["image_size"]), **keys)


def _load(image_size: ImageSize) -> Loaded:
    from couloir.data.source import ArraySource, Loaded

    return Loaded(ArraySource(*arrays(), image_size), classes=CLASSES)


def arrays() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (N, 1, 8, 8) and labels (N,)."""
    spec = find_spec("sklearn")
    file = Path((spec and spec.origin) or "").parent / "datasets" / "data" / "digits.csv.gz"
    if file.is_file():  # scikit-learn's own table, without a second for importing scikit-learn and SciPy
        table = np.loadtxt(file, delimiter=",")
        images, labels = table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(np.int64)
    else:
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        images = images.reshape(-1, 8, 8)
    # Sixteen grey levels, 0 to 16, spread over the range of a byte.
    return np.rint(images * (255 / 16)).astype(np.uint8)[:, None], labels


def inspect(target: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Check which classes take part.

    Raises:
        CouloirError: as `couloir.data.classes.check_choice`.
    """
    check_choice(keys, CLASSES)
    return {}
