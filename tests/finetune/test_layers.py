"""Which modules a sample passes in which order, and which of them are the head."""

from __future__ import annotations

import pytest
import torch
from small_network import Small
from torch import nn

from couloir.errors import CouloirError
from couloir.finetune.layers import head_of, layers_of, passed
from networks import build, make_heads_small

X = torch.zeros(2, 1, 8, 8)


def test_the_order_is_that_of_the_pass_and_not_of_the_definition() -> None:
    order = passed(Small(), X)
    assert order == [
        "stem", "norm", "early", "blocks.0.conv", "blocks.0.norm", "blocks.1.0", "blocks.1.1", "blocks.1.2",
        "before_head", "head",
    ]  # fmt: skip


def test_looking_at_the_order_changes_nothing() -> None:
    net = Small().train()
    net.norm.eval()
    modes = {name: module.training for name, module in net.named_modules()}
    before = {name: value.clone() for name, value in net.state_dict().items()}
    drawn = torch.get_rng_state()
    passed(net, X)
    assert {name: module.training for name, module in net.named_modules()} == modes
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), drawn)
    assert not any(module._forward_hooks for module in net.modules())


def test_a_network_that_is_not_called_with_the_input_has_the_order_of_its_definition() -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            raise AssertionError("called with one")

    assert passed(Pair(), X) == ["one", "two"]


def test_a_module_that_is_called_twice_is_there_twice() -> None:
    drop = nn.Dropout()
    net = nn.Sequential(nn.Linear(3, 3), drop, nn.Linear(3, 3), drop)
    assert passed(net, torch.zeros(2, 3)) == ["0", "1", "2", "1"]


@pytest.mark.parametrize(
    ("name", "size", "head"),
    [
        ("squeezenet", 64, ["classifier.1"]),
        ("resnet20", 32, ["fc"]),
        ("densenet_cifar", 32, ["classifier"]),
        ("lenet5", 32, ["output_layer"]),
        ("googlenet", 64, ["fc", "aux1", "aux2"]),
        ("network_in_network", 32, None),
    ],
)
def test_the_head_of_a_network_of_the_zoo_gives_the_scores(name: str, size: int, head: list[str] | None) -> None:
    net = build(name, image_size=size, classes=7)
    found = head_of(net, passed(net, torch.zeros(2, 3, size, size)))
    if head is not None:
        assert found == head
    weight = net.get_submodule(found[0]).weight
    assert isinstance(weight, torch.Tensor)
    assert len(weight) == 7


def test_the_head_is_the_one_that_is_passed_last_or_named() -> None:
    net = Small()
    assert head_of(net, passed(net, X)) == ["head"]
    assert head_of(net) == ["blocks.1.0"], "the order of definition, where no other is known"
    assert head_of(net, passed(net, X), "blocks.1") == ["blocks.1"]


@pytest.mark.parametrize(
    ("name", "said", "next_step"),
    [
        ("haed", "finetune.head=haed is no module of this network", "did you mean finetune.head=head"),
        ("early", "finetune.head=early has no parameters", "the last ones are"),
        ("", "finetune.head= is no module", "the last ones are"),
    ],
)
def test_a_head_that_is_not_there_is_refused(name: str, said: str, next_step: str) -> None:
    with pytest.raises(CouloirError, match=said) as caught:
        head_of(Small(), None, name)
    assert next_step in str(caught.value.next_step)


def test_a_head_may_be_named_by_its_number() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    assert head_of(net, head=0) == head_of(net, head="0") == ["0"]


def test_a_network_without_parameters_has_no_head() -> None:
    with pytest.raises(CouloirError, match="no layer with parameters"):
        head_of(nn.Sequential(nn.Flatten()))


def test_layers_are_blocks_with_what_normalises_them_and_hold_every_parameter_once() -> None:
    net = Small()
    order = passed(net, X)
    layers = layers_of(net, order, head_of(net, order))
    assert [layer.name for layer in layers] == ["stem", "blocks.0", "blocks.1", "head"]
    assert layers[0].parameters == ("stem.weight", "norm.weight", "norm.bias")
    held = [name for layer in layers for name in layer.parameters]
    assert sorted(held) == sorted(name for name, _ in net.named_parameters())


@pytest.mark.parametrize(
    ("name", "size", "count", "some"),
    [
        ("squeezenet", 64, 10, ["features.0", "features.3", "classifier.1"]),
        ("resnet20", 32, 11, ["conv1", "layer1.0", "layer3.2", "fc"]),
        ("densenet_cifar", 32, None, ["classifier"]),
        ("lenet5", 32, 5, ["c1", "output_layer"]),
        ("mobilenet_v2", 32, 20, ["features.0", "classifier.1"]),
        ("vgg11", 32, 11, ["features.0", "classifier.6"]),
    ],
)
def test_layers_of_networks_of_the_zoo(
    name: str, size: int, count: int | None, some: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_heads_small(monkeypatch)
    net = build(name, image_size=size)
    order = passed(net, torch.zeros(2, 3, size, size))
    layers = layers_of(net, order, head_of(net, order))
    names = [layer.name for layer in layers]
    assert set(some) <= set(names)
    assert names[-1] == some[-1]
    if count is not None:
        assert len(names) == count
    held = [name for layer in layers for name in layer.parameters]
    assert sorted(held) == sorted(name for name, _ in net.named_parameters())
