"""Losses of values against NumPy, scikit-learn, and numbers worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics
import torch
from scipy import special
from torch import nn

from couloir.errors import CouloirError
from couloir.loss.regression import (
    Charbonnier,
    ExponentialAbsoluteDifference,
    Huber,
    MeanAbsoluteError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    MLNet,
    StructuralSimilarity,
)
from couloir.structural_similarity import structural_similarity

RNG = np.random.default_rng(0)
TRUE, PREDICTED = RNG.uniform(0.05, 1.0, (16, 3)), RNG.uniform(0.05, 1.0, (16, 3))
ALL = {
    "mse": (MeanSquaredError(), np.mean((TRUE - PREDICTED) ** 2)),
    "mae": (MeanAbsoluteError(), np.mean(np.abs(TRUE - PREDICTED))),
    "msle": (MeanSquaredLogarithmicError(), np.mean((np.log(TRUE) - np.log(PREDICTED)) ** 2)),
    "msle with offset": (
        MeanSquaredLogarithmicError(1.0),
        sklearn.metrics.mean_squared_log_error(TRUE, PREDICTED),
    ),
    "huber": (Huber(0.2), np.mean(special.huber(0.2, TRUE - PREDICTED))),
    "ead": (ExponentialAbsoluteDifference(), np.mean(np.exp(np.abs(TRUE - PREDICTED)) - 1)),
    "mlnet": (MLNet(), np.mean((TRUE - PREDICTED) ** 2 / (1.1 - TRUE))),
    "charbonnier": (Charbonnier(0.02), np.mean(np.sqrt((TRUE - PREDICTED) ** 2 + 0.02**2))),
}
by_name = pytest.mark.parametrize("name", list(ALL))


@by_name
def test_the_loss_is_the_written_formula(name: str) -> None:
    loss, expected = ALL[name]
    assert float(loss(torch.tensor(PREDICTED), torch.tensor(TRUE))) == pytest.approx(float(expected), rel=1e-9)


@by_name
def test_a_perfect_prediction_costs_nothing_and_has_finite_gradients(name: str) -> None:
    prediction = torch.tensor(TRUE, requires_grad=True)
    loss = ALL[name][0](prediction, torch.tensor(TRUE))
    loss.backward()
    assert loss.item() == pytest.approx(0.02 if name == "charbonnier" else 0.0), "its bottom is epsilon"
    assert prediction.grad is not None
    assert torch.isfinite(prediction.grad).all()


@by_name
def test_gradients_are_those_of_the_formula(name: str) -> None:
    prediction = torch.tensor(PREDICTED, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: ALL[name][0](p, torch.tensor(TRUE)), prediction)


@pytest.mark.parametrize(
    ("loss", "prediction", "target", "expected"),
    [
        (MeanSquaredError(), [1.0, 4.0], [0.0, 2.0], 2.5),
        (MeanAbsoluteError(), [1.0, 4.0], [0.0, 2.0], 1.5),
        (MeanSquaredLogarithmicError(), [1.0, math.e], [math.e, math.e**3], 2.5),
        (Huber(1.0), [0.5, 3.0], [0.0, 0.0], (0.125 + 2.5) / 2),
        (ExponentialAbsoluteDifference(), [0.0, 0.0], [math.log(2), -math.log(4)], 2.0),
        (MLNet(1.1), [0.5, 0.5], [1.0, 0.1], (0.25 / 0.1 + 0.16 / 1.0) / 2),
    ],
    ids=["mse", "mae", "msle", "huber", "ead", "mlnet"],
)
def test_two_samples_are_worked_by_hand(
    loss: nn.Module, prediction: list[float], target: list[float], expected: float
) -> None:
    assert float(loss(torch.tensor(prediction), torch.tensor(target))) == pytest.approx(expected, rel=1e-5)


@by_name
@pytest.mark.parametrize("shape", [(8,), (1, 8), (8, 2), (1,)])
def test_targets_that_would_broadcast_to_a_square_are_refused(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(CouloirError, match=r"\(8, 1\)") as error:
        ALL[name][0](torch.full((8, 1), 0.5), torch.full(shape, 0.5))
    assert str(shape) in error.value.fact
    assert error.value.next_step


@pytest.mark.parametrize("offset", [0.0, 1.0])
@pytest.mark.parametrize("prediction", [0.0, -0.5, -1.0, -1e6])
def test_msle_of_a_prediction_that_has_no_logarithm_stays_finite_and_leads_upwards(
    offset: float, prediction: float
) -> None:
    p = torch.tensor([prediction], requires_grad=True)
    loss = MeanSquaredLogarithmicError(offset)(p, torch.tensor([2.0]))
    loss.backward()
    assert torch.isfinite(loss)
    assert p.grad is not None
    assert torch.isfinite(p.grad).all()
    assert float(p.grad) < 0


def test_msle_of_a_target_of_zero_stays_finite() -> None:
    assert torch.isfinite(MeanSquaredLogarithmicError()(torch.tensor([1.0]), torch.tensor([0.0])))


@by_name
def test_half_precision_predictions_are_compared_in_full_precision(name: str) -> None:
    loss = ALL[name][0]
    prediction, target = torch.tensor(PREDICTED).half(), torch.tensor(TRUE).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = loss(prediction, target)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(loss(prediction.float(), target)), rel=1e-6)


def test_an_error_of_three_hundred_does_not_overflow_in_half_precision() -> None:
    prediction, target = torch.tensor([300.0]).half(), torch.tensor([0.0]).half()
    assert float(MeanSquaredError()(prediction, target)) == 90000.0


def test_integer_targets_count_as_numbers() -> None:
    assert float(MeanAbsoluteError()(torch.tensor([0.5, 0.5]), torch.tensor([1, 2]))) == 1.0


def test_losses_with_a_restricted_domain_say_so_to_the_trainer() -> None:
    assert MeanSquaredLogarithmicError().target_range == (0.0, math.inf)
    assert MeanSquaredLogarithmicError(1.0).target_range == (-1.0, math.inf)
    assert MLNet(1.5).target_range == (-math.inf, 1.5)
    assert not any(hasattr(ALL[name][0], "target_range") for name in ("mse", "mae", "huber", "ead"))


@by_name
def test_the_task_hands_over_the_values_as_they_are(name: str) -> None:
    assert ALL[name][0].expects == "values"


def test_mlnet_as_in_its_authors_code_does_not_see_the_scale_of_a_map() -> None:
    predicted, true = RNG.random((2, 1, 4, 5)), RNG.random((2, 1, 4, 5))
    expected = np.mean((true - predicted / predicted.max(axis=(1, 2, 3), keepdims=True)) ** 2 / (1.1 - true))
    loss = MLNet(normalize=True)
    for scale in (1.0, 7.0):
        assert float(loss(torch.tensor(scale * predicted), torch.tensor(true))) == pytest.approx(expected)
    prediction = torch.tensor(predicted, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: loss(p, torch.tensor(true)), prediction)
    assert torch.isfinite(loss(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)))
    with pytest.raises(CouloirError, match="are no maps"):
        loss(torch.ones(4, 3), torch.ones(4, 3))


def test_ssim_is_one_minus_the_mean_similarity_and_takes_images_alone() -> None:
    first, second = torch.rand(2, 3, 12, 14), torch.rand(2, 3, 12, 14)
    loss = StructuralSimilarity()
    assert float(loss(first, first)) == pytest.approx(0, abs=1e-6)
    assert float(loss(first, second)) == pytest.approx(1 - float(structural_similarity(first, second).mean()))
    with pytest.raises(CouloirError, match="compares images"):
        loss(torch.rand(8, 3), torch.rand(8, 3))
    with pytest.raises(CouloirError, match="two equal shapes"):
        loss(first, second[:, :1])


def test_the_squared_error_of_labels_is_that_of_ones_and_zeros() -> None:
    outputs, labels = torch.randn(6, 3, dtype=torch.float64), torch.tensor([0, 2, 1, 1, 0, 2])
    expected = np.mean((np.eye(3)[labels.numpy()] - outputs.numpy()) ** 2)
    assert float(MeanSquaredError()(outputs, labels)) == pytest.approx(expected)
    with pytest.raises(CouloirError, match="takes two equal shapes"):
        MeanSquaredError()(outputs, torch.randn(6))
