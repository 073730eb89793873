"""`metrics.csv`: a row an epoch, and one for each validation within an epoch. Nothing here imports torch.

The column `epoch` is how often training has gone through its split: 4 at the end of the fourth epoch, 3.75 after three
quarters of it. A cell is empty where nothing was measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from couloir.record.files import as_csv, read_rows, unreadable
from couloir.record.folder import RunFolder

FILE = "metrics.csv"
TIMES = ("waiting", "seconds", "train/samples_per_second")
"""Numbers that no two runs share."""
LAYERS = "layers"
"""The column that says how many layers in front of the head the network has, where layers join it in training."""
Row = dict[str, float]
Cells = dict[str, str]


def write_metrics(folder: RunFolder, rows: list[Row]) -> None:
    """Write the rows with every column that any of them has; numbers in full, so that they read back bit for bit."""
    # In the order of a whole epoch's; a validation within one has fewer.
    columns = list(dict.fromkeys(name for row in [*whole_epochs(rows), *rows] for name in row))
    columns.sort(key=lambda name: TIMES.index(name) + 1 if name in TIMES else 0)  # a stable sort: the clock's last
    folder.write_text(FILE, as_csv(columns, rows))


def read_metrics(run: Path, strict: bool = True) -> list[Row]:
    """The rows as numbers, without empty cells; none where no epoch was completed.

    A lenient reader leaves out cells that hold no number.

    Raises:
        CouloirError: the file is torn; only where strict.
    """
    return list(_numbers(run, read_rows(run / FILE, strict), strict))


def read_cells(run: Path) -> list[Cells]:
    """The rows as they are written, to be compared bit for bit.

    Raises:
        CouloirError: the file is torn.
    """
    rows = read_rows(run / FILE)
    list(_numbers(run, rows, strict=True))
    return rows


def epochs_in(rows: list[Row]) -> float:
    """How many epochs were trained, the last of them perhaps in part; 0 without a row."""
    return epoch_of(rows[-1]) if rows and "epoch" in rows[-1] else len(rows)


def epoch_of(row: Mapping[str, float | str]) -> float:
    """The epoch that a row was written at, a whole number unless it lies within one."""
    epoch = float(row["epoch"])
    return int(epoch) if epoch.is_integer() else epoch


def whole_epochs(rows: list[Row]) -> list[Row]:
    """The rows at the ends of epochs."""
    return [row for row in rows if float(row.get("epoch", 0)).is_integer()]


def _numbers(run: Path, rows: list[Cells], strict: bool) -> Iterable[Row]:
    for cells in rows:
        row: Row = {}
        try:
            for name, cell in cells.items():
                if cell:
                    row[name] = float(cell)
            if strict and ("epoch" not in row or "step" not in row):
                raise ValueError("a row has no epoch or no step")
        except ValueError as error:
            if strict:
                raise unreadable(run / FILE, error) from error
            row = {name: number for name, cell in cells.items() if (number := _number(cell)) is not None}
        yield row


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def of_the_largest(rows: list[Row]) -> list[Row]:
    """The rows with the most layers, where layers join the network: those before are of another one."""
    most = max((row.get(LAYERS, 0) for row in rows), default=0)
    return [row for row in rows if row.get(LAYERS, 0) == most]


def best_row(rows: list[Row], monitor: str, mode: str) -> Row | None:
    """The row with the best finite value of `monitor`, the earliest where several tie; None where there is none.

    Where layers join the network, rows with fewer of them are of another network, and do not count.

    Args:
        rows: one dictionary an epoch.
        monitor: a column, such as `val/loss`.
        mode: `min` or `max`.
    """
    candidates = [row for row in of_the_largest(rows) if math.isfinite(row.get(monitor, math.nan))]
    if not candidates:
        return None
    return min(candidates, key=lambda row: row[monitor] if mode == "min" else -row[monitor])
