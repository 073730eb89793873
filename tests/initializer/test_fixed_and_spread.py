"""Initializers that do not look at the layer: constants and stated spreads."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from couloir.errors import CouloirError
from couloir.initializer.fixed import constant, default, ones, zeros
from couloir.initializer.layers import fans
from couloir.initializer.spread import normal, uniform
from couloir.layer_kinds import learned_weight


class Scaled(nn.Linear):
    """A user's own kind of linear layer."""


def every_layer() -> nn.ModuleDict:
    """All kinds of layers that have weights to set, and some whose weights are not an initializer's business."""
    net = nn.ModuleDict(
        {
            "linear": nn.Linear(6, 4),
            "own": Scaled(6, 4),
            "no_bias": nn.Linear(6, 4, bias=False),
            "conv1": nn.Conv1d(4, 8, 3),
            "conv2": nn.Conv2d(4, 8, 3, groups=2),
            "conv3": nn.Conv3d(4, 8, 3),
            "up1": nn.ConvTranspose1d(4, 8, 3),
            "up2": nn.ConvTranspose2d(4, 8, 3, groups=2),
            "up3": nn.ConvTranspose3d(4, 8, 3),
            "nested": nn.Sequential(nn.Sequential(nn.Linear(3, 3))),
            "batch_norm": nn.BatchNorm2d(4),
            "layer_norm": nn.LayerNorm(4),
            "group_norm": nn.GroupNorm(2, 4),
            "prelu": nn.PReLU(),
            "embedding": nn.Embedding(5, 4),
        }
    )
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(0.7)
    return net


LEFT_ALONE = ("batch_norm", "layer_norm", "group_norm", "prelu", "embedding")


@pytest.mark.parametrize(
    ("initialise", "value"),
    [(zeros, 0.0), (ones, 1.0), (constant, 0.1), (lambda net: constant(net, value=-2.5), -2.5)],
    ids=["zeros", "ones", "constant", "constant of the user"],
)
def test_every_weight_is_set_every_bias_is_zero_and_normalisation_is_left_alone(initialise, value: float) -> None:
    net = every_layer()
    assert initialise(net) is None
    for name, parameter in net.named_parameters():
        left_alone = name.startswith(LEFT_ALONE)
        expected = 0.7 if left_alone else 0.0 if name.endswith("bias") else value
        assert torch.equal(parameter, torch.full_like(parameter, expected)), name
        assert parameter.requires_grad


def test_default_leaves_what_the_framework_and_the_model_have_set() -> None:
    net = every_layer()
    before, state = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    default(net)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_network_that_is_a_single_layer_is_set_as_well() -> None:
    layer = nn.Linear(3, 2)
    ones(layer)
    assert layer.weight.tolist() == [[1.0] * 3] * 2
    assert layer.bias.tolist() == [0.0, 0.0]


def test_normal_has_the_stated_mean_and_deviation() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(500, 400)
    normal(layer, mean=0.3, std=0.02)
    assert layer.weight.mean().item() == pytest.approx(0.3, abs=2e-4)
    assert layer.weight.std().item() == pytest.approx(0.02, rel=0.01)
    excess = ((layer.weight - 0.3) / 0.02).pow(4).mean().item()
    assert excess == pytest.approx(3, abs=0.1)  # a normal distribution's fourth moment


def test_uniform_fills_the_stated_interval_and_does_not_leave_it() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(500, 400)
    uniform(layer, low=-0.1, high=0.3)
    assert -0.1 <= layer.weight.min().item() < -0.099
    assert 0.299 < layer.weight.max().item() <= 0.3
    assert layer.weight.mean().item() == pytest.approx(0.1, abs=1e-3)
    assert layer.weight.var().item() == pytest.approx(0.4**2 / 12, rel=0.01)


def test_an_interval_the_wrong_way_round_is_a_sentence() -> None:
    with pytest.raises(CouloirError, match="low") as error:
        uniform(nn.Linear(2, 2), low=0.1, high=-0.1)
    assert error.value.next_step


def test_the_seed_decides_the_weights() -> None:
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        net = every_layer()
        normal(net)
        drawn.append(net["linear"].weight.clone())
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_fans_are_counted_by_hand() -> None:
    assert fans(nn.Linear(6, 4)) == (6, 4)
    assert fans(nn.Conv2d(4, 8, 3)) == (4 * 9, 8 * 9)
    assert fans(nn.Conv2d(4, 8, (3, 5), groups=2)) == (2 * 15, 4 * 15)
    assert fans(nn.Conv2d(8, 8, 3, groups=8)) == (9, 9)
    assert fans(nn.Conv1d(4, 8, 3)) == (12, 24)
    assert fans(nn.Conv3d(4, 8, (3, 5, 2), groups=2)) == (2 * 30, 4 * 30)
    assert fans(nn.ConvTranspose2d(4, 8, 3)) == (4 * 9, 8 * 9)
    assert fans(nn.ConvTranspose2d(4, 8, 3, groups=2)) == (2 * 9, 4 * 9)


class Squared(nn.Module):
    """A weight that is computed of another, without a way back."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.square()


def squared(layer: nn.Module) -> nn.Module:
    return nn.utils.parametrize.register_parametrization(layer, "weight", Squared())


def test_a_layer_with_weight_normalisation_begins_with_the_weight_that_was_drawn() -> None:
    layer = nn.utils.parametrizations.weight_norm(nn.Conv1d(2, 3, 4))
    normal(nn.Sequential(layer), std=0.5)
    length, direction = layer.parametrizations.weight.original0, layer.parametrizations.weight.original1
    assert 0.3 < direction.std() < 0.7
    torch.testing.assert_close(length, direction.flatten(1).norm(dim=1)[:, None, None])
    torch.testing.assert_close(layer.weight, direction)
    assert learned_weight(layer) is direction


@pytest.mark.parametrize("layer", [nn.LazyLinear(3), squared(nn.Linear(3, 3))], ids=["lazy", "squared"])
def test_a_weight_that_cannot_be_set_is_a_sentence_and_not_silently_skipped(layer: nn.Module) -> None:
    with pytest.raises(CouloirError, match="'1'") as error:
        ones(nn.Sequential(nn.ReLU(), layer))
    assert error.value.next_step
