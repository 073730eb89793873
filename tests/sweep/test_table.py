"""`sweep.csv`, and what the console says at the end of a sweep."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

from couloir.sweep.table import last_words, write_csv
from couloir.sweep.trials import Objective, SweepRecord, TrialRecord, TrialState

ACCURACY = Objective("best/accuracy", "maximize")
PARAMETERS = Objective("parameters", "minimize")


def trial(
    number: int,
    values: list[list[float]],
    state: TrialState = "completed",
    error: str = "",
    runs: int = 1,
    **typed: str,
) -> TrialRecord:
    parameters = typed or {"optimizer.lr": f"1e-{number}"}
    folders = [Path(f"{number}/{seed}") for seed in range(runs)]
    return TrialRecord(number, parameters, state, folders, values, None if state == "running" else 1.5, error)


def sweep(folder: Path, *trials: TrialRecord, objectives: tuple[Objective, ...] = (ACCURACY,)) -> SweepRecord:
    command = ["train", "-m", "sweep=tpe"]
    return SweepRecord(
        folder, "s", ["model=mlp"], ["optimizer.lr"], list(objectives), "val/accuracy", command, list(trials), 20
    )


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_the_csv_has_a_row_a_trial_with_its_setting_and_number(tmp_path: Path) -> None:
    failed = trial(1, [], "failed", 'CouloirError: a, "b"\nsecond line', **{"optimizer.lr": "[1,2]"})
    file = write_csv(sweep(tmp_path, trial(0, [[0.9]], **{"optimizer.lr": "0.1", "model.width": "8"}), failed))
    assert file == tmp_path / "sweep.csv"
    first, second = rows(file)
    assert first == {
        "number": "0", "state": "completed", "best/accuracy": "0.9", "seconds": "1.5", "optimizer.lr": "0.1",
        "model.width": "8", "error": "",
    }  # fmt: skip
    assert list(first) == ["number", "state", "best/accuracy", "seconds", "optimizer.lr", "model.width", "error"]
    assert (second["state"], second["best/accuracy"], second["model.width"]) == ("failed", "", "")
    assert second["error"] == failed.error
    assert second["optimizer.lr"] == "[1,2]"


def test_the_csv_has_mean_and_deviation_over_the_seeds(tmp_path: Path) -> None:
    values = [[0.8, 1.0], [10.0, 10.0]]
    record = sweep(
        tmp_path, trial(0, values, runs=2), trial(1, [], "running", runs=2), objectives=(ACCURACY, PARAMETERS)
    )
    first, second = rows(write_csv(record))
    assert float(first["best/accuracy"]) == 0.9
    assert abs(float(first["best/accuracy std"]) - 0.02**0.5) < 1e-12
    assert (first["parameters"], first["parameters std"], first["runs"]) == ("10.0", "0.0", "2")
    assert (second["best/accuracy"], second["runs"], second["seconds"]) == ("", "0", "")


def test_the_test_metrics_stand_beside_the_objective(tmp_path: Path) -> None:
    tests = {"test/loss": [0.2], "test/accuracy": [0.91]}
    tried = replace(trial(0, [[0.9]], loss="mse"), tests=tests)
    record = sweep(tmp_path, tried, trial(1, [], "failed", loss="mae"))
    first, second = rows(write_csv(record))
    assert list(first)[:6] == ["number", "state", "best/accuracy", "test/loss", "test/accuracy", "seconds"]
    assert (first["test/accuracy"], second["test/accuracy"]) == ("0.91", "")
    line = next(line for line in last_words(record).splitlines() if "best/accuracy" in line)
    assert [cell.strip() for cell in line.split("┃")[2:5]] == ["best/accuracy", "test/accuracy", "test/loss"]
    told = last_words(replace(record, differ=["loss"]))
    assert "ranked by best/accuracy: the trials differ in their loss" in told
    assert "test/accuracy" in told
    assert "test/loss" not in told, "losses of different units do not stand side by side"


def test_the_end_names_the_best_sentence_quoted_for_a_shell(tmp_path: Path) -> None:
    best = trial(2, [[0.95]], **{"optimizer.lr": "0.1", "model.hidden": "[64,32]", "note": "a b"})
    record = sweep(tmp_path, trial(0, [[0.9]]), best)
    write_csv(record)
    text = last_words(record)
    assert "best:   trial 2, best/accuracy 0.9500\n  train model=mlp optimizer.lr=0.1" in text
    assert "'model.hidden=[64,32]' 'note=a b'" in text
    assert "sweep.csv" in text
    assert "report.html" not in text, "only files that are there are named"


def test_the_end_shows_the_best_ten_of_many_in_order(tmp_path: Path) -> None:
    trials = [trial(number, [[number / 100]], **{"optimizer.lr": f"v{number}"}) for number in range(30)]
    lines = last_words(sweep(tmp_path, *trials)).splitlines()
    shown = [line.split("│")[1].strip() for line in lines if line.startswith("│")]
    assert shown == [str(number) for number in range(29, 19, -1)]
    losses = [Objective("val/loss", "minimize")]
    lines = last_words(sweep(tmp_path, *trials[:12], objectives=(*losses,))).splitlines()
    assert [line.split("│")[1].strip() for line in lines if line.startswith("│")] == [str(n) for n in range(12)]


def test_the_end_says_which_settings_differ_from_the_best_within_noise_only(tmp_path: Path) -> None:
    record = sweep(
        tmp_path,
        trial(0, [[0.90, 0.91, 0.92]], runs=3),
        trial(1, [[0.89, 0.91, 0.90]], runs=3),
        trial(2, [[0.50, 0.51, 0.52]], runs=3),
    )
    text = last_words(record)
    assert "0.9100 ± 0.0100" in text
    assert [line.split("│")[3].strip() for line in text.splitlines() if line.startswith("│")] == [
        "best", "within noise", "worse",
    ]  # fmt: skip
    assert "1 other trial is within noise of the best (Welch's t-test over the 3 seeds, p >= 0.05): 1." in text


def test_with_one_seed_the_end_says_something_of_noise_only_where_the_samples_are_too_few(tmp_path: Path) -> None:
    run = tmp_path / "0"
    run.mkdir()
    first = TrialRecord(0, {"a": "1"}, "completed", [run], [[0.9]])
    record = sweep(tmp_path, first, trial(1, [[0.88]]))
    assert "sweep.seeds" not in last_words(record), "the size of the split is not known"
    (run / "provenance.json").write_text(json.dumps({"data": {"sizes": {"val": 100, "test": 10_000}}}))
    assert "an accuracy on 100 validation samples (± 0.0300): sweep.seeds=5 would show more." in last_words(record)
    assert "sweep.seeds" not in last_words(sweep(tmp_path, first, trial(1, [[0.8]])))


def test_the_end_counts_the_states_and_quotes_five_errors(tmp_path: Path) -> None:
    failed = [trial(number, [], "failed", f"\nError {number} [bold]\n  where: x") for number in range(7)]
    text = last_words(sweep(tmp_path, *failed, trial(7, [[0.9]]), trial(8, [], "pruned"), trial(9, [], "running")))
    assert "9 of 20 trials: 1 completed, 1 pruned, 7 failed, 1 running" in text
    assert "  trial 4 (failed): Error 4 [bold]\n  and 2 more, in sweep.csv" in text
    assert "where: x" not in text


def test_the_end_of_a_sweep_without_a_completed_trial_says_so(tmp_path: Path) -> None:
    assert last_words(sweep(tmp_path)) == "0 of 20 trials"
    assert last_words(sweep(tmp_path, trial(0, [], "pruned"))) == "1 of 20 trials: 1 pruned"


def test_with_two_objectives_the_pareto_front_stands_in_a_table_of_its_own(tmp_path: Path) -> None:
    points = [(0.90, 100), (0.95, 1_000), (0.85, 500), (0.80, 10), (0.95, 2_000)]
    trials = [trial(number, [[accuracy], [size]]) for number, (accuracy, size) in enumerate(points)]
    record = sweep(tmp_path, *trials, objectives=(ACCURACY, PARAMETERS))
    front = last_words(record).partition("the Pareto front")[2]
    assert [line.split("│")[1].strip() for line in front.splitlines() if line.startswith("│")] == ["1", "0", "3"]
    assert "1,000" in front


def test_brackets_of_a_parameter_are_printed_as_typed(tmp_path: Path) -> None:
    assert "model.hidden=[red]" in last_words(sweep(tmp_path, trial(0, [[0.9]], **{"model.hidden": "[red]"})))
