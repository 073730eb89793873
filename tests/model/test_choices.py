"""Every YAML file of the group: what it instantiates to, and what every network can do."""

from __future__ import annotations

import inspect
import re

import pytest
import torch
from hydra.utils import get_object
from omegaconf import OmegaConf
from torch import nn

from couloir.config import tree
from couloir.config.needs import lacking
from couloir.errors import CouloirError
from couloir.model.activation import ACTIVATIONS
from networks import (
    DEEPER,
    NARROW,
    build,
    make_heads_small,
    networks_of_maps,
    networks_of_tasks,
    one_of_each,
    packaged_networks,
)

NAMES = packaged_networks()
MAPS = networks_of_maps()
FLAT = ["linear", "polynomial", "perceptron", "mlp"]
HEAVY = [
    name for name in NAMES if name.startswith(("vgg1", "alexnet", "zfnet", "preact", "resnet1", "densenet2", "fractal"))
]
"""What takes a second and more; what is left out for them holds for their smaller relatives."""


def smallest(name: str) -> int:
    """The smallest images that the YAML file says the network takes."""
    found = re.search(
        r"image_size: \$\{data.image_size\} +# int >= (\d+) or \[height, width\]; pixels",
        tree.choices("model")[name].read_text(),
    )
    return int(found[1]) if found else 8


def size_for(name: str) -> int:
    return max(32, smallest(name))


@pytest.mark.parametrize("name", one_of_each(NAMES))
def test_every_network_returns_a_value_a_class_and_gradients_reach_all_its_parameters(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_heads_small(monkeypatch)
    torch.manual_seed(0)
    net = build(name, image_size=size_for(name), **({"drop_path": 0.0} if name == "fractalnet" else {}))
    out = net(torch.randn(3, 3, size_for(name), size_for(name)))
    outputs = out if isinstance(out, tuple) else (out,)
    assert all(scores.shape == (3, 10) for scores in outputs)
    sum(scores.square().sum() for scores in outputs).backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


@pytest.mark.parametrize("name", MAPS)
def test_a_network_of_maps_takes_images_of_any_size_and_gradients_reach_all_its_parameters(name: str) -> None:
    torch.manual_seed(0)
    net = build(name, classes=4, **NARROW.get(name, {}))
    out = net(torch.randn(2, 3, 37, 50))
    outputs = out if isinstance(out, tuple) else (out,)
    scale = getattr(net, "factor", 1)
    assert all(scores.shape == (2, 4, scale * 37, scale * 50) for scores in outputs)
    sum(scores.square().sum() for scores in outputs).backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
    net.eval()
    with torch.no_grad():
        x = torch.randn(1, 3, 41, 33)
        expected = net(x)
        got = net.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    assert torch.allclose(got, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max().clamp_min(1)))
    with torch.no_grad():
        assert torch.allclose(net(x.repeat(3, 1, 1, 1))[2:], expected, rtol=1e-3, atol=1e-3), "it sees other samples"
    with torch.device("meta"):
        assert build(name, 1, 64, 2).eval()(torch.zeros(1, 1, 19, 70)).shape == (1, 2, scale * 19, scale * 70)


@pytest.mark.parametrize("name", FLAT)
def test_tables_go_through_the_flat_networks(name: str) -> None:
    net = build(name, channels=5, image_size=None, classes=1)
    assert net(torch.randn(4, 5)).shape == (4, 1)


@pytest.mark.parametrize("name", one_of_each(name for name in NAMES if name not in HEAVY))
def test_memory_layout_does_not_change_the_result(name: str) -> None:
    torch.manual_seed(0)
    size = size_for(name)
    net = build(name, image_size=size).eval()
    x = torch.randn(2, 3, size, size)
    with torch.no_grad():
        expected = net(x)
        got = net.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    assert torch.allclose(got, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max().clamp_min(1)))


@pytest.mark.parametrize("name", [*NAMES, *MAPS, *networks_of_tasks()])
def test_keys_stand_in_the_order_of_the_constructor_and_all_are_read(name: str) -> None:
    node = OmegaConf.to_container(OmegaConf.load(tree.choices("model")[name]), resolve=False)
    keys = [key for key in node if key not in ("_target_", "defaults")]
    taken = list(inspect.signature(get_object(node["_target_"])).parameters)
    if name in ("mlp", "transformer"):
        taken.remove("adapt_channels")  # they have no first convolution whose weights could be adapted
    assert keys == taken


@pytest.mark.parametrize("name", one_of_each(NAMES))
def test_a_network_can_be_looked_at_without_memory_for_its_weights(name: str) -> None:
    with torch.device("meta"):
        net = build(name, image_size=size_for(name) + 8)
        out = net.eval()(torch.zeros(2, 3, size_for(name) + 8, size_for(name) + 8))
    assert out.shape == (2, 10)
    assert all(parameter.is_meta for parameter in net.parameters())


@pytest.mark.parametrize("name", one_of_each(name for name in NAMES if name not in HEAVY))
def test_the_seed_fixes_the_network_and_what_it_returns(name: str) -> None:
    x = torch.randn(2, 3, size_for(name), size_for(name))
    outputs = []
    for _ in range(2):
        torch.manual_seed(3)
        out = build(name, image_size=size_for(name))(x)
        outputs.append(out[0] if isinstance(out, tuple) else out)
    assert torch.equal(*outputs)


@pytest.mark.parametrize("name", ["perceptron", "mlp", "convnet", "lenet5"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_can_be_named_in_every_network(name: str, activation: str) -> None:
    if (name, activation) == ("perceptron", "step"):
        with pytest.raises(CouloirError, match="nothing learns"):
            build(name, activation=activation)
        return
    kind = type(ACTIVATIONS[activation]())
    net = (
        build(name, activation=activation, dropout=0.5) if name != "perceptron" else build(name, activation=activation)
    )
    assert any(isinstance(module, kind) for module in net.modules())
    assert not any(isinstance(module, nn.ReLU) for module in net.modules()) or activation == "relu"
    assert net(torch.randn(2, 3, 32, 32)).isfinite().all()


@pytest.mark.parametrize("name", one_of_each(name for name in NAMES if name not in FLAT))
def test_the_size_that_the_checker_asks_for_is_the_smallest_that_works(name: str) -> None:
    size = smallest(name)
    with torch.device("meta"):
        net = build(name, image_size=size)
        for mode in (True, False) if name not in HEAVY else (True,):
            out = net.train(mode)(torch.zeros(2, 3, size, size))
            assert (out[0] if isinstance(out, tuple) else out).shape == (2, 10)
        if size > 8:
            with pytest.raises((CouloirError, RuntimeError)):
                build(name, image_size=size - 1).eval()(torch.zeros(2, 3, size - 1, size - 1))


@pytest.mark.parametrize("name", DEEPER)
def test_a_network_with_more_layers_takes_the_images_that_the_one_with_fewer_takes(name: str) -> None:
    assert smallest(name) == smallest(DEEPER[name])


@pytest.mark.parametrize("name", FLAT)
def test_tables_are_not_refused_by_the_checker(name: str) -> None:
    assert lacking(tree.choices("model")[name], {"fields": {"row": "row", "label": "label"}}) is None
