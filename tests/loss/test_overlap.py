"""Dice and Jaccard against the counts of a hard prediction, and against formulas in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from sklearn.metrics import f1_score, jaccard_score

from couloir.config.fields import IGNORED
from couloir.errors import CouloirError
from couloir.loss.overlap import Dice, DiceCrossEntropy, Jaccard, Overlap

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(scale=2, size=(2, 4, 5, 6))
TARGET = RNG.integers(3, size=(2, 5, 6))  # class 3 is not there
TARGET[0, :2, :2] = IGNORED
KINDS = pytest.mark.parametrize("kind", [Dice, Jaccard])


def value(loss: torch.nn.Module, logits: np.ndarray = LOGITS, target: np.ndarray = TARGET) -> float:
    return float(loss(torch.tensor(logits), torch.tensor(target)))


def by_class(kind: type, smooth: float, classes: list[list[int]]) -> list[float]:
    """One minus the overlap of each group of classes."""
    there = TARGET != IGNORED
    p, y, found = np.moveaxis(softmax(LOGITS, axis=1), 1, -1)[there], TARGET[there], []
    for group in classes:
        common = sum(p[y == number, number].sum() for number in group)
        both = sum(p[:, number].sum() + (y == number).sum() for number in group)
        over = (2 * common + smooth) / (both + smooth) if kind is Dice else (common + smooth) / (both - common + smooth)
        found.append(1 - over)
    return found


@KINDS
@pytest.mark.parametrize("smooth", [0.0, 1.0])
def test_classes_that_the_batch_has_are_averaged_as_asked(kind: type[Overlap], smooth: float) -> None:
    each = by_class(kind, smooth, [[0], [1], [2]])
    pixels = [(number == TARGET).sum() for number in range(3)]
    assert value(kind("macro", smooth)) == pytest.approx(np.mean(each))
    assert value(kind("macro", smooth, background=False)) == pytest.approx(np.mean(each[1:]))
    assert value(kind("weighted", smooth)) == pytest.approx(np.average(each, weights=pixels))
    assert value(kind("micro", smooth)) == pytest.approx(by_class(kind, smooth, [[0, 1, 2, 3]])[0])


@KINDS
def test_of_a_certain_network_it_is_what_scikit_learn_measures(kind: type[Overlap]) -> None:
    there = TARGET != IGNORED
    guess = RNG.integers(3, size=TARGET.shape)
    reference = f1_score if kind is Dice else jaccard_score
    expected = 1 - reference(TARGET[there], guess[there], average="macro")
    assert value(kind(smooth=0), 200 * np.moveaxis(np.eye(4)[guess], -1, 1)) == pytest.approx(expected)


@KINDS
def test_the_gradient_is_that_of_the_value(kind: type[Overlap]) -> None:
    logits = torch.tensor(LOGITS[:1, :, 1:3, 1:4], requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: kind()(z, torch.tensor(TARGET[:1, 1:3, 1:4])), logits)


def test_a_saturated_network_of_no_such_class_stays_finite() -> None:
    logits = torch.zeros(1, 2, 2, 2)
    logits[:, 0] = 500
    logits.requires_grad_()
    loss = Dice("macro", 0.0)(logits, torch.zeros(1, 2, 2, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_labels_of_samples_have_no_overlap() -> None:
    with pytest.raises(CouloirError, match="An overlap is one of maps"):
        Dice()(torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64))


def test_dice_and_cross_entropy_add_up_with_their_weight() -> None:
    there = TARGET != IGNORED
    weights = np.array([1.0, 2.0, 0.5, 1.0])
    log_p = np.moveaxis(log_softmax(LOGITS, axis=1), 1, -1)[there]
    y = TARGET[there]
    own = -log_p[np.arange(len(y)), y]
    dice = np.mean(by_class(Dice, 0.0, [[0], [1], [2]]))
    expected = np.average(own, weights=weights[y]) + 0.3 * dice
    loss = DiceCrossEntropy(0.3, smooth=0.0, class_weights=weights.tolist())
    assert value(loss) == pytest.approx(expected, rel=1e-6)
    total = loss.total_weight(torch.tensor(TARGET))
    assert total is not None
    assert float(total) == pytest.approx(weights[y].sum()), "what the batch counts among others"
