"""A sweep that is over, from what its folder holds. Nothing here imports torch or Optuna."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from couloir.config.compose import is_of_a_sweep
from couloir.config.metrics import mode
from couloir.record.result import read_numbers
from couloir.record.sweep import SweepFacts, TrialRow, read_facts, read_trials
from couloir.sweep.objective import DIRECTIONS
from couloir.sweep.trials import Objective, SweepRecord, TrialRecord, TrialState


def load_sweep(folder: Path) -> SweepRecord:
    """The sweep as `sweep.yaml`, `sweep.csv` and its runs tell it.

    Raises:
        CouloirError: these files are missing or torn.
    """
    facts = read_facts(folder)
    assert facts is not None, "a strict reader raises"
    table = read_trials(folder, facts)
    goals, tests = table.objectives, table.tests
    trials = [_trial(folder, row, goals, tests) for row in table.rows]
    return SweepRecord(
        folder=folder,
        name=facts.study,
        words=_shared(facts.words, table.keys),
        swept=table.keys,
        objectives=[Objective(goal, direction(goal, facts)) for goal in goals],
        monitor=facts.monitor or _column(goals),
        command=facts.command,
        trials=trials,
        total=max(len(trials), facts.total or 0),
        mode=facts.mode,
        differ=facts.differ,
        folds=facts.folds,
    )


def _trial(folder: Path, row: TrialRow, goals: list[str], tests: list[str]) -> TrialRecord:
    runs = [folder / str(row.number)]
    measured = {name: [value] for name, value in row.numbers.items()}
    if row.runs is not None:
        runs = sorted((path for path in runs[0].glob("*") if path.name.isdigit()), key=lambda path: int(path.name))
        told = [read_numbers(run, strict=False) for run in runs]
        each = {name: [numbers[name] for numbers in told if name in numbers] for name in measured}
        measured = {name: each[name] or means for name, means in measured.items()}
    values = [measured.get(goal, []) for goal in goals]
    return TrialRecord(
        number=row.number,
        parameters=row.parameters,
        state=cast(TrialState, row.state),
        runs=runs,
        values=values if all(values) else [],
        seconds=row.seconds,
        error=row.error,
        tests={name: measured[name] for name in tests if name in measured},
    )


def _shared(words: list[str], swept: list[str]) -> list[str]:
    """What was typed for every trial alike."""
    return [
        word for word in words
        if not is_of_a_sweep(word) and not word.lstrip("+~").startswith(("hydra.", "hydra/"))
        and word.lstrip("+").partition("=")[0] not in swept
    ]  # fmt: skip


def direction(goal: str, facts: SweepFacts | None) -> Any:
    """`maximize` or `minimize`: what `sweep.yaml` says of an objective, else what its name says."""
    usual = DIRECTIONS[mode(goal)]
    return usual if facts is None else facts.objectives.get(goal, usual)


def _column(goals: list[str]) -> str:
    return goals[0].replace("best/", "val/") if goals else "val/loss"
