"""The loop of a sweep: propose, start, wait, note down; whatever happens to a trial, the others go on."""

from __future__ import annotations

import signal
import time
from collections import deque
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Protocol

from couloir.machine import taken
from couloir.sweep.engine import Engine
from couloir.sweep.job import Job
from couloir.sweep.out_of_fold import scores
from couloir.sweep.outcome import RunEnd, end_of, out_of_memory_kills, outcome_of
from couloir.sweep.plan import Plan
from couloir.sweep.study import Proposal, Study
from couloir.sweep.table import write_csv
from couloir.sweep.trials import SweepRecord, TrialRecord

LOOKS = 0.5
"""Seconds between two looks at the runs that are under way."""
WRITING_SHARE = 0.05
"""The share of a sweep's time that writing its table may take."""


class View(Protocol):
    """Whoever watches."""

    @property
    def watched(self) -> bool:
        """Whether `update` shows anything: nobody asks a database for what nobody sees."""

    def update(self, record: SweepRecord) -> None:
        """Called about twice a second."""

    def ended(self, trial: TrialRecord, record: SweepRecord) -> None:
        """Called once for each trial."""


@dataclass
class UnderWay:
    """A trial that this process is at work on.

    Attributes:
        proposal: which.
        waiting: its runs that have not begun.
        running: how many are under way.
        ends: how the others ended, by the place of their seed and fold.
        seconds: how long these took.
    """

    proposal: Proposal
    waiting: deque[Job]
    running: int = 0
    ends: dict[int, RunEnd] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def state(self) -> str:
        """`waiting` until its first run begins."""
        return "running" if self.running or self.ends else "waiting"


class SweepLoop:
    """A sweep while it goes on.

    Args:
        plan: what is to be done.
        study: where it is kept.
        engine: where runs are trained.
        view: who watches.
    """

    def __init__(self, plan: Plan, study: Study, engine: Engine, view: View) -> None:
        self.plan, self.study, self.engine, self.view = plan, study, engine, view
        self.under_way: dict[int, UnderWay] = {}
        self.left: deque[Proposal] = deque()
        """Trials of processes that are no more."""
        self.codes: list[int] = []
        """Exit codes of the runs that did not complete."""
        self.received: int | None = None
        self._starting = False
        self._pending: deque[int] = deque()
        """Signals that came while runs were being started, to be passed on to all of them."""
        self._memory = out_of_memory_kills()
        self._started: dict[tuple[int, int], float] = {}
        self._writing, self._begun = 0.0, time.monotonic()

    def run(self, left: list[Proposal]) -> SweepRecord:
        """Do all of it.

        Args:
            left: trials that were begun by a process that is no more; they come first.

        Returns:
            what has come of it; the exit codes are in `codes`, the signal that ended it early in `received`.
        """
        self.left.extend(left)
        with taken((signal.SIGINT, signal.SIGTERM), self._receive):
            while True:
                self._start()
                if not any(trial.running for trial in self.under_way.values()):
                    break
                for job, code in self.engine.ended(LOOKS):
                    self._note(job, code)
                if self.view.watched:
                    self.view.update(self.record())
        for number in list(self.under_way):  # their runs wait, and will not begin
            self._close(number)
        return self.record()

    def record(self) -> SweepRecord:
        """Where it stands."""
        states = {number: trial.state for number, trial in self.under_way.items()}
        return self.plan.record(self.study.records(len(self.plan.settings.runs), states))

    @property
    def over(self) -> bool:
        """Whether no other run is to begin."""
        most = self.plan.settings.max_failures
        return self.received is not None or (most is not None and self._failures() >= most)

    def _failures(self) -> int:
        return sum(trial.state in ("failed", "diverged") for trial in self.record().trials)

    def _start(self) -> None:
        """Fill the free places, with the waiting runs of begun trials first."""
        self._starting = True
        free = self.engine.free
        jobs: list[Job] = []
        while len(jobs) < free and not self.over:
            job = self._waiting() or self._propose()
            if job is None:
                break
            self.under_way[job.number].running += 1
            self._started[job.number, job.place] = time.monotonic()
            jobs.append(job)
        if jobs:
            self.engine.start(jobs)
        self._starting = False
        while self._pending:
            self.engine.stop(self._pending.popleft())

    def _waiting(self) -> Job | None:
        for trial in self.under_way.values():
            if trial.waiting:
                return trial.waiting.popleft()
        return None

    def _propose(self) -> Job | None:
        proposal = self.left.popleft() if self.left else self.study.propose()
        if proposal is None:
            return None
        self.under_way[proposal.number] = UnderWay(proposal, deque(self.plan.jobs(proposal)))
        return self._waiting()

    def _note(self, job: Job, code: int | None) -> None:
        """A run has ended."""
        trial = self.under_way[job.number]
        trial.running -= 1
        passed = time.monotonic() - self._started.pop((job.number, job.place))
        kills = out_of_memory_kills()
        end = end_of(job, code, memory_short=kills > self._memory)
        self._memory = kills
        trial.ends[job.place] = end
        trial.seconds += end.numbers.get("seconds", passed)  # which counts what a run did before it was taken up
        if end.state in ("failed", "diverged"):
            self.codes.append(code if code is not None and code > 0 else 1)
        if end.state != "completed" or self.received is not None:
            trial.waiting.clear()
        if not trial.running and not trial.waiting:
            self._close(job.number)

    def _close(self, number: int) -> None:
        """No run of a trial is under way or waits."""
        trial = self.under_way.pop(number)
        if not trial.ends:
            return  # it has not begun, and is found when the sweep is taken up
        runs = [" ".join(words) for words in self.plan.settings.runs]
        outcome = outcome_of(
            trial.ends, runs, self.plan.settings.ranking.objectives, trial.seconds, self.received is not None
        )
        if outcome.state == "completed" and self.plan.folds is not None:
            folders = [job.path for job in self.plan.jobs(trial.proposal)]
            outcome = replace(outcome, tests={**scores(folders, self.plan.folds), **outcome.tests})
        self.study.tell(number, outcome)
        record = self.record()
        self.view.ended(next(entry for entry in record.trials if entry.number == number), record)
        now = time.monotonic()
        if self._writing <= WRITING_SHARE * (now - self._begun):
            write_csv(record)
            self._writing += time.monotonic() - now

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        """Pass Ctrl-C and SIGTERM on to the runs; they are waited for, and no other begins."""
        self.received = self.received or number
        if self._starting:  # a run may have no folder yet
            self._pending.append(number)
        else:
            self.engine.stop(number)
