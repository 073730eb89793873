"""Class weights against scikit-learn's, torch's own and the written formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import expit, log_softmax
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from couloir.loss.class_weights import WeightedMean, in_words
from couloir.loss.classification import (
    BinaryCrossEntropy,
    BinaryCrossEntropyWithLogits,
    CrossEntropy,
    NegativeLogLikelihood,
)
from couloir.loss.focal import Focal, SigmoidFocal

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(scale=2, size=(7, 4))
LABELS = np.array([0, 3, 2, 0, 0, 1, 3])
ONE_HOT = np.eye(4)[LABELS]
MIXED = 0.7 * ONE_HOT + 0.3 * ONE_HOT[::-1]
SEVERAL = np.array([[1, 0, 1, 0], [0, 0, 1, 1], [1, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 1, 0]])
WEIGHTS = [0.5, 4.0, 1.0, 2.5]


def value(loss: nn.Module, prediction: np.ndarray, target: np.ndarray) -> float:
    return float(loss(torch.tensor(prediction), torch.tensor(target)))


@pytest.mark.parametrize("loss", [CrossEntropy, NegativeLogLikelihood, Focal])
def test_balanced_weights_are_scikit_learns(loss: type[WeightedMean]) -> None:
    weighted = loss(class_weights="balanced")
    weighted.balance(np.bincount(LABELS).tolist(), len(LABELS))
    expected = compute_class_weight("balanced", classes=np.arange(4), y=LABELS)
    assert weighted.weights is not None
    np.testing.assert_allclose(weighted.weights.numpy(), expected, rtol=1e-6)
    assert (weighted.weights[torch.tensor(LABELS)]).mean() == pytest.approx(1), "the mean weight of a sample is one"


def test_a_class_without_training_samples_has_a_weight_all_the_same() -> None:
    loss = CrossEntropy(class_weights="balanced")
    loss.balance([9, 0, 3], 12)
    assert loss.weights is not None
    np.testing.assert_allclose(loss.weights.numpy(), [12 / 27, 4, 12 / 9], rtol=1e-6)


@pytest.mark.parametrize("loss", [BinaryCrossEntropy, BinaryCrossEntropyWithLogits, SigmoidFocal])
def test_of_several_labels_the_presence_of_a_class_counts_as_much_as_its_absence(loss: type) -> None:
    counts = SEVERAL.sum(axis=0)
    weighted = loss(class_weights="balanced")
    weighted.balance(counts.tolist(), len(SEVERAL))
    np.testing.assert_allclose(weighted.weights.numpy() * counts, len(SEVERAL) - counts, rtol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_weighted_cross_entropy_of_labels_is_torchs(smoothing: float) -> None:
    ours = value(CrossEntropy(smoothing, WEIGHTS), LOGITS, LABELS)
    weight = torch.tensor(WEIGHTS, dtype=torch.float64)
    theirs = F.cross_entropy(torch.tensor(LOGITS), torch.tensor(LABELS), weight, label_smoothing=smoothing)
    assert ours == pytest.approx(float(theirs), rel=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize(("target", "y"), [(LABELS, ONE_HOT), (ONE_HOT, ONE_HOT), (MIXED, MIXED)])
def test_of_mixed_targets_each_class_counts_its_weight_and_the_weights_are_divided_out(
    target: np.ndarray, y: np.ndarray, smoothing: float
) -> None:
    smoothed = (1 - smoothing) * y + smoothing / 4
    expected = -(smoothed * log_softmax(LOGITS, axis=1) * WEIGHTS).sum() / (y * WEIGHTS).sum()
    assert value(CrossEntropy(smoothing, WEIGHTS), LOGITS, target) == pytest.approx(expected, rel=1e-9)
    if not smoothing:
        log_p = log_softmax(LOGITS, axis=1)
        assert value(NegativeLogLikelihood(WEIGHTS), log_p, target) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("y", [SEVERAL, MIXED])
def test_weights_of_presence_are_the_written_formula(y: np.ndarray) -> None:
    p = expit(LOGITS)
    expected = -(np.array(WEIGHTS) * y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
    assert value(BinaryCrossEntropy(WEIGHTS), p, y * 1.0) == pytest.approx(expected, rel=1e-9)
    assert value(BinaryCrossEntropyWithLogits(WEIGHTS), LOGITS, y * 1.0) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("loss", [CrossEntropy(0.1, WEIGHTS), Focal(2.0, WEIGHTS)])
@pytest.mark.parametrize("target", [LABELS, MIXED], ids=["labels", "mixed"])
def test_parts_of_a_batch_that_count_their_weight_make_the_whole(loss: WeightedMean, target: np.ndarray) -> None:
    x, y = torch.tensor(LOGITS), torch.tensor(target)
    parts = [(x[:2], y[:2]), (x[2:3], y[2:3]), (x[3:], y[3:])]
    counts = torch.stack([loss.total_weight(b) for _, b in parts])  # type: ignore[misc]
    means = torch.stack([loss(a, b) for a, b in parts])
    assert float((counts * means).sum() / counts.sum()) == pytest.approx(float(loss(x, y)), rel=1e-9)


def test_no_weight_and_weights_of_one_are_the_same() -> None:
    for loss, target in ((CrossEntropy, LABELS), (Focal, MIXED), (BinaryCrossEntropyWithLogits, SEVERAL * 1.0)):
        plain, ones = loss(), loss(class_weights=[1.0] * 4)
        assert value(plain, LOGITS, target) == pytest.approx(value(ones, LOGITS, target), rel=1e-12)
    assert CrossEntropy().total_weight(torch.tensor(LABELS)) is None


def test_the_weights_are_told_by_class_and_of_many_the_extremes() -> None:
    assert in_words(CrossEntropy(), ["a", "b"]) == ""
    assert in_words(CrossEntropy(class_weights=[2.0, 0.5]), ["a", "b"]) == "class weights: a 2, b 0.5"
    loss = CrossEntropy(class_weights="balanced")
    loss.balance(list(range(1, 21)), 210)
    told = in_words(loss, [f"c{number}" for number in range(20)])
    assert told.startswith("class weights, balanced by the training split: c19 0.525, ")
    assert told.endswith(", c1 5.25, c0 10.5")
    assert told.count(",") == 9


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("gamma", [None, 2.0])
def test_of_maps_the_pixels_count_that_are_not_left_out(weights: list[float] | None, gamma: float | None) -> None:
    logits, target = RNG.normal(size=(2, 4, 3, 5)), RNG.integers(4, size=(2, 3, 5))
    target[0, :2], left_out = 255, np.zeros((2, 3, 5), bool)
    left_out[0, :2] = True
    own = np.moveaxis(log_softmax(logits, axis=1), 1, -1)[~left_out]
    own = own[np.arange(len(own)), target[~left_out]]
    each = (np.ones(4) if weights is None else np.array(weights))[target[~left_out]]
    terms = -own if gamma is None else -((1 - np.exp(own)) ** gamma) * own
    loss = CrossEntropy(class_weights=weights) if gamma is None else Focal(gamma, weights)
    assert value(loss, logits, target) == pytest.approx(np.average(terms, weights=each), rel=1e-6)
    assert float(loss.total_weight(torch.tensor(target))) == pytest.approx(each.sum())


def test_class_255_of_labels_is_a_class_like_others() -> None:
    logits = torch.randn(3, 300)
    labels = torch.tensor([255, 1, 299])
    assert torch.equal(CrossEntropy()(logits, labels), F.cross_entropy(logits, labels))
    torch.testing.assert_close(Focal(0.0)(logits, labels), F.cross_entropy(logits, labels))
