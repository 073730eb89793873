"""Trials are ranked by what all of them measure in one unit."""

from __future__ import annotations

from pathlib import Path

import pytest

from couloir.config.compose import compose_sweep
from couloir.errors import CouloirError
from couloir.record.sweep import SweepFacts, read_facts, write_facts
from couloir.sweep.load import load_sweep
from couloir.sweep.multirun import _objectives
from couloir.sweep.objective import Ranking, about, ranking
from couloir.sweep.plan import _first_trial, _single, divided
from couloir.sweep.space import read_space


def ranked(*words: str) -> Ranking:
    own, _, rest = divided(words)
    sweep = compose_sweep([*_single(rest), *own])
    space = read_space(rest, {})
    pruner = None if sweep.cfg.pruner is None else sweep.choices.get("pruner")
    return ranking(sweep.cfg.sweep, pruner, space, *_first_trial(space))


@pytest.fixture
def recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two recipes with losses of their own."""
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    for loss in ("mse", "mae"):
        text = f"# @package _global_\n# A line.\ndefaults:\n  - override /data: line\n  - override /loss: {loss}\n"
        (folder / f"by_{loss}.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("words", "objective", "differ"),
    [
        (["data=line", "loss=mse,mae,huber"], "maximize best/r2", ["loss"]),
        (["loss=cross_entropy", "loss.label_smoothing=0,0.1"], "maximize best/accuracy", ["loss"]),
        (["data=line", "loss=huber", "loss.delta=interval(0.1,2)"], "maximize best/r2", ["loss"]),
        (["data=line", "loss=mse,mae", "pruner=median"], "maximize best/r2", ["loss"]),
        (["experiment=by_mse,by_mae"], "maximize best/r2", ["loss"]),
        (["data=line", "data.target_scaling=none,standardize"], "maximize best/r2", ["data"]),
        (["data=moons,circles"], "maximize best/accuracy", ["data"]),
        (["data=line", "callbacks.checkpoint.monitor=val/loss,val/mae"], "maximize best/r2", ["monitor"]),
        # What all trials measure in one unit stays what it was.
        (["data=line", "optimizer=sgd,adam"], "minimize best/loss", []),
        (["model=lenet5,mlp", "averaging=none,ema"], "minimize best/loss", []),
        (["data=line", "loss=mse,mae", "callbacks.checkpoint.monitor=val/mae"], "minimize best/mae", ["loss"]),
        (["data=line", "loss=mse,mae", "sweep.objective=best/loss"], "minimize best/loss", ["loss"]),
        (["data=line", "loss=mse,mae", "sweep.objective=test/mae"], "minimize test/mae", ["loss"]),
    ],
)
def test_where_trials_differ_in_their_loss_the_tasks_metric_ranks_them(
    words: list[str], objective: str, differ: list[str], recipes: None
) -> None:
    found = ranked(*words)
    assert [f"{goal.direction} {goal.name}" for goal in found.objectives] == [objective]
    assert found.differ == differ
    watched = objective.split()[1].replace("best/", "val/").replace("test/", "val/")
    assert (found.monitor, found.mode) == (watched, objective[:3]), "pruners and the live table go by the same metric"
    assert bool(about(found.objectives, found.differ)) == bool(differ)


def test_one_line_says_why_and_a_loss_that_the_user_names_is_kept_with_a_warning() -> None:
    own, usual = ranked("data=line", "loss=mse,mae", "sweep.objective=best/loss"), ranked("data=line", "loss=mse,mae")
    assert about(own.objectives, own.differ).startswith("best/loss compares losses of different units")
    assert about(usual.objectives, usual.differ).startswith("ranked by best/r2: the trials differ in their loss")


def test_trials_that_have_only_a_loss_in_common_are_not_ranked_by_it() -> None:
    with pytest.raises(CouloirError, match="differ in their task, loss and data") as refused:
        ranked("data=digits,line")
    assert "sweep.objective=best/loss" in str(refused.value.next_step)


def test_a_sweep_of_an_older_version_goes_on_with_its_own_objective_and_a_newer_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text("words: [loss=mse]\nstudy: s\nobjectives: {best/loss: minimize}\n")
    older = read_facts(tmp_path)
    assert older is not None
    assert _objectives(older, older.words) == ["sweep.objective=[best/loss]", "sweep.direction=[minimize]"]
    write_facts(tmp_path, SweepFacts(["loss=mse"], "s", objectives={"best/r2": "maximize"}))
    now = read_facts(tmp_path)
    assert now is not None
    assert now.format == 1
    assert _objectives(now, now.words) == []
    (tmp_path / "sweep.yaml").write_text("words: [a]\nstudy: 7\ntotal: many\nobjectives: [best/loss]\ncommand: x\n")
    spoilt = read_facts(tmp_path)
    assert spoilt == SweepFacts(["a"], "7"), "what cannot be read is as if it were not there"
    (tmp_path / "sweep.yaml").write_text("format: 99\nwords: []\nstudy: s\n")
    with pytest.raises(CouloirError, match="made by a newer Couloir"):
        load_sweep(tmp_path)
    assert read_facts(tmp_path, strict=False) is None


def test_a_sweep_that_is_not_tested_has_no_test_metric_for_an_objective() -> None:
    with pytest.raises(CouloirError, match="not a number of result"):
        ranked("data=moons", "seed=1,2", "test=false", "sweep.objective=test/loss")
