"""What a run leaves behind, and which of its epochs was the best."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

Row = dict[str, float]


@dataclass(frozen=True)
class RunResult:
    """What a run left behind.

    Attributes:
        dir: the run folder.
        metrics: the numbers of `result.json`.
        status: the status of `status.json`.
    """

    dir: Path
    metrics: dict[str, float]
    status: str


def best_row(rows: list[Row], monitor: str, mode: str) -> Row | None:
    """The row with the best finite value of `monitor`, the earliest where several tie; None where there is none.

    Args:
        rows: one dictionary an epoch.
        monitor: a column, such as `val/loss`.
        mode: `min` or `max`.
    """
    candidates = [row for row in rows if math.isfinite(row.get(monitor, math.nan))]
    if not candidates:
        return None
    return min(candidates, key=lambda row: row[monitor] if mode == "min" else -row[monitor])


def summarise(rows: list[Row], best: Row | None) -> dict[str, float]:
    """The flat numbers of `result.json` that follow from the epochs: `val/*` (final), `train/*`, `best/*`."""
    numbers: dict[str, float] = {}
    if rows:
        numbers |= {key: value for key, value in rows[-1].items() if key.startswith(("train/", "val/"))}
        numbers["epochs"] = len(rows)
    if best is not None:
        numbers["best/epoch"] = best["epoch"]
        numbers |= {f"best/{key[4:]}": value for key, value in best.items() if key.startswith("val/")}
    return numbers
