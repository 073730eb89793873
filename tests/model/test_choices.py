"""Every YAML file of the group: what it instantiates to, and what every network can do."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from hydra.utils import get_object, instantiate
from omegaconf import OmegaConf
from torch import nn

from couloir.config import tree
from couloir.model.activation import ACTIVATIONS

NAMES = list(tree.choices("model"))
FLAT = ["linear", "polynomial", "perceptron", "mlp"]


def build(name: str, channels: int = 3, image_size: int | None = 32, classes: int = 10, **keys: Any) -> nn.Module:
    data = {"channels": channels, "image_size": image_size, "num_classes": classes}
    cfg = OmegaConf.create({"data": data})
    cfg.model = OmegaConf.load(tree.choices("model")[name])
    cfg.model.update(keys)
    return instantiate(cfg.model, _convert_="all")


@pytest.mark.parametrize("name", NAMES)
def test_every_network_returns_a_value_a_class_and_gradients_reach_all_its_parameters(name: str) -> None:
    torch.manual_seed(0)
    net = build(name)
    out = net(torch.randn(3, 3, 32, 32))
    assert out.shape == (3, 10)
    out.square().sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


@pytest.mark.parametrize("name", FLAT)
def test_tables_go_through_the_flat_networks(name: str) -> None:
    net = build(name, channels=5, image_size=None, classes=1)
    assert net(torch.randn(4, 5)).shape == (4, 1)


@pytest.mark.parametrize("name", NAMES)
def test_memory_layout_does_not_change_the_result(name: str) -> None:
    torch.manual_seed(0)
    net = build(name).eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = net(x)
        got = net.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    assert torch.allclose(got, expected, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_keys_stand_in_the_order_of_the_constructor_and_all_are_read(name: str) -> None:
    node = OmegaConf.to_container(OmegaConf.load(tree.choices("model")[name]), resolve=False)
    keys = [key for key in node if key != "_target_"]
    assert keys == list(inspect.signature(get_object(node["_target_"])).parameters)


@pytest.mark.parametrize("name", NAMES)
def test_a_network_can_be_looked_at_without_memory_for_its_weights(name: str) -> None:
    with torch.device("meta"):
        net = build(name, image_size=40)
        out = net(torch.zeros(2, 3, 40, 40))
    assert out.shape == (2, 10)
    assert all(parameter.is_meta for parameter in net.parameters())


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("resnet101", "resnet152")])
def test_the_seed_fixes_the_network_and_what_it_returns(name: str) -> None:
    x = torch.randn(2, 3, 32, 32)
    outputs = []
    for _ in range(2):
        torch.manual_seed(3)
        outputs.append(build(name)(x))
    assert torch.equal(*outputs)


@pytest.mark.parametrize("name", ["perceptron", "mlp", "convnet", "lenet5"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_can_be_named_in_every_network(name: str, activation: str) -> None:
    kind = type(ACTIVATIONS[activation]())
    net = (
        build(name, activation=activation, dropout=0.5) if name != "perceptron" else build(name, activation=activation)
    )
    assert any(isinstance(module, kind) for module in net.modules())
    assert not any(isinstance(module, nn.ReLU) for module in net.modules()) or activation == "relu"
    assert net(torch.randn(2, 3, 32, 32)).isfinite().all()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in FLAT])
def test_networks_for_images_say_so_to_the_checker(name: str) -> None:
    text = tree.choices("model")[name].read_text()
    assert "# Expects: images of at least 8x8 pixels" in text
    assert "image_size: ${data.image_size}  # int >= 8; pixels" in text
    assert build(name, image_size=8)(torch.randn(2, 3, 8, 8)).shape == (2, 10)


@pytest.mark.parametrize("name", FLAT)
def test_tables_are_not_refused_by_the_checker(name: str) -> None:
    assert "images" not in tree.expects(tree.choices("model")[name])
