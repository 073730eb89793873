"""The numbers that a run has left: `metrics.csv` and `result.json`, and the facts of `status.json`."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from couloir.errors import CouloirError
from couloir.record.folder import RunFolder

TIMES = ("waiting", "seconds", "train/samples_per_second")
"""Numbers that no two runs share."""
Row = dict[str, str]


def read_metrics(run: Path) -> list[Row]:
    """The rows of `metrics.csv` as they are written; none where no epoch was completed.

    Raises:
        CouloirError: it is torn.
    """
    file = run / "metrics.csv"
    if not file.is_file():
        return []
    try:
        text = file.read_text(encoding="utf-8")
        if not text.endswith("\n"):
            raise ValueError("its last line is cut")
        rows = list(csv.DictReader(text.splitlines(), strict=True))
        for row in rows:
            int(row["epoch"]), int(row["step"]), [float(cell) for cell in row.values() if cell != ""]
    except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
        raise CouloirError(f"The run's numbers cannot be read: {error}", place=str(file)) from error
    return rows


def read_result(run: Path) -> dict[str, Any]:
    """The numbers of `result.json`; none before the run is completed.

    Raises:
        CouloirError: it is torn.
    """
    return _read_json(run / "result.json")


def read_status(run: Path) -> dict[str, Any]:
    """The content of `status.json`; empty where there is none.

    Raises:
        CouloirError: it is torn.
    """
    return _read_json(RunFolder(run).status_file)


def _read_json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CouloirError(f"{file.name} of the run {file.parent.name} cannot be read: {error}", str(file)) from error
    if not isinstance(content, dict):
        raise CouloirError(f"{file.name} of the run {file.parent.name} holds no facts.", str(file))
    return content
