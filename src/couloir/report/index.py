"""`index.html`: all runs below a folder in one table, with the curves of those that are chosen."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from couloir.artifacts.page import Cell, Chart, Choice, Page, charts, facts, label, search, shortened, table, text
from couloir.config.metrics import facts as metric_facts
from couloir.errors import CouloirError, display
from couloir.record.files import write_atomically
from couloir.record.find import runs_and_sweeps_below
from couloir.record.metrics import epochs_in
from couloir.record.status import is_newer
from couloir.record.sweep import SweepFacts, SweepTable, read_facts, read_trials
from couloir.report import origin
from couloir.report.evidence import RunRecord, about_losses
from couloir.report.tables import number, seconds

CHOSEN = "chosen"
FIRST = 10
"""Runs whose curves are drawn at first: the best of the metric that most runs have."""
POINTS, ALL_POINTS = 60, 15_000
"""Points of a curve, and of all curves of a chart, at most."""
MOST = 1000
"""Runs on the page at most: the newest."""
ERRORS, LONGEST = 50, 200
"""Errors that are shown at most, and characters of a run's words."""


def write_index(folder: Path, file: Path) -> Path:
    """Write the index of the runs below a folder, and return its path.

    Raises:
        CouloirError: there is none.
    """
    found, sweeps = runs_and_sweeps_below(folder)
    if not found and not sweeps:
        raise CouloirError(
            f"There is no run in {display(folder)}, and none below it.",
            next_step="name the folder of a run, or one that holds runs, such as outputs/",
        )
    every = [RunRecord.read(run) for run in found[:MOST]]
    records = [record for record in every if not is_newer(record.status)]
    page = Page(f"Runs in {display(folder)}")
    page.parts.append(_header(folder, records, len(found), len(sweeps)))
    start = file.parent.resolve()
    ranked = _ranked(records)
    first = {id(record) for record in ranked[:FIRST]}
    if every:
        rows = [_row(record, f"run {at}", id(record) in first, start) for at, record in enumerate(records)]
        page.section(
            "Runs", search("runs", "only those with"), _table(rows), note=_note(len(found), len(every) - len(records))
        )
        drawn = _curves(records, ranked)
        if drawn:
            clear = (
                f'<div class="controls"><button type="button" class="plain" data-clear="{CHOSEN}">none</button></div>'
            )
            note = f"The runs that are ticked in the table; at the start, the best {len(first)}.{about_losses(records)}"
            page.section("Curves", clear, charts(drawn, width=460), note=note)
            page.section(
                "Metric and time", charts([_scatter(ranked)]), note="One dot for each run; click a name to hide it."
            )
    if sweeps:
        page.section("Sweeps", _sweeps(sweeps, start))
    _failures(page, records)
    page.parts.insert(1, page.contents())
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, page.as_html())
    return file


def _header(folder: Path, records: Sequence[RunRecord], runs: int, sweeps: int) -> str:
    states: dict[str, int] = {}
    for record in records:
        states[record.state] = states.get(record.state, 0) + 1
    numbers = [("runs", f"{runs:,}"), *((state, f"{count:,}") for state, count in sorted(states.items()))]
    numbers += [("sweeps", f"{sweeps:,}")] if sweeps else []
    written = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
    return (
        f'<header><h1>Runs in {text(display(folder))}</h1><p class="note">Written {written} by '
        f"<code>couloir report {text(display(folder))}</code></p>{facts(numbers)}</header>"
    )


def _note(found: int, newer: int) -> str:
    note = "The newest first; click a heading to sort. Tick a run to draw its curves below."
    note += f" These are the newest {MOST:,} of {found:,}." if found > MOST else ""
    return note + (f" Not shown, because a newer Couloir made them: {newer:,}." if newer else "")


def _table(rows: Sequence[Sequence[Cell]]) -> str:
    head = [
        "curves", "run", "status", "metric", "validation, best epoch", "test", "diagnosis", "model", "data", "epochs",
        "time", "words",
    ]  # fmt: skip
    return table(head, rows, "all runs", name="runs")


def _row(record: RunRecord, key: str, on: bool, start: Path) -> list[Cell]:
    model, data = _names(record)
    words, epochs = " ".join(record.typed), epochs_in(record.rows)
    return [
        Cell("", choice=Choice("key", CHOSEN, f"curves of {record.name}", key, on)),
        Cell(record.name, kind="state", link=_link(record.folder / "report.html", start)),
        Cell(record.state, kind=f"state {record.state}"),
        Cell(metric_facts(record.metric).label),
        number(record.best_value),
        number(record.test_value),
        Cell(origin.in_a_word(record)),
        Cell(model),
        Cell(data),
        Cell(f"{epochs:g}", epochs, "number"),
        seconds(record),
        Cell(shortened(words, LONGEST), kind="code wide"),
    ]


def _names(record: RunRecord) -> tuple[str, str]:
    """The model and the data: as typed, else what they are called in `config.yaml`."""
    named = dict(word.partition("=")[::2] for word in record.typed)
    model, data = (
        named.get(group) or str(record.flat.get(f"{group}._target_", "")).rpartition(".")[2]
        for group in ("model", "data")
    )
    return model, data


