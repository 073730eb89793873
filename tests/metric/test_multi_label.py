"""The metrics of several labels a sample against scikit-learn, over uneven batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics as reference

from couloir.metric.multi_label import MultiLabelMetrics


@pytest.mark.parametrize("probabilities", [False, True])
def test_labels_and_whole_samples_agree_with_scikit_learn(probabilities: bool) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=(101, 3))
    logits = 1.5 * (2 * labels - 1) + rng.normal(scale=2.0, size=labels.shape)
    scores = 1 / (1 + np.exp(-logits)) if probabilities else logits
    metric = MultiLabelMetrics(probabilities)
    for part in np.array_split(np.arange(101), [7, 50, 51]):
        metric.update(torch.tensor(scores[part]), torch.tensor(labels[part], dtype=torch.float32))
    values = {name: float(value) for name, value in metric.compute().items()}
    predicted = (logits > 0).astype(int)
    assert values == {
        "label_accuracy": pytest.approx(1 - reference.hamming_loss(labels, predicted)),
        "exact_match": pytest.approx(reference.accuracy_score(labels, predicted)),
    }
    assert 0.3 < values["exact_match"] < values["label_accuracy"] < 0.95


def test_mixed_labels_count_as_what_they_mostly_are() -> None:
    metric = MultiLabelMetrics()
    metric.update(torch.tensor([[3.0, -3.0], [3.0, -3.0]]), torch.tensor([[0.9, 0.2], [0.4, 0.1]]))
    assert {name: float(value) for name, value in metric.compute().items()} == {
        "label_accuracy": 0.75, "exact_match": 0.5,
    }  # fmt: skip


def test_reset_forgets_the_epoch_before() -> None:
    metric = MultiLabelMetrics()
    metric.update(torch.tensor([[3.0]]), torch.tensor([[0.0]]))
    metric.reset()
    metric.update(torch.tensor([[3.0]]), torch.tensor([[1.0]]))
    assert float(metric.compute()["exact_match"]) == 1.0
