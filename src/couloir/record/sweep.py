"""The files of a sweep's folder: `sweep.yaml`, what was asked for, `sweep.csv`, a row a trial, and
`out_of_fold.csv`, the predictions of the best one's folds. Nothing here imports
torch.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from couloir.errors import CouloirError
from couloir.record.files import as_csv, read_table, read_yaml, write_atomically, written_whole

FILE, TABLE, FOLDS_FILE = "sweep.yaml", "sweep.csv", "out_of_fold.csv"
FORMAT = 1
"""Of the folders that this version writes; a folder without a number is of a version before there was one."""
DEVIATION = " std"
"""Ends the name of a column that belongs to the column before it."""
TEST = "test/"
OUT_OF_FOLD = "out_of_fold/"
"""Begins the names of numbers that are measured over the folds' test samples together."""


@dataclass(frozen=True)
class SweepFacts:
    """`sweep.yaml`: what was asked for, so that it can be taken up and shown again.

    Attributes:
        words: what was typed after `-m`.
        study: the name of the study.
        command: the command line.
        directory: where it was typed.
        objectives: number of `result.json` -> `maximize` or `minimize`; empty in an older sweep.
        monitor: the column of `metrics.csv` that is watched; None in an older sweep.
        mode: whether the monitored value is to rise (`max`) or to fall (`min`).
        differ: which of `task`, `loss`, `data` and `monitor` are not the same in all trials.
        total: how many trials there are to be; None: no number.
        folds: of the data, on each of which every setting is trained; None: there are none.
        begun: when.
        format: of the folder; None in an older sweep.
    """

    words: list[str]
    study: str
    command: list[str] = field(default_factory=list)
    directory: str = "."
    objectives: dict[str, str] = field(default_factory=dict)
    monitor: str | None = None
    mode: str | None = None
    differ: list[str] = field(default_factory=list)
    total: int | None = None
    folds: int | None = None
    begun: str = ""
    format: int | None = None


@dataclass(frozen=True)
class TrialRow:
    """A row of `sweep.csv`.

    Attributes:
        number: of the trial.
        state: of the trial.
        numbers: objectives and test metrics by name: the mean over the runs; a number that is not there is left out.
        deviations: over the runs; a deviation that is not known is left out.
        runs: how many runs (seeds times folds) gave these numbers; None where each setting has one.
        seconds: of all runs together.
        parameters: the keys that the sweep goes over, as they would be typed.
        error: why it failed.
    """

    number: int
    state: str
    numbers: dict[str, float]
    deviations: dict[str, float] = field(default_factory=dict)
    runs: int | None = None
    seconds: float | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True)
class SweepTable:
    """`sweep.csv`.

    Attributes:
        objectives: names of the objectives.
        tests: names of the test metrics that are no objectives.
        keys: the keys that the sweep goes over.
        rows: the trials.
    """

    objectives: list[str]
    tests: list[str]
    keys: list[str]
    rows: list[TrialRow]


def write_facts(folder: Path, facts: SweepFacts) -> None:
    """Write `sweep.yaml`."""
    content = {"format": FORMAT, **{name: value for name, value in asdict(facts).items() if name != "format"}}
    write_atomically(folder / FILE, yaml.safe_dump(content, sort_keys=False))


def read_facts(folder: Path, strict: bool = True) -> SweepFacts | None:
    """The content of `sweep.yaml`; None where a lenient reader cannot read it.

    Raises:
        CouloirError: it is missing or torn, or a newer Couloir wrote it; only where strict.
    """
    file = folder / FILE
    try:
        return _facts(file, read_yaml(file))
    except CouloirError:
        if strict:
            raise
        return None


def _facts(file: Path, content: Any) -> SweepFacts:
    if not isinstance(content, dict) or not isinstance(content.get("words"), list) or "study" not in content:
        raise CouloirError(f"{file} does not say what the sweep was.", next_step="start it again: train -m ...")
    number = content.get("format")
    if isinstance(number, int) and number > FORMAT:
        raise CouloirError(
            f"The sweep {file.parent.name} was made by a newer Couloir: its folder has format {number}, and this "
            f"version reads formats up to {FORMAT}.",
            place=str(file),
            next_step="pip install --upgrade couloir",
        )
    objectives, total, folds = content.get("objectives"), content.get("total"), content.get("folds")
    facts: dict[str, Any] = {name: _words(content.get(name)) for name in ("words", "command", "differ")}
    texts = ("study", "directory", "monitor", "mode", "begun")
    facts |= {name: str(content[name]) for name in texts if content.get(name) is not None}
    return SweepFacts(
        **facts,
        objectives={str(goal): str(way) for goal, way in objectives.items()} if isinstance(objectives, dict) else {},
        total=total if isinstance(total, int) else None,
        folds=folds if isinstance(folds, int) else None,
        format=number if isinstance(number, int) else None,
    )


