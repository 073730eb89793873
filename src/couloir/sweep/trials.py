"""What is known of a sweep and of its trials, as tables, pictures and the live view need it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from couloir.record.status import Status

TrialState = Status | Literal["waiting"]
"""The status of the trial's `status.json`; `waiting` where it has been proposed and has not begun."""


@dataclass(frozen=True)
class Objective:
    """A number of `result.json` that the sweep is after.

    Attributes:
        name: such as `best/accuracy`, `test/loss` or `parameters`.
        direction: what is better.
    """

    name: str
    direction: Literal["maximize", "minimize"]

    def better(self, value: float, other: float) -> bool:
        """Whether `value` is better than `other`."""
        return value > other if self.direction == "maximize" else value < other


@dataclass(frozen=True)
class TrialRecord:
    """One trial: a setting, and one run of it for each seed and fold.

    Attributes:
        number: its place in the sweep, from 0.
        parameters: key -> value as it would be typed, for the keys that the sweep goes over; a key that is under a
            condition is missing where the condition does not hold.
        state: of the trial as a whole.
        runs: the folders of its runs, all folds of the first seed first; some may not exist yet.
        values: of each objective, the number of each run that has it; a list of runs' numbers for each objective.
        seconds: how long its runs took together; None before the end.
        error: why it failed; empty otherwise.
        tests: of each test metric, the number of each run that has it.
    """

    number: int
    parameters: dict[str, str]
    state: TrialState
    runs: list[Path]
    values: list[list[float]] = field(default_factory=list)
    seconds: float | None = None
    error: str = ""
    tests: dict[str, list[float]] = field(default_factory=dict)

    @property
    def means(self) -> list[float] | None:
        """The mean over the runs, for each objective; None where an objective has no number."""
        if not self.values or not all(self.values):
            return None
        return [sum(numbers) / len(numbers) for numbers in self.values]


@dataclass(frozen=True)
class SweepRecord:
    """A sweep as a whole.

    Attributes:
        folder: the sweep's folder.
        name: the name of the study.
        words: what was typed for every trial alike: `model=mlp`, `trainer.max_epochs=5`.
        swept: the keys that the sweep goes over, in the order in which they were typed.
        objectives: one or several.
        monitor: the column of `metrics.csv` that is watched from epoch to epoch, such as `val/accuracy`.
        command: the command line.
        trials: in the order of their numbers.
        total: how many trials there are to be.
        mode: whether the monitored value is to rise (`max`) or to fall (`min`); None: as its name says.
        differ: which of `task`, `loss`, `data` and `monitor` are not the same in all trials.
        folds: of the data, on each of which every setting is trained; None: there are none.
    """

    folder: Path
    name: str
    words: list[str]
    swept: list[str]
    objectives: list[Objective]
    monitor: str
    command: list[str]
    trials: list[TrialRecord]
    total: int
    mode: str | None = None
    differ: list[str] = field(default_factory=list)
    folds: int | None = None

    @property
    def repeats(self) -> str:
        """What a setting's runs differ in: `3 seeds`, `5 folds`, `3 seeds x 5 folds`; empty where it has one run."""
        runs = max((max(len(trial.runs), *map(len, trial.values), 1) for trial in self.trials), default=1)
        seeds = runs // (self.folds or 1)
        parts = [f"{seeds} seeds"] if seeds > 1 else []
        return " x ".join([*parts, f"{self.folds} folds"] if self.folds else parts)

    @property
    def completed(self) -> list[TrialRecord]:
        """The trials that have every number."""
        return [trial for trial in self.trials if trial.state == "completed" and trial.means is not None]

    @property
    def best(self) -> TrialRecord | None:
        """The best completed trial by the first objective, the earliest where several tie; None without one."""
        best: TrialRecord | None = None
        for trial in self.completed:
            if best is None or self.objectives[0].better(trial.means[0], best.means[0]):  # type: ignore[index]
                best = trial
        return best

    def front(self) -> list[TrialRecord]:
        """The completed trials that no other one beats in one objective without losing in another: the Pareto front."""
        signs = [1 if goal.direction == "maximize" else -1 for goal in self.objectives]
        scored = [
            ([sign * mean for sign, mean in zip(signs, trial.means or [], strict=True)], trial)
            for trial in self.completed
        ]
        scored.sort(key=lambda pair: pair[0], reverse=True)  # whoever beats a trial stands before it
        front: list[tuple[list[float], TrialRecord]] = []
        for scores, trial in scored:
            if not any(_dominates(other, scores) for other, _ in front):
                front.append((scores, trial))
        return sorted((trial for _, trial in front), key=lambda trial: trial.number)


class SweepEnd(NamedTuple):
    """How a sweep has ended: its exit code, and its folder."""

    code: int
    folder: Path


def _dominates(one: list[float], other: list[float]) -> bool:
    """Whether the first scores, of which more is better, are nowhere less and somewhere more."""
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))
