"""Where the runs of a trial stand while they go on, and how long they will still take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from couloir.config.metrics import mode
from couloir.record import metrics
from couloir.record.configuration import read_configuration
from couloir.record.metrics import Row, epochs_in, read_metrics
from couloir.record.status import read_status
from couloir.sweep.trials import SweepRecord, TrialRecord

LATEST = 5
"""Epochs whose mean length says how long the next will take."""


@dataclass(frozen=True)
class Progress:
    """Where a trial stands: in its present run, of several seeds and folds the one that is going on.

    Attributes:
        epoch: epochs that are complete.
        epochs: how many there are to be; None where that is not known.
        now: the monitored value of the last epoch.
        best: its best value so far.
        left: seconds that the trial will still take; None before an epoch is complete.
        whole: seconds that the trial takes from its beginning to its end.
    """

    epoch: int = 0
    epochs: int | None = None
    now: float | None = None
    best: float | None = None
    left: float | None = None
    whole: float | None = None


@dataclass
class _Run:
    """What is known of one run folder; what does not change is read once."""

    folder: Path
    epochs: int | None = None
    configured: bool = False
    ended: bool = False
    stamp: tuple[int, int] = (0, 0)
    rows: list[Row] = field(default_factory=list)
    changed: float = 0.0
    """When the last epoch was seen to be complete, by the clock of the one who watches."""


class ProgressReader:
    """Reads the folders of running trials.

    Args:
        monitor: the column of `metrics.csv` to follow.
        falling: whether less of it is better.
        clock: seconds, for the time since an epoch ended.
    """

    def __init__(self, monitor: str, falling: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self.monitor, self.falling, self.clock = monitor, falling, clock
        self._runs: dict[Path, _Run] = {}

    def progress(self, trial: TrialRecord) -> Progress:
        """Where a trial stands; files that are absent or torn are as if nothing were known."""
        runs = [self._runs.setdefault(folder, _Run(folder)) for folder in trial.runs]
        for run in runs:
            self._read(run)
        begun = [run for run in runs if run.configured or run.rows]
        if not begun:
            return Progress()
        present = next((run for run in begun if not run.ended), begun[-1])
        values = [row[self.monitor] for row in present.rows if self.monitor in row]
        best = None if not values else min(values) if self.falling else max(values)
        left, whole = self._times(runs, present)
        return Progress(int(epochs_in(present.rows)), present.epochs, values[-1] if values else None, best, left, whole)

    def forget(self, trial: TrialRecord) -> None:
        """Keep nothing of a trial that has ended."""
        for folder in trial.runs:
            self._runs.pop(folder, None)

    def _times(self, runs: list[_Run], present: _Run) -> tuple[float | None, float | None]:
        lengths = [row["seconds"] for run in runs for row in run.rows if "seconds" in row][-LATEST:]
        if not lengths or present.epochs is None:
            return None, None
        length = sum(lengths) / len(lengths)
        since = min(self.clock() - present.changed, length)
        later = [run for run in runs if not run.ended and run is not present]
        missing = 0 if present.ended else max(present.epochs - epochs_in(present.rows), 0)
        left = max(missing * length - since, 0.0) if missing else 0.0
        return left + len(later) * present.epochs * length, len(runs) * present.epochs * length

    def _read(self, run: _Run) -> None:
        if run.ended:
            return
        status = read_status(run.folder, strict=False)
        if not run.configured:
            run.epochs, run.configured = _epochs(run.folder)
        try:
            facts = (run.folder / metrics.FILE).stat()
            stamp = (facts.st_mtime_ns, facts.st_size)
            if stamp != run.stamp:
                before = len(run.rows)
                run.rows = read_metrics(run.folder, strict=False)
                run.stamp = stamp
                run.changed = self.clock() if len(run.rows) != before else run.changed
        except OSError:
            pass
        run.ended = status.get("status", "running") != "running"


def sweep_left(record: SweepRecord, places: dict[int, Progress]) -> float | None:
    """Seconds until the sweep's end, if as many trials go on at once as now; None before anything is known.

    Args:
        record: the sweep.
        places: the running trials by their numbers.
    """
    running = [trial for trial in record.trials if trial.state == "running"]
    ended = [trial.seconds for trial in record.trials if trial.seconds is not None and trial.state != "running"]
    told = [progress.whole for progress in places.values() if progress.whole is not None]
    lengths = ended or told
    if not lengths:
        return None
    length = sum(lengths) / len(lengths)
    over = sum(trial.state not in ("running", "waiting") for trial in record.trials)
    waiting = max(record.total - over - len(running), 0)
    lefts = [places.get(trial.number, Progress()).left for trial in running]
    known = [length if left is None else left for left in lefts]
    if not waiting:
        return max(known, default=0.0)
    return (sum(known) + waiting * length) / max(len(running), 1)


def falling(record: SweepRecord) -> bool:
    """Whether less of the monitored value is better: as the objective that measures the same, else by its name."""
    measure = record.monitor.rpartition("/")[2]
    for goal in record.objectives:
        if goal.name.rpartition("/")[2] == measure:
            return goal.direction == "minimize"
    return (record.mode or mode(measure)) == "min"


def duration(seconds: float) -> str:
    """`12 s`, `3 min 20 s`, `1 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _epochs(folder: Path) -> tuple[int | None, bool]:
    """`trainer.max_epochs` of the run's configuration, and whether there is one yet."""
    cfg = read_configuration(folder, strict=False)
    if cfg is None:
        return None, False
    try:
        epochs = int(cfg["trainer"]["max_epochs"])
    except (KeyError, TypeError, ValueError):
        return None, True
    return (epochs if epochs > 0 else None), True
