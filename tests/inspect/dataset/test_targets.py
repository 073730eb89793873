"""What is learned is counted as it is: labels, several labels, the pixels of maps, values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from couloir.data.samples import Samples
from couloir.data.source import ArraySource, Loaded
from couloir.inspect.dataset.targets import classes, name_of, values


def samples(learned: Any, kind: str, **keys: Any) -> Samples:
    """Images of 4 x 4 with these targets, all of them to train but a few."""
    images = np.random.default_rng(0).integers(256, size=(len(learned), 1, 4, 4), dtype=np.uint8)
    loaded = Loaded(ArraySource(images, learned), **keys)
    data = Samples(
        lambda: loaded, task="any", fields={"image": "image", "target": kind}, channels=1, image_size=4,
        num_classes=len(keys.get("classes", [])) or None, batch_size=4,
    )  # fmt: skip
    data.setup()
    return data


def total(counted: dict[str, Any]) -> list[int]:
    return [int(count) for count in np.sum(list(counted["counts"].values()), axis=0)]


def test_a_class_without_a_sample_has_a_zero_in_each_split() -> None:
    found = classes(samples(np.array([0, 2] * 10), "label", classes=["a", "b", "c"]))
    assert found is not None
    assert total(found) == [10, 0, 10]
    assert {len(each) for each in found["counts"].values()} == {3}
    assert found["counted"] == "samples"


def test_several_labels_of_a_sample_count_each() -> None:
    marks = np.array([[1, 1], [0, 1], [0, 0], [1, 1]] * 5, dtype=np.float32)
    data = samples(marks, "labels", classes=["cat", "dog"])
    found = classes(data)
    assert found is not None
    assert total(found) == [10, 15]
    assert [name_of(data, mark) for mark in marks[:3]] == ["cat;dog", "dog", ""]


def test_of_maps_the_pixels_are_counted_and_what_is_to_be_ignored_is_not() -> None:
    maps = np.zeros((20, 4, 4), dtype=np.int64)
    maps[:, 0] = 1
    maps[:, 3] = -100
    found = classes(samples(maps, "map", classes=["ground", "wall"]))
    assert found is not None
    assert found["counted"] == "pixels"
    assert total(found) == [20 * 8, 20 * 4]


def test_each_value_has_its_measures_by_split() -> None:
    targets = np.stack([np.arange(20.0), np.full(20, 3.0)], axis=1).astype(np.float32)
    data = samples(targets, "value", targets=["age", "flat"])
    found = values(data)
    assert found is not None
    assert [value["name"] for value in found] == ["age", "flat"]
    train = data.splits["train"].targets[:, 0]
    assert found[0]["splits"]["train"]["mean"] == pytest.approx(train.mean())
    assert found[1]["splits"]["test"] == {"min": 3, "median": 3, "mean": 3, "std": 0, "max": 3}
    assert classes(data) is None
