"""What a classifier says of made samples is what the papers' formulas give, however batches are cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor, nn
from torchmetrics import Metric

from couloir.metric.chosen import number
from couloir.metric.features import Classifier
from couloir.metric.samples import (
    ClassCoverage,
    ClassEntropy,
    Confidence,
    Frechet,
    LeastShare,
    Neighbours,
    frechet_distance,
)  # fmt: skip

Array = np.ndarray[Any, np.dtype[Any]]


class Net(nn.Module):
    """Images of 2x3 pixels: the pixels are the features, and the first three of them the classes' scores, 9 times."""

    output = "logits"

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Linear(6, 3, bias=False)
        self.passes: list[int] = []
        self.scores.weight.data = 9 * torch.eye(3, 6)

    def forward(self, x: Tensor) -> Tensor:
        self.passes.append(len(x))
        scores: Tensor = self.scores(x.flatten(1))
        return scores


@pytest.fixture
def pixels() -> Classifier:
    return Classifier(Net(), (2, 3), [0.0], [1.0])


def images(count: int = 30, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    made, real = (torch.rand(count, 1, 2, 3, generator=generator) for _ in range(2))
    return made**2 * 0.8, real


def measured(metric: Metric, *batches: tuple[Tensor, Tensor]) -> float:
    for made, real in batches:
        metric.update(made, real)
    return float(number(metric))


def test_the_frechet_distance_is_that_of_scipys_square_root(pixels: Classifier) -> None:
    made, real = images()
    M, R = (x.flatten(1).double().numpy() for x in (made, real))
    covariances = np.cov(M.T), np.cov(R.T)
    expected = np.sum((M.mean(0) - R.mean(0)) ** 2) + np.trace(sum(covariances))
    expected -= 2 * np.trace(sqrtm(covariances[0] @ covariances[1]).real)
    assert measured(Frechet(pixels), (made, real)) == pytest.approx(expected, rel=1e-6)


def test_the_frechet_distance_of_two_gaussians_is_the_closed_form() -> None:
    """Independent coordinates: squared differences of means and of deviations. A deviation of 0 is one of them."""
    mean, other = torch.tensor([1.0, -2.0, 0.5]).double(), torch.tensor([0.0, 1.0, 0.5]).double()
    deviation, its = torch.tensor([1.0, 0.0, 3.0]).double(), torch.tensor([2.0, 0.5, 3.0]).double()
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)).double()).Q
    covariances = [turn @ torch.diag(each**2) @ turn.T for each in (deviation, its)]
    found = frechet_distance(turn @ mean, covariances[0], turn @ other, covariances[1])
    assert float(found) == pytest.approx(1 + 9 + 1 + 0.25)
    assert float(frechet_distance(mean, covariances[1], mean, covariances[1])) == pytest.approx(0, abs=1e-12)


def share_within(points: Array, others: Array, k: int = 3) -> float:
    """Kynkäänniemi et al., 2019, equations 1 and 2, word by word."""
    inside = 0
    for point in points:
        for center in others:
            radius = sorted(np.linalg.norm(other - center) for other in others)[k]
            if np.linalg.norm(point - center) <= radius:
                inside += 1
                break
    return inside / len(points)


def test_precision_and_recall_are_those_of_a_double_loop(pixels: Classifier) -> None:
    made, real = images(24)
    M, R = (x.flatten(1).numpy() for x in (made, real))
    precision, recall = (Neighbours(pixels, count=100, recall=recall) for recall in (False, True))
    found = measured(precision, (made, real)), measured(recall, (made, real))
    assert found == (pytest.approx(share_within(M, R)), pytest.approx(share_within(R, M)))
    assert 0 < found[1] < found[0] < 1


def test_precision_is_not_known_of_fewer_samples_than_neighbours(pixels: Classifier) -> None:
    assert np.isnan(measured(Neighbours(pixels, count=100), images(3)))
    assert np.isnan(measured(Frechet(pixels), images(1)))


def one_hot(*classes: int) -> Tensor:
    """Images of which the classifier is sure."""
    flat = torch.zeros(len(classes), 6)
    flat[range(len(classes)), list(classes)] = 1.0
    return flat.view(-1, 1, 2, 3)


def test_classes_are_counted_as_by_hand(pixels: Classifier) -> None:
    real = one_hot(*[0] * 10, *[1] * 10)  # none is of class 2, which then need not be made
    made = one_hot(*[0] * 15, *[1] * 2, *[2] * 3)
    sure = np.exp(9) / (np.exp(9) + 2)
    unsure = (1 - sure) / 2
    mean = np.array([15, 2, 3]) / 20 * (sure - unsure) + unsure
    expected: dict[type[Any], float] = {
        ClassCoverage: 0.5,  # 2 of 20 are less than a quarter of 10 of 20
        LeastShare: 0.1,
        ClassEntropy: -np.sum(mean * np.log(mean)),
        Confidence: sure,
    }
    for metric, value in expected.items():
        assert measured(metric(pixels), (made, real)) == pytest.approx(value, rel=1e-5), metric.__name__
    assert measured(ClassCoverage(pixels), (one_hot(*[0] * 17, *[1] * 3), real)) == 1.0
    assert measured(ClassEntropy(pixels), (real[:1].repeat(20, 1, 1, 1), real)) == pytest.approx(0, abs=1e-2)


MAKE: list[Callable[[Classifier], Metric]] = [
    Frechet, lambda by: Neighbours(by, 12), lambda by: Neighbours(by, 100, recall=True), ClassCoverage, LeastShare,
    ClassEntropy, Confidence,
]  # fmt: skip


@pytest.mark.parametrize("make", MAKE)
def test_batches_and_processes_change_no_number(make: Callable[[Classifier], Metric], pixels: Classifier) -> None:
    """TorchMetrics joins the states of the processes, which is done by hand here; the third process has no sample."""
    made, real = images(40)
    whole = measured(make(pixels), (made, real))
    batches = zip(made.split(7), real.split(7), strict=True)
    assert measured(make(pixels), *batches) == pytest.approx(whole, rel=1e-5)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    parts = [make(pixels) for _ in range(3)]
    for part, where in zip(parts[:2], (order[:9], order[9:]), strict=True):
        part.update(made[where], real[where])
    for name, state in parts[0].metric_state.items():
        theirs = [part.metric_state[name] for part in parts]
        if isinstance(state, list):
            joined = torch.cat([torch.cat(each) if each else torch.tensor([]) for each in theirs])
        else:
            joined = torch.stack(theirs).sum(dim=0)
        setattr(parts[0], name, joined)
    assert float(parts[0].compute()) == pytest.approx(whole, rel=1e-5)


def test_all_metrics_of_an_update_share_one_pass_of_made_and_one_of_real(pixels: Classifier) -> None:
    assert isinstance(pixels.net, Net)
    made, real = images(40)
    metrics = [make(pixels) for make in MAKE]
    pixels.net.passes.clear()
    for _ in range(2):
        for metric in metrics:
            metric.update(made, real)
    assert pixels.net.passes == [40, 40]
    metrics[0].update(made.clone(), real)
    assert pixels.net.passes == [40, 40, 40], "another tensor, though it has the same values"
