"""What is said of a set before it is trained on: classes that a split lacks, and samples that two splits share."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import couloir
from couloir.data import doubles
from couloir.data.health import absent_classes, rare_classes, repeated_samples, shared_samples, unequal_classes
from couloir.data.images import image_folder
from couloir.data.samples import Samples
from couloir.data.source import ArraySource, Loaded
from couloir.run.assemble import load_data
from photographs import make_photographs

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(256, size=(60, 1, 4, 4), dtype=np.uint8)
LABELS = np.arange(60) % 3


def image_set(train: slice, test: slice, **keys: Any) -> Samples:
    settings: dict[str, Any] = {
        "task": "classification", "channels": 1, "image_size": 4, "num_classes": 3, "batch_size": 8, **keys,
    }  # fmt: skip

    def load() -> Loaded:
        sources = (ArraySource(IMAGES[part], LABELS[part]) for part in (train, test))
        return Loaded(next(sources), test=next(sources), classes=["ant", "bee", "wasp"])

    samples = Samples(load, **settings)
    samples.setup()
    return samples


def test_a_class_that_a_split_lacks_is_named_with_counts() -> None:
    missing = image_set(slice(0, 40), slice(42, 60, 3))
    assert list(absent_classes(missing)) == ["none of the 6 test samples is of the classes bee, wasp (2 of 3)"]
    assert list(absent_classes(image_set(slice(0, 30), slice(30, 60)))) == []
    never = image_set(slice(0, 30), slice(30, 60), num_classes=20)
    first, *others = absent_classes(never)
    assert first.endswith("training samples is of the classes 3, 4, 5, 6, 7, 8, 9, 10 and 9 more (17 of 20)")
    assert len(others) == 2


def test_images_that_are_in_training_and_test_are_counted_whatever_their_label() -> None:
    (line,) = shared_samples(image_set(slice(0, 40), slice(37, 60), val_fraction=0.001))
    assert line == "3 of 23 test samples are also in the training split"
    assert list(shared_samples(image_set(slice(0, 40), slice(40, 60)))) == []


@pytest.mark.parametrize(("target", "expected"), [(0.5, ["1 of 4 test samples is"]), (0.6, [])])
def test_rows_are_the_same_where_their_target_is(target: float, expected: list[str]) -> None:
    x = RNG.normal(size=(30, 3)).astype(np.float32)
    y = np.full((30, 1), 0.5, np.float32)
    held_x, held_y = RNG.normal(size=(4, 3)).astype(np.float32), np.full((4, 1), target, np.float32)
    held_x[2] = x[7]
    samples = Samples(
        lambda: Loaded(ArraySource(x, y), ArraySource(x[8:12] + 1, y[8:12]), ArraySource(held_x, held_y)),
        task="regression", channels=3, image_size=None, num_classes=1, batch_size=8,
    )  # fmt: skip
    samples.setup()
    assert [line[: len(start)] for line, start in zip(shared_samples(samples), expected, strict=True)] == expected


@pytest.mark.parametrize("memory_budget", [0.0, 1.0])
def test_photographs_that_two_splits_share_are_found_by_their_bytes_and_an_example_is_named(
    memory_budget: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_photographs(tmp_path / "photos")
    for copy, original in (("test/b/x.jpg", "train/a/004.jpg"), ("val/a/y.jpg", "train/b/003.jpg")):
        (root / copy).write_bytes((root / original).read_bytes())
    content = bytearray((root / "train/a/000.jpg").read_bytes())
    content[-3] ^= 1  # the same size, and the same in the middle
    (root / "test/a/z.jpg").write_bytes(bytes(content))
    whole: list[Path] = []
    digest = doubles.digest
    monkeypatch.setattr(doubles, "digest", lambda path: whole.append(path) or digest(path))
    samples = image_folder(
        str(root), memory_budget, task="classification", channels=3, image_size=8, num_classes=2, batch_size=4
    )
    samples.setup()
    assert list(shared_samples(samples)) == [
        f"1 of 6 test samples is also in the training split, for example {root}/train/a/004.jpg and "
        f"{root}/test/b/x.jpg",
        f"1 of 5 validation samples is also in the training split, for example {root}/train/b/003.jpg and "
        f"{root}/val/a/y.jpg",
    ]
    assert len(whole) == 6, "the copies, their originals, and what differs at its end"
    monkeypatch.setattr(doubles, "HASHED_BYTES", 0)
    assert list(shared_samples(samples)) == []
    monkeypatch.setattr(doubles, "OPENED", 3)
    assert list(shared_samples(samples)) == []


def test_a_file_that_cannot_be_read_is_like_no_other(tmp_path: Path) -> None:
    root = make_photographs(tmp_path / "photos")
    (root / "test/b/x.jpg").write_bytes((root / "train/a/004.jpg").read_bytes())
    samples = image_folder(str(root), 1.0, task="classification", channels=3, image_size=8, num_classes=2, batch_size=4)
    samples.setup()
    (root / "train/a/004.jpg").unlink()
    assert list(shared_samples(samples)) == []


@pytest.mark.parametrize("data", ["digits", "moons", "line", "spirals"])
def test_the_sets_that_everybody_begins_with_are_not_warned_about(data: str) -> None:
    samples = load_data(couloir.compose([f"data={data}"]).cfg)
    assert [*absent_classes(samples), *rare_classes(samples), *repeated_samples(samples)] == []


def test_mnist_has_no_image_twice_and_is_looked_through_in_no_time(couloir_data: Path) -> None:
    samples = load_data(couloir.compose(["data=mnist"]).cfg)
    began = time.process_time()
    assert list(shared_samples(samples)) == []
    assert time.process_time() - began < 20, "measured: 0.17 s; every pair of them would be hours"


def test_photographs_that_repeat_are_told_within_a_class_and_under_two_labels(tmp_path: Path) -> None:
    root = make_photographs(tmp_path / "photos")
    for copy, original in (("a/x.jpg", "a/004.jpg"), ("a/y.jpg", "a/004.jpg"), ("b/x.jpg", "a/002.jpg")):
        (root / "train" / copy).write_bytes((root / "train" / original).read_bytes())
    samples = image_folder(str(root), 0.0, task="classification", channels=3, image_size=8, num_classes=2, batch_size=4)
    samples.setup()
    train = root / "train"
    assert list(repeated_samples(samples)) == [
        f"2 photographs repeat others of the same split and label, for example {train}/a/x.jpg is {train}/a/004.jpg",
        f"1 photograph has two labels: for example {train}/a/002.jpg and {train}/b/x.jpg are the same file",
    ]
    assert list(shared_samples(samples)) == []


def test_classes_of_one_or_two_samples_are_told(tmp_path: Path) -> None:
    images = RNG.integers(256, size=(43, 1, 4, 4), dtype=np.uint8)
    labels = np.array([0] * 40 + [1] + [2] * 2)
    samples = Samples(
        lambda: Loaded(ArraySource(images, labels), classes=["ant", "bee", "wasp"]),
        task="classification", channels=1, image_size=4, num_classes=3, batch_size=8,
    )  # fmt: skip
    samples.setup()
    (line,) = rare_classes(samples)
    assert line == "2 of 3 classes have one or two samples, which training gets before validation and test: bee, wasp"
    assert np.bincount(samples.splits["train"].targets).tolist()[1:] == [1, 2]


@pytest.mark.parametrize(
    ("keys", "groups", "told"),
    [
        ({"folds": 3, "fold": 0}, None, ["2 of 3 classes have fewer samples than there are folds, so that some folds "
                                         "test none of them: bee, wasp"]),
        ({"folds": 2, "fold": 1}, None, ["1 of 3 classes has fewer samples than there are folds, so that some folds "
                                         "test none of them: bee"]),
        ({}, np.arange(43) // 2, []),
    ],
)  # fmt: skip
def test_folds_and_groups_hold_out_rare_classes_too_and_say_so(
    keys: dict[str, Any], groups: Any, told: list[str]
) -> None:
    images = RNG.integers(256, size=(43, 1, 4, 4), dtype=np.uint8)
    labels = np.array([0] * 40 + [1] + [2] * 2)
    samples = Samples(
        lambda: Loaded(ArraySource(images, labels), classes=["ant", "bee", "wasp"], groups=groups),
        task="classification", channels=1, image_size=4, num_classes=3, batch_size=8, **keys,
    )  # fmt: skip
    samples.setup()
    assert list(rare_classes(samples)) == told


@pytest.mark.parametrize(("counts", "told"), [((200, 12), True), ((100, 20), False), ((300, 40, 4), True)])
def test_imbalanced_classes_are_told_with_the_counts_of_the_extremes(counts: tuple[int, ...], told: bool) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    rows = np.arange(len(labels), dtype=np.float32)[:, None]
    names = ["common", "rare", "rarest"][: len(counts)]
    samples = Samples(
        lambda: Loaded(ArraySource(rows, labels), classes=names), task="classification", channels=1, image_size=None,
        num_classes=len(counts), batch_size=8, val_fraction=0.25, test_fraction=0.2,
    )  # fmt: skip
    samples.setup()
    left = np.bincount(labels[samples.splits["train"].indices])
    said = unequal_classes(samples)
    assert bool(said) == told
    if told:
        assert f"{left[0]:,} training samples are of the class common, {left[-1]:,} of {names[-1]}" in said
