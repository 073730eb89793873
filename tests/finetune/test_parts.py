"""What is fixed is fixed: its gradients, its mode; and what a step of an optimizer makes of the factors of parts."""

from __future__ import annotations

import pytest
import torch
from small_network import Small
from torch import nn
from torch.optim import SGD, Adam

from couloir.errors import CouloirError
from couloir.finetune.division import head
from couloir.finetune.layers import passed
from couloir.finetune.parts import Learning, Part, attach, fixed_modules, modules_in_words

X = torch.rand(4, 1, 8, 8)
HEAD = ("head.weight", "head.bias")


def learning(net: nn.Module, *parts: Part) -> Learning:
    return Learning(net, parts, passed(net, X))


def everything(net: nn.Module, without: tuple[str, ...] = ()) -> tuple[str, ...]:
    return tuple(name for name, _ in net.named_parameters() if name not in without)


def test_with_head_all_but_the_head_and_its_dropout_runs_as_in_evaluation() -> None:
    net = Small().train()
    order = passed(net, X)
    learns = Learning(net, head(net, order), order)
    learns.begin(net, 0)
    active = {name for name, module in net.named_modules() if module.training}
    assert active == {"", "head", "before_head"}
    assert {name for name, parameter in net.named_parameters() if parameter.requires_grad} == set(HEAD)


def test_the_fixed_part_keeps_no_graph() -> None:
    net = Small().train()
    order = passed(net, X)
    Learning(net, head(net, order), order).begin(net, 0)
    seen: dict[str, bool] = {}
    for name in ("blocks", "before_head", "head"):
        module = net.get_submodule(name)
        module.register_forward_hook(
            lambda module, inputs, output, name=name: seen.update({name: output.requires_grad})
        )
    net(X)
    assert seen == {"blocks": False, "before_head": False, "head": True}


def test_dropout_behind_something_that_learns_stays_random() -> None:
    net = Small()
    order = passed(net, X)
    names = set(net.state_dict())
    fixed = fixed_modules(net, order, {name for name in names if name.startswith("stem")})
    assert "early" not in fixed
    assert "before_head" not in fixed
    assert {"norm", "blocks.0", "blocks.0.norm", "blocks.1.1", "head"} <= fixed
    assert fixed_modules(net, order, {"blocks.1.0.weight"}) >= {
        "stem",
        "norm",
        "early",
        "blocks.0",
        "blocks.1.1",
        "head",
    }


def test_a_block_draws_as_long_as_one_of_its_layers_learns() -> None:
    net = Small()
    order = passed(net, X)
    assert "blocks.0" not in fixed_modules(net, order, {"blocks.0.conv.bias"})
    assert "blocks.0" in fixed_modules(net, order, {"head.bias"})


def test_a_part_that_starts_later_is_random_and_measures_statistics_from_then_on() -> None:
    net = Small().train()
    learns = learning(net, Part("head", HEAD, ((0, 1.0), (2, 0.5))), Part("body", everything(net, HEAD), ((2, 0.1),)))
    assert learns.starts_late
    for epoch, fixed in ((0, True), (1, True), (2, False), (7, False), (1, True)):
        learns.begin(net, epoch)
        assert net.norm.training is not fixed
        assert net.stem.weight.requires_grad is not fixed
        assert net.head.weight.requires_grad


def test_what_the_network_itself_does_not_train_stays_fixed() -> None:
    net = Small()
    net.stem.requires_grad_(False)
    learns = learning(net, Part("all", everything(net)))
    learns.begin(net, 0)
    assert not net.stem.weight.requires_grad
    assert net.norm.weight.requires_grad


def test_a_module_that_is_in_evaluation_by_itself_stays_so() -> None:
    net = Small().train()
    net.blocks[0].norm.eval()
    learns = learning(net, Part("all", everything(net)))
    learns.begin(net, 0)
    assert not net.blocks[0].norm.training


