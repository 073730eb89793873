"""A run as a report needs it: whatever is missing or torn in its folder is as if it were not there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from couloir.config.metrics import leading, monitored, stated_metrics
from couloir.errors import as_typed, display
from couloir.record.lock import is_alive
from couloir.record.metrics import Row, best_row, epoch_of
from couloir.record.run_files import RunFiles

PLACES = ("data.root=", "data.path=", "output_dir=")


@dataclass(frozen=True)
class RunRecord:
    """One run.

    Attributes:
        files: what its folder holds.
    """

    files: RunFiles

    @classmethod
    def read(cls, folder: Path) -> RunRecord:
        """The record of a folder; each of its files is read when it is asked for."""
        return cls(RunFiles(folder, strict=False))

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.files.folder

    @property
    def status(self) -> dict[str, Any]:
        """Of `status.json`."""
        return self.files.status

    @property
    def typed(self) -> list[str]:
        """The words of `overrides.yaml`."""
        return self.files.words or []

    @property
    def rows(self) -> list[Row]:
        """Of `metrics.csv`, without empty cells."""
        return self.files.rows

    @property
    def numbers(self) -> dict[str, float]:
        """Of `result.json`."""
        return self.files.numbers

    @property
    def flat(self) -> dict[str, Any]:
        """`config.yaml` by dotted keys; a list is one value."""
        return self.files.flat

    @property
    def provenance(self) -> dict[str, Any]:
        """`provenance.json`."""
        return self.files.provenance

    @property
    def name(self) -> str:
        """The folder's name; with that of its sweep where it is a trial's number."""
        parts = [self.folder.name]
        for parent in self.folder.parents:
            if not parts[0].isdigit():
                break
            parts.insert(0, parent.name)
        return "/".join(parts)

    @property
    def path(self) -> str:
        """The folder as it would be typed at a shell's prompt here."""
        return as_typed([display(self.folder)])

    @property
    def sentence(self) -> str:
        """What the user typed."""
        return as_typed(["train", *self.typed])

    @cached_property
    def state(self) -> str:
        """The word of `status.json`; `killed` where it says `running` and no process is at work any more."""
        word = str(self.status.get("status", "unknown"))
        return "killed" if word == "running" and not is_alive(self.folder) else word

    @property
    def error(self) -> str:
        """Why it failed or diverged; empty otherwise."""
        return str(self.status.get("error") or "")

    @cached_property
    def monitor(self) -> tuple[str, str]:
        """The column that decides about the best epoch, and `min` or `max`."""
        return monitored(self.files.config or {})

    @cached_property
    def best(self) -> Row | None:
        """The row of the best epoch."""
        return best_row(self.rows, *self.monitor)

    @cached_property
    def metric(self) -> str:
        """The name of the metric that counts: the one that leads beside the loss (`accuracy`, R²), or `loss`."""
        return leading(self.numbers) or leading(name for row in self.rows for name in row) or "loss"

    @property
    def chosen(self) -> Mapping[str, Any]:
        """What the configuration says of metrics: those of a task of the user's own, and the chosen ones, by name."""
        return stated_metrics(self.files.config or {})

    @property
    def best_value(self) -> float | None:
        """The metric on the validation split in the best epoch."""
        value = self.numbers.get(f"best/{self.metric}")
        if value is None and self.best is not None:
            value = self.best.get(f"val/{self.metric}")
        return value

    @property
    def test_value(self) -> float | None:
        """The metric on the test split."""
        return self.numbers.get(f"test/{self.metric}")

    @property
    def seconds(self) -> float | None:
        """How long it took; the sum of its epochs before the end."""
        if "seconds" in self.numbers:
            return self.numbers["seconds"]
        return sum(row.get("seconds", 0.0) for row in self.rows) or None

    def values(self, column: str) -> tuple[list[float], list[float | None]]:
        """The epochs that have a value in a column, and the values; None for what is not finite."""
        points = [(epoch_of(row), row[column]) for row in self.rows if column in row and "epoch" in row]
        return [epoch for epoch, _ in points], [value if math.isfinite(value) else None for _, value in points]


def about_losses(records: Sequence[RunRecord]) -> str:
    """What a reader should know of the losses of several runs; empty where all of them have the same one."""
    functions = {
        repr(sorted((key, str(value)) for key, value in record.flat.items() if key.startswith(("loss.", "task."))))
        for record in records
    }
    return " The runs differ in their loss, so that their losses cannot be compared." if len(functions) > 1 else ""


def columns(records: Sequence[RunRecord]) -> list[str]:
    """The columns that any of the runs has, in the order of their files."""
    return list(dict.fromkeys(name for record in records for row in record.rows for name in row))


def labels(records: Sequence[RunRecord]) -> list[str]:
    """For each run the words that not all of them share, or its name where there are none; each label once.

    Where files are says nothing of what a run is.
    """
    shared = set.intersection(*(set(record.typed) for record in records)) if records else set()
    told = [
        " ".join(word for word in record.typed if word not in shared and not word.startswith(PLACES))
        for record in records
    ]
    short = [words or record.name for words, record in zip(told, records, strict=True)]
    return [
        f"{words} ({record.name})" if short.count(words) > 1 and words != record.name else words
        for words, record in zip(short, records, strict=True)
    ]


def value_words(value: Any) -> str:
    """A value of a configuration as it would be typed."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(value_words, value))}]"
    return str(value)
