"""Folds: every sample is tested once, classes keep their shares, and no group is on both sides; as in scikit-learn."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.model_selection import LeaveOneGroupOut, StratifiedGroupKFold, StratifiedKFold

from couloir.data.folds import fold_of_each, fold_of_each_group, hold_out_groups
from couloir.data.samples import Samples
from couloir.data.source import ArraySource, Loaded
from couloir.data.splits import hold_out
from couloir.errors import CouloirError

Array = NDArray[np.int64]


def labels(sizes: list[int], seed: int = 0) -> Array:
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))


def table(fold: Array, targets: Array, folds: int) -> Array:
    """How many samples of each class a fold has, (folds, C)."""
    return np.array([np.bincount(targets[fold == number], minlength=targets.max() + 1) for number in range(folds)])


@pytest.mark.parametrize("sizes", [[50, 50, 50], [97, 41, 7], [3, 2, 1, 40]])
@pytest.mark.parametrize("folds", [2, 3, 5, 7])
def test_each_class_and_all_together_go_evenly_into_the_folds(sizes: list[int], folds: int) -> None:
    targets = labels(sizes)
    counts = table(fold_of_each(targets, folds, seed=3, stratify=True), targets, folds)
    assert counts.sum() == sum(sizes)
    assert np.ptp(counts.sum(axis=1)) <= 1
    assert np.ptp(counts, axis=0).max() <= 1


def test_each_class_has_in_each_fold_what_scikit_learn_gives_it_or_one_more_or_less() -> None:
    targets, folds = labels([97, 41, 22]), 5
    ours = table(fold_of_each(targets, folds, seed=0, stratify=True), targets, folds)
    theirs = [np.bincount(targets[test]) for _, test in StratifiedKFold(folds).split(targets, targets)]
    assert np.array_equal(np.sort(ours, axis=0), np.sort(np.array(theirs), axis=0))


def test_values_go_evenly_into_the_folds() -> None:
    fold = fold_of_each(np.linspace(0, 1, 43)[:, None], 5, seed=0, stratify=False)
    assert sorted(np.bincount(fold).tolist()) == [8, 8, 9, 9, 9]


def test_as_many_folds_as_samples_leave_one_out() -> None:
    assert sorted(fold_of_each(labels([4, 6]), 10, seed=0, stratify=True).tolist()) == list(range(10))


@pytest.mark.parametrize("grouped", [False, True])
def test_the_seed_decides_and_nothing_else(grouped: bool) -> None:
    targets, groups = labels([60, 60]), np.arange(120) // 4 if grouped else None
    first, again, other = (fold_of_each(targets, 5, seed, stratify=True, groups=groups) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_folds_of_a_seed_are_the_same_on_every_machine_and_in_every_version() -> None:
    targets, groups = np.arange(12) % 3, np.array([*"aabbccddeeff"])
    assert fold_of_each(targets, 3, seed=0, stratify=True).tolist() == PLAIN
    assert fold_of_each(targets, 3, seed=0, stratify=True, groups=groups).tolist() == GROUPED


PLAIN = [1, 1, 2, 2, 2, 0, 0, 1, 2, 0, 0, 1]
GROUPED = [1, 1, 2, 2, 1, 1, 0, 0, 0, 0, 2, 2]


@pytest.mark.parametrize("seed", range(5))
def test_no_group_is_in_two_folds_and_classes_keep_their_shares_as_well_as_in_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 60, size=1500)
    targets = (rng.random(1500) < 0.1 + 0.6 * (groups % 3 == 0)).astype(np.int64)  # some groups have more of class 1
    folds = 5
    fold = fold_of_each(targets, folds, seed, stratify=True, groups=groups)
    assert all(len(set(fold[groups == group])) == 1 for group in np.unique(groups))
    ours = table(fold, targets, folds)
    split = StratifiedGroupKFold(folds).split(targets, targets, groups)
    theirs = np.array([np.bincount(targets[test]) for _, test in split])
    assert np.ptp(ours, axis=0).max() <= np.ptp(theirs, axis=0).max()
    assert np.ptp(ours.sum(axis=1)) <= np.ptp(theirs.sum(axis=1))


def test_groups_of_one_sample_each_are_no_groups() -> None:
    targets = labels([40, 20])
    counts = table(fold_of_each(targets, 5, seed=0, stratify=True, groups=np.arange(60)), targets, 5)
    assert counts.tolist() == [[8, 4]] * 5


@pytest.mark.parametrize("classes", [[0, 0, 0, 1, 1, 2], [0, 1, 2, 3, 4, 5], [0, 0, 0, 0, 0, 1]])
def test_as_many_folds_as_groups_give_each_fold_one(classes: list[int]) -> None:
    sizes = [1, 2, 30, 4, 5, 6]
    targets, groups = np.repeat(classes, sizes), np.repeat(np.arange(6), sizes)
    fold = fold_of_each(targets, 6, seed=0, stratify=True, groups=groups)
    assert set(fold) == set(range(6))


def test_a_fold_a_group_is_what_scikit_learn_leaves_out() -> None:
    groups = np.array(["bo", "al", "cy", "al", "bo", "bo"])
    fold = fold_of_each_group(groups)
    theirs = LeaveOneGroupOut().split(groups, groups=groups)
    assert [np.flatnonzero(fold == number).tolist() for number in range(3)] == [test.tolist() for _, test in theirs]


@pytest.mark.parametrize("stratify", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_whole_groups_are_held_out_near_the_share_that_is_asked_for(seed: int, stratify: bool) -> None:
    rng = np.random.default_rng(seed)
    groups, targets = rng.integers(0, 40, size=2000), labels([1500, 500], seed)
    pool = np.flatnonzero(rng.random(2000) < 0.8)
    kept, held = hold_out_groups(pool, targets, groups, 0.2, seed, stratify)
    assert np.array_equal(np.sort(np.concatenate([kept, held])), pool)
    assert not set(groups[kept]) & set(groups[held])
    assert 0.17 < len(held) / len(pool) < 0.23  # a group is 2.5 %
    if stratify:
        assert abs(targets[held].mean() - targets[pool].mean()) < 0.05


def test_groups_of_one_class_each_hold_out_some_of_every_class() -> None:
    targets = np.repeat([0, 1, 2], 100)
    groups = np.arange(300) // 10
    _, held = hold_out_groups(np.arange(300), targets, groups, 0.2, seed=0, stratify=True)
    assert np.bincount(targets[held]).tolist() == [20, 20, 20]


@pytest.mark.parametrize("fraction", [0.01, 0.5, 0.99])
def test_of_two_groups_one_stays(fraction: float) -> None:
    groups = np.repeat([7, 8], [90, 10])
    kept, held = hold_out_groups(np.arange(100), np.zeros(100), groups, fraction, seed=0, stratify=False)
    assert sorted([len(kept), len(held)]) == [10, 90]


def samples(count: int = 60, own: tuple[str, ...] = (), groups: Array | None = None, **keys: Any) -> Samples:
    """A table whose column is the sample's number, so that a batch says which samples it has."""

    def source(first: int, number: int) -> ArraySource:
        return ArraySource(np.arange(first, first + number, dtype=np.float32)[:, None], np.arange(number) % 3)

    def load() -> Loaded:
        others = {name: source(1000 * (place + 1), 30) for place, name in enumerate(own)}
        return Loaded(source(0, count), classes=list("abc"), groups=groups, **others)

    settings = {"channels": 1, "image_size": None, "num_classes": 3, "batch_size": 64, "standardize": False, **keys}
    made = Samples(load, task="classification", **settings)
    made.setup()
    return made


