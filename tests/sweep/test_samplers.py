"""What proposes settings: inside the space, the same each time, and better than chance where it learns."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from pathlib import Path

import hydra.utils
import pytest
from omegaconf import OmegaConf

from couloir.config import tree
from couloir.config.check import check_sweep_values
from couloir.config.compose import compose_sweep
from couloir.errors import CouloirError
from couloir.sweep.samplers import sampler
from couloir.sweep.space import Setting, Space, read_space
from couloir.sweep.storage import JOURNAL, address
from couloir.sweep.study import Outcome, Study
from couloir.sweep.trials import Objective

WORDS = [
    "optimizer=sgd,nesterov,adam",
    "optimizer.lr=tag(log, interval(1e-4,1))",
    'optimizer.momentum=tag("optimizer=nesterov", interval(0,0.99))',
    "model.depth=range(1,9)",
    "model.width=tag(log, int(interval(4,512)))",
    "model.dropout=range(0,0.8,0.2)",
]
LISTED = ["optimizer=sgd,nesterov,adam", "model.depth=range(1,9)", 'nu=tag("optimizer=adam", choice(1,2))', "seed=1,2"]
SAMPLERS = ["random", "tpe", "cmaes", pytest.param("gp", marks=pytest.mark.slow)]
Formula = Callable[[Setting], list[float]]


def known(key: str) -> str:
    return {"model": "mlp"}.get(key, "")


def accuracy(setting: Setting) -> list[float]:
    """Best where lr is 0.01, and with Adam."""
    off = math.log10(float(setting.get("optimizer.lr", "1"))) + 2
    return [1 / (1 + off * off) + (0.1 if setting["optimizer"] == "adam" else 0) + 0.01 * int(setting["model.depth"])]


def accuracy_and_parameters(setting: Setting) -> list[float]:
    return [*accuracy(setting), float(setting["model.depth"]) * float(setting["model.width"])]


def study(
    name: str, folder: Path, words: list[str], seed: int = 0, total: int = 1000, objectives: int = 1, startup: int = 3
) -> Study:
    """As a sweep makes it, with few trials at random."""
    node = OmegaConf.to_container(compose_sweep([f"sweep={name}"]).cfg.sweep.sampler, resolve=True)
    assert isinstance(node, dict)
    if "n_startup_trials" in node:
        node["n_startup_trials"] = startup
    space: Space = read_space(words, {})
    made, count = sampler(hydra.utils.instantiate(node, _convert_="all"), space, seed, known)
    goals = [Objective("best/accuracy", "maximize"), Objective("parameters", "minimize")][:objectives]
    total = total if count is None else min(total, count)
    return Study(
        address(None, folder), "first", folder, "me", space, goals, made, by_number=count is not None, total=total,
        known=known,
    )  # fmt: skip


def go_on(study: Study, trials: int, formula: Formula = accuracy) -> list[Setting]:
    """Make so many trials; the last in each ten fails, the one before it is pruned."""
    made = []
    for _ in range(trials):
        proposal = study.propose()
        if proposal is None:
            break
        made.append(proposal.setting)
        state = {8: "pruned", 9: "failed"}.get(proposal.number % 10, "completed")
        study.tell(proposal.number, Outcome(state, [[number] for number in formula(proposal.setting)], 1.0))
    return made


def needs(name: str) -> None:
    if name == "cmaes" and importlib.util.find_spec("cmaes") is None:
        pytest.skip("the package cmaes is not installed")


@pytest.mark.parametrize("group", ["sweep", "pruner"])
def test_each_choice_may_be_called_and_its_values_are_what_its_contracts_say(group: str) -> None:
    for name in tree.choices(group):
        check_sweep_values(compose_sweep([f"{group}={name}"]))


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_proposal_is_inside_the_space_and_under_its_conditions(name: str, tmp_path: Path) -> None:
    needs(name)
    settings = go_on(study(name, tmp_path, WORDS), 10)
    assert len(settings) == 10
    for setting in settings:
        assert setting["optimizer"] in ("sgd", "nesterov", "adam")
        assert 1e-4 <= float(setting["optimizer.lr"]) <= 1
        assert setting["model.depth"] in map(str, range(1, 9)), "the stop of a range is not part of it"
        assert setting["model.width"] in map(str, range(4, 513))
        assert min(abs(float(setting["model.dropout"]) - step) for step in (0, 0.2, 0.4, 0.6)) < 1e-9
        assert ("optimizer.momentum" in setting) == (setting["optimizer"] == "nesterov")
        assert 0 <= float(setting.get("optimizer.momentum", "0")) <= 0.99
    assert len({setting["optimizer"] for setting in settings}) > 1
    assert len({setting["model.depth"] for setting in settings}) > 2


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_same_sweep_proposes_the_same_trials_and_another_seed_others(name: str, tmp_path: Path) -> None:
    needs(name)
    once, again, other = (
        go_on(study(name, tmp_path / str(place), WORDS, seed), 5) for place, seed in enumerate((3, 3, 4))
    )
    assert once == again
    assert once[0] != other[0]


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("words", [WORDS, WORDS[1:2] + WORDS[3:] + ["optimizer=adam,sgd"]], ids=["conditions", "flat"])
def test_a_study_that_another_process_takes_up_goes_on_as_it_would_have(
    name: str, words: list[str], tmp_path: Path
) -> None:
    needs(name)
    whole = go_on(study(name, tmp_path / "whole", words), 8)
    first = go_on(study(name, tmp_path / "halves", words), 5)
    assert (tmp_path / "halves" / JOURNAL).is_file()
    assert first + go_on(study(name, tmp_path / "halves", words), 3) == whole


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_trial_of_a_process_that_is_no_more_is_taken_up_with_its_own_setting(name: str, tmp_path: Path) -> None:
    needs(name)
    before = study(name, tmp_path, WORDS)
    go_on(before, 5)
    lost = before.propose()
    assert lost is not None
    after = study(name, tmp_path, WORDS)
    assert after.left_open() == {"me": [5]}
    assert after.take_up(5) == lost


def test_no_two_trials_at_random_are_the_same(tmp_path: Path) -> None:
    settings = go_on(study("random", tmp_path, WORDS), 30)
    assert len({setting["optimizer.lr"] for setting in settings}) == 30
    logs = [math.log10(float(setting["optimizer.lr"])) for setting in settings]
    assert min(logs) < -3
    assert max(logs) > -1
    assert -2.8 < sum(logs) / 30 < -1.2, "evenly over the logarithm"


def test_a_grid_is_proposed_in_its_order_and_ends(tmp_path: Path) -> None:
    settings = go_on(study("grid", tmp_path, LISTED), 1000)
    assert settings[:4] == [
        {"optimizer": "sgd", "model.depth": depth, "seed": seed} for depth in ("1", "2") for seed in ("1", "2")
    ]
    assert settings[-1] == {"optimizer": "adam", "model.depth": "8", "nu": "2", "seed": "2"}
    assert len(settings) == 2 * 8 * 2 + 8 * 2 * 2
    assert len({tuple(setting.items()) for setting in settings}) == len(settings)


def test_a_grid_that_is_taken_up_goes_on_where_it_was(tmp_path: Path) -> None:
    whole = go_on(study("grid", tmp_path / "whole", LISTED), 20)
    first = go_on(study("grid", tmp_path / "halves", LISTED), 9)
    assert first + go_on(study("grid", tmp_path / "halves", LISTED), 11) == whole


@pytest.mark.parametrize("name", ["random", "tpe", pytest.param("gp", marks=pytest.mark.slow)])
def test_several_objectives_end_in_a_front_that_nothing_beats(name: str, tmp_path: Path) -> None:
    made = study(name, tmp_path, WORDS, objectives=2)
    go_on(made, 7, accuracy_and_parameters)
    points = [trial.values for trial in made.optuna.best_trials]
    assert points
    told = [trial.values for trial in made.optuna.get_trials() if trial.state.name == "COMPLETE"]
    assert len(told) == 7
    for a, b in points:
        assert not any((x > a and y <= b) or (x >= a and y < b) for x, y in told)


def test_a_study_is_not_gone_on_with_in_other_words(tmp_path: Path) -> None:
    go_on(study("random", tmp_path, WORDS), 2)
    with pytest.raises(CouloirError, match="was started with other parameters"):
        study("random", tmp_path, WORDS[:-1])
    with pytest.raises(CouloirError, match="was started with other words"):
        study("random", tmp_path, [*WORDS, "data=moons"])
    with pytest.raises(CouloirError, match="was started with other objectives"):
        study("random", tmp_path, WORDS, objectives=2)


def test_no_trial_is_proposed_beyond_the_last(tmp_path: Path) -> None:
    assert len(go_on(study("random", tmp_path, WORDS, total=4), 10)) == 4
    assert study("random", tmp_path, WORDS, total=4).propose() is None


def test_without_the_package_cmaes_its_sampler_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Exception, match=r"sweep=cmaes needs the package cmaes") as refusal:
        study("cmaes", tmp_path, WORDS)
    mistake = refusal.value if isinstance(refusal.value, CouloirError) else refusal.value.__cause__
    assert isinstance(mistake, CouloirError)
    assert mistake.next_step == "pip install 'couloir[sweep]'"


def test_what_learns_finds_more_than_chance_does(tmp_path: Path) -> None:
    words = ["optimizer=adam", "model.depth=1", "optimizer.lr=tag(log, interval(1e-8,1))", "x=interval(-5,5)"]

    def miss(setting: Setting) -> float:
        return abs(math.log10(float(setting["optimizer.lr"])) + 3) + abs(float(setting["x"]) - 1)

    def best(sampler: str, seed: int) -> float:
        made = study(sampler, tmp_path / sampler / str(seed), words, seed, startup=8)
        return min(map(miss, go_on(made, 25, lambda setting: [-miss(setting)])))

    learned, drawn = (sum(best(sampler, seed) for seed in range(3)) / 3 for sampler in ("tpe", "random"))
    assert learned < drawn
