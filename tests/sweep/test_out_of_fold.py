"""The predictions of all folds as one table in the data's order, and the scores that follow from it."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, mean_absolute_error, r2_score

from couloir.errors import CouloirError
from couloir.record.files import as_csv
from couloir.record.sweep import TEST
from couloir.sweep.out_of_fold import scores, write_out_of_fold
from couloir.sweep.table import comparable_tests
from couloir.sweep.trials import Objective, SweepRecord, TrialRecord

Columns = dict[str, list[Any]]


def runs(folder: Path, columns: Columns, folds: int = 3, seeds: int = 1) -> list[Path]:
    """Run folders whose predictions are every third sample of a table, each with its number in the data."""
    found = []
    for place in range(seeds * folds):
        run = folder / "0" / str(place)
        run.mkdir(parents=True)
        numbers = list(range((place + place // folds) % folds, len(next(iter(columns.values()))), folds))
        head = ["sample", "index", *columns]
        rows = [
            [split, number, *(values[number] for values in columns.values())] for split, number in enumerate(numbers)
        ]
        (run / "predictions.csv").write_text(as_csv(head, rows))
        (run / "config.yaml").write_text(f"seed: {7 + place // folds}\n")
        found.append(run)
    return found


def labels(count: int = 40) -> Columns:
    rng = np.random.default_rng(0)
    truth = rng.choice(["cat", "dog"], count)
    prediction = np.where(rng.random(count) < 0.7, truth, "dog")
    return {"truth": [*truth], "prediction": [*prediction], "p(cat)": [*rng.random(count)], "p(dog)": [0.5] * count}


def record(folder: Path, of: list[Path], folds: int | None = 3) -> SweepRecord:
    trial = TrialRecord(0, {}, "completed", of, [[0.5] * len(of)], tests={"test/loss": [1.0]})
    goals = [Objective("best/accuracy", "maximize")]
    return SweepRecord(folder, "s", [], [], goals, "val/accuracy", ["train"], [trial], 1, folds=folds)


def test_the_rows_are_the_datas_samples_in_order_with_their_fold(tmp_path: Path) -> None:
    columns = labels()
    file = write_out_of_fold(record(tmp_path, runs(tmp_path, columns)))
    assert file == tmp_path / "out_of_fold.csv"
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["fold", "sample", "truth", "prediction", "p(cat)", "p(dog)"]
    assert [row["sample"] for row in rows] == [str(number) for number in range(40)]
    assert [row["fold"] for row in rows] == [str(number % 3) for number in range(40)]
    assert [row["truth"] for row in rows] == columns["truth"]
    assert [float(row["p(cat)"]) for row in rows] == columns["p(cat)"]


def test_with_several_seeds_each_has_all_samples(tmp_path: Path) -> None:
    columns = labels()
    of = runs(tmp_path, columns, seeds=2)
    file = write_out_of_fold(record(tmp_path, of))
    assert file is not None
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["seed"], row["sample"]) for row in rows] == [(seed, str(n)) for seed in "78" for n in range(40)]
    assert scores(of, 3)["out_of_fold/accuracy"] == [accuracy_score(columns["truth"], columns["prediction"])] * 2


def test_the_accuracy_is_that_of_all_samples_at_once(tmp_path: Path) -> None:
    columns = labels(41)
    expected = accuracy_score(columns["truth"], columns["prediction"])
    assert scores(runs(tmp_path, columns), 3) == {"out_of_fold/accuracy": [pytest.approx(expected)]}


@pytest.mark.parametrize("names", [["truth"], ["truth(h)", "truth(w)"]])
def test_r2_and_mae_of_values_are_those_of_all_samples_at_once(names: list[str], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = 1e4 + rng.normal(size=(50, len(names)))
    prediction = truth + rng.normal(size=truth.shape)
    columns: Columns = {}
    for place, name in enumerate(names):
        columns |= {name: [*truth[:, place]], name.replace("truth", "prediction"): [*prediction[:, place]]}
    found = scores(runs(tmp_path, columns), 3)
    assert found["out_of_fold/r2"] == pytest.approx([r2_score(truth, prediction)], rel=1e-9)
    assert found["out_of_fold/mae"] == pytest.approx([mean_absolute_error(truth, prediction)], rel=1e-9)


def test_several_labels_count_each_and_as_a_whole(tmp_path: Path) -> None:
    columns: Columns = {
        "truth(a)": [0, 1, 1, 0], "prediction(a)": [0, 1, 0, 0], "p(a)": [0.1] * 4,
        "truth(b)": [1, 1, 1, 0], "prediction(b)": [1, 0, 0, 0], "p(b)": [0.2] * 4,
    }  # fmt: skip
    found = scores(runs(tmp_path, columns, folds=2), 2)
    assert found == {"out_of_fold/label_accuracy": [5 / 8], "out_of_fold/exact_match": [0.5]}


def test_what_is_no_fold_or_not_there_has_no_scores(tmp_path: Path) -> None:
    of = runs(tmp_path, labels())
    (of[1] / "predictions.csv").write_text((of[0] / "predictions.csv").read_text())
    assert scores(of, 3) == {}
    with pytest.raises(CouloirError, match="The sample 0 was tested twice"):
        write_out_of_fold(record(tmp_path, of))
    for run in of:
        (run / "predictions.csv").unlink()
    assert scores(of, 3) == {}
    assert write_out_of_fold(record(tmp_path, of)) is None
    assert write_out_of_fold(record(tmp_path, of, folds=None)) is None
    unnumbered = runs(tmp_path / "other", {"answer": [1.0, 2.0, 3.0]})
    assert scores(unnumbered, 3) == {}
    assert write_out_of_fold(record(tmp_path, unnumbered)) is not None, "answers of a task of one's own are kept"


def test_the_score_over_all_folds_stands_before_those_of_each(tmp_path: Path) -> None:
    swept = record(tmp_path, [])
    swept.trials[0].tests.update({f"{TEST}accuracy": [0.5], "out_of_fold/accuracy": [0.5]})
    by_loss = replace(swept, objectives=[Objective("best/loss", "minimize")])
    for ranked in (swept, by_loss):
        assert comparable_tests(ranked) == ["out_of_fold/accuracy", "test/accuracy", "test/loss"]
    assert comparable_tests(replace(by_loss, folds=None))[0] == "test/loss"
    swept.trials[0].tests.clear()
    swept.trials[0].tests.update({key: [0.5] for key in ["out_of_fold/mae", "out_of_fold/r2", "test/loss", "test/r2"]})
    assert comparable_tests(swept) == ["out_of_fold/r2", "test/r2", "out_of_fold/mae", "test/loss"]
