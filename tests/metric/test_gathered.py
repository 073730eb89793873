"""Batches taken in together measure what they measure one by one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

from couloir.metric import gathered
from couloir.metric.classification import ClassificationMetrics
from couloir.metric.gathered import Gathered, MeanLosses
from couloir.metric.regression import RegressionMetrics


def batch(samples: int, label: int = 0) -> tuple[Tensor, Tensor]:
    return torch.randn(samples, 3), torch.full((samples,), label)


def of_classes() -> Gathered:
    return Gathered(("loss",), {"accuracy": ClassificationMetrics(3)})


def count(together: Gathered) -> int:
    return int(together.own["accuracy"].count)  # type: ignore[arg-type]


@pytest.mark.parametrize("sizes", [[5], [4, 4, 1], [3] * 150])
@pytest.mark.parametrize("task", ["labels", "probabilities", "values"])
def test_gathered_batches_measure_the_same(sizes: list[int], task: str) -> None:
    torch.manual_seed(0)
    metric: Metric = RegressionMetrics(2.0) if task == "values" else ClassificationMetrics(7)
    other: Metric = RegressionMetrics(2.0) if task == "values" else ClassificationMetrics(7)
    means = MeanLosses(("loss", "penalty"))
    together = Gathered(("loss", "penalty"), {"own": metric})
    for size in sizes:
        prediction = torch.randn(size, 1 if task == "values" else 7)
        target = {
            "labels": torch.randint(0, 7, (size,)),
            "probabilities": torch.softmax(torch.randn(size, 7), 1),
            "values": torch.randn(size, 1),
        }[task]
        losses = torch.rand(2)
        together.add(size, tuple(losses), (prediction, target))
        other.update(prediction, target)
        means.update(losses, size)
    expected = means.compute() | other.compute()
    found = together.compute()
    assert list(found) == list(expected)
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-12, atol=1e-12, equal_nan=True)


def test_a_batch_counts_its_weight_where_it_has_one_also_after_a_checkpoint() -> None:
    together = Gathered(("loss",), {})
    together.add(torch.tensor(0.5), (torch.tensor(1.0),), ())
    taken_up = Gathered(("loss",), {})
    taken_up.load_state_dict(together.state_dict())
    for gathered_so_far in (together, taken_up):
        gathered_so_far.add(torch.tensor(1.5), (torch.tensor(3.0),), ())
        assert float(gathered_so_far.compute()["loss"]) == pytest.approx((0.5 * 1 + 1.5 * 3) / 2)


def test_each_sample_weighs_the_same_in_the_mean_of_a_loss_not_each_batch() -> None:
    together = Gathered(("loss",), {})
    for samples, loss in ((7, 1.0), (1, 5.0), (4, 2.0)):
        together.add(samples, (torch.tensor(loss),), ())
    assert float(together.compute()["loss"]) == pytest.approx((7 * 1.0 + 1 * 5.0 + 4 * 2.0) / 12)
    together.reset()
    together.add(2, (torch.tensor(3.0),), ())
    assert float(together.compute()["loss"]) == 3.0


def test_metrics_are_measured_where_no_loss_is_defined() -> None:
    together = Gathered((), {"accuracy": ClassificationMetrics(3)})
    together.add(3, (), (torch.eye(3), torch.tensor([0, 1, 1])))
    assert {name: float(value) for name, value in together.compute().items()} == {"accuracy": pytest.approx(2 / 3)}


def test_further_metrics_take_what_the_task_makes_of_the_tensors_once_for_all_batches() -> None:
    calls = []

    def convert(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        calls.append(len(tensors[0]))
        return tensors[0].softmax(dim=1), tensors[1]

    chosen = MulticlassAccuracy(3, average="micro")
    together = Gathered(("loss",), {"accuracy": ClassificationMetrics(3)}, {"chosen": chosen}, convert)
    for samples in (4, 2):
        together.add(samples, (torch.tensor(1.0),), batch(samples))
    found = together.compute()
    assert list(found) == ["loss", "accuracy", "chosen"]
    assert float(found["chosen"]) == pytest.approx(float(found["accuracy"]))
    assert calls == [6]


def test_few_batches_and_few_values_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    together = of_classes()
    for _ in range(gathered.BATCHES + 1):
        together.add(2, (torch.tensor(1.0),), batch(2))
    assert len(together._batches) == 1
    assert count(together) == 2 * gathered.BATCHES
    monkeypatch.setattr(gathered, "VALUES", 12)
    for samples in (4, 4):
        together.add(samples, (torch.tensor(1.0),), batch(samples))
    assert len(together._batches) == 1
    assert count(together) == 2 * gathered.BATCHES + 2 + 4


def test_the_newest_batch_can_be_taken_back_however_many_there_were() -> None:
    together, plain = of_classes(), of_classes()
    for number in range(2 * gathered.BATCHES + 2):
        tensors = batch(2)
        plain.add(2, (torch.tensor(float(number)),), tensors)
        together.add(2, (torch.tensor(float(number)),), tensors)
        together.add(2, (torch.tensor(torch.nan),), batch(2, label=1))
        together.take_back()
    assert together.added == plain.added == 2 * gathered.BATCHES + 2
    for name, value in plain.compute().items():
        assert torch.isclose(together.compute()[name], value), name


def test_a_state_has_the_batches_that_are_kept_and_measures_on_bit_for_bit() -> None:
    whole, first, later = of_classes(), of_classes(), of_classes()
    for number in range(gathered.BATCHES + 5):
        loss, tensors = torch.rand(()), batch(2)
        whole.add(2, (loss,), tensors)
        if number == gathered.BATCHES + 2:
            later.load_state_dict(first.state_dict())
        (first if number < gathered.BATCHES + 2 else later).add(2, (loss,), tensors)
    assert later.compute() == whole.compute()
    assert count(later) == 2 * (gathered.BATCHES + 5)


def test_an_epoch_of_an_older_version_goes_on() -> None:
    """Its checkpoints held the sums of one metric, the loss among them, and batches of prediction, target and loss."""
    torch.manual_seed(0)
    batches = [(torch.randn(n, 3), torch.randint(3, (n,)), torch.rand(())) for n in (4, 7, 5)]
    whole = Gathered(("loss",), {"accuracy": ClassificationMetrics(3)})
    for prediction, target, loss in batches:
        whole.add(len(target), (loss,), (prediction, target))
    (prediction, target, loss), *kept = batches
    correct = (prediction.argmax(1) == target).sum()
    sums = {
        "loss_sum": loss.double() * 4,
        "correct": correct,
        "correct_top5": torch.tensor(0),
        "count": torch.tensor(4),
    }
    taken_up = Gathered(("loss",), {"accuracy": ClassificationMetrics(3)})
    taken_up.load_state_dict({"sums": sums, "updates": 1, "batches": [list(batch) for batch in kept]})
    expected, got = whole.compute(), taken_up.compute()
    assert got["accuracy"] == expected["accuracy"]
    assert float(got["loss"]) == pytest.approx(float(expected["loss"]), rel=1e-7)
