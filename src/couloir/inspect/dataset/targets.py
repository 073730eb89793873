"""What a data set has to be learned from, by split: classes, labels, classes of pixels, values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from couloir.data.division import Split
from couloir.data.samples import Samples
from couloir.inspect.dataset.numbers import measures

MAPS = 500
"""Maps of a split, evenly spaced, whose pixels are counted."""


def classes(data: Samples, maps: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """The classes' names, and how many samples of each a split has; of maps how many pixels. None: there are none.

    Args:
        data: set up.
        maps: of `couloir.inspect.dataset.map_counts`, where the maps are among the raw samples.
    """
    if data.kind not in ("label", "labels", "map") or data.target == data.input:
        return None
    if maps is not None and maps["holds"] != "classes":
        return None
    counts = {name: _counts(data, split) for name, split in data.splits.items()} if maps is None else maps["pixels"]
    number = max([data.num_classes or 0, *(len(each) for each in counts.values())])
    names = [data.classes[label] if label < len(data.classes) else str(label) for label in range(number)]
    padded = {name: [*each, *[0] * (number - len(each))] for name, each in counts.items()}
    return {"names": names, "counted": "pixels" if data.kind == "map" else "samples", "counts": padded}


def _counts(data: Samples, split: Split) -> list[int]:
    targets, least = split.targets, data.num_classes or 0
    if data.kind == "labels":
        return [int(count) for count in (targets > 0.5).sum(axis=0)]
    if data.kind == "map":
        targets = targets[:: max(1, -(-len(targets) // MAPS))].reshape(-1)
        targets = targets[targets >= 0]
    counts: list[int] = np.bincount(targets.astype(np.int64), minlength=least).tolist()
    return counts


def name_of(data: Samples, target: Any) -> str:
    """A sample's target in words: its class, its labels with `;` between them, or its values; nothing of a map."""
    if data.kind == "value":
        return ";".join(f"{value:g}" for value in np.ravel(target))
    if data.kind == "map":
        return ""
    labels = np.flatnonzero(target > 0.5).tolist() if data.kind == "labels" else [int(target)]
    return ";".join(data.classes[label] if label < len(data.classes) else str(label) for label in labels)


def values(data: Samples) -> list[dict[str, Any]] | None:
    """The values to predict: of each its name, and its measures by split; None where none are predicted."""
    if data.kind != "value" or data.target == data.input:
        return None
    columns = {name: as_columns(split.targets) for name, split in data.splits.items()}
    return [
        {"name": name, "splits": {split: measures(each[:, place]) for split, each in columns.items()}}
        for place, name in enumerate(value_names(data, columns["train"].shape[1]))
    ]


def value_names(data: Samples, count: int) -> list[str]:
    """What the values are called."""
    names = list(getattr(data, "targets", []))
    return names if len(names) == count else [data.target, *(f"{data.target} {at}" for at in range(2, count + 1))]


def as_columns(targets: NDArray[Any]) -> NDArray[np.float64]:
    """Values (N,) or (N, K) as (N, K)."""
    columns: NDArray[np.float64] = targets.reshape(len(targets), -1).astype(np.float64)
    return columns
