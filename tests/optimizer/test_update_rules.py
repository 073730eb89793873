"""Each optimizer against its update rule as the papers write it, ten steps in NumPy, and what is decayed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

from couloir.config import tree
from couloir.optimizer import adaptive, gradient_descent
from couloir.scheduler.annealing import one_cycle

STEPS = 10
START = np.array([[2.0, -1.5], [0.5, 3.0]])
CURVATURE = np.array([[1.0, 0.3], [2.0, 0.1]])
LR = 0.05


def gradient(theta: np.ndarray) -> np.ndarray:
    """Of sum of curvature theta^2 / 2 + sin(theta): neither constant nor linear."""
    return CURVATURE * theta + np.cos(theta)


def steps_of(build: Callable[..., torch.optim.Optimizer], **keys: object) -> list[np.ndarray]:
    theta = nn.Parameter(torch.tensor(START, dtype=torch.float64))
    optimizer = build([theta], **keys)
    path = []
    for _ in range(STEPS):
        theta.grad = torch.tensor(gradient(theta.detach().numpy()))
        optimizer.step()
        path.append(theta.detach().numpy().copy())
    return path


def sgd() -> Iterator[np.ndarray]:
    theta = START.copy()
    while True:
        theta = theta - LR * gradient(theta)
        yield theta


def momentum(a: float = 0.9) -> Iterator[np.ndarray]:
    theta, u = START.copy(), np.zeros_like(START)
    while True:
        u = a * u - LR * gradient(theta)
        theta = theta + u
        yield theta


def nesterov(a: float = 0.9) -> Iterator[np.ndarray]:
    """The course's form; PyTorch stores the point looked ahead to, theta + a u."""
    theta, u = START.copy(), np.zeros_like(START)
    while True:
        u = a * u - LR * gradient(theta + a * u)
        theta = theta + u
        yield theta + a * u


@pytest.mark.parametrize("who", ["momentum_schedule", "one_cycle"])
def test_nesterov_looks_ahead_by_the_momentum_of_the_next_step(who: str) -> None:
    theta = nn.Parameter(torch.tensor(START, dtype=torch.float64))
    optimizer = gradient_descent.nesterov([theta], lr=LR)
    momenta = [0.5 + 0.04 * step for step in range(STEPS)]
    schedule = None
    if who == "one_cycle":  # of a constant rate
        schedule = one_cycle(optimizer, STEPS, LR, 0.3, div_factor=1.0, final_div_factor=1.0)
    place, u = START.copy(), np.zeros_like(START)
    for step in range(STEPS):
        if schedule is None:
            for group in optimizer.param_groups:
                group["momentum"] = momenta[step]
            optimizer.look_ahead()
        a = optimizer.param_groups[0]["momentum"]
        np.testing.assert_allclose(theta.detach().numpy(), place + a * u, rtol=1e-12)
        theta.grad = torch.tensor(gradient(theta.detach().numpy()))
        optimizer.step()
        u = a * u - LR * gradient(place + a * u)
        place = place + u
        if schedule is not None:
            schedule.step()
    assert u.any()


def adam(rho1: float = 0.9, rho2: float = 0.999, delta: float = 1e-8, decay: float = 0.0) -> Iterator[np.ndarray]:
    theta, s, r, t = START.copy(), np.zeros_like(START), np.zeros_like(START), 0
    while True:
        g, t = gradient(theta), t + 1
        s = rho1 * s + (1 - rho1) * g
        r = rho2 * r + (1 - rho2) * g * g
        theta = theta - LR * decay * theta
        theta = theta - LR * (s / (1 - rho1**t)) / (delta + np.sqrt(r / (1 - rho2**t)))
        yield theta


def rmsprop(rho: float = 0.9, delta: float = 1e-8) -> Iterator[np.ndarray]:
    theta, r = START.copy(), np.zeros_like(START)
    while True:
        g = gradient(theta)
        r = rho * r + (1 - rho) * g * g
        theta = theta - LR / (delta + np.sqrt(r)) * g
        yield theta


def adagrad(delta: float = 1e-10) -> Iterator[np.ndarray]:
    theta, r = START.copy(), np.zeros_like(START)
    while True:
        g = gradient(theta)
        r = r + g * g
        theta = theta - LR / (np.sqrt(r) + delta) * g
        yield theta


@pytest.mark.parametrize(
    ("build", "keys", "rule"),
    [
        (gradient_descent.sgd, {}, sgd()),
        (gradient_descent.momentum, {"momentum": 0.9}, momentum()),
        (gradient_descent.nesterov, {"momentum": 0.9}, nesterov()),
        (adaptive.adam, {"betas": [0.9, 0.999]}, adam()),
        (adaptive.adamw, {"betas": [0.9, 0.999], "weight_decay": 0.1}, adam(decay=0.1)),
        (adaptive.rmsprop, {"alpha": 0.9}, rmsprop()),
        (adaptive.adagrad, {}, adagrad()),
    ],
    ids=["sgd", "momentum", "nesterov", "adam", "adamw", "rmsprop", "adagrad"],
)
def test_ten_steps_follow_the_written_update_rule(build: Callable, keys: dict, rule: Iterator[np.ndarray]) -> None:
    for got in steps_of(build, lr=LR, **keys):
        np.testing.assert_allclose(got, next(rule), rtol=1e-9, atol=1e-12)


def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.PReLU(), nn.Flatten(), nn.Linear(8, 3))


@pytest.mark.parametrize("name", list(tree.choices("optimizer")))
def test_decay_leaves_biases_and_normalisation_alone(name: str) -> None:
    cfg = OmegaConf.load(tree.choices("optimizer")[name])
    cfg.weight_decay = 0.5
    model = net()
    optimizer = instantiate(cfg, _convert_="all")(model.parameters())
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert len(decay) == len(list(model.parameters())), "every parameter is optimised once"
    for name_, parameter in model.named_parameters():
        weight = name_ in ("0.weight", "4.weight")
        assert decay[id(parameter)] == (0.5 if weight else 0.0), name_


@pytest.mark.parametrize("name", list(tree.choices("optimizer")))
def test_decay_all_decays_everything(name: str) -> None:
    cfg = OmegaConf.load(tree.choices("optimizer")[name])
    cfg.weight_decay, cfg.decay_all = 0.5, True
    optimizer = instantiate(cfg, _convert_="all")(net().parameters())
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.5]


def test_l2_decay_adds_to_the_gradient_of_weights_only() -> None:
    weight, bias = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))
    optimizer = gradient_descent.sgd([weight, bias], lr=0.1, weight_decay=0.5)
    weight.grad, bias.grad = torch.zeros(2, 2), torch.zeros(2)
    optimizer.step()
    assert torch.allclose(weight, torch.full((2, 2), 0.95))
    assert torch.equal(bias, torch.ones(2))


def test_groups_with_rates_of_their_own_keep_them() -> None:
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    groups = [{"params": first.parameters()}, {"params": second.parameters(), "lr": 0.001}]
    optimizer = gradient_descent.momentum(groups, lr=0.1, weight_decay=0.1)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.1, 0.001, 0.001]


def test_a_network_without_biases_leaves_no_empty_group() -> None:
    optimizer = gradient_descent.sgd(nn.Linear(2, 2, bias=False).parameters(), lr=0.1, weight_decay=0.1)
    assert len(optimizer.param_groups) == 1
