"""Divergences against SciPy's, on class probabilities and on maps with zeros in them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy
from torch import Tensor, nn

from couloir.errors import CouloirError
from couloir.loss.distribution import Bhattacharyya, Brier, KullbackLeibler

LOSSES = [KullbackLeibler(), Bhattacharyya()]
by_name = pytest.mark.parametrize("loss", LOSSES, ids=["kl", "bhattacharyya"])


def maps(seed: int, shape: tuple[int, ...] = (3, 1, 6, 5)) -> np.ndarray:
    return np.random.default_rng(seed).gamma(0.5, size=shape)


def distance(name: str, target: np.ndarray, prediction: np.ndarray) -> float:
    """The mean over samples of SciPy's own, which normalises as well."""
    if name == "kl":
        return float(np.mean([entropy(s.ravel(), p.ravel()) for s, p in zip(target, prediction, strict=True)]))
    rows = [(s.ravel() / s.sum(), p.ravel() / p.sum()) for s, p in zip(target, prediction, strict=True)]
    return float(np.mean([-np.log(np.sqrt(s * p).sum()) for s, p in rows]))


@pytest.mark.parametrize("shape", [(3, 1, 6, 5), (4, 7), (2, 9, 9)])
@pytest.mark.parametrize(("loss", "name"), list(zip(LOSSES, ["kl", "bhattacharyya"], strict=True)))
def test_maps_of_any_unit_are_compared_as_distributions_sample_by_sample(
    loss: nn.Module, name: str, shape: tuple[int, ...]
) -> None:
    target, prediction = maps(0, shape), maps(1, shape)
    expected = distance(name, target, prediction)
    found = loss(torch.tensor(prediction * 255), torch.tensor(target))
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_two_coins_are_worked_by_hand() -> None:
    target, prediction = torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, 3.0]])
    # S = (1/2, 1/2), S' = (1/4, 3/4)
    assert float(KullbackLeibler()(prediction, target)) == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))
    assert float(Bhattacharyya()(prediction, target)) == pytest.approx(-math.log((1 + math.sqrt(3)) / math.sqrt(8)))


def test_kl_takes_the_target_first_as_the_formula_does() -> None:
    p, q = maps(0, (1, 8)), maps(1, (1, 8))
    middle = (p / p.sum() + q / q.sum()) / 2
    halves = [float(KullbackLeibler()(torch.tensor(middle), torch.tensor(one))) for one in (p, q)]
    assert sum(halves) / 2 == pytest.approx(jensenshannon(p[0], q[0]) ** 2, rel=1e-9)


@by_name
def test_equal_maps_have_no_distance(loss: nn.Module) -> None:
    same = torch.tensor(maps(2))
    assert float(loss(same, 3 * same)) == pytest.approx(0.0, abs=1e-9)


def test_labels_are_the_distribution_that_lies_on_one_class() -> None:
    p = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    labels = torch.tensor([0, 1])
    expected = -(math.log(0.7) + math.log(0.1)) / 2
    assert float(KullbackLeibler()(p, labels)) == pytest.approx(expected)
    assert float(Bhattacharyya()(p, labels)) == pytest.approx(expected / 2)  # -ln sqrt(p)


def test_mixed_targets_are_taken_as_they_are() -> None:
    p, mixed = np.array([[0.7, 0.2, 0.1]]), np.array([[0.4, 0.6, 0.0]])
    found = KullbackLeibler()(torch.tensor(p), torch.tensor(mixed))
    assert float(found) == pytest.approx(entropy(mixed[0], p[0]))


def zero_cases() -> dict[str, tuple[Tensor, Tensor]]:
    some, none = torch.tensor([[0.0, 2.0, 0.0, 1.0]]), torch.zeros(1, 4)
    other = torch.tensor([[3.0, 0.0, 1.0, 0.0]])
    return {
        "zeros in both": (some, some.flip(1)),
        "no overlap": (some, other),
        "empty prediction": (none, some),
        "empty target": (some, none),
        "both empty": (none, none),
        "hardly anything": (torch.full((1, 4), 1e-30), some),
    }


