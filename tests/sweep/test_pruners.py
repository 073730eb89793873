"""What ends a trial early does so by the rule of its paper, and a trial that is ended says so everywhere."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from omegaconf import OmegaConf
from optuna.pruners import HyperbandPruner
from optuna.samplers import RandomSampler
from pytorch_lightning import Trainer

from couloir.callbacks.pruning import Pruning
from couloir.cli.main import run
from couloir.config.compose import compose_sweep
from couloir.errors import Pruned
from couloir.pruner.early import hyperband
from couloir.sweep.job import Report
from couloir.sweep.space import read_space
from couloir.sweep.storage import address
from couloir.sweep.study import Outcome, Study
from couloir.sweep.trial import _pruning
from couloir.sweep.trials import Objective

MONITOR = "val/accuracy"
EPOCHS = 9
LOOP = SimpleNamespace(epoch_loop=None)
"""A trainer's, between two epochs."""
Direction = str
Curve = list[float]


def curves(trials: int = 24) -> list[Curve]:
    """Accuracies that rise at different paces, with some noise."""
    draw = np.random.default_rng(0)
    pace = draw.uniform(0.05, 0.9, trials)
    rising = 1 - np.exp(-pace[:, None] * np.arange(1, EPOCHS + 1)) + draw.normal(0, 0.02, (trials, EPOCHS))
    return [[float(value) for value in curve] for curve in rising]


def pruner_node(*words: str) -> dict[str, Any]:
    node = OmegaConf.to_container(compose_sweep([*words, f"trainer.max_epochs={EPOCHS}"]).cfg.pruner, resolve=True)
    assert isinstance(node, dict)
    return cast(dict[str, Any], node)


def study(folder: Path, goal: Objective) -> Study:
    return Study(
        address(None, folder), "first", folder, "me", read_space(["optimizer.lr=interval(0,1)"], {}), [goal],
        RandomSampler(seed=0), by_number=False, total=1000, known=lambda key: "",
    )  # fmt: skip


def at_epoch(epoch: int, value: float) -> Trainer:
    return cast(
        Trainer,
        SimpleNamespace(callback_metrics={MONITOR: value}, current_epoch=epoch, max_epochs=EPOCHS, fit_loop=LOOP),
    )


def epochs_made(curve: Curve, callback: Pruning) -> int:
    for epoch, value in enumerate(curve, 1):
        callback.between_steps(at_epoch(epoch, value), epoch_over=False)  # says nothing in the middle of an epoch
        try:
            callback.between_steps(at_epoch(epoch, value), epoch_over=True)
        except Pruned:
            return epoch
    return len(curve)


def epochs_of_all(folder: Path, node: dict[str, Any], sign: int) -> list[int]:
    """The epochs that each trial has, one trial after the other; told and asked as the process of a trial does it."""
    made = study(folder, Objective("best/accuracy", "maximize" if sign > 0 else "minimize"))
    lengths = []
    for curve in curves():
        proposal = made.propose()
        assert proposal is not None
        told = [sign * value for value in curve]
        callback = _pruning(Report(address(None, folder), "first", proposal.trial_id, MONITOR, node))
        lengths.append(epochs_made(told, callback))
        state = "completed" if lengths[-1] == EPOCHS else "pruned"
        made.tell(proposal.number, Outcome(state, [[told[lengths[-1] - 1]]], 1.0))
    return lengths


