"""Activations and maxout against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from couloir.config import tree
from couloir.config.check import checked
from couloir.config.contract import read_keys
from couloir.errors import CouloirError
from couloir.model.activation import ACTIVATIONS, Maxout, activation, steps_in_words
from networks import build


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x))),
        ("tanh", np.tanh),
        ("scaled_tanh", lambda x: 1.7159 * np.tanh(2 * x / 3)),
        ("relu", lambda x: np.maximum(0, x)),
        ("leaky_relu", lambda x: np.maximum(0.01 * x, x)),
        ("prelu", lambda x: np.maximum(0.25 * x, x)),
        ("elu", lambda x: np.where(x >= 0, x, np.exp(x) - 1)),
        ("swish", lambda x: x / (1 + np.exp(-x))),
        ("step", lambda x: np.heaviside(x, 1.0)),
    ],
)
def test_activations_are_the_courses_formulas(name: str, formula: Any) -> None:
    x = np.linspace(-4, 4, 41)
    got = activation(name)(torch.tensor(x, dtype=torch.float32)).detach().numpy()
    np.testing.assert_allclose(got, formula(x), rtol=1e-4, atol=1e-6)


def test_all_activations_were_compared_and_an_unknown_one_is_explained() -> None:
    assert len(ACTIVATIONS) == 9
    with pytest.raises(CouloirError, match="no activation 'rellu'"):
        activation("rellu")


@pytest.mark.parametrize(
    ("name", "keys", "formula"),
    [
        ("leaky_relu", {"slope": 0.1}, lambda x: np.maximum(0.1 * x, x)),
        ("prelu", {"slope": 0.5}, lambda x: np.maximum(0.5 * x, x)),
        ("elu", {"alpha": 0.3}, lambda x: np.where(x >= 0, x, 0.3 * (np.exp(x) - 1))),
    ],
)
def test_slopes_are_those_that_are_asked_for(name: str, keys: dict[str, float], formula: Any) -> None:
    x = np.linspace(-4, 4, 41)
    got = activation(name, **keys)(torch.tensor(x, dtype=torch.float32)).detach().numpy()
    np.testing.assert_allclose(got, formula(x), rtol=1e-4, atol=1e-6)


def test_the_slope_of_another_activation_is_refused() -> None:
    with pytest.raises(CouloirError, match=r"model\.slope=0\.1 would be ignored: model\.activation is elu"):
        activation("elu", slope=0.1)
    with pytest.raises(CouloirError, match=r"model\.alpha=2 would be ignored"):
        activation("relu", alpha=2)


SLOPED = {
    "mlp": {}, "convnet": {}, "lenet1": {}, "lenet5": {}, "perceptron": {}, "unet": {"width": 2, "depth": 1},
    "espcn": {}, "autoencoder": {}, "conv_autoencoder": {"width": 4}, "vae": {}, "conv_vae": {"width": 4},
    "gan_mlp": {},
}  # fmt: skip


@pytest.mark.parametrize("name", SLOPED)
def test_every_network_with_an_activation_takes_its_slope(name: str) -> None:
    with torch.device("meta"):
        leaky = build(name, activation="leaky_relu", slope=0.15, **SLOPED[name])
        usual = build(name, activation="leaky_relu", **SLOPED[name])
        elu = build(name, activation="elu", alpha=0.7, **SLOPED[name])
        with pytest.raises(CouloirError, match="would be ignored"):
            build(name, activation="tanh", slope=0.15, **SLOPED[name])
    assert {layer.negative_slope for layer in leaky.modules() if isinstance(layer, nn.LeakyReLU)} == {0.15}
    begun = {layer.negative_slope for layer in usual.modules() if isinstance(layer, nn.LeakyReLU)}
    assert begun == {0.2 if name == "gan_mlp" else 0.01}
    assert {layer.alpha for layer in elu.modules() if isinstance(layer, nn.ELU)} == {0.7}


def test_all_networks_with_an_activation_were_asked_for_its_slope() -> None:
    keys = {name: {key.path: key for key in read_keys(file)} for name, file in tree.choices("model").items()}
    leaky = {name for name, of in keys.items() if "activation" in of and "leaky_relu" in of["activation"].contract}
    assert leaky - {"conv1d", "conv3d"} == set(SLOPED), "these two have no key for the slope"


@pytest.mark.parametrize(
    ("name", "keys", "learning"),
    [
        ("mlp", {}, 650),
        ("convnet", {}, 1290),
        ("lenet1", {}, 1930),
        ("lenet1", {"original": True}, 1930),
        ("lenet5", {}, 850),
    ],
)
def test_below_a_step_nothing_learns_and_above_it_all_does(name: str, keys: dict[str, bool], learning: int) -> None:
    torch.manual_seed(0)
    net = build(name, 1, 32, activation="step", **keys)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    before = [parameter.detach().clone() for parameter in net.parameters()]
    for _ in range(2):
        optimizer.zero_grad()
        net(torch.randn(4, 1, 32, 32)).square().sum().backward()
        optimizer.step()
    moved = [not torch.equal(now, then) for now, then in zip(net.parameters(), before, strict=True)]
    assert moved == [False] * (len(moved) - 2) + [True] * 2
    assert sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad) == learning
    total = sum(parameter.numel() for parameter in net.parameters())
    assert f"{total - learning:,} of {total:,} parameters" in str(steps_in_words(net))
    assert steps_in_words(build(name, 1, 32)) is None


def test_a_linear_shortcut_learns_beside_steps() -> None:
    net = build("mlp", 1, 8, 3, activation="step", hidden=[5], shortcut="linear")
    net(torch.randn(4, 1, 8, 8)).square().sum().backward()
    learning = [parameter.numel() for parameter in net.parameters() if parameter.requires_grad]
    assert sum(learning) == 5 * 3 + 3 + 64 * 3
    assert all(parameter.grad is not None for parameter in net.parameters() if parameter.requires_grad)


def test_a_key_of_another_activation_is_refused_before_torch_is_needed() -> None:
    for words, said in (
        (["model=mlp", "model.slope=0.1"], r"model\.slope=0\.1 would be ignored: model\.activation is relu"),
        (["model=convnet", "model.activation=leaky_relu", "model.alpha=2"], r"model\.alpha=2 would be ignored"),
        (["model=mlp", "model.activation=leaky_relu", "model.slope=-1"], r"model\.slope takes"),
        (["model=perceptron", "model.activation=step"], "nothing learns"),
    ):
        with pytest.raises(CouloirError, match=said):
            checked(words)


def test_scaled_tanh_maps_one_to_one() -> None:
    assert float(activation("scaled_tanh")(torch.tensor(1.0))) == pytest.approx(1.0, abs=1e-4)


def test_maxout_is_the_largest_of_its_affine_pieces() -> None:
    torch.manual_seed(0)
    layer = Maxout(5, 3, pieces=4)
    x = torch.randn(7, 5)
    weight, bias = layer.linear.weight.detach().numpy(), layer.linear.bias.detach().numpy()
    pieces = (x.numpy() @ weight.T + bias).reshape(7, 3, 4)
    np.testing.assert_allclose(layer(x).detach().numpy(), pieces.max(axis=2), rtol=1e-5, atol=1e-6)