def _link(file: Path, start: Path) -> str:
    """The address of a file beside the page; empty where it does not exist."""
    return quote(os.path.relpath(file.resolve(), start)) if file.is_file() else ""


def _ranked(records: Sequence[RunRecord]) -> list[RunRecord]:
    """The runs that have a value of the metric that most of them have, the best first."""
    valued = [record for record in records if record.best_value is not None and math.isfinite(record.best_value)]
    metrics = [record.metric for record in valued]
    common = max(dict.fromkeys(metrics), key=metrics.count, default="")
    sign = -1 if metric_facts(common).higher_is_better else 1
    mine = [record for record in valued if record.metric == common]
    return sorted(mine, key=lambda record: sign * (record.best_value or 0.0))


def _curves(records: Sequence[RunRecord], ranked: Sequence[RunRecord]) -> list[Chart]:
    metric = ranked[0].metric if ranked else "loss"
    most = min(POINTS, max(8, ALL_POINTS // max(1, len(records))))
    drawn = []
    for name in dict.fromkeys((metric, "loss")):
        traces = []
        for at, record in enumerate(records):
            epochs, values = record.values(f"val/{name}")
            if epochs:
                step = math.ceil(len(epochs) / most)
                kept = sorted({*range(0, len(epochs), step), len(epochs) - 1})
                traces.append({
                    "type": "scatter", "mode": "lines+markers" if len(kept) < 3 else "lines", "line": {"width": 1.8},
                    "name": label(record.name, 24), "x": [epochs[place] for place in kept],
                    "y": [_short(values[place]) for place in kept], "meta": {"keys": [f"run {at}"], "cycle": True},
                })  # fmt: skip
        if traces:
            axis = {"title": {"text": label(f"validation {metric_facts(name).label}")}}
            layout = {
                "xaxis": {"title": {"text": "epoch"}, "tickformat": "d", "hoverformat": "~g"},
                "yaxis": axis,
                "showlegend": True,
            }
            drawn.append(Chart(traces, layout, f"validation {name} of the chosen runs", 400, group=CHOSEN))
    return drawn


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _scatter(ranked: Sequence[RunRecord]) -> Chart:
    """The best value against the time of each run, a name in the legend for each data set."""
    groups: dict[str, list[RunRecord]] = {}
    for record in ranked:
        if record.seconds is not None:
            groups.setdefault(_names(record)[1], []).append(record)
    largest = sorted(groups.items(), key=lambda entry: -len(entry[1]))
    metric = ranked[0].metric if ranked else "loss"
    traces = [
        {
            "type": "scatter", "mode": "markers", "name": label(name or "?", 30), "showlegend": True,
            "x": [record.seconds for record in runs], "y": [_short(record.best_value) for record in runs],
            "text": [label(f"{record.name}  {' '.join(record.typed)}", 90) for record in runs],
            "marker": {"color": f"--c{at % 10}", "size": 7},
            "hovertemplate": "%{text}<br>%{y} in %{x:.3s} s<extra></extra>",
        }
        for at, (name, runs) in enumerate(largest)
    ]  # fmt: skip
    layout: dict[str, Any] = {
        "xaxis": {"type": "log", "title": {"text": "seconds"}},
        "yaxis": {"title": {"text": label(f"validation {metric_facts(metric).label}, best epoch")}},
    }
    return Chart(traces, layout, f"validation {metric} in the best epoch against the time of each run", 340)


def _sweeps(sweeps: Sequence[Path], start: Path) -> str:
    rows = []
    for sweep in sweeps:
        facts = read_facts(sweep, strict=False)
        trials = read_trials(sweep, facts, strict=False)
        states = [row.state for row in trials.rows]
        rows.append([
            Cell(sweep.name, kind="state", link=_link(sweep / "report.html", start)),
            Cell("" if facts is None else " ".join(facts.words), kind="code long"),
            Cell(str(len(states)), len(states), "number"),
            Cell(str(states.count("completed")), states.count("completed"), "number"),
            Cell(next(iter(trials.objectives), "")), _best_trial(trials, facts),
        ])  # fmt: skip
    return table(["sweep", "words", "trials", "completed", "objective", "best"], rows, "all sweeps")


def _best_trial(trials: SweepTable, facts: SweepFacts | None) -> Cell:
    from couloir.sweep.load import direction

    goal = next(iter(trials.objectives), "")
    values = [row.numbers[goal] for row in trials.rows if row.state == "completed" and goal in row.numbers]
    if not values:
        return number(None)
    return number(max(values) if direction(goal, facts) == "maximize" else min(values))


def _failures(page: Page, records: Sequence[RunRecord]) -> None:
    failed = [record for record in records if record.error]
    if not failed:
        return
    parts = [
        f"<h3>{text(record.name)}, {text(record.state)}</h3><pre>{text(record.error[:600])}</pre>"
        for record in failed[:ERRORS]
    ]
    note = f"The newest {ERRORS} of {len(failed)}." if len(failed) > ERRORS else ""
    page.section("Errors", *parts, note=note)
