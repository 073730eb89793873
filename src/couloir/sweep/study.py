"""The study: which trials there are, who is at work on them, and what came out of them.

It lives in Optuna's storage, so that several processes and machines may share it, and so that it outlives them all.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, Trial, TrialState

from couloir.errors import CouloirError
from couloir.sweep.optuna_private import begin_trial, set_attribute, trial_id
from couloir.sweep.space import KnownValue, Parameter, Setting, Space, without_plus
from couloir.sweep.storage import hidden, open_storage
from couloir.sweep.trials import Objective, TrialRecord

PLACE, SETTING, OUTCOME, SIGNATURE, SURPLUS = "place", "setting", "outcome", "couloir", "surplus"
"""Names of what is kept beside Optuna's own."""


@dataclass(frozen=True)
class Proposal:
    """A trial that is to be run.

    Attributes:
        number: its place in the study, from 0.
        trial_id: its number in the storage.
        setting: what it is to try, as it would be typed.
        folder: where its runs go.
    """

    number: int
    trial_id: int
    setting: Setting
    folder: Path


@dataclass(frozen=True)
class Outcome:
    """What came out of a trial.

    Attributes:
        state: of the trial as a whole.
        values: for each objective the numbers of its runs.
        seconds: of all runs together.
        error: why it failed.
        final: whether it is told to the study; otherwise the trial is still to be finished.
        tests: for each test metric the numbers of its runs.
    """

    state: Any
    values: list[list[float]]
    seconds: float
    error: str = ""
    final: bool = True
    tests: dict[str, list[float]] = field(default_factory=dict)