def halving(rungs: dict[int, list[float]], curve: Curve, least: int, factor: int, rate: int) -> int:
    """Successive halving, as the paper has it: of those at a rung the best 1/factor go on, the very best always."""
    for epoch, value in enumerate(curve, 1):
        level = math.log(epoch / (least * factor**rate), factor)
        if epoch < least or not math.isclose(level, round(level), abs_tol=1e-9) or level < -1e-9:
            continue
        there = rungs.setdefault(round(level), [])
        there.append(value)
        better = sum(other > value for other in there)
        if better >= max(len(there) // factor, 1) and epoch < EPOCHS:
            return epoch
    return len(curve)


@pytest.mark.parametrize("sign", [1, -1], ids=["maximize", "minimize"])
@pytest.mark.parametrize(("least", "factor", "rate"), [(1, 3, 0), (1, 2, 0), (2, 2, 0), (1, 3, 1)])
def test_asha_lets_the_best_of_each_rung_go_on(least: int, factor: int, rate: int, sign: int, tmp_path: Path) -> None:
    words = [f"pruner.min_epochs={least}", f"pruner.reduction_factor={factor}"]
    node = pruner_node("pruner=asha", *words, f"pruner.min_early_stopping_rate={rate}")
    rungs: dict[int, list[float]] = {}
    expected = [halving(rungs, curve, least, factor, rate) for curve in curves()]
    assert epochs_of_all(tmp_path, node, sign) == expected
    assert EPOCHS in expected
    assert least * factor**rate in expected, "the case would be void if nothing ended early"


@pytest.mark.parametrize("sign", [1, -1], ids=["maximize", "minimize"])
@pytest.mark.parametrize(("startup", "warmup", "every"), [(5, 0, 1), (3, 2, 1), (4, 1, 3)])
def test_median_ends_what_is_worse_than_the_median_at_its_epoch(
    startup: int, warmup: int, every: int, sign: int, tmp_path: Path
) -> None:
    words = [f"pruner.n_startup_trials={startup}", f"pruner.n_warmup_epochs={warmup}", f"pruner.every_n_epochs={every}"]
    completed: list[Curve] = []
    expected = []
    for curve in curves():
        length = EPOCHS
        for epoch in range(1, EPOCHS):
            looks = epoch >= warmup and (epoch - warmup) % every == 0 and len(completed) >= startup
            if looks and max(curve[:epoch]) < np.median([other[epoch - 1] for other in completed]):
                length = epoch
                break
        expected.append(length)
        completed += [curve] if length == EPOCHS else []
    assert epochs_of_all(tmp_path, pruner_node("pruner=median", *words), sign) == expected
    assert expected[:startup] == [EPOCHS] * startup
    assert min(expected) < EPOCHS


def test_hyperband_halves_in_each_of_its_brackets_apart(tmp_path: Path) -> None:
    node = pruner_node("pruner=hyperband")
    assert node["max_epochs"] == EPOCHS, "it follows the trainer"
    lengths = epochs_of_all(tmp_path, node, 1)
    bands = cast(HyperbandPruner, hyperband(1, EPOCHS, 3))
    bands._try_initialization(study(tmp_path, Objective("best/accuracy", "maximize")).optuna)
    shared = study(tmp_path, Objective("best/accuracy", "maximize")).optuna
    brackets = [bands._get_bracket_id(shared, trial) for trial in shared.get_trials()]
    assert set(brackets) == {0, 1, 2}, "R = 9 and a factor of 3 make three brackets"
    rungs: list[dict[int, list[float]]] = [{}, {}, {}]
    pairs = zip(curves(), brackets, strict=True)
    assert lengths == [halving(rungs[bracket], curve, 1, 3, bracket) for curve, bracket in pairs]
    assert min(lengths) == 1


def test_a_trial_reports_after_whole_epochs_only_and_is_not_ended_after_its_last() -> None:
    told: list[tuple[int, float]] = []

    def ends(epoch: int, value: float) -> bool:
        told.append((epoch, value))
        return True

    callback = Pruning(MONITOR, ends)
    callback.between_steps(at_epoch(3, 0.5), epoch_over=False)
    callback.between_steps(
        cast(Trainer, SimpleNamespace(callback_metrics={}, current_epoch=3, max_epochs=EPOCHS, fit_loop=LOOP)),
        epoch_over=True,
    )
    callback.between_steps(at_epoch(EPOCHS, 0.5), epoch_over=True)
    assert told == [(EPOCHS, 0.5)]
    with pytest.raises(Pruned, match="3"):
        callback.between_steps(at_epoch(3, 0.25), epoch_over=True)
    assert told[1:] == [(3, 0.25)]


def test_a_hopeless_setting_is_pruned_and_the_sweeps_tables_say_so(tmp_path: Path) -> None:
    words = ["model=linear", "data=moons", "data.subset=100", "optimizer=sgd", "logger=csv", "trainer.max_epochs=3"]
    assert run(["train", "-m", *words, "optimizer.lr=0.1,1e-9", "pruner=asha", f"output_dir={tmp_path}"]) == 0
    folder = (tmp_path / "latest").resolve()
    states = [json.loads((folder / str(number) / "status.json").read_text()) for number in (0, 1)]
    assert [state["status"] for state in states] == ["completed", "pruned"]
    assert [len((folder / f"{number}/metrics.csv").read_text().splitlines()) for number in (0, 1)] == [4, 2]
    rows = list(csv.DictReader((folder / "sweep.csv").open()))
    assert [row["state"] for row in rows] == ["completed", "pruned"]
    assert rows[0]["best/loss"]
