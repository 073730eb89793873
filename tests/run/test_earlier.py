"""A run that is to train longer than it was meant to: the rates of each step, against formulas."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning import LightningModule
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

import couloir
from couloir.callbacks.checkpoint import Checkpoint
from couloir.cli.main import run as couloir_main
from couloir.errors import CouloirError
from couloir.run.earlier import stretch
from couloir.scheduler import annealing, decay
from interruption import stopped

RATES = (0.2, 0.05)
"""Of two groups of an optimizer."""
STEPS = 5
"""Of an epoch."""


def optimizer(make: Callable[..., Optimizer]) -> Optimizer:
    groups = [{"params": [nn.Parameter(torch.zeros(2))], "lr": rate} for rate in RATES]
    return make(groups, lr=RATES[0])


def going_on(schedule: Any, opt: Optimizer, count: int) -> list[list[Any]]:
    """The rates and momenta of the next steps."""
    seen = []
    for _ in range(count):
        seen.append(
            [group[name] for group in opt.param_groups for name in ("lr", "momentum", "betas") if name in group]
        )
        opt.step()
        schedule.step()
    return seen


SCHEDULES: dict[str, tuple[Callable[[int], Any], Callable[[float], float]]] = {
    "cosine": (
        lambda epochs: partial(annealing.cosine, epochs=epochs, min_lr=0.0, steps_per_epoch=STEPS, interval="step"),
        lambda share: (1 + math.cos(math.pi * share)) / 2,
    ),
    "polynomial": (
        lambda epochs: partial(decay.polynomial, epochs=epochs, power=2.0, steps_per_epoch=STEPS),
        lambda share: (1 - share) ** 2,
    ),
    "warmup_cosine": (
        lambda epochs: partial(
            annealing.warmup_cosine, epochs=epochs, warmup_epochs=0.0, min_lr=0.0, steps_per_epoch=STEPS
        ),
        lambda share: (1 + math.cos(math.pi * share)) / 2,
    ),
}


@pytest.mark.parametrize("passed", [15, 7], ids=["ended", "under way"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_is_stretched_to_that_of_the_new_length(name: str, passed: int) -> None:
    make, formula = SCHEDULES[name]
    opt = optimizer(partial(SGD, momentum=0.9))
    schedule = make(3)(opt)
    going_on(schedule, opt, passed)
    stretched(schedule, make(6))
    rates = going_on(schedule, opt, 30 - passed)
    assert [rate for rate, *_ in rates] == pytest.approx([RATES[0] * formula(t / 30) for t in range(passed, 30)])
    from_the_start = optimizer(partial(SGD, momentum=0.9))
    assert rates == going_on(make(6)(from_the_start), from_the_start, 30)[passed:], "to the bit, in all groups"


@pytest.mark.parametrize("make", [partial(SGD, momentum=0.9), AdamW], ids=["momentum", "betas"])
@pytest.mark.parametrize("max_lr", [None, 0.5])
def test_one_cycle_is_stretched_with_its_momenta(make: Any, max_lr: float | None) -> None:
    def cycle(epochs: int) -> Any:
        keys = {"max_lr": max_lr, "pct_start": 0.3, "div_factor": 25.0, "final_div_factor": 1e4}
        return partial(annealing.one_cycle, epochs=epochs, steps_per_epoch=STEPS, **keys)

    opt, from_the_start = optimizer(make), optimizer(make)
    schedule = cycle(3)(opt)
    going_on(schedule, opt, 15)
    stretched(schedule, cycle(6))
    assert going_on(schedule, opt, 15) == going_on(cycle(6)(from_the_start), from_the_start, 30)[15:]
    assert all(not parameter.any() for group in opt.param_groups for parameter in group["params"])


def stretched(schedule: Any, make: Any) -> None:
    trainer: Any = SimpleNamespace(lr_scheduler_configs=[SimpleNamespace(scheduler=schedule)])
    module = LightningModule()
    module.make_scheduler = make
    stretch(trainer, module)


WORDS = ["data=moons", "data.samples=60", "model=linear", "logger=csv", "trainer=cpu", "optimizer=sgd"]
COSINE = [*WORDS, "optimizer.lr=0.4", "scheduler=cosine", "trainer.max_epochs=2"]


def rates(run: Path) -> list[float]:
    return [float(row["lr"]) for row in csv.DictReader((run / "metrics.csv").open())]


def cosine(epoch: int, epochs: int) -> float:
    return 0.4 * (1 + math.cos(math.pi * epoch / epochs)) / 2


def test_a_longer_run_goes_on_at_the_rates_of_its_new_length_also_when_it_is_stopped_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = couloir.train(couloir.compose([*COSINE, f"output_dir={tmp_path}"])).dir

    def lost(*_: Any) -> None:
        raise CouloirError("nothing can be saved")

    with monkeypatch.context() as patch:  # before anything is saved
        patch.setattr(Checkpoint, "save", lost)
        assert couloir_main(["resume", str(run), "trainer.max_epochs=5"]) == 2
    capsys.readouterr()
    assert couloir_main(["resume", str(run)]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if "new length" in line]
    assert said == [
        "the schedule now spans the run's new length: the rate goes on at 0.2618, not at 0; "
        "on_new_length=keep leaves the schedule as it was"
    ]
    assert rates(run) == pytest.approx([cosine(0, 2), cosine(1, 2), *(cosine(epoch, 5) for epoch in (2, 3, 4))])
    assert couloir_main(["resume", str(run), "trainer.max_epochs=6", "on_new_length=keep"]) == 0
    assert "new length" not in capsys.readouterr().out
    assert rates(run)[-1] == pytest.approx(0.0, abs=1e-12), "where it ended"


def test_a_run_that_ends_earlier_comes_down_by_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = stopped([*COSINE, "trainer.max_epochs=9", f"output_dir={tmp_path}"], "train", 2, monkeypatch)
    assert couloir_main(["resume", str(run), "trainer.max_epochs=3"]) == 0
    assert rates(run)[1:] == pytest.approx([cosine(epoch, 3) for epoch in (1, 2)])


def test_a_schedule_spans_the_steps_that_a_run_has(tmp_path: Path) -> None:
    words = [*COSINE, "trainer.max_epochs=50", "data.batch_size=10", "trainer.max_steps=14", f"output_dir={tmp_path}"]
    run = couloir.train(couloir.compose(words)).dir
    assert rates(run) == pytest.approx([cosine(epoch, 3) for epoch in range(len(rates(run)))])


def test_a_share_of_the_epochs_is_one_of_the_new_length(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*WORDS, "averaging=swa", "averaging.start=0.5", "averaging.swa_lr=0.1", "optimizer.lr=0.3"]
    run = couloir.train(couloir.compose([*words, "trainer.max_epochs=2", f"output_dir={tmp_path}"])).dir
    capsys.readouterr()
    assert couloir_main(["resume", str(run), "trainer.max_epochs=6"]) == 0
    assert "the mean of weights begins anew, after epoch 3" in capsys.readouterr().out
    # The row has the rate that the epoch began with.
    assert rates(run) == pytest.approx([0.3, 0.1, 0.3, 0.1, 0.1, 0.1])
    kept: dict[str, Any] = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    assert kept["averaging"]["steps"] == 3
