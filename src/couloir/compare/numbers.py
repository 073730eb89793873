"""The numbers that a run has left, and those in which two runs differ. Nothing here imports torch."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

from couloir.record.metrics import TIMES, Cells, epoch_of

NOTHING = "(none)"


@dataclass(frozen=True)
class Number:
    """A number that two runs do not share.

    Attributes:
        file: where it stands, below the run folder.
        name: the column, key, or tensor.
        then: its value in the first run, in full.
        now: its value in the second.
        epoch: the epoch that it was measured in, counted from one, a fraction within it; None: at the run's end.
        step: the optimizer's steps until then.
    """

    file: str
    name: str
    then: str
    now: str
    epoch: float | None = None
    step: int | None = None

    def in_words(self) -> str:
        """`epoch 2, step 48, train/loss: 0.5 and 0.25 (metrics.csv)`."""
        place = [f"epoch {self.epoch:g}"] if self.epoch is not None else []
        place += [f"step {self.step}"] if self.step is not None else []
        return ", ".join([*place, f"{self.name}: {self.then} and {self.now} ({self.file})"])

    def when(self) -> tuple[float, int]:
        """For sorting: a step's own numbers come before those of the epoch that ends with it."""
        return (math.inf if self.step is None else self.step, self.file == "metrics.csv")


@dataclass
class Compared:
    """How many numbers of each file were compared, those that differ, and what could not be compared and why."""

    counts: dict[str, int] = field(default_factory=dict)
    differ: list[Number] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def count(self, file: str, number: int) -> None:
        """Note so many comparisons."""
        self.counts[file] = self.counts.get(file, 0) + number

    def first(self) -> Number | None:
        """The number that differs first in the course of the runs."""
        return min(self.differ, key=Number.when, default=None)


def compare_metrics(then: list[Cells], now: list[Cells], whole: bool = True) -> Compared:
    """Every number of every epoch, bit for bit, but for the seconds.

    Args:
        then: the rows of the first run.
        now: the rows of the second.
        whole: whether both came to their end, so that a row too many is a difference.
    """
    compared = Compared()
    for one, other in zip(then, now, strict=False):
        names = [name for name in dict.fromkeys([*one, *other]) if name not in TIMES]
        for name in names:
            compared.count("metrics.csv", 1)
            if (pair := (one.get(name) or NOTHING, other.get(name) or NOTHING)) and pair[0] != pair[1]:
                compared.differ.append(Number("metrics.csv", name, *pair, epoch_of(one), int(one["step"])))
    if len(then) != len(now) and whole:
        longer = max(then, now, key=len)[min(len(then), len(now))]
        place = epoch_of(longer), int(longer["step"])
        compared.differ.append(Number("metrics.csv", "number of rows", str(len(then)), str(len(now)), *place))
    elif len(then) != len(now):
        compared.left_out.append(f"metrics.csv has {len(then)} rows there, {len(now)} here")
    return compared


def compare_results(then: dict[str, Any], now: dict[str, Any]) -> Compared:
    """Every number of `result.json`, but for times."""
    compared = Compared()
    for name in dict.fromkeys([*then, *now]):
        if name in TIMES:
            continue
        compared.count("result.json", 1)
        one, other = (json.dumps(side[name]) if name in side else NOTHING for side in (then, now))
        if one != other:
            compared.differ.append(Number("result.json", name, one, other))
    return compared
