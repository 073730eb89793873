"""`result.json`: what a run has come to. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from couloir.record.files import read_json
from couloir.record.folder import RunFolder
from couloir.record.metrics import Row, epochs_in

FILE = "result.json"


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


def write_result(folder: RunFolder, numbers: Mapping[str, float | None]) -> None:
    """Write the numbers of a run, or of what else a verb measures, as `result.json`."""
    folder.write_json(FILE, numbers)


def read_result(run: Path, strict: bool = True) -> dict[str, Any]:
    """The content of `result.json`; empty before the run is completed.

    Raises:
        CouloirError: it is torn; only where strict.
    """
    return read_json(run / FILE, strict)


def read_numbers(run: Path, strict: bool = True) -> dict[str, float]:
    """The numbers of `result.json` alone, without what was NaN or infinite; empty before the run is completed.

    Raises:
        CouloirError: it is torn; only where strict.
    """
    return {name: float(value) for name, value in read_result(run, strict).items() if isinstance(value, int | float)}


def summarise(rows: list[Row], best: Row | None) -> dict[str, float]:
    """The flat numbers of `result.json` that follow from the epochs: `train/*` (of the last one), `val/*`, `best/*`.

    `val/*` are of the last validation; where the run has gone on after it, `validated_epoch` says when that was.
    """
    numbers: dict[str, float] = {}
    if rows:
        numbers |= {key: value for key, value in rows[-1].items() if key.startswith("train/")}
        validated = next((row for row in reversed(rows) if any(key.startswith("val/") for key in row)), {})
        numbers |= {key: value for key, value in validated.items() if key.startswith("val/")}
        numbers["epochs"] = epochs_in(rows)
        if validated and validated["epoch"] != rows[-1]["epoch"]:
            numbers["validated_epoch"] = validated["epoch"]
    if best is not None:
        numbers["best/epoch"] = best["epoch"]
        numbers |= {f"best/{key[4:]}": value for key, value in best.items() if key.startswith("val/")}
    return numbers
