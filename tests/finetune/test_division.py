"""Which parameters each choice puts into which part, and at which rates, against lists and formulas written by hand."""

from __future__ import annotations

import copy

import pytest
import torch
from small_network import Small
from torch import nn

from couloir.errors import CouloirError
from couloir.finetune.division import bias_only, greedy, head, head_then_all, last_n, layerwise, pattern
from couloir.finetune.layers import passed
from couloir.finetune.parts import Learning
from couloir.model.autoencoder import autoencoder, conv_autoencoder
from couloir.model.mlp import mlp
from networks import build

NET = Small()
ORDER = passed(NET, torch.zeros(2, 1, 8, 8))
HEAD = ("head.weight", "head.bias")
BODY = (
    "stem.weight", "norm.weight", "norm.bias", "blocks.0.conv.weight", "blocks.0.conv.bias", "blocks.0.norm.weight",
    "blocks.0.norm.bias", "blocks.1.0.weight", "blocks.1.0.bias", "blocks.1.1.weight", "blocks.1.1.bias",
)  # fmt: skip


def test_head() -> None:
    (part,) = head(NET, ORDER)
    assert part.parameters == HEAD
    assert [part.factor(epoch) for epoch in (0, 5)] == [1.0, 1.0]
    (other,) = head(NET, ORDER, "blocks.1")
    assert other.parameters == BODY[7:]


def test_head_then_all_changes_both_rates_after_the_heads_epochs() -> None:
    one, two = head_then_all(NET, ORDER, head_epochs=3, factor=0.2)
    assert (one.name, two.name) == ("head", "body")
    assert (one.parameters, two.parameters) == (HEAD, BODY)
    assert [one.factor(epoch) for epoch in (0, 2, 3, 9)] == [1.0, 1.0, 0.2, 0.2]
    assert [two.factor(epoch) for epoch in (0, 2, 3, 9)] == [0.0, 0.0, 0.2, 0.2]


def test_layerwise_is_decay_to_the_power_of_the_depth() -> None:
    parts = layerwise(NET, ORDER, decay=0.5, factor=1.0)
    assert {part.name: part.factor(0) for part in parts} == {
        "head": 1.0,
        "blocks.1": 0.5,
        "blocks.0": 0.25,
        "stem": 0.125,
    }
    slow = layerwise(NET, ORDER, decay=0.5, factor=0.1)
    assert [part.factor(0) for part in slow] == pytest.approx([1.0, 0.05, 0.025, 0.0125]), "the head learns anew"
    assert parts[-1].parameters == ("stem.weight", "norm.weight", "norm.bias")
    assert sorted(name for part in parts for name in part.parameters) == sorted((*HEAD, *BODY))


def test_layerwise_of_squeezenet_goes_by_fire_modules() -> None:
    net = build("squeezenet", image_size=64, classes=2)
    parts = layerwise(net, passed(net, torch.zeros(2, 3, 64, 64)), decay=0.8, factor=1.0)
    fires = [name for name, module in reversed(list(net.features.named_children())) if type(module).__name__ == "Fire"]
    assert [part.name for part in parts] == ["classifier.1", *(f"features.{name}" for name in fires), "features.0"]
    assert [part.factor(0) for part in parts] == pytest.approx([0.8**depth for depth in range(10)])


def test_last_n_takes_whole_blocks_from_the_head_down() -> None:
    assert last_n(NET, ORDER, n=1)[0].parameters == HEAD
    assert set(last_n(NET, ORDER, n=2)[0].parameters) == {*HEAD, *BODY[7:]}
    assert set(last_n(NET, ORDER, n=3)[0].parameters) == {*HEAD, *BODY[3:]}
    assert set(last_n(NET, ORDER, n=4)[0].parameters) == {*HEAD, *BODY}
    with pytest.raises(
        CouloirError, match=r"finetune\.n=5 is more than the 4 layers .*: stem, blocks.0, blocks.1, head"
    ):
        last_n(NET, ORDER, n=5)


def test_bias_only_takes_biases_and_the_whole_head() -> None:
    one, two = bias_only(NET, ORDER)
    assert one.parameters == HEAD
    assert two.parameters == tuple(name for name in BODY if name.endswith("bias"))
    bare = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 2))
    with pytest.raises(CouloirError, match="in front of the head this network has none"):
        bias_only(bare, ["0", "1"])


