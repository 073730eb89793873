"""The end of a run: the table on the console, and what its curves say."""

from __future__ import annotations

import os
from pathlib import Path

from rich.table import Table

from couloir.callbacks.progress import shown_number
from couloir.diagnosis import diagnose
from couloir.log import note, rendered
from couloir.record.folder import RunFolder


def closing_table(numbers: dict[str, float], folder: RunFolder) -> str:
    """The test metrics beside those of the best epoch, the run folder, and where the curves are."""
    names = [name.removeprefix("test/") for name in numbers if name.startswith("test/")]
    views = any(name.startswith("tta/") for name in numbers)
    table = Table(
        "metric",
        "test",
        *(["test, views"] if views else []),
        f"best epoch ({numbers.get('best/epoch', 0):.0f})",
        "last epoch",
    )
    for name in names:
        columns = ("test", "tta", "best", "val") if views else ("test", "best", "val")
        cells = [numbers.get(f"{column}/{name}") for column in columns]
        table.add_row(name, *("" if cell is None else shown_number(cell) for cell in cells))
    shown = _short(folder.path)
    rate = numbers.get("train/samples_per_second")
    speed = f", {rate:,.0f} samples/s" if rate is not None else ""
    return (
        f"{rendered(table)}\n"
        f"run:    {shown}  ({numbers['seconds']:.1f} s{speed})\n"
        f"curves: {shown}/curves.png; a page with all of it: couloir report {shown}"
    )


def closing_diagnosis(folder: RunFolder) -> str:
    """What the run's curves say, in one or two sentences; "" where there is nothing to say."""
    try:
        return diagnose(folder.path).in_words()
    except Exception as error:  # noqa: BLE001  a sentence about a run is no reason to end it
        note.info("no diagnosis: %s: %s", type(error).__name__, error)
        return ""


def _short(path: Path) -> str:
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
