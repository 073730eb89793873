"""What differs between two runs: configuration, environment, data, status, results. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from couloir.compare.numbers import NOTHING, Number, compare_metrics
from couloir.config.finished import read_config
from couloir.errors import CouloirError
from couloir.log import rendered
from couloir.record.configuration import MISSING, differing
from couloir.record.differences import Difference, differences, own_packages, shown
from couloir.record.metrics import epoch_of, read_cells
from couloir.record.provenance import read_provenance
from couloir.record.result import read_result
from couloir.record.status import read_status

Pair = tuple[Any, Any]
STATUS = ("status", "epoch", "step", "error")


@dataclass
class RunDiff:
    """What differs between two runs.

    Attributes:
        configuration: values by dotted key.
        environment: code, packages, hardware.
        data: fingerprint, sizes, statistics.
        status: how the runs stand.
        results: numbers of `result.json`.
        first_epoch: the first number of `metrics.csv` that both have and that differs.
        epochs: how many epochs each has.
        unreadable: records that are torn or missing.
    """

    configuration: dict[str, Pair] = field(default_factory=dict)
    environment: list[Difference] = field(default_factory=list)
    data: list[Difference] = field(default_factory=list)
    status: dict[str, Pair] = field(default_factory=dict)
    results: dict[str, Pair] = field(default_factory=dict)
    first_epoch: Number | None = None
    epochs: Pair = (0, 0)
    unreadable: list[str] = field(default_factory=list)

    @property
    def nothing(self) -> bool:
        """Whether the two runs are the same in everything that is recorded, times left out."""
        parts = (self.configuration, self.environment, self.data, self.status, self.results, self.first_epoch)
        return not any(parts) and self.epochs[0] == self.epochs[1] and not self.unreadable

    def as_json(self) -> dict[str, Any]:
        """Plain values; what is missing on one side is null."""
        return {
            "configuration": {key: [_plain(value) for value in pair] for key, pair in self.configuration.items()},
            "environment": [difference.as_json() for difference in self.environment],
            "data": [difference.as_json() for difference in self.data],
            "status": {key: list(pair) for key, pair in self.status.items()},
            "results": {key: list(pair) for key, pair in self.results.items()},
            "metrics": {
                "epochs": list(self.epochs),
                "first": None if self.first_epoch is None else vars(self.first_epoch),
            },
            "unreadable": self.unreadable,
            "nothing": self.nothing,
        }


def diff_runs(one: Path, other: Path) -> RunDiff:
    """Compare two run folders; a record that is torn or missing is named, and the others are compared.

    Raises:
        CouloirError: a run's configuration cannot be read: there is no run to compare.
    """
    cfgs = [read_config(run) for run in (one, other)]
    diff = RunDiff(configuration=differing(*cfgs))

    def both(read: Callable[[Path], Any], name: str) -> list[Any] | None:
        found = []
        for run in (one, other):
            try:
                found.append(read(run))
            except CouloirError as error:
                diff.unreadable.append(f"{error.fact} ({error.place})")
        if len(found) == 2 and bool(found[0]) != bool(found[1]):
            diff.unreadable.append(f"{(one if not found[0] else other).name} has no {name}")
        return found if len(found) == 2 and all(found) else None

    if records := both(read_provenance, "provenance.json"):
        found = differences(records[0], records[1], own_packages(cfgs[0]) | own_packages(cfgs[1]))
        diff.data = [difference for difference in found if difference.kind == "data"]
        diff.environment = [difference for difference in found if difference.kind != "data"]
    if status := both(read_status, "status.json"):
        diff.status = {name: pair for name in STATUS if (pair := _pair(status, name))[0] != pair[1]}
    if rows := both(read_cells, "metrics.csv"):
        diff.epochs = epoch_of(rows[0][-1]), epoch_of(rows[1][-1])
        diff.first_epoch = compare_metrics(rows[0], rows[1], whole=False).first()
    if results := both(read_result, "result.json"):
        names = dict.fromkeys([*results[0], *results[1]])
        diff.results = {name: pair for name in names if (pair := _pair(results, name))[0] != pair[1]}
        if set(diff.results) <= {"seconds", "train/samples_per_second"}:
            diff.results = {}  # no two runs share these
    return diff


def _pair(records: list[Any], name: str) -> Pair:
    return records[0].get(name), records[1].get(name)


def _plain(value: Any) -> Any:
    return None if value is MISSING else value


def as_tables(diff: RunDiff, one: Path, other: Path) -> str:
    """The difference for people: a table a section, those without a difference left out."""
    names = one.name, other.name
    if diff.nothing:
        return f"nothing differs between {names[0]} and {names[1]}"
    parts = [f"A: {one}\nB: {other}"]
    parts += _section("configuration", {key: (_typed(a), _typed(b)) for key, (a, b) in diff.configuration.items()})
    matter = [difference for difference in diff.environment if difference.matters]
    others = [difference for difference in diff.environment if not difference.matters]
    parts += _section("environment", {_name(entry): (shown(entry.then), shown(entry.now)) for entry in matter})
    if others:
        few = ", ".join(entry.name for entry in others[:6]) + (", ..." if len(others) > 6 else "")
        parts.append(f"differences that change no number ({len(others)}): {few}")
    parts += _section("data", {entry.name: (shown(entry.then), shown(entry.now)) for entry in diff.data})
    parts += _section("status", {key: (shown(a), shown(b)) for key, (a, b) in diff.status.items()})
    parts += _results(diff.results)
    if diff.first_epoch is not None:
        parts.append(f"metrics: the first difference is {diff.first_epoch.in_words()}")
    elif diff.epochs[0] != diff.epochs[1]:
        least = min(diff.epochs)
        parts.append(f"metrics: {diff.epochs[0]} and {diff.epochs[1]} epochs, of which the first {least} are identical")
    parts += [f"not compared: {fact}" for fact in diff.unreadable]
    return "\n\n".join(parts)


def _name(difference: Difference) -> str:
    return f"{difference.kind}: {difference.name}" if difference.kind in ("code", "packages") else difference.name


def _typed(value: Any) -> str:
    """A value of the configuration, as it would be typed."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else shown(value)


def _number(value: Any) -> str:
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.6g}"


def _section(title: str, rows: dict[str, tuple[str, str]]) -> list[str]:
    if not rows:
        return []
    table = Table(title, "A", "B")
    for name, pair in rows.items():
        table.add_row(name, *pair)
    return [_shown(table)]


def _results(results: dict[str, Pair]) -> list[str]:
    if not results:
        return []
    table = Table("result", "A", "B", "B - A")
    for name, pair in results.items():
        change = None if None in pair else pair[1] - pair[0]
        table.add_row(name, *map(_number, pair), "" if change is None else f"{'+' * (change > 0)}{_number(change)}")
    return [_shown(table)]


def _shown(table: Table) -> str:
    for column in table.columns:
        column.overflow = "fold"
    return rendered(table)
