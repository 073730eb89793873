"""The exact loss of two weights, against least squares and against the loss that is trained."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from couloir.artifacts.bowl import Bowl, bowl_of, draw_bowl, names_of


def points(count: int = 50) -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(2)
    x = torch.rand(count, 1, generator=draws) * 2
    return x, 2 * x + 1 + 0.1 * torch.randn(count, 1, generator=draws)


def test_the_bowl_is_the_loss_everywhere_and_its_lowest_point_least_squares() -> None:
    x, y = points()
    net = nn.Sequential(nn.Flatten(), nn.Linear(1, 1))
    before = [parameter.clone() for parameter in net.parameters()]
    bowl = bowl_of(net, x, y)
    assert bowl is not None
    assert all(torch.equal(one, other) for one, other in zip(before, net.parameters(), strict=True))
    slope, intercept = np.polynomial.polynomial.polyfit(x[:, 0].double(), y[:, 0].double(), 1)[::-1]
    assert bowl.solution == pytest.approx([slope, intercept])
    for weights in ([0.3, -2.0], [5.0, 1.0]):
        expected = np.mean((weights[0] * x.double().numpy() + weights[1] - y.double().numpy()) ** 2)
        assert bowl.loss(np.array(weights)) == pytest.approx(expected)
    hessian = np.array([[2 * np.mean(x.double().numpy() ** 2), 2 * x.double().mean()], [2 * x.double().mean(), 2]])
    assert bowl.stable == pytest.approx(2 / np.linalg.eigvalsh(hessian).max())


def test_plain_gradient_descent_comes_home_just_below_the_largest_rate_and_leaves_just_above_it() -> None:
    x, y = points()
    bowl = bowl_of(nn.Linear(1, 1), x, y)
    assert bowl is not None
    for factor, comes_home in ((0.98, True), (1.02, False)):
        weights = np.zeros(2)
        for _ in range(500):
            weights = weights - factor * bowl.stable * 2 * (bowl.quadratic @ weights - bowl.linear)
        assert bool(np.linalg.norm(weights - bowl.solution) < 1e-3) is comes_home


def test_two_weights_of_two_columns_have_a_bowl_and_those_behind_a_sigmoid_have_none() -> None:
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    y = x @ torch.tensor([[1.0], [-2.0]])
    bowl = bowl_of(nn.Linear(2, 1, bias=False), x, y)
    assert bowl is not None
    assert bowl.solution == pytest.approx([1, -2], abs=1e-5)
    assert names_of(nn.Linear(2, 1, bias=False)) == ["weight[0]", "weight[1]"]
    assert names_of(nn.Linear(1, 1)) == ["weight", "bias"]
    assert bowl_of(nn.Sequential(nn.Linear(1, 1), nn.Sigmoid()), x[:, :1], y) is None


def test_descents_that_explode_stand_still_or_end_in_nothing_are_drawn(tmp_path: Path) -> None:
    bowl = Bowl(np.diag([2.0, 0.5]), np.array([2.0, 0.0]), 2.0, np.array([1.0, 0.0]), 9)
    exploding = np.array([1.0, 0.0]) + np.array([2.0, 1.0]) * (-1.5) ** np.arange(400)[:, None]
    still = np.tile(bowl.solution, (3, 1))
    broken = np.array([[0.0, 1.0], [3.0, 0.5], [np.inf, np.nan]])
    for name, path in (("a", exploding), ("b", still), ("c", broken)):
        assert draw_bowl(tmp_path / f"{name}.png", bowl, path, ["w", "b"], 0.1) is None
        assert (tmp_path / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