def numbers(made: Samples, split: str) -> list[int]:
    """The samples that the batches of a split have."""
    batches = list(getattr(made, f"{split}_dataloader")())
    return sorted(int(value) for batch in batches for value in batch["row"][:, 0])


def test_each_sample_is_tested_by_one_fold_and_never_seen_by_the_run_that_tests_it() -> None:
    tested = []
    for fold in range(4):
        made = samples(folds=4, fold=fold, val_fraction=0.2)
        train, val, test = (numbers(made, split) for split in ("train", "val", "test"))
        assert sorted(train + val + test) == list(range(60))
        assert [len(train), len(val), len(test)] == [36, 9, 15]
        assert np.bincount(np.array(test) % 3).tolist() == [5, 5, 5]
        assert np.bincount(np.array(val) % 3).tolist() == [3, 3, 3]
        tested += test
        assert made.notes == [f"fold {fold} of 0 to 3, 15 of 60 samples, is the test split"]
    assert sorted(tested) == list(range(60))


def test_a_test_split_of_the_set_is_left_aside_and_its_validation_split_stays() -> None:
    made = samples(own=("val", "test"), folds=5, fold=1)
    assert len(numbers(made, "test")) == 12
    assert len(numbers(made, "train")) == 48
    assert numbers(made, "val") == list(range(1000, 1030))
    assert made.notes[0].endswith("12 of 60 samples, is the test split; the set's own 30 are left aside")


