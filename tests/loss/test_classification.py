"""Cross-entropies against SciPy's softmax and against numbers worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import expit, log_softmax, logsumexp
from torch import Tensor, nn

from couloir.errors import CouloirError
from couloir.loss.classification import (
    BinaryCrossEntropy,
    BinaryCrossEntropyWithLogits,
    CrossEntropy,
    MaximumAPosteriori,
    NegativeLogLikelihood,
)

LOGITS = np.array([[2.0, -1.0, 0.5, 0.0], [0.0, 3.0, -2.0, 1.0], [-1.0, 0.3, 0.2, 4.0]])
LABELS = np.array([0, 3, 2])
ONE_HOT = np.eye(4)[LABELS]
MIXED = 0.7 * ONE_HOT + 0.3 * np.eye(4)[[1, 1, 0]]  # what mixup makes of two samples


def value(loss: nn.Module, prediction: np.ndarray, target: np.ndarray) -> float:
    return float(loss(torch.tensor(prediction), torch.tensor(target)))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
@pytest.mark.parametrize(("target", "probabilities"), [(LABELS, ONE_HOT), (MIXED, MIXED)], ids=["labels", "mixup"])
def test_cross_entropy_is_the_written_formula_with_labels_mixup_and_smoothing(
    target: np.ndarray, probabilities: np.ndarray, smoothing: float
) -> None:
    smoothed = (1 - smoothing) * probabilities + smoothing / 4
    expected = -(smoothed * log_softmax(LOGITS, axis=1)).sum(axis=1).mean()
    assert value(CrossEntropy(smoothing), LOGITS, target) == pytest.approx(expected, rel=1e-9)


def test_cross_entropy_of_a_network_that_knows_nothing_is_the_logarithm_of_the_classes() -> None:
    loss = CrossEntropy()(torch.zeros(5, 10), torch.tensor([0, 1, 2, 3, 9]))
    assert float(loss) == pytest.approx(math.log(10), rel=1e-6)


@pytest.mark.parametrize(("target", "probabilities"), [(LABELS, ONE_HOT), (MIXED, MIXED)], ids=["labels", "mixup"])
def test_nll_of_log_softmax_is_cross_entropy(target: np.ndarray, probabilities: np.ndarray) -> None:
    log_p = log_softmax(LOGITS, axis=1)
    expected = -(probabilities * log_p).sum(axis=1).mean()
    assert value(NegativeLogLikelihood(), log_p, target) == pytest.approx(expected, rel=1e-9)


def test_nll_ignores_an_impossible_class_that_the_soft_target_does_not_name() -> None:
    log_p = torch.tensor([[0.0, -math.inf]], requires_grad=True)
    loss = NegativeLogLikelihood()(log_p, torch.tensor([[1.0, 0.0]]))
    loss.backward()
    assert loss.item() == 0.0
    assert log_p.grad is not None
    assert log_p.grad.tolist() == [[-1.0, 0.0]]


@pytest.mark.parametrize(("target", "probabilities"), [(LABELS, ONE_HOT), (MIXED, MIXED)], ids=["labels", "mixup"])
def test_both_binary_cross_entropies_are_the_written_formula(target: np.ndarray, probabilities: np.ndarray) -> None:
    p = expit(LOGITS)
    expected = -(probabilities * np.log(p) + (1 - probabilities) * np.log(1 - p)).mean()
    assert value(BinaryCrossEntropy(), p, target) == pytest.approx(expected, rel=1e-9)
    assert value(BinaryCrossEntropyWithLogits(), LOGITS, target) == pytest.approx(expected, rel=1e-9)


def test_binary_cross_entropy_of_one_coin_toss_is_worked_by_hand() -> None:
    # -ln 0.8 for a head that had 0.8, -ln 0.6 for a tail that had 1 - 0.4
    expected = -(math.log(0.8) + math.log(0.6)) / 2
    assert value(BinaryCrossEntropy(), np.array([[0.8], [0.4]]), np.array([[1.0], [0.0]])) == pytest.approx(expected)


def test_bce_with_logits_does_not_round_where_the_sigmoid_would() -> None:
    assert float(BinaryCrossEntropyWithLogits()(torch.tensor([[200.0]]), torch.tensor([[0.0]]))) == 200.0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("logit", [-200.0, -12.0, 0.0, 12.0, 200.0])
@pytest.mark.parametrize("truth", [0.0, 1.0])
def test_bce_of_a_saturated_sigmoid_stays_finite_in_every_precision(
    dtype: torch.dtype, logit: float, truth: float
) -> None:
    z = torch.tensor([[logit]], dtype=dtype, requires_grad=True)
    loss = BinaryCrossEntropy()(torch.sigmoid(z), torch.tensor([[truth]]))
    loss.backward()
    assert torch.isfinite(loss)
    assert loss >= 0
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()


@pytest.mark.parametrize("wrong", [0.0, 1.0])
def test_bce_of_a_certain_wrong_probability_has_a_gradient_that_leads_back(wrong: float) -> None:
    p = torch.tensor([[wrong]], requires_grad=True)
    BinaryCrossEntropy()(p, torch.tensor([[1.0 - wrong]])).backward()
    assert p.grad is not None
    assert torch.isfinite(p.grad).all()
    assert (float(p.grad) > 0) == (wrong == 1.0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("loss", "prepare"),
    [
        (CrossEntropy(0.1), lambda z: z),
        (NegativeLogLikelihood(), lambda z: torch.log_softmax(z, dim=1)),
        (BinaryCrossEntropy(), torch.sigmoid),
        (BinaryCrossEntropyWithLogits(), lambda z: z),
    ],
    ids=["cross_entropy", "nll", "bce", "bce_with_logits"],
)
def test_mixed_precision_neither_stops_a_loss_nor_changes_it_much(dtype: torch.dtype, loss: nn.Module, prepare) -> None:
    z, y = torch.tensor(LOGITS).float(), torch.tensor(LABELS)
    exact = loss(prepare(z), y)
    with torch.autocast("cpu", dtype=dtype):
        rounded = loss(prepare(z).to(dtype), y)
    assert rounded.dtype == torch.float32
    assert float(rounded) == pytest.approx(float(exact), rel=0.02)


@pytest.mark.parametrize("kind", [torch.int32, torch.uint8, torch.int64])
def test_labels_may_be_any_kind_of_integer(kind: torch.dtype) -> None:
    z, y = torch.tensor(LOGITS), torch.tensor(LABELS)
    for loss in (CrossEntropy(), NegativeLogLikelihood(), BinaryCrossEntropyWithLogits()):
        assert torch.equal(loss(z, y.to(kind)), loss(z, y))


def test_a_map_of_labels_is_a_loss_a_pixel() -> None:
    z, y = torch.randn(2, 3, 4, 5, dtype=torch.float64), torch.randint(3, (2, 4, 5))
    one_hot = torch.eye(3, dtype=torch.float64)[y].movedim(-1, 1)
    log_p = torch.tensor(log_softmax(z.numpy(), axis=1))
    expected = float(-(one_hot * log_p).sum(dim=1).mean())
    assert float(CrossEntropy()(z, y)) == pytest.approx(expected)
    assert float(NegativeLogLikelihood()(log_p, one_hot)) == pytest.approx(expected)
    assert torch.equal(BinaryCrossEntropyWithLogits()(z, y), BinaryCrossEntropyWithLogits()(z, one_hot))


ALL = [CrossEntropy(), NegativeLogLikelihood(), BinaryCrossEntropy(), BinaryCrossEntropyWithLogits()]


@pytest.mark.parametrize("loss", ALL, ids=lambda loss: type(loss).__name__)
@pytest.mark.parametrize(
    "target",
    [
        torch.zeros(8, 1, dtype=torch.int64),
        torch.zeros(7, dtype=torch.int64),
        torch.zeros(8),
        torch.zeros(8, 5),
        torch.zeros(4, 8),
    ],
    ids=["labels (8, 1)", "seven labels", "float labels", "five classes", "transposed"],
)
def test_shapes_that_do_not_belong_together_are_a_sentence_and_not_a_broadcast(loss: nn.Module, target: Tensor) -> None:
    with pytest.raises(CouloirError, match=r"\(8, 4\)") as error:
        loss(torch.full((8, 4), 0.5), target)
    assert str(tuple(target.shape)) in error.value.fact
    assert error.value.next_step


@pytest.mark.parametrize("loss", ALL, ids=lambda loss: type(loss).__name__)
def test_labels_against_a_single_output_are_refused_since_nothing_could_be_learnt(loss: nn.Module) -> None:
    with pytest.raises(CouloirError, match=r"\(8, 1\)"):
        loss(torch.full((8, 1), 0.5), torch.zeros(8, dtype=torch.int64))


def test_logits_given_to_bce_are_refused_with_the_loss_that_takes_them() -> None:
    with pytest.raises(CouloirError, match="bce_with_logits"):
        BinaryCrossEntropy()(torch.tensor(LOGITS), torch.tensor(LABELS))


def test_nan_in_the_prediction_reaches_the_loss_so_that_divergence_is_seen() -> None:
    for loss in ALL:
        assert torch.isnan(loss(torch.full((2, 3), math.nan), torch.tensor([0, 1])))


def test_each_loss_says_which_form_of_the_prediction_it_takes() -> None:
    assert [loss.expects for loss in ALL] == ["logits", "log_probabilities", "probabilities", "logits"]


def test_the_map_criterion_is_the_papers_formula() -> None:
    """E = d_y + log(exp(-C) + sum_i exp(-d_i)), equation 9, with distances far beyond what exp can hold."""
    for scale, C in ((1.0, 2.0), (300.0, 20.0)):
        distance = np.random.default_rng(0).uniform(0, scale, size=(5, 4))
        y = np.array([0, 3, 1, 2, 2])
        terms = [d[label] + logsumexp(np.append(-d, -C)) for d, label in zip(distance, y, strict=True)]
        got = MaximumAPosteriori(C)(torch.tensor(-distance), torch.tensor(y))
        np.testing.assert_allclose(float(got), np.mean(terms), rtol=1e-9)


def test_the_map_criterion_leaves_classes_alone_that_are_far_away() -> None:
    scores = torch.tensor([[-1.0, -100.0, -3.0]], requires_grad=True)
    MaximumAPosteriori(5.0)(scores, torch.tensor([0])).backward()
    assert abs(float(scores.grad[0, 1])) < 1e-30
    assert float(scores.grad[0, 2]) > 0.05
