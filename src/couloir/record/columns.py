"""`columns.csv`: what each column of a run's table was taken for, and why. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from couloir.record.files import as_csv, read_rows
from couloir.record.folder import RunFolder

FILE = "columns.csv"
NAMES = ("column", "kind", "why", "missing", "inputs")


def write_columns(folder: RunFolder, rows: Iterable[Sequence[Any]]) -> None:
    """Write a row a column of the table: its name, kind, why, missing values, and the network's inputs made of it."""
    text = as_csv(NAMES, rows)
    folder.write_text(FILE, text.encode(errors="backslashreplace").decode())


def read_columns(run: Path) -> list[dict[str, str]]:
    """The rows by `NAMES`; none where there is no such file."""
    return [row for row in read_rows(run / FILE, strict=False) if set(NAMES) <= row.keys()]
