"""A sweep in rows: `sweep.csv`, and what the console says at its end."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from rich.table import Table
from rich.text import Text

from couloir.config.metrics import facts, leading
from couloir.errors import as_typed
from couloir.log import rendered
from couloir.record.provenance import read_provenance
from couloir.record.sweep import FOLDS_FILE, OUT_OF_FOLD, TEST, SweepTable, TrialRow, write_table
from couloir.sweep.best import best_words
from couloir.sweep.noise import (
    closer_than_samples_tell,
    deviation,
    standard_error,
    within_noise,
    within_noise_of_folds,
)
from couloir.sweep.objective import about
from couloir.sweep.trials import SweepRecord, TrialRecord

BEST_SHOWN = 10
ALL_SHOWN = 15
"""Up to so many completed trials, the table shows all of them."""
ERRORS_SHOWN = 5
WIDTH = 100
SPLITS = {"train": "train", "best": "val", "val": "val", "test": "test"}
"""The split that an accuracy was measured on, by the first part of its name."""


def write_csv(record: SweepRecord) -> Path:
    """Write `sweep.csv`, a row a trial, and return its path."""
    several = bool(record.repeats)
    goals = [goal.name for goal in record.objectives]
    tests = tested_metrics(record)
    rows = []
    for trial in record.trials:
        numbers = {name: values for name in [*goals, *tests] if (values := numbers_of(trial, name, goals))}
        spreads = {name: deviation(values) for name, values in numbers.items()} if several else {}
        rows.append(
            TrialRow(
                trial.number,
                trial.state,
                {name: sum(values) / len(values) for name, values in numbers.items()},
                {name: spread for name, spread in spreads.items() if spread is not None},
                max((len(values) for values in trial.values), default=0) if several else None,
                trial.seconds,
                trial.parameters,
                trial.error,
            )
        )
    return write_table(record.folder, SweepTable(goals, tests, swept_keys(record), rows))


def tested_metrics(record: SweepRecord) -> list[str]:
    """The test metrics of the trials that are no objectives, in the order in which a run tells them."""
    goals = [goal.name for goal in record.objectives]
    return [
        name for name in dict.fromkeys(name for trial in record.trials for name in trial.tests) if name not in goals
    ]


def numbers_of(trial: TrialRecord, name: str, goals: list[str]) -> list[float]:
    """The numbers of a trial's runs for an objective or a test metric; empty where there are none."""
    if name in goals:
        return trial.values[goals.index(name)] if trial.values else []
    return trial.tests.get(name, [])


def last_words(record: SweepRecord) -> str:
    """What is printed at the end: the best trials, what of it is noise, the failures, the best sentence, the files."""
    parts = [counts(record)]
    if note := about(record.objectives, record.differ):
        parts.append(note)
    if record.completed:
        parts.append(_best_table(record))
    parts += _about_noise(record)
    if len(record.objectives) > 1 and record.completed:
        parts.append(_front_table(record))
    parts += _failures(record)
    words = best_words(record)
    if words is not None and record.best is not None:
        parts.append(f"best:   trial {record.best.number}, {measured_words(record, record.best)}\n  {sentence(words)}")
    files = [record.folder / name for name in ("sweep.csv", "best.yaml", FOLDS_FILE, "report.html")]
    files = [file for file in files if file.exists()]
    width = max((len(file.stem) for file in files), default=0) + 2
    lines = [f"{file.stem + ':':<{width}}{_short(file)}" for file in files]
    return "\n\n".join([*parts, "\n".join(lines)]).rstrip()


def swept_keys(record: SweepRecord) -> list[str]:
    """The keys in the order in which they were typed, and after them any that only a trial has."""
    return list(dict.fromkeys([*record.swept, *(key for trial in record.trials for key in trial.parameters)]))


def ranked(record: SweepRecord) -> list[TrialRecord]:
    """The completed trials, the best by the first objective first."""
    return in_order(record, record.completed)


def in_order(record: SweepRecord, trials: list[TrialRecord]) -> list[TrialRecord]:
    """Completed trials, the best by the first objective first."""
    sign = -1 if record.objectives[0].direction == "maximize" else 1
    return sorted(trials, key=lambda trial: sign * (trial.means or [0.0])[0])


