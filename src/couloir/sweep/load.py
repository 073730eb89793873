"""A sweep that is over, from what its folder holds. Nothing here imports torch or Optuna."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, cast

import yaml

from couloir.config.compose import is_of_a_sweep
from couloir.config.metrics import mode
from couloir.errors import CouloirError
from couloir.record.find import SWEEP_FILE, SWEEP_TABLE
from couloir.record.result import read_numbers
from couloir.sweep.settings import DIRECTIONS
from couloir.sweep.trials import Objective, SweepRecord, TrialRecord, TrialState

DEVIATION = " std"
"""Ends the name of a column that belongs to the one before it."""


def load_sweep(folder: Path) -> SweepRecord:
    """The sweep as `sweep.yaml`, `sweep.csv` and its runs tell it.

    Raises:
        CouloirError: these files are missing or torn.
    """
    try:
        content = yaml.safe_load((folder / SWEEP_FILE).read_text(encoding="utf-8"))
        text = (folder / SWEEP_TABLE).read_text(encoding="utf-8")
        head, *rows = [row for row in csv.reader(text.splitlines()) if row]
        words = [str(word) for word in content["words"]]
        command, name = [str(word) for word in content["command"]], str(content["study"])
        last = head.index("seconds")
        keys = head[last + 1 : -1]
        goals = [name for name in head[2:last] if name != "runs" and not name.endswith(DEVIATION)]
        trials = [_trial(folder, dict(zip(head, row, strict=True)), goals, keys) for row in rows]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError, csv.Error) as error:
        raise CouloirError(
            f"The sweep {folder.name} cannot be read: {' '.join(str(error).split())}",
            place=str(folder),
            next_step="`couloir resume` of it writes its table anew",
        ) from error
    return SweepRecord(
        folder=folder,
        name=name,
        words=_shared(words, keys),
        swept=keys,
        objectives=[Objective(goal, direction(goal, content)) for goal in goals],
        monitor=str(content.get("monitor") or _column(goals)),
        command=command,
        trials=trials,
        total=max(len(trials), int(content.get("total") or 0)),
        mode=content.get("mode"),
    )


def _trial(folder: Path, row: dict[str, str], goals: list[str], keys: list[str]) -> TrialRecord:
    number = int(row["number"])
    runs = [folder / str(number)]
    values = [[float(row[goal])] if row[goal] else [] for goal in goals]
    if "runs" in row:
        runs = sorted((path for path in runs[0].glob("*") if path.name.isdigit()), key=lambda path: int(path.name))
        told = [read_numbers(run, strict=False) for run in runs]
        each = [[numbers[goal] for numbers in told if goal in numbers] for goal in goals]
        values = [numbers or mean for numbers, mean in zip(each, values, strict=True)]
    return TrialRecord(
        number=number,
        parameters={key: row[key] for key in keys if row[key]},
        state=cast(TrialState, row["state"]),
        runs=runs,
        values=values if all(values) else [],
        seconds=float(row["seconds"]) if row["seconds"] else None,
        error=row["error"],
    )


def _shared(words: list[str], swept: list[str]) -> list[str]:
    """What was typed for every trial alike."""
    return [
        word for word in words
        if not is_of_a_sweep(word) and not word.lstrip("+~").startswith(("hydra.", "hydra/"))
        and word.lstrip("+").partition("=")[0] not in swept
    ]  # fmt: skip


def direction(goal: str, content: dict[str, Any]) -> Any:
    """`maximize` or `minimize`: what `sweep.yaml` says of an objective, else what its name says."""
    said = content.get("objectives")
    usual = DIRECTIONS[mode(goal)]
    return said.get(goal, usual) if isinstance(said, dict) else usual


def _column(goals: list[str]) -> str:
    return goals[0].replace("best/", "val/") if goals else "val/loss"
