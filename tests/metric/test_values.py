"""Metrics against scikit-learn, over uneven batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics as reference

from couloir.metric.classification import ClassificationMetrics
from couloir.metric.regression import RegressionMetrics


@pytest.mark.parametrize("classes", [2, 5, 6, 10])
def test_accuracy_and_top5_over_uneven_batches_agree_with_scikit_learn(classes: int) -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(101, classes)), rng.integers(classes, size=101)
    metric = ClassificationMetrics(classes)
    for part in np.array_split(np.arange(101), [7, 50, 51]):
        metric.update(torch.tensor(scores[part]), torch.tensor(labels[part]))
    values = {name: float(value) for name, value in metric.compute().items()}
    assert values["accuracy"] == pytest.approx(reference.accuracy_score(labels, scores.argmax(1)))
    assert ("top5_accuracy" in values) == (classes > 5)
    if classes > 5:
        expected = reference.top_k_accuracy_score(labels, scores, k=5, labels=range(classes))
        assert values["top5_accuracy"] == pytest.approx(expected)


def test_mixed_targets_count_as_their_heaviest_class() -> None:
    metric = ClassificationMetrics(3)
    metric.update(torch.eye(3), torch.tensor([[0.9, 0.1, 0], [0.2, 0.8, 0], [0.6, 0, 0.4]]))
    assert float(metric.compute()["accuracy"]) == pytest.approx(2 / 3)


def test_regression_metrics_agree_with_scikit_learn_in_the_units_of_the_data() -> None:
    rng = np.random.default_rng(1)
    target = rng.normal(5000.0, 3.0, size=(97, 1))
    prediction = target + rng.normal(size=(97, 1))
    offset, scale = 5000.0, 3.0
    metric = RegressionMetrics(scale)
    for part in np.array_split(np.arange(97), [10, 11]):
        scaled = [torch.tensor((values[part] - offset) / scale) for values in (prediction, target)]
        metric.update(*scaled)
    values = {name: float(value) for name, value in metric.compute().items()}
    assert values["mae"] == pytest.approx(reference.mean_absolute_error(target, prediction))
    assert values["rmse"] == pytest.approx(reference.root_mean_squared_error(target, prediction))
    assert values["r2"] == pytest.approx(reference.r2_score(target, prediction))


def test_regression_metrics_of_several_values_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(2)
    offset, scale = np.array([180.0, 35.0, -2.0]), [20.0, 3.0, 0.5]
    target = rng.normal(offset, scale, size=(53, 3))
    prediction = target + rng.normal(size=(53, 3))
    metric = RegressionMetrics(scale)
    for part in np.array_split(np.arange(53), [10, 11]):
        metric.update(*(torch.tensor((values[part] - offset) / scale) for values in (prediction, target)))
    values = {name: float(value) for name, value in metric.compute().items()}
    assert values["mae"] == pytest.approx(reference.mean_absolute_error(target, prediction))
    assert values["rmse"] == pytest.approx(np.sqrt(reference.mean_squared_error(target, prediction)))
    assert values["r2"] == pytest.approx(reference.r2_score(target, prediction))


def test_r2_of_constant_targets_is_nan_not_infinite() -> None:
    metric = RegressionMetrics()
    metric.update(torch.zeros(4, 1), torch.ones(4, 1))
    assert torch.isnan(metric.compute()["r2"])


def test_reset_forgets_the_epoch_before() -> None:
    metric = ClassificationMetrics(2)
    metric.update(torch.tensor([[0.0, 1.0]]), torch.tensor([0]))
    metric.reset()
    metric.update(torch.tensor([[0.0, 1.0]]), torch.tensor([1]))
    assert float(metric.compute()["accuracy"]) == 1.0
