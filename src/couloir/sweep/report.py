"""The pictures of a sweep: `report.html`, its history, its parameters and its best trials in one file that needs no
network; and the curves of its runs in one, `comparison.png`.
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

from couloir.artifacts.page import Cell, Page, charts, copyable, facts, table, text
from couloir.errors import as_typed
from couloir.record.files import write_atomically
from couloir.sweep import charts as figures
from couloir.sweep import importance
from couloir.sweep.best import best_words
from couloir.sweep.objective import about, about_folds
from couloir.sweep.progress import duration
from couloir.sweep.table import (
    against_best,
    counts,
    in_order,
    mean_and_deviation,
    measured_words,
    noise_test,
    ranked,
    sentence,
    swept_keys,
    tested_metrics,
)
from couloir.sweep.trials import SweepRecord, TrialRecord

SLICES = 24
"""Parameters that are drawn against the objective at most, the most important first."""
CELLS = 9000
"""Cells of the table of all trials at most: the rest is in sweep.csv."""
ERRORS = 20
SHORT = 40
"""Up to so many characters, a value stands on one line of a table."""
LONGEST = 1000
"""Characters of an error, or of a value, that are shown."""


def write_report(record: SweepRecord, file: Path | None = None) -> Path:
    """Write `report.html` into the sweep's folder, or another file, and return its path."""
    page = Page(f"Sweep {record.name}")
    page.parts.append(_header(record))
    _best(page, record)
    shares = _shares(record)
    _history(page, record)
    front = in_order(record, record.front())
    if len(record.objectives) == 2 and record.completed:
        note = "No trial of the front is better in one objective without being worse in the other."
        page.section("Pareto front", charts([figures.pareto(record)]), _table(record, front), note=note)
    elif len(record.objectives) > 2 and record.completed:
        note = "No trial of the front is better in one objective without being worse in another."
        page.section("Pareto front", _table(record, front), note=note)
    cost = figures.costs(record)
    if cost is not None:
        note = "The area of a disc is the number of the network's parameters (Canziani et al., 2016, figure 2)."
        page.section("What networks cost", charts([cost]), note=note)
    _parameters(page, record, shares)
    curves = figures.curves(record)
    if curves:
        of = f"; the mean over the {record.repeats}" if record.repeats else ""
        page.section(
            "Curves of the best trials",
            charts(curves),
            note=f"At most {figures.CURVES}, the best by the objective{of}.",
        )
    _results(page, record)
    _failures(page, record)
    path = file or record.folder / "report.html"
    write_atomically(path, page.as_html())
    return path


