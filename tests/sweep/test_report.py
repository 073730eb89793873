"""`report.html` of a sweep, without a browser: the data of its figures, and what it says."""

from __future__ import annotations

import json
import math
import random
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from couloir.sweep import charts, importance
from couloir.sweep.axes import axis, of_numbers
from couloir.sweep.report import write_report
from couloir.sweep.trials import Objective, SweepRecord, TrialRecord

ACCURACY = Objective("best/accuracy", "maximize")
PARAMETERS = Objective("parameters", "minimize")


def curve(folder: Path, accuracies: list[float]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [f"{epoch},{1 - value},{2 - value},{value},1.0" for epoch, value in enumerate(accuracies, 1)]
    text = "\n".join(["epoch,train/loss,val/loss,val/accuracy,seconds", *rows])
    (folder / "metrics.csv").write_text(text + "\n")
    return folder


def sweep(folder: Path, number: int, seeds: int = 1, goals: tuple[Objective, ...] = (ACCURACY,)) -> SweepRecord:
    """Trials whose accuracy follows from the learning rate alone; every seventh failed, every fifth was pruned."""
    draw = random.Random(0)
    trials = []
    for place in range(number):
        lr = 10 ** draw.uniform(-5, -1)
        parameters = {"optimizer": draw.choice(["sgd", "adam"]), "optimizer.lr": f"{lr:.3g}"}
        if parameters["optimizer"] == "sgd":
            parameters["optimizer.momentum"] = draw.choice(["0.8", "0.9"])
        accuracy = 0.9 - 0.05 * abs(math.log10(lr) + 3)
        values = [[accuracy + draw.gauss(0, 0.001) for _ in range(seeds)]]
        values += [[float(draw.randint(1000, 100_000))] * seeds for _ in goals[1:]]
        runs = [folder / str(place) / str(seed) for seed in range(seeds)]
        state = "failed" if place % 7 == 3 else "pruned" if place % 5 == 4 else "completed"
        error = "No <b>memory</b>.\n  where: here" if state == "failed" else ""
        trials.append(
            TrialRecord(place, parameters, state, runs, values if state == "completed" else [], 2.0, error)  # type: ignore[arg-type]
        )
    command = ["train", "-m", "sweep=tpe", "optimizer.lr=interval(1e-5,0.1)"]
    swept = ["optimizer", "optimizer.lr", "optimizer.momentum"] if number else []
    return SweepRecord(
        folder, "s", ["model=mlp", "note='a b'"], swept, list(goals), "val/accuracy", command, trials, number
    )


def figures(html: str) -> list[dict[str, Any]]:
    return [json.loads(found) for found in re.findall(r'<script type="application/json">(.*?)</script>', html)]


def headings(html: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", html)


def test_the_report_has_every_part_and_the_numbers_of_the_trials(tmp_path: Path) -> None:
    record = sweep(tmp_path, 40)
    assert record.best is not None
    curve(record.best.runs[0], [0.5, 0.8, 0.9])
    file = write_report(record)
    assert file == tmp_path / "report.html"
    html = file.read_text(encoding="utf-8")
    assert headings(html) == [
        "Best setting", "History", "Parallel coordinates", "Importances", "Slices", "Curves of the best trials",
        "All trials", "Errors",
    ]  # fmt: skip
    found = figures(html)
    assert [len(figure["data"]) for figure in found][:2] == [4, 1], "line, completed, pruned, failed; lines"
    history = {trace["name"]: trace for trace in found[0]["data"]}
    assert history["completed"]["x"] == [trial.number for trial in record.completed]
    assert history["failed"]["x"] == [number for number in range(40) if number % 7 == 3]
    best_so_far = history["best so far"]["y"]
    assert best_so_far == sorted(best_so_far)
    assert best_so_far[-1] == pytest.approx(max(history["completed"]["y"]))
    assert len([figure for figure in found if figure["data"][0].get("marker", {}).get("size")]) == 3, "a slice a key"
    assert any(trace.get("y") == [0.5, 0.8, 0.9] for figure in found for trace in figure["data"])
    assert "train model=mlp &#x27;note=" in html
    assert "train -m sweep=tpe &#x27;optimizer.lr=interval(1e-5,0.1)&#x27;" in html
    assert "No &lt;b&gt;memory&lt;/b&gt;.\n  where: here" in html
    assert html.count("<tr>") == 1 + 40


def test_every_figure_is_one_that_plotly_takes(tmp_path: Path) -> None:
    import plotly.graph_objects as go

    record = sweep(tmp_path, 40, seeds=2, goals=(ACCURACY, PARAMETERS))
    assert record.best is not None
    curve(record.best.runs[0], [0.5, 0.6])
    html = write_report(record).read_text(encoding="utf-8")
    found = figures(re.sub(r'"--[\w-]+"', '"#123456"', html))
    assert len(found) == 2 + 1 + 1 + 2 + 3 + 2, "histories, the front, lines, importances, slices, curves"
    for figure in found:
        go.Figure(figure["data"], figure["layout"])


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_sweep_of_few_trials_has_a_report_that_says_what_is_missing(number: int, tmp_path: Path) -> None:
    html = write_report(sweep(tmp_path, number)).read_text(encoding="utf-8")
    if number:
        assert f"Importances need 10 completed trials, and there are {number}." in html
        assert "Best setting" in html
    else:
        assert "No trial has completed: 0 of 0 trials." in html


def test_a_sweep_over_seeds_alone_has_no_parameters_to_show(tmp_path: Path) -> None:
    record = sweep(tmp_path, 3, seeds=3)
    record = replace(record, swept=[], trials=[replace(trial, parameters={}) for trial in record.trials])
    html = write_report(record).read_text(encoding="utf-8")
    assert headings(html) == ["Best setting", "History", "All trials"]
    assert "within noise of it (Welch" in html


def test_a_sweep_in_which_nothing_completed_shows_what_went_wrong(tmp_path: Path) -> None:
    record = sweep(tmp_path, 30)
    record = replace(record, trials=[trial for trial in record.trials if trial.state != "completed"])
    assert headings(write_report(record).read_text(encoding="utf-8")) == [
        "Best setting", "History", "All trials", "Errors",
    ]  # fmt: skip


def test_a_script_in_a_parameter_stays_text(tmp_path: Path) -> None:
    record = sweep(tmp_path, 12)
    evil = "</script><script>alert(1)</script>"
    trials = [replace(trial, parameters={**trial.parameters, "note": evil}) for trial in record.trials]
    html = write_report(replace(record, name=evil, trials=trials)).read_text(encoding="utf-8")
    assert "<script>alert" not in html
    assert html.count("<script") == html.count("</script>") == 2 + len(figures(html))
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in html


@pytest.mark.parametrize("goals", [(ACCURACY,), (ACCURACY, PARAMETERS)])
def test_the_report_of_a_thousand_trials_can_be_sent_by_mail(goals: tuple[Objective, ...], tmp_path: Path) -> None:
    record = sweep(tmp_path, 1000, goals=goals)
    more = {f"model.width_{place}": "0.123456" for place in range(20)}
    trials = [replace(trial, parameters={**trial.parameters, **more}) for trial in record.trials]
    record = replace(record, trials=trials)
    file = write_report(record)
    assert file.stat().st_size < 6_000_000
    assert "of 1000, the best first; all are in sweep.csv" in file.read_text(encoding="utf-8")


def test_the_importances_name_the_parameter_that_matters(tmp_path: Path) -> None:
    for number in (60, 200):  # by the forest, and by the comparison that is quick for many
        shares = importance.shares(sweep(tmp_path, number), 0)
        assert max(shares, key=shares.__getitem__) == "optimizer.lr"
        assert set(shares) == {"optimizer", "optimizer.lr"}, "the momentum is not a parameter of every trial"
        assert sum(shares.values()) == pytest.approx(1)


def test_importances_are_not_guessed_where_nothing_moves(tmp_path: Path) -> None:
    record = sweep(tmp_path, 40)
    same = [replace(trial, values=[[0.5]] if trial.values else []) for trial in record.trials]
    assert "have the same value" in importance.why_not(replace(record, trials=same))
    alike = [replace(trial, parameters={"optimizer.lr": "0.1"}) for trial in record.trials]
    assert "differs between them" in importance.why_not(replace(record, trials=alike))


def test_curves_are_the_mean_over_the_seeds_of_at_most_ten_trials(tmp_path: Path) -> None:
    record = sweep(tmp_path, 40, seeds=2)
    for trial in record.completed:
        curve(trial.runs[0], [0.5, 0.7])
        curve(trial.runs[1], [0.7, 0.9, 0.95])
    monitored, losses = charts.curves(record)
    assert len(monitored.data) == 10
    assert monitored.data[0]["y"] == pytest.approx([0.6, 0.8, 0.95])
    assert [trace["line"]["dash"] for trace in losses.data[:2]] == ["solid", "dot"]


def test_the_front_is_what_no_other_trial_beats(tmp_path: Path) -> None:
    record = sweep(tmp_path, 200, goals=(ACCURACY, PARAMETERS))
    front = charts.pareto(record).data[1]
    pairs = [(trial.means or [])[:2] for trial in record.completed]
    wanted = sorted(
        (one, size) for one, size in pairs
        if not any(o >= one and s <= size and (o, s) != (one, size) for o, s in pairs)
    )  # fmt: skip
    assert list(zip(front["y"], front["x"], strict=True)) == wanted
    assert len(wanted) > 1


def test_what_was_pruned_stands_where_it_was_pruned(tmp_path: Path) -> None:
    record = sweep(tmp_path, 20)
    for trial in record.trials:
        if trial.state == "pruned":
            curve(trial.runs[0], [0.3, 0.25])
    traces = {trace["name"]: trace for trace in charts.history(record, 0).data}
    assert set(traces["pruned"]["y"]) == {0.25}
    assert (traces["pruned"]["yaxis"], traces["failed"]["yaxis"]) == ("y", "y2")


def test_networks_that_cost_more_stand_further_right_with_discs_as_large_as_they_are(tmp_path: Path) -> None:
    record = sweep(tmp_path, 12)
    assert charts.costs(record) is None, "nothing is known of the networks"
    done = record.completed
    for trial in done:
        totals = {"multiply_adds": 1000 * (trial.number + 1), "parameters": 400 * (trial.number + 1) ** 2}
        trial.runs[0].mkdir(parents=True)
        (trial.runs[0] / "layers.json").write_text(json.dumps({"layers": [], "totals": totals}))
    chart = charts.costs(record)
    assert chart is not None
    trace = chart.data[0]
    assert trace["x"] == [1000 * (trial.number + 1) for trial in done]
    assert trace["y"] == [trial.values[0][0] for trial in done]
    sizes, most = trace["marker"]["size"], max(trial.number for trial in done) + 1
    assert sizes == pytest.approx([max(6, 60 * (trial.number + 1) / most) for trial in done]), "by their areas"
    assert "What networks cost" in headings(write_report(record).read_text(encoding="utf-8"))


def test_numbers_are_drawn_as_numbers_and_by_powers_of_ten_where_they_spread() -> None:
    assert axis("lr", ["1e-3", "0.1", None]).layout()["type"] == "log"
    assert axis("lr", ["1e-3", "0.01"]).layout().get("type") is None
    assert axis("lr", ["0", "0.1", "100"]).layout().get("type") is None, "zero has no power of ten"
    drawn = [f"{place / 100}" for place in range(1, 100)] + ["0.001"]
    assert axis("dropout", drawn).layout().get("type") is None, "a draw near zero does not make a rate spread"
    mixed = axis("width", ["auto", "16", "8", "[8,8]"])
    assert mixed.categories == ["8", "16", "[8,8]", "auto"]
    assert mixed.layout()["type"] == "category"


def test_parallel_coordinates_have_a_place_for_what_a_trial_does_not_have() -> None:
    dimension = axis("momentum", ["0.8", None, "0.9"]).dimension()
    assert dimension["values"][1] < 0.8
    assert dict(zip(dimension["ticktext"], dimension["tickvals"], strict=True))["—"] == dimension["values"][1]
    powers = axis("lr", ["1e-5", "0.1", "0.001"]).dimension()
    assert powers["values"] == pytest.approx([-5, -1, -3])
    assert powers["ticktext"] == ["1e-5", "1e-4", "0.001", "0.01", "0.1"]
    single = of_numbers("loss", [0.5, 0.5]).dimension()
    assert single["range"] == [0.0, 1.0]


def test_showing_a_sweep_loads_nothing_heavy_before_its_end() -> None:
    program = (
        "import sys\n"
        "import couloir.sweep.best, couloir.sweep.report, couloir.sweep.table, couloir.sweep.watch\n"
        "print([name for name in ('torch', 'plotly', 'optuna', 'scipy', 'numpy', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=900)
    assert done.stdout.strip() == "[]"