def test_each_part_takes_steps_of_its_factor_and_between_steps_the_rate_is_the_schedules() -> None:
    net = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2), "c": nn.Linear(2, 2)})
    parts = (Part("a", ("a.weight", "a.bias")), Part("b", ("b.weight", "b.bias"), ((0, 0.25),)))
    learns = Learning(net, parts, ["a", "b", "c"])
    optimizer = SGD(learns.groups(net, net.parameters()), lr=0.5)
    attach(optimizer)
    learns.begin(net, 0, [optimizer])
    before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.param_groups[0]["lr"] = optimizer.param_groups[1]["lr"] = 0.2  # a schedule
    optimizer.step()
    moved = {name: before[name] - parameter.detach() for name, parameter in net.named_parameters()}
    torch.testing.assert_close(moved["a.weight"], torch.full((2, 2), 0.2))
    torch.testing.assert_close(moved["b.bias"], torch.full((2,), 0.05))
    assert torch.equal(moved["c.weight"], torch.zeros(2, 2)), "in no part, so in no group"
    assert [group["lr"] for group in optimizer.param_groups] == [0.2, 0.2]
    assert learns.rates([optimizer], 0) == {"a": 0.2, "b": 0.05}
    assert [group["name"] for group in optimizer.param_groups] == ["a", "b"]


def test_what_is_fixed_at_first_is_in_the_optimizer_and_is_not_moved() -> None:
    net = Small()
    learns = learning(net, Part("head", HEAD), Part("body", everything(net, HEAD), ((1, 0.1),)))
    optimizer = Adam(learns.groups(net, net.parameters()), lr=0.1, weight_decay=0.5)
    attach(optimizer)
    learns.begin(net, 0, [optimizer])
    before = net.stem.weight.detach().clone()
    net(X).sum().backward()
    optimizer.step()
    assert torch.equal(net.stem.weight, before)
    assert learns.rates([optimizer], 0) == {"head": 0.1, "body": 0.0}
    learns.begin(net, 1, [optimizer])
    net(X).sum().backward()
    optimizer.step()
    # Adam's first step has the size of the rate, whatever the gradient is.
    assert (net.stem.weight - before).abs().max().item() == pytest.approx(0.01, rel=1e-3)


def test_groups_that_a_task_makes_are_divided_and_keep_their_keys() -> None:
    net = Small()
    learns = learning(net, Part("head", HEAD), Part("stem", ("stem.weight",)))
    extra = nn.Parameter(torch.zeros(1))
    groups = learns.groups(net, [{"params": net.parameters(), "momentum": 0.5}, {"params": [extra, net.norm.weight]}])
    assert [(group["name"], group.get("momentum"), len(group["params"])) for group in groups] == [
        ("head", 0.5, 2), ("stem", 0.5, 1), ("beside", None, 1),
    ]  # fmt: skip


def test_an_optimizer_for_what_is_all_fixed_is_refused() -> None:
    net = Small()
    with pytest.raises(CouloirError, match="fixes everything that one of the task's optimizers is for"):
        learning(net, Part("head", HEAD)).groups(net, net.blocks.parameters())


def test_nothing_that_learns_and_parts_that_overlap_are_refused() -> None:
    net = Small()
    with pytest.raises(CouloirError, match="nothing of the network learns"):
        learning(net, Part("head", HEAD, ((1, 1.0),)))
    with pytest.raises(CouloirError, match="two parts"):
        learning(net, Part("head", HEAD), Part("again", ("head.bias",)))


def test_the_words_count_what_learns() -> None:
    net = Small()
    order = passed(net, X)
    total = sum(parameter.numel() for parameter in net.parameters())
    said = Learning(net, head(net, order), order).in_words(net)
    body = "stem, norm, blocks.0.conv, blocks.0.norm, blocks.1.0, blocks.1.1"
    assert said == f"learns: head, 90 of {total} parameters; fixed: {body}"
    late = learning(Small(), Part("head", HEAD, ((0, 1.0), (1, 0.5))), Part("body", everything(net, HEAD), ((1, 0.1),)))
    assert late.in_words(net).splitlines() == [
        f"learns in epoch 1: head, 90 of {total} parameters; fixed: {body}",
        f"learns from epoch 2 on: everything, {total} of {total} parameters, at 0.1 to 0.5 times the rate",
    ]
    assert modules_in_words(["a.bias", "b.weight", "b.bias"], ["a.weight"]) == "a.bias, b", "a part of a, all of b"
    some = modules_in_words([f"l{n}.bias" for n in range(9)], [f"l{n}.weight" for n in range(9)])
    assert some == "l0.bias, l1.bias, ..., l8.bias (9 parts)"
    assert modules_in_words([f"l{n}.weight" for n in range(9)]) == "l0, l1, ..., l8 (9 layers)"
