"""Every setting of a sweep on every fold: their runs, their mean, and what is said of them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy.stats import t as student
from sklearn.datasets import load_digits

import couloir
from couloir.sweep.best import best_words
from couloir.sweep.load import load_sweep
from couloir.sweep.noise import deviation, within_noise_of_folds
from couloir.sweep.objective import about_folds
from couloir.sweep.table import against_best, last_words
from couloir.sweep.trials import Objective, SweepRecord, TrialRecord

TINY = ["data.subset=48", "sweep.isolation=none", "data.folds=2"]


def read(run: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((run / name).read_text())
    return content


@pytest.mark.slow
def test_each_setting_is_trained_on_every_fold_and_a_stopped_sweep_goes_on_with_them(sweep: Callable[..., Any]) -> None:
    words = ["optimizer.lr=0.01,0.1", "sweep.seeds=2", "sweep.objective=best/accuracy"]
    first = sweep(*TINY, *words, "sweep.n_trials=1")
    assert first.code == 0
    assert "each setting is trained on 2 folds and ranked by best/accuracy" in first.console
    swept = sweep(str(first.folder), "sweep.n_trials=2", verb=("resume",))
    assert (swept.code, swept.folder) == (0, first.folder)
    runs = [swept.folder / trial / str(place) for trial in "01" for place in range(4)]
    configs = [read(run, "config.yaml") for run in runs]
    assert [(cfg["seed"], cfg["data"]["fold"]) for cfg in configs] == [(s, f) for s in (0, 1) for f in (0, 1)] * 2
    sizes = [read(run, "provenance.json")["data"]["sizes"] for run in runs]
    assert [size["test"] for size in sizes] == [24] * 8
    results = [json.loads((run / "result.json").read_text()) for run in runs]
    for name in ("best/accuracy", "test/accuracy"):
        values = [[result[name] for result in results[start : start + 4]] for start in (0, 4)]
        assert [float(row[name]) for row in swept.rows] == pytest.approx([np.mean(each) for each in values])
        assert [float(row[f"{name} std"]) for row in swept.rows] == pytest.approx([np.std(v, ddof=1) for v in values])
    assert [row["runs"] for row in swept.rows] == ["4", "4"]
    with (swept.folder / "out_of_fold.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    targets = load_digits().target
    assert [row["truth"] for row in rows] == [str(targets[int(row["sample"])]) for row in rows]
    of_seeds = [[row for row in rows if row["seed"] == seed] for seed in "01"]
    assert [len({row["sample"] for row in of_seed}) for of_seed in of_seeds] == [48, 48]
    right = [sum(row["truth"] == row["prediction"] for row in of_seed) / 48 for of_seed in of_seeds]
    best = next(row for row in swept.rows if row["number"] == str(load_sweep(swept.folder).best.number))
    assert float(best["out_of_fold/accuracy"]) == pytest.approx(np.mean(right))
    assert float(best["out_of_fold/accuracy std"]) == pytest.approx(np.std(right, ddof=1))
    assert float(best["test/accuracy"]) == pytest.approx(np.mean(right)), "the folds are of one size"
    record = load_sweep(swept.folder)
    assert (record.folds, record.repeats) == (2, "2 seeds x 2 folds")
    assert "over the 2 seeds x 2 folds" in swept.console
    recipe = (swept.folder / "best.yaml").read_text()
    assert "folds" not in recipe.split("defaults:")[1]
    assert "the mean of 2 seeds x 2 folds." in recipe


def test_the_best_setting_is_trained_without_folds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    record = made(tmp_path, [0.9, 0.8])
    record.words.extend(["data.folds=2", "model=mlp"])
    assert best_words(record) == ["model=mlp", "optimizer.lr=0.1"]
    (tmp_path / "conf/experiment").mkdir(parents=True)
    (tmp_path / "conf/experiment/cv.yaml").write_text("# @package _global_\n# Folds.\ndata:\n  folds: 2\n")
    record.words[:] = ["experiment=cv"]
    words = best_words(record)
    assert words == ["experiment=cv", "optimizer.lr=0.1", "data.folds=null"]
    assert couloir.compose(words).cfg.data.folds is None


def made(folder: Path, *values: list[float], folds: int = 2) -> SweepRecord:
    """A sweep over rates on two folds."""
    trials = [
        TrialRecord(number, {"optimizer.lr": f"0.{number + 1}"}, "completed", [], [numbers])
        for number, numbers in enumerate(values)
    ]
    goals = [Objective("best/accuracy", "maximize")]
    command = ["train", "-m"]
    return SweepRecord(folder, "s", [], ["optimizer.lr"], goals, "val/accuracy", command, trials, 2, folds=folds)


def test_settings_are_compared_fold_by_fold() -> None:
    generator = np.random.default_rng(0)
    verdicts = []
    for _ in range(200):
        folds = generator.normal(0.9, 0.05, 5)
        one = (folds + generator.normal(0, 0.01, 5)).tolist()
        other = (folds + generator.normal(0.01, 0.01, 5)).tolist()
        # Nadeau and Bengio, 2003: the variance of a mean over k resampled runs is (1/k + test/train) of their variance.
        difference = np.subtract(one, other)
        error = np.sqrt((1 / 5 + 0.25) * difference.var(ddof=1))
        expected = 2 * student.sf(abs(difference.mean()) / error, 4) >= 0.05
        verdicts.append(within_noise_of_folds(one, other, 0.25))
        assert verdicts[-1] == expected
    assert 20 < sum(map(bool, verdicts)) < 180, "both verdicts were put to the test"


def test_folds_that_agree_to_the_digit_differ_or_are_the_same_and_one_says_nothing() -> None:
    assert within_noise_of_folds([0.5, 0.75], [0.5, 0.75], 0.25) is True
    assert within_noise_of_folds([0.5, 0.75], [0.25, 0.5], 0.25) is False
    assert within_noise_of_folds([0.5], [0.4], 0.25) is None
    assert within_noise_of_folds([0.5, 0.5], [0.4], 0.25) is None
    assert deviation([0.5]) is None


def test_the_end_says_by_which_test_folds_are_compared(tmp_path: Path) -> None:
    # Folds differ much, and the settings little but always alike: only a test in pairs sees it.
    near, worse = [0.90, 0.70, 0.81, 0.60], [0.880, 0.679, 0.78, 0.591]
    record = made(tmp_path, [0.90, 0.70, 0.80, 0.61], near, worse, folds=4)
    assert against_best(record) == {0: "best", 1: "within noise", 2: "worse"}
    text = last_words(record)
    assert (
        "1 other trial is within noise of the best (the corrected resampled t-test over the 4 folds, p >= 0.05)" in text
    )
    assert "sweep.seeds" not in text


def test_a_ranking_by_the_folds_themselves_is_said_to_be_too_good() -> None:
    assert "new data will give a worse one" in about_folds([Objective("test/accuracy", "maximize")], 5)
    assert "have no part in the ranking" in about_folds([Objective("best/loss", "minimize")], 5)
    assert about_folds([Objective("best/loss", "minimize")], None) == ""