def _words(value: Any) -> list[str]:
    return [str(word) for word in value] if isinstance(value, list) else []


def write_table(folder: Path, table: SweepTable) -> Path:
    """Write `sweep.csv`, a row a trial, and return its path.

    Columns: number, state, each objective's mean (with several seeds or folds also `NAME std` and `runs`), the test
    metrics in the same way, seconds, a column for each key that was swept, and the error.
    """
    several = any(row.runs is not None for row in table.rows)
    names = [name for metric in table.objectives for name in _columns(metric, several)]
    names += ["runs"] if several else []
    names += [name for metric in table.tests for name in _columns(metric, several)]
    columns = ["number", "state", *names, "seconds", *table.keys, "error"]
    rows = []
    for row in table.rows:
        cells: dict[str, object] = {**row.numbers, "runs": row.runs}
        cells |= {f"{name}{DEVIATION}": value for name, value in row.deviations.items()}
        seconds = "" if row.seconds is None else round(row.seconds, 3)
        parameters = [row.parameters.get(key, "") for key in table.keys]
        rows.append([row.number, row.state, *(cells.get(name) for name in names), seconds, *parameters, row.error])
    path = folder / TABLE
    write_atomically(path, as_csv(columns, rows))
    return path


def write_out_of_fold(folder: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> Path:
    """Write `out_of_fold.csv`, a row a sample, one after the other, and return its path."""
    with written_whole(folder / FOLDS_FILE) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="")
        writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        text.detach()
    return folder / FOLDS_FILE


def _columns(metric: str, several: bool) -> list[str]:
    return [metric, f"{metric}{DEVIATION}"] if several else [metric]


def read_trials(folder: Path, facts: SweepFacts | None, strict: bool = True) -> SweepTable:
    """The content of `sweep.csv`; without rows where a lenient reader cannot read it.

    Args:
        folder: of the sweep.
        facts: its `sweep.yaml`; where that does not name the objectives, all numbers but test metrics are some.
        strict: whether a table that is missing or torn is an error.

    Raises:
        CouloirError: it is missing or torn; only where strict.
    """
    try:
        return _table(read_table(folder / TABLE), facts)
    except (ValueError, KeyError, IndexError, CouloirError) as error:
        if strict:
            reason = error.fact if isinstance(error, CouloirError) else " ".join(str(error).split())
            raise CouloirError(
                f"The sweep {folder.name} cannot be read: {reason}",
                place=str(folder / TABLE),
                next_step="`couloir resume` writes its table again",
            ) from error
        return SweepTable([], [], [], [])


def _table(lines: list[list[str]], facts: SweepFacts | None) -> SweepTable:
    head, *rows = lines or [[]]
    if head[:2] != ["number", "state"] or head[-1] != "error":
        raise ValueError(f"{TABLE} is missing, or is no table of trials")
    last = head.index("seconds")
    measured = [name for name in head[2:last] if name != "runs" and not name.endswith(DEVIATION)]
    named = [] if facts is None else list(facts.objectives)
    objectives = named or [name for name in measured if not name.startswith(TEST)] or measured[:1]
    keys = head[last + 1 : -1]
    tests = [name for name in measured if name not in objectives]
    return SweepTable(objectives, tests, keys, [_row(head, cells, measured, last) for cells in rows])


def _row(head: list[str], cells: Sequence[str], measured: list[str], last: int) -> TrialRow:
    numbers = dict(zip(head[2:last], cells[2:last], strict=True))
    runs = numbers.pop("runs", None)
    found = {name: float(cell) for name, cell in numbers.items() if cell}
    parameters = zip(head[last + 1 : -1], cells[last + 1 : -1], strict=True)
    return TrialRow(
        number=int(cells[0]),
        state=cells[1],
        numbers={name: found[name] for name in measured if name in found},
        deviations={name.removesuffix(DEVIATION): found[name] for name in found if name.endswith(DEVIATION)},
        runs=None if runs is None else int(runs or 0),
        seconds=float(cells[last]) if cells[last] else None,
        parameters={key: value for key, value in parameters if value},
        error=cells[-1],
    )
