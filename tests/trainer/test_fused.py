"""A step by the kernel alone is the optimizer's own step, to the bit, and is left to it where it would not be."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop
from torch.optim.lr_scheduler import StepLR

from couloir.trainer.fused import step_of

Make = Callable[[Any], Optimizer]


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))


def groups(module: nn.Module) -> list[dict[str, Any]]:
    weights = [each for each in module.parameters() if each.ndim > 1]
    return [{"params": weights, "weight_decay": 0.1}, {"params": [e for e in module.parameters() if e.ndim == 1]}]


def trained(make: Make, direct: bool, skip: int | None = None, rates: tuple[float, ...] = ()) -> list[Tensor]:
    """Weights and state after some steps; in one of them there are no gradients."""
    module = net()
    optimizer = make(groups(module))
    step = step_of(optimizer) if direct else optimizer.step
    x = torch.randn(11, 5, generator=torch.Generator().manual_seed(1))
    for number in range(6):
        optimizer.zero_grad()
        module(x).square().mean().backward()
        if number == skip:
            optimizer.zero_grad()
        for group in optimizer.param_groups:
            group["lr"] = rates[number] if rates else group["lr"]
        step()
    states = [value for each in optimizer.state.values() for value in each.values() if isinstance(value, Tensor)]
    return [*module.parameters(), *states]


@pytest.mark.parametrize(
    "make",
    [
        lambda given: Adam(given, lr=0.01, fused=True),
        lambda given: Adam(given, lr=0.01, fused=True, amsgrad=True, maximize=True, betas=(0.5, 0.9)),
        lambda given: AdamW(given, lr=0.01, fused=True),
        lambda given: SGD(given, lr=0.1, fused=True),
        lambda given: SGD(given, lr=0.1, momentum=0.9, fused=True),
        lambda given: SGD(given, lr=0.1, momentum=0.9, nesterov=True, fused=True),
    ],
)
@pytest.mark.parametrize("skip", [None, 0, 3])
def test_a_step_by_the_kernel_gives_the_bits_of_the_optimizers_own(make: Make, skip: int | None) -> None:
    rates = (0.1, 0.1, 0.01, 0.02, 0.03, 0.001)
    assert not isinstance(step_of(make(groups(net()))), type(make(groups(net())).step)), "the kernel is asked"
    own, direct = trained(make, False, skip, rates), trained(make, True, skip, rates)
    assert len(own) == len(direct)
    assert all(map(torch.equal, own, direct))


@pytest.mark.parametrize(
    "make",
    [
        lambda given: Adam(given, lr=0.01),
        lambda given: Adam(given, lr=torch.tensor(0.01), fused=True),
        lambda given: RMSprop(given, lr=0.01),
        lambda given: type("Own", (Adam,), {})(given, lr=0.01, fused=True),
    ],
)
def test_what_the_kernel_does_not_know_takes_its_own_step(make: Make) -> None:
    optimizer = make(groups(net()))
    assert step_of(optimizer) == optimizer.step


def test_who_hears_of_steps_still_does() -> None:
    optimizer = Adam(net().parameters(), lr=0.01, fused=True)
    optimizer.register_step_pre_hook(lambda *_: None)
    assert step_of(optimizer) == optimizer.step
    replaced: Any = Adam(net().parameters(), lr=0.01, fused=True)
    replaced.step = lambda: None
    assert step_of(replaced) is replaced.step


def test_a_schedule_knows_that_its_optimizer_has_taken_a_step() -> None:
    module = net()
    optimizer = SGD(module.parameters(), lr=0.1, fused=True)
    schedule = StepLR(optimizer, step_size=1, gamma=0.5)
    step = step_of(optimizer)
    assert step != optimizer.step, "the kernel is asked"
    module(torch.ones(2, 5)).sum().backward()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        step()
        schedule.step()
    assert schedule.get_last_lr() == [0.05]


def test_a_state_that_is_loaded_is_gone_on_with() -> None:
    def run(direct: bool) -> Tensor:
        module = net()
        optimizer = Adam(module.parameters(), lr=0.01, fused=True)
        step = step_of(optimizer) if direct else optimizer.step
        for number in range(4):
            module(torch.ones(2, 5)).sum().backward()
            step()
            if number == 1:
                saved = optimizer.state_dict()
                optimizer.load_state_dict(copy.deepcopy(saved))
        return module[0].weight.detach()

    assert torch.equal(run(False), run(True))
