"""`status.json`: how a run stands, and the format of its folder. Nothing here imports torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from couloir.errors import CouloirError
from couloir.record.files import read_json

FILE = "status.json"
FORMAT = 1
"""Of the folders that this version writes. It grows when an older version could not read a new folder rightly; a folder
without a number is of a version before there was one.
"""
Status = Literal["running", "completed", "interrupted", "failed", "diverged", "pruned"]


def read_status(run: Path, strict: bool = True) -> dict[str, Any]:
    """The content of `status.json`; empty where there is none.

    Raises:
        CouloirError: it is torn; only where strict.
    """
    return read_json(run / FILE, strict)


def has_trained(status: dict[str, Any]) -> bool:
    """Whether a run has taken a step, as its status says; an older version wrote down whole epochs alone."""
    return "first_step" in status or bool(status.get("epoch"))


def is_newer(status: dict[str, Any]) -> bool:
    """Whether a run was made by a version of Couloir whose folders this one cannot read."""
    number = status.get("format")
    return isinstance(number, int) and number > FORMAT


def refuse_newer(run: Path) -> None:
    """Do not touch a folder of a format that is not known yet.

    Raises:
        CouloirError: the run was made by a newer Couloir.
    """
    status = read_status(run, strict=False)
    if is_newer(status):
        raise CouloirError(
            f"The run {run.name} was made by a newer Couloir: its folder has format {status['format']}, and this "
            f"version reads formats up to {FORMAT}.",
            place=str(run / FILE),
            next_step="pip install --upgrade couloir",
        )