def counts(record: SweepRecord) -> str:
    """`20 of 20 trials: 17 completed, 2 pruned, 1 failed`."""
    states = Counter[str](trial.state for trial in record.trials)
    order = ("completed", "pruned", "diverged", "failed", "interrupted", "running", "waiting")
    told = ", ".join(f"{states[state]} {state}" for state in order if states[state])
    ended = sum(states[state] for state in order[:5])
    return f"{ended} of {record.total} trials" + (f": {told}" if told else "")


def shown(value: float) -> str:
    """Four decimals; four digits where that would be a long row of them, or of zeros; whole numbers in full."""
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.4f}"
    return f"{value:.4f}" if 1e-3 <= abs(value) < 10_000 else f"{value:.4g}"


def mean_and_deviation(numbers: list[float]) -> str:
    """`0.9650 ± 0.0021`; the mean alone for a single run."""
    mean, spread = sum(numbers) / len(numbers), deviation(numbers)
    counted = not spread and mean.is_integer()  # such as parameters, which no seed changes
    return shown(mean) + ("" if spread is None or counted else f" ± {shown(spread)}")


def measured_words(record: SweepRecord, trial: TrialRecord) -> str:
    """`best/accuracy 0.9650 ± 0.0021, parameters 4,482`."""
    pairs = zip(record.objectives, trial.values, strict=True)
    return ", ".join(f"{goal.name} {mean_and_deviation(numbers)}" for goal, numbers in pairs)


def sentence(words: list[str]) -> str:
    """The words as they would be typed at a shell's prompt."""
    return as_typed(["train", *words])


def typed(parameters: dict[str, str]) -> str:
    """`optimizer=sgd optimizer.lr=0.1`."""
    return " ".join(f"{key}={value}" for key, value in parameters.items())


def short_names(record: SweepRecord) -> dict[str, str]:
    """For each key its last part (`lr` for `optimizer.lr`), the whole key where two end alike."""
    keys = swept_keys(record)
    ends = Counter(key.rpartition(".")[2] for key in keys)
    return {key: end if ends[end := key.rpartition(".")[2]] == 1 else key for key in keys}


def first_line(error: str) -> str:
    """The first line of an error that says something."""
    return next((line.strip() for line in error.splitlines() if line.strip()), "")


def against_best(record: SweepRecord) -> dict[int, str]:
    """For each completed trial by its number `best`, `within noise` of it, or `worse`; empty where nothing is known of
    the noise.
    """
    best = record.best
    if best is None or not record.repeats:
        return {}
    share = _measured_share(best, record)
    said = {True: "within noise", False: "worse", None: ""}
    told = {}
    for trial in record.completed:
        one, other = trial.values[0], best.values[0]
        told[trial.number] = said[
            within_noise(one, other) if share is None else within_noise_of_folds(one, other, share)
        ]
    return {**told, best.number: "best"}


def _measured_share(trial: TrialRecord, record: SweepRecord) -> float | None:
    """Of a trial with folds, how many samples an objective was measured on to each one that was trained on."""
    if record.folds is None:
        return None
    measured, trained = (_samples(trial, split) for split in (record.objectives[0].name, "train/loss"))
    return 1 / (record.folds - 1) if measured is None or trained is None else measured / trained


def noise_test(record: SweepRecord) -> str:
    """How it is told what is noise: `Welch's t-test over the 5 seeds, p >= 0.05`."""
    test = "Welch's" if record.folds is None else "the corrected resampled"
    return f"{test} t-test over the {record.repeats}, p >= 0.05"


def _best_table(record: SweepRecord) -> str:
    trials = ranked(record)
    shown_trials = trials if len(trials) <= ALL_SHOWN else trials[:BEST_SHOWN]
    noise = bool(record.repeats)
    title = (
        "" if len(shown_trials) == len(trials) else f"the best {len(shown_trials)} of {len(trials)} completed trials"
    )
    return _table(record, shown_trials, title, noise)


def _front_table(record: SweepRecord) -> str:
    order = in_order(record, record.front())
    shown_trials = order[:ALL_SHOWN]
    title = "the Pareto front: no trial is better in one objective without being worse in another"
    if len(shown_trials) < len(order):
        title += f" ({len(shown_trials)} of {len(order)}; all are in report.html)"
    return _table(record, shown_trials, title, noise=False)


