"""The surface of a loss around its solution, against what its paper says and a loss that a formula gives."""

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from couloir.artifacts.landscape import (
    Surface,
    as_direction,
    draw,
    draw_landscape,
    in_a_row,
    moving_weights,
    principal_directions,
    random_direction,
    spans,
    surface,
)  # fmt: skip


@pytest.fixture
def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3),
        nn.BatchNorm2d(3),
        nn.ConvTranspose2d(3, 4, 2),
        nn.Flatten(),
        nn.Linear(4, 5),
        nn.LayerNorm(5),
    )


def test_each_filter_of_a_direction_has_the_norm_of_the_networks_own_filter(net: nn.Sequential) -> None:
    first, second = (random_direction(net, 7, number) for number in range(2))
    assert list(first) == ["0.weight", "2.weight", "4.weight"], "biases and normalisation stay"
    for name, axis in (("0.weight", 0), ("2.weight", 1), ("4.weight", 0)):
        for filter_of_direction, filter_of_net in zip(
            first[name].unbind(axis), net.get_parameter(name).detach().unbind(axis), strict=True
        ):
            assert np.linalg.norm(filter_of_direction) == pytest.approx(np.linalg.norm(filter_of_net), rel=1e-5)
    assert not torch.allclose(first["0.weight"], second["0.weight"])
    assert torch.equal(first["4.weight"], random_direction(net, 7, 0)["4.weight"])


def test_the_surface_is_the_loss_at_each_point_and_leaves_the_weights_alone(net: nn.Sequential) -> None:
    directions = [random_direction(net, 0, number) for number in range(2)]
    before = {name: value.clone() for name, value in net.state_dict().items()}
    weights, target = in_a_row(moving_weights(net)).double(), 0.3

    def loss() -> torch.Tensor:
        return (in_a_row(moving_weights(net)).double() - target).square().sum()

    x, y = np.array([-1.0, 0.0, 0.5]), np.array([0.0, 2.0])
    found = surface(net, loss, directions, x, y)
    rows = [in_a_row(direction).double() for direction in directions]
    for row, up in enumerate(y):
        for column, right in enumerate(x):
            expected = float((weights + right * rows[0] + up * rows[1] - target).square().sum())
            assert found[row, column] == pytest.approx(expected, rel=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    with pytest.raises(KeyboardInterrupt):
        surface(net, loss, directions, x, y, between=lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_the_plane_of_a_path_is_that_of_its_principal_components(net: nn.Sequential) -> None:
    size = in_a_row(moving_weights(net)).numel()
    draws = np.random.default_rng(0)
    basis = np.linalg.qr(draws.normal(size=(size, 3)))[0].T
    amounts = np.array([[9.0, 1.0, 0.2], [6.0, -2.0, -0.1], [3.0, 1.5, 0.1], [0.0, 0.0, 0.0]])
    path = (amounts @ basis + draws.normal(size=size)).astype(np.float32)
    directions, along, shares = principal_directions(path)
    steps = (path - path[-1]).astype(np.float64)[:-1]
    values, vectors = np.linalg.eigh(steps.T @ steps)
    assert shares == pytest.approx((values[::-1] / values.sum())[:2], rel=1e-5)
    assert np.abs(directions @ vectors[:, ::-1][:, :2]) == pytest.approx(np.eye(2), abs=1e-4)
    assert along[-1] == pytest.approx([0, 0])
    assert along[0, 0] > 0
    assert along[:-1] == pytest.approx(steps @ directions.T, abs=1e-5)
    assert in_a_row(as_direction(directions[0], net)).numpy() == pytest.approx(directions[0], abs=1e-6)
    x, y = spans(along, 5)
    assert x[0] < along[:, 0].min() < along[:, 0].max() < x[-1]
    assert y[0] < along[:, 1].min() < along[:, 1].max() < y[-1]


def test_a_loss_that_is_no_number_in_places_or_the_same_everywhere_is_drawn_as_far_as_it_goes(tmp_path: Path) -> None:
    axis = np.linspace(-1, 1, 5)
    bowl = axis[:, None] ** 2 + axis**2
    broken = np.where(bowl > 1.5, np.inf, bowl - 0.5)
    path = np.array([[0.9, 0.9], [0.4, 0.1], [0.0, 0.0]])
    surfaces = [
        Surface(axis, axis, broken, np.empty((0, 2)), [], ()),
        Surface(axis, axis, bowl + 1, path, [0, 2, 3], (0.8, 0.1)),
    ]
    assert draw_landscape(tmp_path / "a.png", surfaces, "told") is None
    flat = Surface(axis, axis, np.full((5, 5), np.nan), np.empty((0, 2)), [], ())
    assert draw_landscape(tmp_path / "b.png", [flat], "told") is None
    assert (tmp_path / "a.png").stat().st_size > (tmp_path / "b.png").stat().st_size > 1000

    def spoilt() -> Figure:
        raise ValueError("no font")

    assert draw(tmp_path / "c.png", spoilt) == "c.png cannot be drawn: ValueError: no font"
