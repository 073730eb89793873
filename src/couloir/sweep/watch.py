"""A sweep while it goes on: a live table on a terminal, a line a trial elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType

from rich import get_console
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from couloir.log import on_a_terminal
from couloir.sweep.progress import Progress, ProgressReader, duration, falling, sweep_left
from couloir.sweep.table import first_line, mean_and_deviation, measured_words, short_names, shown, typed
from couloir.sweep.trials import SweepRecord, TrialRecord

MOST_ROWS = 15
COLOURS = {
    "running": "cyan", "completed": "green", "pruned": "yellow", "failed": "red", "diverged": "red",
    "interrupted": "magenta",
}  # fmt: skip


class Watch:
    """Shows a sweep while its trials run.

    Args:
        clock: seconds, for what is left.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._reader: ProgressReader | None = None
        self._live: Live | None = None
        self._ended: list[int] = []

    def __enter__(self) -> Watch:
        """Open the table where somebody watches."""
        if on_a_terminal():
            self._live = Live(console=get_console(), auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the table away: what is printed at the end stands instead of it."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    @property
    def watched(self) -> bool:
        """Whether there is a terminal to draw on."""
        return self._live is not None

    def update(self, record: SweepRecord) -> None:
        """Draw the table anew; elsewhere than on a terminal nothing is read and nothing said."""
        if self._live is not None:
            self._live.update(self.table(record), refresh=True)

    def ended(self, trial: TrialRecord, record: SweepRecord) -> None:
        """Say that a trial has ended: on a terminal, where the table shows it, only what went wrong; off a terminal,
        what went wrong on standard error.
        """
        self._ended.append(trial.number)
        if self._reader is not None:
            self._reader.forget(trial)
        if self._live is None or trial.error:
            line = ended_line(trial, record)
            console = Console(stderr=True) if self._live is None and trial.error else get_console()
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    def table(self, record: SweepRecord) -> Table:
        """The running trials, then those that ended last, and the best one in any case."""
        if self._reader is None:
            self._reader = ProgressReader(record.monitor, falling(record), self._clock)
        running = [trial for trial in record.trials if trial.state == "running"]
        places = {trial.number: self._reader.progress(trial) for trial in running}
        goals = ", ".join(goal.name for goal in record.objectives)
        table = Table("trial", caption=caption(record, places), caption_justify="left")
        table.add_column("parameters", overflow="ellipsis", no_wrap=True, ratio=1)
        for name in (f"{record.monitor} now / best", "epoch", goals, "state", "time left"):
            table.add_column(name)
        names = short_names(record)
        best = record.best
        for trial in self._rows(record, running):
            progress = places.get(trial.number, Progress())
            is_best = best is not None and trial.number == best.number
            state = Text(f"{trial.state}, best" if is_best else trial.state, COLOURS.get(trial.state, ""))
            table.add_row(
                str(trial.number),
                Text(typed({names[key]: value for key, value in trial.parameters.items()})),
                _monitored(progress),
                "" if trial.state != "running" else f"{progress.epoch}/{progress.epochs or '?'}",
                ", ".join(mean_and_deviation(numbers) for numbers in trial.values if numbers),
                state,
                "" if progress.left is None else duration(progress.left),
                style="bold" if is_best else None,
            )
        return table

    def _rows(self, record: SweepRecord, running: list[TrialRecord]) -> list[TrialRecord]:
        order = {number: place for place, number in enumerate(self._ended)}
        over = [trial for trial in record.trials if trial.state not in ("running", "waiting")]
        over.sort(key=lambda trial: (order.get(trial.number, -1), trial.number), reverse=True)
        rows = [*running, *over][:MOST_ROWS]
        if record.best is not None and record.best not in rows:
            rows[-1] = record.best
        return rows


def ended_line(trial: TrialRecord, record: SweepRecord) -> str:
    """`trial 3 (4/20)  optimizer=sgd  completed  best/accuracy 0.9650  12.3 s  (best so far: trial 2, 0.9700)`."""
    over = sum(other.state not in ("running", "waiting") for other in record.trials)
    parts = [f"trial {trial.number} ({over}/{record.total})", typed(trial.parameters), trial.state]
    if trial.means is not None:
        parts.append(measured_words(record, trial))
    if trial.seconds is not None:
        parts.append(f"{trial.seconds:.1f} s")
    if trial.error:
        parts.append(first_line(trial.error))
    best = record.best
    if best is not None and best.means is not None:
        parts.append(
            "(the best so far)"
            if best.number == trial.number
            else f"(best so far: trial {best.number}, {shown(best.means[0])})"
        )
    return "  ".join(part for part in parts if part)


def caption(record: SweepRecord, places: dict[int, Progress]) -> str:
    """`4 of 20 ended, 2 running, 1 failed; best so far: trial 2, best/accuracy 0.9700; about 3 min 20 s left`."""
    states = Counter[str](trial.state for trial in record.trials)
    over = sum(number for state, number in states.items() if state not in ("running", "waiting"))
    parts = [f"{over} of {record.total} ended, {states['running']} running"]
    parts[0] += "".join(
        f", {states[state]} {state}" for state in ("pruned", "diverged", "failed", "interrupted") if states[state]
    )
    if record.best is not None:
        parts.append(f"best so far: trial {record.best.number}, {measured_words(record, record.best)}")
    left = sweep_left(record, places)
    if left is not None:
        parts.append(f"about {duration(left)} left")
    return "; ".join(parts)


def _monitored(progress: Progress) -> str:
    if progress.now is None or progress.best is None:
        return ""
    return f"{shown(progress.now)} / {shown(progress.best)}"