def test_a_subset_is_drawn_before_the_folds_are_made() -> None:
    made = [samples(folds=5, fold=fold, subset=30) for fold in range(5)]
    tested = [numbers(each, "test") for each in made]
    assert [len(test) for test in tested] == [6] * 5
    assert len({number for test in tested for number in test}) == 30
    used = [sorted(numbers(each, "train") + numbers(each, "val") + numbers(each, "test")) for each in made]
    assert used == [used[0]] * 5


@pytest.mark.parametrize("keys", [{}, {"folds": 3, "fold": 0}, {"folds": 3, "fold": 2}, {"own": ("test",)}])
def test_no_group_is_in_two_splits(keys: dict[str, Any]) -> None:
    groups = np.random.default_rng(0).integers(0, 15, size=60)
    made = samples(groups=groups, val_fraction=0.2, test_fraction=0.2, **keys)
    splits = [split for split in ("train", "val", "test") if split not in keys.get("own", ())]
    found = [set(groups[numbers(made, split)]) for split in splits]
    assert sum(map(len, found)) == len(set(groups)) == len(set.union(*found))
    assert all(found)


def test_each_group_is_left_out_once() -> None:
    groups = np.array([*"bac"])[np.arange(60) % 3]
    for fold, name in enumerate("abc"):
        made = samples(groups=groups, folds="leave_one_group_out", fold=fold)
        assert set(groups[numbers(made, "test")]) == {name}
        assert set(groups[numbers(made, "train")]) | set(groups[numbers(made, "val")]) == set("abc") - {name}
        assert made.notes[0].startswith(f"fold {fold} of 0 to 2 (the group {name}), 20 of 60 samples")


def test_the_fingerprint_tells_folds_apart() -> None:
    first, again, other = (samples(folds=5, fold=fold).fingerprint() for fold in (0, 0, 1))
    assert first == again != other


def test_without_folds_the_splits_are_what_they_were() -> None:
    pool, test = hold_out(np.arange(60), np.arange(60) % 3, 0.15, 0, True)
    train, val = hold_out(pool, np.arange(60) % 3, 0.15, 1, True)
    made = samples()
    assert [numbers(made, split) for split in ("train", "val", "test")] == [
        each.tolist() for each in (train, val, test)
    ]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"folds": 61, "fold": 0}, "at least 61 samples; there are 60"),
        ({"folds": 5, "fold": 5}, "There is no data.fold=5: the 5 folds are 0 to 4"),
        ({"folds": 5}, "nothing says which one to test on"),
        ({"folds": 20, "fold": 0, "subset": 10}, "at least 20 samples; there are 10"),
        ({"folds": "leave_one_group_out", "fold": 0}, "needs to know the group of each sample"),
        ({"folds": 5, "fold": 0, "groups": np.arange(60) % 4}, "at least 5 groups; there are 4"),
        ({"folds": 2, "fold": 0, "groups": np.arange(60) % 2}, "at least 3 groups; there are 2"),
        ({"folds": 2, "fold": 1, "groups": np.repeat([0, 1, 2], [40, 10, 10])}, "of one group cannot be divided"),
        ({"folds": "leave_one_group_out", "fold": 0, "groups": np.arange(60) % 2}, "needs three groups"),
        ({"groups": np.zeros(60)}, "60 samples of one group cannot be divided"),
    ],
)
def test_folds_that_cannot_be_are_explained(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(CouloirError, match=re.escape(said)):
        samples(**keys)
