"""Batches taken in together measure what they measure one by one."""

from __future__ import annotations

import pytest
import torch
from torchmetrics import Metric

from couloir.metric import gathered
from couloir.metric.classification import ClassificationMetrics
from couloir.metric.gathered import Gathered
from couloir.metric.regression import RegressionMetrics


@pytest.mark.parametrize("sizes", [[5], [4, 4, 1], [3] * 150])
@pytest.mark.parametrize("task", ["labels", "probabilities", "values"])
def test_gathered_batches_measure_the_same(sizes: list[int], task: str) -> None:
    torch.manual_seed(0)
    metric: Metric = RegressionMetrics(2.0) if task == "values" else ClassificationMetrics(7)
    other: Metric = RegressionMetrics(2.0) if task == "values" else ClassificationMetrics(7)
    together = Gathered(metric)
    for size in sizes:
        prediction = torch.randn(size, 1 if task == "values" else 7)
        target = {
            "labels": torch.randint(0, 7, (size,)),
            "probabilities": torch.softmax(torch.randn(size, 7), 1),
            "values": torch.randn(size, 1),
        }[task]
        loss = torch.rand(())
        together.add(prediction, target, loss)
        other.update(prediction, target, loss)
    expected = other.compute()
    for name, value in together.flush().compute().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-12, atol=1e-12, equal_nan=True)


def test_few_batches_and_few_values_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    together = Gathered(ClassificationMetrics(3))
    for _ in range(gathered.BATCHES + 1):
        together.add(torch.randn(2, 3), torch.zeros(2, dtype=torch.long), torch.tensor(1.0))
    assert len(together._batches) == 1
    assert int(together.metric.count) == 2 * gathered.BATCHES
    monkeypatch.setattr(gathered, "VALUES", 12)
    for samples in (4, 4):
        together.add(torch.randn(samples, 3), torch.zeros(samples, dtype=torch.long), torch.tensor(1.0))
    assert len(together._batches) == 1
    assert int(together.metric.count) == 2 * gathered.BATCHES + 2 + 4


def test_the_newest_batch_can_be_taken_back_however_many_there_were() -> None:
    together, plain = Gathered(ClassificationMetrics(3)), Gathered(ClassificationMetrics(3))
    for number in range(2 * gathered.BATCHES + 2):
        batch = torch.randn(2, 3), torch.zeros(2, dtype=torch.long), torch.tensor(float(number))
        plain.add(*batch)
        together.add(*batch)
        together.add(torch.randn(2, 3), torch.ones(2, dtype=torch.long), torch.tensor(torch.nan))
        together.take_back()
    assert together.added == plain.added == 2 * gathered.BATCHES + 2
    for name, value in plain.flush().compute().items():
        assert torch.isclose(together.flush().compute()[name], value), name