def draw(record: SweepRecord) -> None:
    """Draw what there is to draw; the trials are done, so that a picture that goes wrong is no failure of theirs."""
    for picture in (write_report, _compare):
        try:
            picture(record)
        except Exception as error:  # noqa: BLE001  there is nobody left to hand it to
            print(f"a picture could not be drawn: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201


def _compare(record: SweepRecord) -> None:
    from couloir.artifacts.comparison import SHOWN, draw_comparison  # only here: it imports matplotlib

    runs = [run for trial in ranked(record) for run in trial.runs if run.is_dir()]
    draw_comparison(record.folder, runs[:SHOWN], record.monitor.rpartition("/")[2], len(runs))


def _header(record: SweepRecord) -> str:
    goals = ", ".join(f"{goal.direction} {goal.name}" for goal in record.objectives)
    seconds = [trial.seconds for trial in record.trials if trial.seconds is not None]
    numbers = [("trials", f"{len(record.trials)} of {record.total}"), ("completed", str(len(record.completed)))]
    for state in ("pruned", "failed", "diverged", "interrupted", "running"):
        number = sum(trial.state == state for trial in record.trials)
        numbers += [(state, str(number))] if number else []
    if record.repeats:
        numbers.append(("runs of a trial", record.repeats))
    if seconds:
        numbers.append(("time of all trials", duration(sum(seconds))))
        numbers.append(("a trial", duration(sum(seconds) / len(seconds))))
    written = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
    notes = [about(record.objectives, record.differ), about_folds(record.objectives, record.folds)]
    about_order = "".join(f'<p class="note">{text(note[0].upper() + note[1:])}.</p>' for note in notes if note)
    return (
        f'<header><h1>Sweep {text(record.name)}</h1><p class="note">{text(goals)}; written {written}</p>{about_order}'
        f"{copyable(as_typed(record.command))}{facts(numbers)}</header>"
    )


def _best(page: Page, record: SweepRecord) -> None:
    words, best = best_words(record), record.best
    if words is None or best is None:
        page.section("Best setting", note=f"No trial has completed: {counts(record)}.")
        return
    runs = f" over {record.repeats}" if record.repeats else ""
    note = f"Trial {best.number}: {measured_words(record, best)}{runs}."
    if record.repeats:
        near = sum(verdict == "within noise" for verdict in against_best(record).values())
        are = "trial is" if near == 1 else "trials are"
        note += f" {near or 'No'} other {are} within noise of it ({noise_test(record).replace('>=', '≥')})."
    if len(record.objectives) > 1:
        note += f" It is the best by {record.objectives[0].name}; the Pareto front has {len(record.front())} trials."
    page.parts.append(
        f'<section class="best"><h2>Best setting</h2><p class="note">{text(note)}</p>{copyable(sentence(words))}'
        '<p class="note" style="margin:10px 0 0">best.yaml has the same setting. Copy it to conf/experiment/ and type '
        '<span class="code"><code>train experiment=best</code></span>.</p></section>'
    )


def _history(page: Page, record: SweepRecord) -> None:
    if not record.trials:
        return
    note = "One dot for each trial; the line is the best so far."
    if any(trial.state in ("failed", "diverged", "interrupted") for trial in record.trials):
        note += " Trials without a value are in the strip below."
    places = range(len(record.objectives))
    page.section("History", charts([figures.history(record, place) for place in places]), note=note)


def _parameters(page: Page, record: SweepRecord, shares: list[dict[str, float]]) -> None:
    keys = [entry.name for entry in figures.parameter_axes(record, record.completed)]
    if not keys:
        return
    lines = figures.parallel(record)
    if lines is not None:
        note = f"One line for each trial, coloured by {record.objectives[0].name}: the stronger, the better. "
        note += "Drag along an axis to select lines; click there to select all."
        page.section("Parallel coordinates", charts([lines]), note=note)
    reason = importance.why_not(record)
    told = [(goal, share) for goal, share in zip(record.objectives, shares, strict=True) if share]
    parts = [charts([figures.importances(share, goal)]) for goal, share in told]
    if len(told) > 1:
        parts = [f"<h3>{text(goal.name)}</h3>{part}" for (goal, _), part in zip(told, parts, strict=True)]
    page.section("Importances", *parts, note=reason or importance.method(record))
    order = sorted(keys, key=lambda key: -(shares[0].get(key, 0.0) if shares else 0.0))
    note = f"{record.objectives[0].name} of the completed trials against each parameter."
    if len(order) > SLICES:
        note += f" The {SLICES} most important of {len(order)} parameters."
    page.section("Slices", charts(figures.slices(record, order[:SLICES]), columns=True), note=note)


def _shares(record: SweepRecord) -> list[dict[str, float]]:
    if importance.why_not(record):
        return [{} for _ in record.objectives]
    return [importance.shares(record, place) for place in range(len(record.objectives))]


def _results(page: Page, record: SweepRecord) -> None:
    if not record.trials:
        return
    note = "Click a heading to sort. Folders are named by the trial's number."
    trials = record.trials
    most = CELLS // (len(swept_keys(record)) + len(record.objectives) + len(tested_metrics(record)) + 4)
    if len(trials) > most:
        done = ranked(record)
        numbers = {trial.number for trial in done}
        trials = [*done, *(trial for trial in trials if trial.number not in numbers)][:most]
        note += f" These are {most} of {len(record.trials)}, the best first; all are in sweep.csv."
    page.section("All trials", _table(record, trials), note=note)


def _table(record: SweepRecord, trials: list[TrialRecord]) -> str:
    verdicts = against_best(record)
    keys = swept_keys(record)
    goals = [goal.name for goal in record.objectives]
    tests = tested_metrics(record)
    columns = ["trial", "state", *goals, *(["against the best"] if record.repeats else []), *tests, *keys, "seconds"]
    best = record.best
    told = [verdicts.get(trial.number, "") if record.repeats else None for trial in trials]
    rows = [_row(trial, best, len(goals), tests, keys, word) for trial, word in zip(trials, told, strict=True)]
    return table(columns, rows, "trials and their results")


def _row(
    trial: TrialRecord, best: TrialRecord | None, goals: int, tests: list[str], keys: list[str], verdict: str | None
) -> list[Cell]:
    is_best = best is not None and trial.number == best.number
    state = f"{trial.state}, best" if is_best else trial.state
    cells = [Cell(str(trial.number), float(trial.number), "number best" if is_best else "number")]
    cells.append(Cell(state, kind=f"state {'best' if is_best else trial.state}"))
    cells += [_measured(numbers) for numbers in trial.values or [[]] * goals]
    if verdict is not None:
        cells.append(Cell(verdict))
    cells += [_measured(trial.tests.get(name, [])) for name in tests]
    for value in (trial.parameters.get(key, "") for key in keys):
        cells.append(Cell(value[:LONGEST], kind="code" if len(value) <= SHORT else "code long"))
    cells.append(Cell("" if trial.seconds is None else f"{trial.seconds:.1f}", trial.seconds, "number"))
    return cells


def _measured(numbers: list[float]) -> Cell:
    return Cell(mean_and_deviation(numbers), sum(numbers) / len(numbers), "number") if numbers else Cell("")


def _failures(page: Page, record: SweepRecord) -> None:
    failed = [trial for trial in record.trials if trial.error]
    if not failed:
        return
    parts = []
    for trial in failed[:ERRORS]:
        said = trial.error if len(trial.error) <= LONGEST else f"{trial.error[:LONGEST]} ..."
        parts.append(f"<h3>Trial {trial.number}, {text(trial.state)}</h3><pre>{text(said)}</pre>")
    note = "" if len(failed) <= ERRORS else f"The first {ERRORS} of {len(failed)}; all are in sweep.csv."
    page.section("Errors", *parts, note=note)
