"""The factor of a part, with every optimizer and schedule: as if the part had the smaller rate itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

import couloir
from couloir.config import tree
from couloir.config.build import build
from couloir.finetune.parts import Learning, Part, attach

FACTOR = 0.1
STEPS = 6
SCHEDULES = {
    "plateau": ["scheduler.patience=0", "scheduler.min_lr=0.004"],
    "piecewise": ["scheduler.boundaries=[2,4]", "scheduler.rates=[0.05,0.01,0.02]"],
    "one_cycle": ["scheduler.max_lr=0.3"],
    "cosine": ["scheduler.min_lr=0.01"],
    "warmup_cosine": ["scheduler.warmup_epochs=2", "scheduler.min_lr=0.01"],
    "multistep": ["scheduler.milestones=[2]"],
}
"""Keys with rates in them, which hold for all parts."""


def network() -> nn.ModuleDict:
    torch.manual_seed(0)
    return nn.ModuleDict({"body": nn.Linear(3, 4), "head": nn.Linear(4, 2)})


def learning(net: nn.Module) -> Learning:
    parts = [Part("head", ("head.weight", "head.bias")), Part("body", ("body.weight", "body.bias"), ((0, FACTOR),))]
    return Learning(net, parts, ["body", "head"])


def set_gradients(net: nn.Module, step: int) -> None:
    for number, parameter in enumerate(net.parameters()):
        generator = torch.Generator().manual_seed(100 * step + number)
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def by_factors(make: Any, net: nn.Module) -> Optimizer:
    """An optimizer whose groups have one rate, and factors."""
    learns = learning(net)
    optimizer: Optimizer = make(learns.groups(net, net.parameters()))
    attach(optimizer)
    learns.begin(net, 0, [optimizer])
    return optimizer


def by_rates(make: Any, net: nn.ModuleDict, lr: float) -> Optimizer:
    """The same by hand: each group has the rate that it is to take."""
    groups = [{"params": list(net["head"].parameters())}, {"params": list(net["body"].parameters()), "lr": lr * FACTOR}]
    optimizer: Optimizer = make(groups)
    return optimizer


@pytest.mark.parametrize("name", tree.choices("optimizer"))
def test_every_optimizer_takes_the_steps_of_the_smaller_rate(name: str) -> None:
    words = ["optimizer.weight_decay=0.1", "optimizer.lr=0.05"]
    make = build(couloir.compose([f"optimizer={name}", *words]).cfg, "optimizer")
    one, other = network(), network()
    first, second = by_factors(make, one), by_rates(make, other, 0.05)
    for step in range(STEPS):
        for net, optimizer in ((one, first), (other, second)):
            set_gradients(net, step)
            optimizer.step()
    for parameter, expected in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(parameter, expected)
    assert not torch.equal(one["body"].weight, network()["body"].weight)


def test_a_schedule_of_momentum_looks_ahead_by_the_smaller_rate() -> None:
    make = build(couloir.compose(["optimizer=nesterov", "optimizer.lr=0.05"]).cfg, "optimizer")
    one, other = network(), network()
    pairs = [(one, by_factors(make, one)), (other, by_rates(make, other, 0.05))]
    for step in range(STEPS):
        for net, optimizer in pairs:
            for group in optimizer.param_groups:
                group["momentum"] = 0.5 + 0.08 * step
            optimizer.look_ahead()  # type: ignore[attr-defined]
            set_gradients(net, step)
            optimizer.step()
    for parameter, expected in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(parameter, expected)


@pytest.mark.parametrize("name", [name for name in tree.choices("scheduler") if name != "none"])
def test_every_schedule_gives_all_parts_its_rate_and_its_momentum(name: str) -> None:
    words = ["optimizer=momentum", "optimizer.lr=0.1", f"scheduler={name}", *SCHEDULES.get(name, [])]
    cfg = couloir.compose([*words, "trainer.max_epochs=6"]).cfg
    more = {"steps_per_epoch": 1} if "steps_per_epoch" in cfg.scheduler else {}
    make, schedule = build(cfg, "optimizer"), build(cfg, "scheduler", **more)
    net, alone = network(), network()
    optimizer, reference = by_factors(make, net), make(alone.parameters())
    pairs = [(each, schedule(each)) for each in (optimizer, reference)]
    seen: list[tuple[float, float]] = []
    for step in range(STEPS):
        expected = reference.param_groups[0]
        for group in optimizer.param_groups:
            assert (group["lr"], group["momentum"]) == (expected["lr"], expected["momentum"])
        rates = learning(net).rates([optimizer], 0)
        assert rates == pytest.approx({"head": expected["lr"], "body": FACTOR * expected["lr"]})
        before: Tensor = net["body"].bias.detach().clone()
        for each, scheduler in pairs:
            for parameter in (net if each is optimizer else alone).parameters():
                parameter.grad = torch.ones_like(parameter) if step == 0 else torch.zeros_like(parameter)
            each.step()
            scheduler.step(*([1.0] if name == "plateau" else []))
        if step == 0:
            torch.testing.assert_close(before - net["body"].bias, torch.full((4,), FACTOR * rates["head"]))
        seen.append((expected["lr"], expected["momentum"]))
    assert len(set(seen)) > 1 or name in ("step", "plateau"), "a schedule that does nothing shows nothing"