def _table(record: SweepRecord, trials: list[TrialRecord], title: str, noise: bool) -> str:
    """A column for each key where that fits, the whole setting in one column otherwise; as many test metrics as fit."""
    names, best = short_names(record), record.best
    head = ["trial", *(goal.name for goal in record.objectives)]
    rows = [[str(trial.number), *map(mean_and_deviation, trial.values)] for trial in trials]
    if noise and best is not None:
        head.append("against the best")
        verdicts = against_best(record)
        rows = [[*row, verdicts[trial.number]] for row, trial in zip(rows, trials, strict=True)]
    tests = comparable_tests(record)
    for keys in (list(names), ["setting"]):
        settings = [
            [typed(trial.parameters)] if keys == ["setting"] else [trial.parameters.get(key, "") for key in keys]
            for trial in trials
        ]
        last = [names.get(key, key) for key in keys]
        for count in range(len(tests), min(len(tests), 1) - 1, -1):
            shown_tests = tests[:count]
            columns = [*head, *shown_tests, *last]
            measured = [[_cell(trial.tests.get(name)) for name in shown_tests] for trial in trials]
            cells = [[*row, *told, *words] for row, told, words in zip(rows, measured, settings, strict=True)]
            if _width(columns, cells) < WIDTH:
                return _drawn(columns, cells, title)
    return _drawn(columns, cells, title)


def comparable_tests(record: SweepRecord) -> list[str]:
    """The test metrics that trials can be compared by, the one of the first objective first; with folds, that of all
    folds together and the mean of the metric that leads beside the loss.
    """
    without_loss = {"task", "loss"} & set(record.differ)
    tests = [name for name in tested_metrics(record) if not (without_loss and name == f"{TEST}loss")]
    metric = record.objectives[0].name.rpartition("/")[2]
    metric = (leading(tests) or metric) if record.folds else metric
    first = [f"{OUT_OF_FOLD}{metric}", f"{TEST}{metric}"]
    return [*(name for name in first if name in tests), *(name for name in tests if name not in first)]


def _cell(numbers: list[float] | None) -> str:
    return mean_and_deviation(numbers) if numbers else ""


def _width(columns: list[str], rows: list[list[str]]) -> int:
    return sum(3 + max(map(len, cells)) for cells in zip(columns, *rows, strict=True))


def _drawn(columns: list[str], rows: list[list[str]], title: str) -> str:
    table = Table(*columns)
    for column in table.columns:
        column.overflow = "fold"
    for cells in rows:
        table.add_row(*map(Text, cells))
    return (f"{title}\n" if title else "") + rendered(table, WIDTH)


def _about_noise(record: SweepRecord) -> list[str]:
    trials = ranked(record)
    if len(trials) < 2:
        return []
    if record.repeats:
        verdicts = against_best(record)
        near = [trial.number for trial in trials[1:] if verdicts[trial.number] == "within noise"]
        level = f"({noise_test(record)})"
        if not near:
            return [f"No other trial is within noise of the best {level}."]
        few = ", ".join(map(str, near[:ALL_SHOWN])) + (", ..." if len(near) > ALL_SHOWN else "")
        return [f"{_several(len(near), 'trial')} within noise of the best {level}: {few}."]
    goal = record.objectives[0].name
    samples = _samples(trials[0], goal)
    first, second = ((trial.means or [0.0])[0] for trial in trials[:2])
    if not facts(goal).counts_samples or samples is None or not closer_than_samples_tell(first, second, samples):
        return []
    split = "test" if goal.startswith("test/") else "validation"
    return [
        f"The best two differ by less than the standard error of an accuracy on {samples:,} {split} samples "
        f"(± {shown(standard_error(first, samples))}): sweep.seeds=5 would show more."
    ]


def _samples(trial: TrialRecord, goal: str) -> int | None:
    """How many samples the split has that an objective was measured on, by the run's own record."""
    try:
        facts = read_provenance(trial.runs[0], strict=False)
        return int(facts["data"]["sizes"][SPLITS[goal.partition("/")[0]]]) or None
    except (ValueError, KeyError, TypeError, IndexError):
        return None


def _failures(record: SweepRecord) -> list[str]:
    failed = [trial for trial in record.trials if trial.error]
    if not failed:
        return []
    lines = [f"  trial {trial.number} ({trial.state}): {first_line(trial.error)}" for trial in failed[:ERRORS_SHOWN]]
    if len(failed) > ERRORS_SHOWN:
        lines.append(f"  and {len(failed) - ERRORS_SHOWN} more, in sweep.csv")
    return ["errors:\n" + "\n".join(lines)]


def _several(number: int, noun: str) -> str:
    return f"{number} other {noun} is" if number == 1 else f"{number} other {noun}s are"


def _short(path: Path) -> str:
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