@pytest.mark.parametrize(
    ("frozen", "learns"),
    [
        (["blocks.*"], (*BODY[:3], *HEAD)),
        (["blocks"], (*BODY[:3], *HEAD)),
        (["stem", "norm", "blocks.?"], HEAD),
        (["*.weight"], tuple(name for name in (*BODY, *HEAD) if name.endswith("bias"))),
        (["blocks.1.0.bias"], tuple(name for name in (*BODY, *HEAD) if name != "blocks.1.0.bias")),
    ],
)
def test_a_pattern_names_parameters_or_modules(frozen: list[str], learns: tuple[str, ...]) -> None:
    (part,) = pattern(NET, ORDER, frozen)
    assert set(part.parameters) == set(learns)


@pytest.mark.parametrize(
    ("frozen", "said", "next_step"),
    [
        (["blokcs.*"], r"finetune\.frozen=blokcs\.\* names no parameter", "did you mean blocks.*"),
        (["stem", "zzzzzz"], r"finetune\.frozen=zzzzzz names no parameter", "its parts are head, stem, norm, blocks"),
        (["early"], "finetune.frozen=early names no parameter", ""),
        (["*"], r"finetune\.frozen=\[\*\] fixes all of the network", "leave out blocks.1.1"),
    ],
)
def test_a_pattern_that_names_nothing_or_everything_is_refused(frozen: list[str], said: str, next_step: str) -> None:
    with pytest.raises(CouloirError, match=said) as caught:
        pattern(NET, ORDER, frozen)
    assert next_step in str(caught.value.next_step)


SIGMOID = mlp(1, 4, 3, [5, 5, 5], activation="sigmoid", dropout=0.5)
"""0 flat; 1, 2, 3: linear, sigmoid, dropout; 4, 5, 6; 7, 8, 9; 10 the head."""


def test_greedy_has_a_layer_learn_alone_with_the_head_and_then_all_of_them() -> None:
    parts = greedy(SIGMOID, passed(SIGMOID, torch.zeros(2, 1, 4, 4)), epochs_per_layer=2, factor=0.5)
    assert [part.name for part in parts] == ["1", "4", "7", "head"]
    factors = {part.name: [part.factor(epoch) for epoch in range(8)] for part in parts}
    assert factors == {
        "1": [1, 1, 0, 0, 0, 0, 0.5, 0.5],
        "4": [0, 0, 1, 1, 0, 0, 0.5, 0.5],
        "7": [0, 0, 0, 0, 1, 1, 0.5, 0.5],
        "head": [1, 1, 1, 1, 1, 1, 0.5, 0.5],
    }
    assert [part.modules for part in parts] == [(), ("4", "5", "6"), ("7", "8", "9"), ()]
    assert [[part.is_there(epoch) for part in parts].count(True) for epoch in range(8)] == [2, 2, 3, 3, 4, 4, 4, 4]


def test_greedy_needs_layers_to_add() -> None:
    net = mlp(1, 4, 3, [5])
    with pytest.raises(CouloirError, match="in front of the head this network has 1"):
        greedy(net, passed(net, torch.zeros(2, 1, 4, 4)), epochs_per_layer=2, factor=1.0)


