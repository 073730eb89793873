"""The small tables that come with scikit-learn: three classifications and two regressions, without network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from couloir.data.classes import check_choice

if TYPE_CHECKING:
    from couloir.data.columns import Described
    from couloir.data.samples import Samples


NAMES = {
    "iris": ["setosa", "versicolor", "virginica"],
    "wine": ["class_0", "class_1", "class_2"],
    "breast_cancer": ["malignant", "benign"],
}
"""The classes, as scikit-learn names them."""


def iris(**keys: Any) -> Samples:
    """150 irises: four measures of a flower, three species."""
    from sklearn.datasets import load_iris

    return _classes(load_iris, keys)


def wine(**keys: Any) -> Samples:
    """178 wines: thirteen measures of a chemical analysis, three growers."""
    from sklearn.datasets import load_wine

    return _classes(load_wine, keys)


def breast_cancer(**keys: Any) -> Samples:
    """569 tumours: thirty measures of the nuclei of their cells, malignant or benign."""
    from sklearn.datasets import load_breast_cancer

    return _classes(load_breast_cancer, keys)


def diabetes(**keys: Any) -> Samples:
    """442 patients: ten measures, and how far the disease has advanced a year later."""
    from sklearn.datasets import load_diabetes

    return _values(load_diabetes, ["progression"], keys)


def linnerud(**keys: Any) -> Samples:
    """20 men of a fitness club: three exercises; weight in pounds, waist in inches, pulse."""
    from sklearn.datasets import load_linnerud

    return _values(load_linnerud, ["weight", "waist", "pulse"], keys)


def _classes(read: Callable[[], Any], keys: dict[str, Any]) -> Samples:
    from couloir.data.samples import Samples
    from couloir.data.source import ArraySource, Loaded

    def load() -> Loaded:
        bunch = read()
        source = ArraySource(bunch.data.astype(np.float32), bunch.target.astype(np.int64))
        names = [str(name) for name in bunch.target_names]
        return Loaded(source, classes=names, columns=_described(bunch, ["class"]))

    return Samples(load, **keys)


def _values(read: Callable[[], Any], names: list[str], keys: dict[str, Any]) -> Samples:
    from couloir.data.samples import Samples
    from couloir.data.source import ArraySource, Loaded

    def load() -> Loaded:
        bunch = read()
        values = bunch.target.astype(np.float32).reshape(len(bunch.data), -1)
        source = ArraySource(bunch.data.astype(np.float32), values)
        return Loaded(source, targets=names, columns=_described(bunch, names))

    return Samples(load, **keys)


def _described(bunch: Any, targets: list[str]) -> list[Described]:
    """The columns as they are shown."""
    from couloir.data.columns import Described

    columns = [Described(str(name), "number", "numbers", 0, [str(name)]) for name in bunch.feature_names]
    return [*columns, *(Described(name, "target", "", 0) for name in targets)]


def inspect(target: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Check which classes take part.

    Raises:
        CouloirError: as `couloir.data.classes.check_choice`.
    """
    if target in NAMES:
        check_choice(keys, NAMES[target])
    return {}