class Study:
    """A study of Optuna's, in the words of a sweep.

    Args:
        where: the storage, as `couloir.sweep.storage.address` gives it.
        name: of the study.
        folder: the sweep's folder.
        sweeper: a word for this process.
        space: the search space.
        objectives: one or several.
        sampler: what proposes.
        by_number: whether choices are all that is proposed: a grid.
        total: how many trials there may be.
        known: what a key is that is not swept.

    Raises:
        CouloirError: the storage cannot be opened, or the study has another space.
    """

    def __init__(
        self, where: str, name: str, folder: Path, sweeper: str, space: Space, objectives: list[Objective],
        sampler: BaseSampler, by_number: bool, total: int, known: KnownValue,
    ) -> None:  # fmt: skip
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.folder, self.sweeper, self.space, self.objectives = folder, sweeper, space, objectives
        self.by_number, self.total, self.known = by_number, total, known
        self.optuna = optuna.create_study(
            storage=open_storage(where),
            study_name=name,
            directions=[objective.direction for objective in objectives],
            sampler=sampler,
            load_if_exists=True,
        )
        self._told: list[TrialRecord | None] = []
        """Of the first trials, all of which are over: they do not change any more."""
        self._agree(where)

    def _agree(self, where: str) -> None:
        """One study, one sentence: trials of another would be compared with these, and taken as theirs."""
        signature = {
            "words": sorted(self.space.words),
            "parameters": [repr(parameter) for parameter in self.space.parameters],
            "objectives": [f"{objective.direction} {objective.name}" for objective in self.objectives],
        }
        there = self.optuna.user_attrs.get(SIGNATURE)
        if there is None:
            self.optuna.set_user_attr(SIGNATURE, signature)
        elif there != signature:
            part = next(name for name in signature if there.get(name) != signature[name])
            raise CouloirError(
                f"The study {self.optuna.study_name} was started with other {part}.",
                place=hidden(where),
                next_step="sweep.name=ANOTHER starts a new study",
            )

    def propose(self) -> Proposal | None:
        """The next trial; None where there are as many as there may be."""
        if len(self.optuna.get_trials(deepcopy=False)) >= self.total:
            return None
        # In one step, so that a process that is killed right after it leaves nothing that belongs to nobody.
        mine = {"sweeper": self.sweeper, "host": socket.gethostname(), "folder": str(self.folder)}
        begun = optuna.trial.create_trial(state=TrialState.RUNNING, user_attrs={PLACE: mine})
        trial = begin_trial(self.optuna, begun)
        if trial.number >= self.total:  # another machine was faster
            trial.set_user_attr(SURPLUS, True)
            self.optuna.tell(trial, state=TrialState.FAIL)
            return None
        return self._settle(trial)

    def _settle(self, trial: Trial) -> Proposal:
        """Draw what a trial is to try, as far as it is not drawn yet."""
        setting: Setting = {}
        for parameter in self.space.parameters:
            if parameter.applies(setting, self.known):
                setting[parameter.key] = self._suggest(trial, parameter)
        trial.set_user_attr(SETTING, setting)
        return Proposal(trial.number, trial_id(trial), setting, _folder(trial.number, trial.user_attrs))

    def _suggest(self, trial: Trial, parameter: Parameter) -> str:
        numbers = parameter.numbers
        if self.by_number or numbers is None:
            return str(trial.suggest_categorical(parameter.key, parameter.values))
        if numbers.integer:
            low, high = int(numbers.low), int(numbers.high)
            return str(trial.suggest_int(parameter.key, low, high, step=int(numbers.step or 1), log=numbers.log))
        value = trial.suggest_float(parameter.key, numbers.low, numbers.high, step=numbers.step, log=numbers.log)
        return repr(value)

    def left_open(self) -> dict[str, list[int]]:
        """The numbers of the trials that have begun and are not told, by the word for the process that began them."""
        found: dict[str, list[int]] = {}
        for trial in self.optuna.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if PLACE in trial.user_attrs:
                found.setdefault(str(trial.user_attrs[PLACE]["sweeper"]), []).append(trial.number)
        return found

    def take_up(self, number: int) -> Proposal:
        """A trial that another process has begun; what it has not drawn is drawn now, and is the same."""
        return self._settle(Trial(self.optuna, trial_id(self._trial(number))))

    def tell(self, number: int, outcome: Outcome) -> None:
        """Keep what came out of a trial."""
        trial = self._trial(number)
        kept = {
            "state": outcome.state, "values": outcome.values, "seconds": outcome.seconds, "error": outcome.error,
            "tests": outcome.tests,
        }  # fmt: skip
        set_attribute(self.optuna, trial, OUTCOME, kept)
        if not outcome.final:
            return
        if outcome.state == "completed":
            self.optuna.tell(number, [sum(numbers) / len(numbers) for numbers in outcome.values])
        else:
            state = TrialState.PRUNED if outcome.state == "pruned" else TrialState.FAIL
            self.optuna.tell(number, state=state)

    def _trial(self, number: int) -> FrozenTrial:
        return self.optuna.get_trials(deepcopy=False)[number]

    def records(self, runs: int, under_way: Mapping[int, Any]) -> list[TrialRecord]:
        """All trials of all machines.

        Args:
            runs: of each trial.
            under_way: the states of those that this process is at work on.
        """
        for trial in self.optuna.get_trials(deepcopy=False)[len(self._told) :]:
            if not trial.state.is_finished():
                break
            self._told.append(_record(trial, runs, under_way) if _counts(trial) else None)
        later = self.optuna.get_trials(deepcopy=False)[len(self._told) :]
        records = [*self._told, *(_record(trial, runs, under_way) for trial in later if _counts(trial))]
        return [record for record in records if record is not None]


def _counts(trial: FrozenTrial) -> bool:
    return SURPLUS not in trial.user_attrs and SETTING in trial.user_attrs


def _record(trial: FrozenTrial, runs: int, under_way: Mapping[int, Any]) -> TrialRecord:
    outcome = trial.user_attrs.get(OUTCOME, {})
    state = outcome.get("state", "running")
    if trial.number in under_way and trial.state == TrialState.RUNNING:
        state, outcome = under_way[trial.number], {}
    return TrialRecord(
        number=trial.number,
        parameters=without_plus(trial.user_attrs[SETTING]),
        state=state,
        runs=run_folders(_folder(trial.number, trial.user_attrs), runs),
        values=[_finite(numbers) for numbers in outcome.get("values", [])],
        seconds=outcome.get("seconds"),
        error=outcome.get("error", ""),
        tests={name: _finite(numbers) for name, numbers in outcome.get("tests", {}).items()},
    )


def _finite(numbers: list[float]) -> list[float]:
    return [value for value in numbers if math.isfinite(value)]


def _folder(number: int, attributes: Mapping[str, Any]) -> Path:
    return Path(attributes[PLACE]["folder"]) / str(number)


def run_folders(trial: Path, runs: int) -> list[Path]:
    """Where the runs of a trial go: into its folder, or into one each where there are several."""
    return [trial] if runs == 1 else [trial / str(place) for place in range(runs)]