@pytest.mark.parametrize("tied", [False, True])
def test_an_autoencoder_grows_by_pairs_from_outside_to_inside(tied: bool) -> None:
    net, x = autoencoder(1, 4, [6, 5], 2, activation="tanh", tied=tied), torch.randn(3, 1, 4, 4)
    order = passed(net, x)
    parts = greedy(net, order, epochs_per_layer=2, factor=0.5)
    assert [part.name for part in parts] == ["encoder.1", "encoder.3", "encoder.5"]
    assert parts[1].modules == ("encoder.3", "encoder.4", "decoder.2", "decoder.3")
    assert [[part.factor(epoch) for epoch in range(7)] for part in parts] == [
        [1, 1, 0, 0, 0, 0, 0.5], [0, 0, 1, 1, 0, 0, 0.5], [0, 0, 0, 0, 1, 1, 0.5],
    ]  # fmt: skip
    learns = Learning(net, parts, order)
    assert [learns.layers(epoch) for epoch in (0, 1, 2, 4, 9)] == [1, 1, 2, 3, 3]
    whole = net(x)
    down, up = net.encoder, net.decoder
    learns.begin(net, 0)
    torch.testing.assert_close(net(x), torch.sigmoid(up[4](torch.tanh(down[1](x.flatten(1))))).view(3, 1, 4, 4))
    learns.begin(net, 2)
    inner = torch.tanh(up[2](torch.tanh(down[3](torch.tanh(down[1](x.flatten(1)))))))
    torch.testing.assert_close(net(x), torch.sigmoid(up[4](inner)).view(3, 1, 4, 4))
    names = {name for name, parameter in net.named_parameters() if parameter.requires_grad}
    own = {"encoder.3.weight", "encoder.3.bias", "decoder.2.bias"}
    assert names == (own if tied else own | {"decoder.2.weight"})
    learns.end(net)
    assert torch.equal(net(x), whole)


def test_a_convolutional_autoencoder_grows_by_pairs_as_well() -> None:
    net, x = conv_autoencoder(1, 16, 4, 3, batch_norm=True).eval(), torch.randn(2, 1, 16, 16)
    order = passed(net, x)
    learns = Learning(net, greedy(net, order, epochs_per_layer=1, factor=1.0), order)
    for epoch, shape in enumerate([(2, 4, 8, 8), (2, 8, 4, 4), (2, 3)]):
        learns.begin(net, epoch)
        assert net.encode(x).shape == shape
        assert net(x).shape == x.shape


@pytest.mark.parametrize(
    ("hidden", "keys", "said"), [([], {}, "has one pair of them"), ([4], {"head": "decoder"}, "grows by pairs")]
)
def test_an_autoencoder_that_cannot_grow_is_refused(hidden: list[int], keys: dict[str, str], said: str) -> None:
    net = autoencoder(4, None, hidden, 2)
    with pytest.raises(CouloirError, match=said) as refused:
        greedy(net, passed(net, torch.zeros(2, 4)), epochs_per_layer=2, factor=1.0, **keys)
    assert refused.value.next_step


def test_layers_that_are_still_to_come_are_passed_unchanged_also_in_a_copy_and_are_there_in_the_end() -> None:
    net, x = copy.deepcopy(SIGMOID).eval(), torch.randn(2, 1, 4, 4)
    order = passed(net, x)
    learns = Learning(net, greedy(net, order, epochs_per_layer=2, factor=1.0), order)
    whole = net(x)
    assert [learns.layers(epoch) for epoch in (0, 1, 2, 4, 9)] == [1, 1, 2, 3, 3]
    assert [learns.is_whole(epoch) for epoch in (0, 3, 4, 9)] == [False, False, True, True]
    learns.begin(net, 0)
    by_hand = net[10](torch.sigmoid(net[1](x.flatten(1))))
    assert torch.equal(net(x), by_hand)
    other = copy.deepcopy(net)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    assert torch.equal(other(x), by_hand), "a copy has weights of its own"
    learns.begin(other, 2)
    assert torch.equal(other(x), other[10](torch.sigmoid(other[4](torch.sigmoid(other[1](x.flatten(1)))))))
    learns.end(other)
    assert torch.equal(other(x), whole)
    assert set(other.state_dict()) == set(SIGMOID.state_dict())


def test_the_words_say_which_layers_are_not_there_yet() -> None:
    net = copy.deepcopy(SIGMOID)
    order = passed(net, torch.zeros(2, 1, 4, 4))
    said = Learning(net, greedy(net, order, epochs_per_layer=2, factor=0.5), order).in_words(net).splitlines()
    assert said[0] == "learns in epochs 1 to 2: 1, 10, 103 of 163 parameters; not there yet: 4, 7"
    assert said[1] == "learns in epochs 3 to 4: 4, 10, 48 of 163 parameters; fixed: 1; not there yet: 7"
    assert said[3] == "learns from epoch 7 on: everything, 163 of 163 parameters, at 0.5 times the rate"
