"""The best setting of a sweep as a sentence and as a recipe of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

import couloir
from couloir.config.compose import compose_sentence
from couloir.config.tree import describe
from couloir.errors import CouloirError
from couloir.sweep.best import best_words, write_best
from couloir.sweep.trials import Objective, SweepRecord, TrialRecord


def sweep(folder: Path, words: list[str], parameters: dict[str, str], completed: bool = True) -> SweepRecord:
    trials = [
        TrialRecord(0, dict.fromkeys(parameters, "0"), "completed", [], [[0.8]]),
        TrialRecord(1, parameters, "completed", [], [[0.9, 0.92]]),
        TrialRecord(2, parameters, "pruned", [], []),
    ]
    return SweepRecord(
        folder, "first", words, list(parameters), [Objective("best/accuracy", "maximize")], "val/accuracy",
        ["train", "-m", *words], trials if completed else trials[2:], 3,
    )  # fmt: skip


def test_the_sentence_is_what_was_typed_and_the_best_trials_values(tmp_path: Path) -> None:
    record = sweep(tmp_path, ["model=mlp"], {"optimizer": "sgd", "optimizer.lr": "1e-05"})
    assert best_words(record) == ["model=mlp", "optimizer=sgd", "optimizer.lr=1e-05"]


def test_without_a_completed_trial_there_is_no_best(tmp_path: Path) -> None:
    record = sweep(tmp_path, ["model=mlp"], {"optimizer": "sgd"}, completed=False)
    assert best_words(record) is None
    assert write_best(record) is None
    assert not (tmp_path / "best.yaml").exists()


SENTENCES = {
    "choices, floats and lists": (["data=moons", "model=mlp"], {
        "optimizer": "sgd", "optimizer.lr": "1e-05", "model.hidden": "[64,32]", "trainer.max_epochs": "2"}),
    "the loss that follows from the data": (["data=line"], {"optimizer.lr": "0.1"}),
    "a choice that is the default, against the data's own": (["data=moons"], {"model": "lenet5"}),
    "strings, quotes, commas and null": (
        ["output_dir='a, b: c #d'", "data=digits", "data.subset=null"],
        {"logger.tensorboard.name": "'1e-05'", "model.activation": "'no'"}),
    "added keys and groups": (["+note='x, y'", "+notes.deep.er=[1,{a: 2.0}]"], {"+tag": "null", "optimizer": "adamw"}),
    "references, and groups taken away": (
        ["data=digits", "~averaging", "~tta", "scheduler=cosine", "optimizer.weight_decay=${optimizer.lr}"],
        {"optimizer.lr": "3e-4"}),
    "a recipe": (["experiment=lenet5_1998", "scale=smoke", "optimizer=adam"], {"optimizer.lr": "0.01"}),
    "a recipe with its own data": (["experiment=toy_mlp"], {"data": "circles", "data.noise": "0.05"}),
}  # fmt: skip


@pytest.mark.parametrize("name", SENTENCES)
def test_the_recipe_composes_what_the_sentence_composes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, parameters = SENTENCES[name]
    monkeypatch.chdir(tmp_path)
    record = sweep(tmp_path, words, parameters)
    wanted = compose_sentence(best_words(record) or [])
    file = write_best(record)
    assert file is not None
    recipes = tmp_path / "conf/experiment"
    recipes.mkdir(parents=True)
    file.rename(recipes / "best.yaml")
    got = compose_sentence(["experiment=best"])
    assert OmegaConf.to_yaml(got.cfg, sort_keys=True) == OmegaConf.to_yaml(wanted.cfg, sort_keys=True)
    chosen = [
        {group: choice for group, choice in sentence.choices.items() if group != "experiment" and choice is not None}
        for sentence in (got, wanted)
    ]
    assert chosen[0] == chosen[1]


def test_the_recipe_says_what_it_is_and_what_it_reaches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = write_best(sweep(tmp_path, ["data=moons"], {"optimizer.lr": "0.1"}))
    assert file is not None
    assert describe(file) == "The best of 2 completed trials of the sweep first: trial 1."
    text = file.read_text()
    assert text.startswith("# @package _global_\n")
    assert "# Gives: best/accuracy 0.91 ± 0.014, the mean of 2 seeds.\n" in text
    assert "#   train data=moons optimizer.lr=0.1\n" in text


def test_the_recipe_passes_the_checker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    parameters = {"optimizer": "sgd", "optimizer.lr": "1e-05", "model.hidden": "[64,32]", "data.subset": "null"}
    file = write_best(sweep(tmp_path, ["data=moons", "model=mlp"], parameters))
    assert file is not None
    recipes = tmp_path / "conf/experiment"
    recipes.mkdir(parents=True)
    file.rename(recipes / "best.yaml")
    assert couloir.compose(["experiment=best", "optimizer.lr=0.1"]).cfg.model.hidden == [64, 32]
    with pytest.raises(CouloirError, match=r"optimizer\.lr takes a number > 0"):
        couloir.compose(["experiment=best", "optimizer.lr=-1"])


def test_words_that_no_file_can_say_stand_in_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = write_best(sweep(tmp_path, ["~trainer.tf32", "allow_targets=[mine]"], {"optimizer.lr": "0.1"}))
    assert file is not None
    assert "# Command: train experiment=best 'allow_targets=[mine]' '~trainer.tf32', once" in file.read_text()


def test_words_that_no_longer_compose_cost_the_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert write_best(sweep(tmp_path, ["model=gone"], {"optimizer.lr": "0.1"})) is None
