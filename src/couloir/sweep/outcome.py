"""What a run of a trial has come to, read from what it left behind."""

from __future__ import annotations

import math
import signal
from dataclasses import dataclass
from pathlib import Path

from couloir.machine import signal_name
from couloir.record.folder import RunFolder
from couloir.record.result import read_numbers
from couloir.record.status import Status
from couloir.record.sweep import TEST
from couloir.sweep.job import Job
from couloir.sweep.study import Outcome
from couloir.sweep.trials import Objective

LEFT_OVER = (128 + signal.SIGINT, 128 + signal.SIGTERM, -signal.SIGINT, -signal.SIGTERM)
"""Exit codes of a run that was asked to stop, also before it had begun to listen, and can go on."""
KILLED_FOR_MEMORY = "oom_kill "


@dataclass(frozen=True)
class RunEnd:
    """How one run ended.

    Attributes:
        state: as in `status.json`.
        numbers: of `result.json`.
        error: why it failed.
        killed: whether its process was ended from outside, so that the run can go on.
    """

    state: Status
    numbers: dict[str, float]
    error: str = ""
    killed: bool = False


def out_of_memory_kills() -> int:
    """How many processes the system has ended for lack of memory, as far as it says so."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(KILLED_FOR_MEMORY)), 0)


def end_of(job: Job, code: int | None, memory_short: bool) -> RunEnd:
    """How a run ended; where its process could not say so itself, its `status.json` is made true.

    Args:
        job: the run.
        code: the exit code of its process: minus the signal that killed it, None where nobody knows.
        memory_short: whether the system has ended processes for lack of memory meanwhile.
    """
    folder = RunFolder(job.path)
    status = folder.status()
    state = status.get("status", "running")
    if state == "completed":
        return RunEnd("completed", read_numbers(job.path, strict=False))
    if state in ("pruned", "diverged"):
        return RunEnd(state, read_numbers(job.path, strict=False), str(status.get("error") or ""))
    if state == "interrupted" or (code in LEFT_OVER and state == "running"):
        return RunEnd("interrupted", {}, "", killed=True)
    killed = code is None or code < 0
    if state == "failed" and not killed:  # otherwise the word is of the time before it was taken up
        return RunEnd("failed", {}, str(status.get("error") or ""))
    error = _in_words(code, memory_short)
    if folder.path.is_dir():
        folder.write_status("failed", error=error)
    return RunEnd("failed", {}, error, killed=killed)


def _in_words(code: int | None, memory_short: bool) -> str:
    if code is None:
        return "its process ended without a message"
    if code < 0:
        name = signal_name(-code)
        memory = " (the system may be out of memory)" if memory_short and name == "SIGKILL" else ""
        return f"its process was ended by {name}{memory}"
    return f"its process ended with exit code {code} and wrote no status; console.log has its last lines"


def outcome_of(
    ends: dict[int, RunEnd], runs: list[str], objectives: list[Objective], seconds: float, stopped: bool = False
) -> Outcome:
    """What a trial has come to, once no run of it is under way.

    Args:
        ends: how its runs ended, by their place; those after a run that failed are not there.
        runs: for each run that there was to be, what makes it differ from the others: `seed=1 data.fold=0`.
        objectives: what is read of each.
        seconds: how long they took together.
        stopped: whether the sweep was stopped, so that runs that are not there are still to come.
    """
    in_order = [ends[place] for place in sorted(ends)]
    values = [[end.numbers[goal.name] for end in in_order if goal.name in end.numbers] for goal in objectives]
    for state in ("interrupted", "failed", "diverged", "pruned"):
        for place, end in sorted(ends.items()):
            if end.state == state:
                error = f"{runs[place]}: {end.error}" if runs[place] and end.error else end.error
                return Outcome(state, values, seconds, error, final=not end.killed)
    if stopped and len(ends) < len(runs):
        return Outcome("interrupted", values, seconds, final=False)
    for goal, numbers in zip(objectives, values, strict=True):
        if len(numbers) < len(runs) or not all(map(math.isfinite, numbers)):
            return Outcome("failed", values, seconds, f"it has no {goal.name}")
    names = dict.fromkeys(name for end in in_order for name in end.numbers if name.startswith(TEST))
    tests = {name: [end.numbers[name] for end in in_order if name in end.numbers] for name in names}
    return Outcome("completed", values, seconds, tests=tests)
