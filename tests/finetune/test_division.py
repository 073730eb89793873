"""Which parameters each choice puts into which part, and at which rates, against lists and formulas written by hand."""

from __future__ import annotations

import pytest
import torch
from small_network import Small
from torch import nn

from couloir.errors import CouloirError
from couloir.finetune.division import bias_only, head, head_then_all, last_n, layerwise, pattern
from couloir.finetune.layers import passed
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