@by_name
@pytest.mark.parametrize("case", list(zero_cases()))
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_zeros_in_a_map_end_neither_in_infinity_nor_in_nan(loss: nn.Module, case: str, dtype: torch.dtype) -> None:
    prediction, target = (x.to(dtype) for x in zero_cases()[case])
    prediction.requires_grad_()
    found = loss(prediction, target)
    found.backward()
    assert torch.isfinite(found)
    assert prediction.grad is not None
    assert torch.isfinite(prediction.grad).all()


@by_name
def test_zeros_that_both_maps_share_add_nothing(loss: nn.Module) -> None:
    a, b = maps(3, (2, 4)), maps(4, (2, 4))
    padded = [torch.tensor(np.concatenate([x, np.zeros((2, 1000))], axis=1)) for x in (a, b)]
    assert float(loss(*padded)) == pytest.approx(float(loss(torch.tensor(a), torch.tensor(b))), rel=1e-9)


@by_name
def test_a_share_of_zero_is_pulled_up_where_the_target_has_something(loss: nn.Module) -> None:
    prediction = torch.tensor([[0.0, 1.0]], requires_grad=True)
    loss(prediction, torch.tensor([[0.5, 0.5]])).backward()
    assert prediction.grad is not None
    assert prediction.grad[0, 0] < 0
    assert prediction.grad[0, 1] == 0  # only its share counts, and the share falls as the other grows


@by_name
def test_gradients_are_those_of_the_formula(loss: nn.Module) -> None:
    prediction = torch.tensor(maps(5, (2, 3, 3)) + 0.1, requires_grad=True)
    target = torch.tensor(maps(6, (2, 3, 3)) + 0.1)
    assert torch.autograd.gradcheck(lambda p: loss(p, target), prediction)


@by_name
def test_a_large_half_precision_map_does_not_overflow_its_sum(loss: nn.Module) -> None:
    bright = torch.full((1, 64, 64), 255.0, dtype=torch.float16)  # the sum is far above 65504
    assert float(loss(bright, bright)) == pytest.approx(0.0, abs=1e-5)


@by_name
@pytest.mark.parametrize("shape", [(4,), (4, 1), (4, 4), (1, 4, 3)])
def test_maps_of_different_shapes_are_a_sentence_and_not_a_broadcast(loss: nn.Module, shape: tuple[int, ...]) -> None:
    with pytest.raises(CouloirError, match=r"\(4, 3\)"):
        loss(torch.full((4, 3), 0.5), torch.full(shape, 0.5))


@by_name
def test_a_prediction_with_nothing_to_sum_over_is_refused(loss: nn.Module) -> None:
    with pytest.raises(CouloirError, match="distribution"):
        loss(torch.ones(4), torch.ones(4))


@by_name
def test_negative_shares_are_refused_since_logits_are_no_distribution(loss: nn.Module) -> None:
    with pytest.raises(CouloirError, match="softmax"):
        loss(torch.tensor([[-1.0, 2.0]]), torch.tensor([[0.5, 0.5]]))
    with pytest.raises(CouloirError, match="target"):
        loss(torch.tensor([[0.5, 0.5]]), torch.tensor([[-1.0, 2.0]]))


@by_name
def test_the_task_hands_over_a_distribution(loss: nn.Module) -> None:
    assert loss.expects == "distribution"


def test_briers_score_is_scikit_learns_and_stands_still_where_a_softmax_is_wrong_and_sure() -> None:
    from sklearn.metrics import brier_score_loss

    p, labels = np.random.default_rng(0).dirichlet(np.ones(4), 20), np.arange(20) % 4
    one_hot = np.eye(4)[labels]
    expected = sum(brier_score_loss(one_hot[:, k], p[:, k]) for k in range(4))  # the mean over samples, class by class
    assert float(Brier()(torch.tensor(p), torch.tensor(labels))) == pytest.approx(expected)
    assert float(Brier()(torch.tensor(p), torch.tensor(one_hot))) == pytest.approx(expected)
    z = torch.tensor([[0.0, 30.0]], requires_grad=True)
    target = torch.tensor([0])
    (stuck,) = torch.autograd.grad(Brier()(z.softmax(dim=1), target), z)
    (moves,) = torch.autograd.grad(nn.functional.cross_entropy(z, target), z)
    assert float(stuck.abs().max()) < 1e-10 < 0.9 < float(moves.abs().max())
