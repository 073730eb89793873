"""Each schedule against its closed formula over a whole run, through a checkpoint, and its stated interval."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn
from torch.optim import SGD, Adagrad, Adam, Optimizer

from couloir.config import tree
from couloir.errors import CouloirError

LR, EPOCHS, PER_EPOCH = 0.2, 12, 5
TOTAL = EPOCHS * PER_EPOCH
CHOICES = [name for name in tree.choices("scheduler") if name != "none"]


def optimizer() -> Optimizer:
    return SGD([nn.Parameter(torch.zeros(2, 2))], lr=LR, momentum=0.9)


def scheduler(name: str, opt: Optimizer, **keys: Any) -> Any:
    cfg = OmegaConf.create({"trainer": {"max_epochs": EPOCHS}})
    cfg.scheduler = OmegaConf.load(tree.choices("scheduler")[name])
    cfg.scheduler.update(keys)
    return instantiate(cfg.scheduler, _convert_="all")(opt)


def rates(name: str, count: int, **keys: Any) -> list[float]:
    """The rates of `count` epochs or steps, the first one included."""
    opt = optimizer()
    schedule = scheduler(name, opt, **keys)
    seen = []
    for _ in range(count):
        seen.append(opt.param_groups[0]["lr"])
        opt.step()
        schedule.step()
    return seen


def cosine(t: float, total: float, low: float = 0.0) -> float:
    return low + (LR - low) * (1 + math.cos(math.pi * min(1.0, t / total))) / 2


@pytest.mark.parametrize(
    ("name", "keys", "formula", "count"),
    [
        ("step", {"step_size": 4, "gamma": 0.5}, lambda t: LR * 0.5 ** (t // 4), EPOCHS),
        ("multistep", {"milestones": [3, 8]}, lambda t: LR * 0.1 ** ((t >= 3) + (t >= 8)), EPOCHS),
        ("exponential", {"gamma": 0.9}, lambda t: LR * 0.9**t, EPOCHS),
        ("inverse_time", {"decay": 0.5}, lambda t: LR / (1 + 0.5 * t), EPOCHS),
        ("piecewise", {"boundaries": [2, 7], "rates": [0.1, 0.05, 0.01]},
         lambda t: 0.1 if t < 2 else 0.05 if t < 7 else 0.01, EPOCHS),
        ("cosine", {"min_lr": 0.01}, lambda t: cosine(t, EPOCHS, 0.01), EPOCHS),
        ("cosine", {"interval": "step", "steps_per_epoch": PER_EPOCH}, lambda t: cosine(t, TOTAL), TOTAL),
        ("warmup_cosine", {"warmup_epochs": 2, "steps_per_epoch": PER_EPOCH},
         lambda t: LR * (t + 1) / 10 if t < 10 else cosine(t - 10, TOTAL - 10), TOTAL + 1),
        ("warmup_cosine", {"warmup_epochs": 0, "min_lr": 0.02, "steps_per_epoch": PER_EPOCH},
         lambda t: cosine(t, TOTAL, 0.02), TOTAL + 1),
        ("noam", {"warmup_steps": 7}, lambda t: LR * 7**0.5 * min((t + 1) ** -0.5, (t + 1) * 7**-1.5), TOTAL),
        # Equation 3 of the paper with its own numbers.
        ("noam", {"warmup_steps": 7, "factor": 1.0, "width": 512},
         lambda t: 512**-0.5 * min((t + 1) ** -0.5, (t + 1) * 7**-1.5), TOTAL),
        ("polynomial", {"power": 2.0, "steps_per_epoch": PER_EPOCH}, lambda t: LR * (1 - t / TOTAL) ** 2, TOTAL),
    ],
)  # fmt: skip
def test_the_rates_follow_the_formula(name: str, keys: dict, formula: Any, count: int) -> None:
    expected = [formula(t) for t in range(count)]
    assert rates(name, count, **keys) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_a_factor_without_a_width_is_refused_by_its_keys() -> None:
    with pytest.raises(CouloirError, match=r"model\.width does not say it") as error:
        scheduler("noam", optimizer(), factor=1.0)
    assert "scheduler.width=512" in str(error.value.next_step)


def test_one_cycle_goes_up_and_down_and_turns_the_momentum_the_other_way() -> None:
    opt = optimizer()
    schedule = scheduler("one_cycle", opt, steps_per_epoch=PER_EPOCH)
    seen, momenta = [], []
    for _ in range(TOTAL):
        seen.append(opt.param_groups[0]["lr"])
        momenta.append(opt.param_groups[0]["momentum"])
        opt.step()
        schedule.step()
    top = int(0.3 * TOTAL) - 1
    assert seen[0] == pytest.approx(LR / 25)
    assert seen[top] == pytest.approx(LR) == max(seen)
    assert seen[-1] == pytest.approx(LR / 25 / 1e4)
    assert momenta[0] == pytest.approx(0.95)
    assert momenta[top] == pytest.approx(0.85)
    expected = LR / 25 + (LR - LR / 25) * (1 - math.cos(math.pi * 5 / top)) / 2
    assert seen[5] == pytest.approx(expected)
    schedule.step()  # once more than the cycle is long
    assert opt.param_groups[0]["lr"] == pytest.approx(seen[-1])


@pytest.mark.parametrize("make", [Adam, Adagrad, SGD], ids=["betas", "neither", "no momentum"])
def test_one_cycle_takes_any_optimizer(make: Any) -> None:
    opt = make([nn.Parameter(torch.zeros(2))], lr=LR)
    schedule = scheduler("one_cycle", opt, steps_per_epoch=PER_EPOCH)
    opt.step()
    schedule.step()


def test_plateau_falls_after_its_patience_and_not_before() -> None:
    opt = optimizer()
    schedule = scheduler("plateau", opt, patience=2, factor=0.5)
    seen = []
    for metric in [1.0, 0.8, 0.8, 0.9, 0.85, 0.7, 0.7]:
        schedule.step(metric)
        seen.append(opt.param_groups[0]["lr"])
    assert seen == pytest.approx([LR, LR, LR, LR, LR / 2, LR / 2, LR / 2])
    assert schedule.monitor == "val/loss"


@pytest.mark.parametrize("name", CHOICES)
def test_the_interval_is_what_the_header_says(name: str) -> None:
    path = tree.choices("scheduler")[name]
    assert f"steps by {scheduler(name, optimizer()).interval}" in tree.describe(path)


@pytest.mark.parametrize("name", CHOICES)
def test_a_schedule_goes_on_exactly_from_a_checkpoint(name: str) -> None:
    def advance(schedule: Any, opt: Optimizer, times: int) -> list[float]:
        seen = []
        for _ in range(times):
            opt.step()
            schedule.step(1.0) if name == "plateau" else schedule.step()
            seen.append(opt.param_groups[0]["lr"])
        return seen

    opt = optimizer()
    whole = scheduler(name, opt)
    advance(whole, opt, 5)
    stream = io.BytesIO()
    torch.save({"scheduler": whole.state_dict(), "optimizer": opt.state_dict()}, stream)
    stream.seek(0)
    state = torch.load(stream, weights_only=True)

    resumed_opt = optimizer()
    resumed = scheduler(name, resumed_opt)
    resumed_opt.load_state_dict(state["optimizer"])
    resumed.load_state_dict(state["scheduler"])
    assert advance(resumed, resumed_opt, 6) == advance(whole, opt, 6)


def test_a_list_of_rates_of_the_wrong_length_is_explained() -> None:
    with pytest.raises(Exception) as caught:
        scheduler("piecewise", optimizer(), boundaries=[2, 4], rates=[0.1, 0.2])
    causes = [caught.value, caught.value.__cause__]
    assert any(isinstance(cause, CouloirError) and "2 rates" in str(cause) for cause in causes)


def test_none_is_null() -> None:
    text = Path(tree.choices("scheduler")["none"]).read_text()
    assert OmegaConf.create(text).scheduler is None
