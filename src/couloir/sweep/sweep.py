"""A sweep from beginning to end: the page that tells the whole story."""

from __future__ import annotations

import os
import socket
import sys
import uuid
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import hydra.utils
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from couloir.errors import CouloirError, as_typed, display
from couloir.record.lock import RunLock, is_alive
from couloir.record.sweep import FILE, SweepFacts, write_facts
from couloir.sweep.best import write_best
from couloir.sweep.engine.choice import engine
from couloir.sweep.loop import SweepLoop
from couloir.sweep.objective import about, about_folds
from couloir.sweep.out_of_fold import write_out_of_fold
from couloir.sweep.plan import Plan, make_plan
from couloir.sweep.samplers import sampler
from couloir.sweep.study import Proposal, Study
from couloir.sweep.table import last_words, write_csv
from couloir.sweep.trials import SweepEnd, SweepRecord
from couloir.sweep.watch import Watch

FINISHED = ".finished"
"""A file that says that nothing of the sweep is left to do."""
SWEEPERS = ".sweepers"
"""A folder with a folder for each process that has been at work on the sweep; whoever is alive holds its lock."""
LEFT = ("running", "waiting", "interrupted")
"""States of trials that are still to be finished."""
MANY = 1_000_000
"""Trials of a search that says no number."""


def sweep(
    words: Sequence[str], context: HydraContext, task: TaskFunction, config: DictConfig, params: dict[str, Any]
) -> SweepEnd:
    """Make a sweep, or what is missing of it.

    Args:
        words: what was typed after `-m`.
        context: Hydra's.
        task: what a launcher of Hydra's calls for each job.
        config: the configuration with the node `hydra`.
        params: more of the search space.

    Returns:
        its folder, and the exit code: 0 where every trial completed or was pruned; else the highest of those that did
        not; 130 or 143 where it was stopped.

    Raises:
        CouloirError: it cannot be done as it was typed.
    """
    plan = make_plan(words, sys.argv, context.config_loader, config.hydra, params)
    made = hydra.utils.instantiate(plan.settings.sampler, _convert_="all")
    proposer, count = sampler(made, plan.space, plan.settings.seed, plan.known)
    limit = plan.settings.n_trials
    total = min(limit or MANY, count) if count is not None else limit or MANY
    plan = replace(plan, total=total)
    _prepare(plan, words)
    name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    with ExitStack() as held:
        _hold(held, plan.folder / SWEEPERS / name)
        study = Study(
            plan.where, plan.name, plan.folder, name, plan.space, plan.settings.ranking.objectives, proposer,
            by_number=count is not None, total=total, known=plan.known,
        )  # fmt: skip
        left = _of_the_dead(study, plan.folder / SWEEPERS, held)
        _say_what_is_there(plan, study, left)
        where = engine(plan.settings, plan.folder, plan.trial.cfg, context, task, config)
        with closing(where), Watch() as view:
            loop = SweepLoop(plan, study, where, view)
            (plan.folder / FINISHED).unlink(missing_ok=True)
            record = loop.run(left)
        _conclude(record)
    if len(record.trials) >= total and not any(trial.state in LEFT for trial in record.trials):
        (plan.folder / FINISHED).touch()
    if loop.received is not None:
        print(f"stopped; continue with: couloir resume {as_typed([display(plan.folder)])}")  # noqa: T201
        return SweepEnd(128 + loop.received, plan.folder)
    return SweepEnd(max(loop.codes, default=0), plan.folder)


def _prepare(plan: Plan, words: Sequence[str]) -> None:
    """The sweep's folder, with the words that take it up again."""
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
        if not (plan.folder / FILE).exists():
            ranking = plan.settings.ranking
            facts = SweepFacts(
                words=list(words),
                study=plan.name,
                command=plan.command,
                directory=str(plan.directory),
                objectives={goal.name: goal.direction for goal in ranking.objectives},
                monitor=ranking.monitor,
                mode=ranking.mode,
                differ=ranking.differ,
                total=plan.total if plan.total < MANY else None,
                folds=plan.folds,
                begun=datetime.now().astimezone().isoformat(timespec="seconds"),
            )
            write_facts(plan.folder, facts)
    except OSError as error:
        raise CouloirError(
            f"The sweep's folder cannot be written: {error.strerror or error}.",
            place=str(error.filename or plan.folder),
            next_step="make that path writable, or write to another folder: output_dir=FOLDER",
        ) from error


def _hold(held: ExitStack, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    held.callback(RunLock(folder).release)


def _of_the_dead(study: Study, sweepers: Path, held: ExitStack) -> list[Proposal]:
    """The trials of processes that are no more, taken over: no other process can do so as long as this one lives."""
    found: list[Proposal] = []
    for sweeper, numbers in study.left_open().items():
        place = sweepers / sweeper
        if not place.is_dir():
            continue  # on another machine, with a disk of its own
        try:
            held.callback(RunLock(place).release)
        except CouloirError:
            continue  # alive
        found += [study.take_up(number) for number in numbers]
    return found


def alive(folder: Path) -> bool:
    """Whether a process is at work on the sweep of a folder."""
    return any(is_alive(place) for place in (folder / SWEEPERS).glob("*"))


def _say_what_is_there(plan: Plan, study: Study, left: list[Proposal]) -> None:
    there = len(study.records(1, {})) - len(left)
    how_many = f"{plan.total} trials" if plan.total < MANY else "trials without end"
    text = f"sweep: {how_many} of {', '.join(plan.space.keys) or 'one setting'}, in {display(plan.folder)}"
    if there or left:
        text += f"; {there} are there" + (f", {len(left)} go on" if left else "")
    print(text)  # noqa: T201
    ranking = plan.settings.ranking
    for note in (about(ranking.objectives, ranking.differ), about_folds(ranking.objectives, plan.folds)):
        if note:
            print(note)  # noqa: T201


def _conclude(record: SweepRecord) -> None:
    """Tables and pictures."""
    from couloir.sweep.report import draw  # only here: trials need not wait for what it imports

    write_csv(record)
    write_best(record)
    try:
        write_out_of_fold(record)
    except CouloirError as error:  # the trials are done: a file that somebody has changed is no failure of theirs
        print(f"out_of_fold.csv is not written: {error.fact}", file=sys.stderr)  # noqa: T201
    draw(record)
    print(last_words(record))  # noqa: T201
