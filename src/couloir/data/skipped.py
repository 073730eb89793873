"""What `data.on_error=skip` leaves out of a set, and how it is told. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from couloir.record import files


class Skipped(NamedTuple):
    """A sample that cannot be used.

    Attributes:
        split: the split that it was found in; empty for a table, whose rows are split afterwards.
        file: the file, which for a table holds others as well.
        line: the line of a table's row, None for a photograph.
        label: the class, or what stands in the target's cell; empty where that cannot be told.
        reason: what is wrong with it.
        by: the key that leaves it out.
    """

    split: str
    file: str
    line: int | None
    label: str
    reason: str
    by: str = "data.on_error=skip"


def as_csv(skipped: Sequence[Skipped]) -> str:
    """The list as `skipped.csv` holds it: split, file, line, class, reason."""
    columns = ["split", "file", "line", "class", "reason"]
    return legible(files.as_csv(columns, [row[: len(columns)] for row in skipped]))


def in_words(skipped: Sequence[Skipped]) -> str:
    """How many there are, and the first of them: one sentence for the console."""
    first, rows = skipped[0], skipped[0].line is not None
    what = "row" if rows else "photograph"
    count = f"{len(skipped):,} {what}{'' if len(skipped) == 1 else 's'}"
    place = f"{first.file}, line {first.line}" if rows else first.file
    return legible(
        f"{count} left out ({' and '.join(sorted({row.by for row in skipped}))}), first {place}: {first.reason}"
    )


def legible(text: str) -> str:
    """Text that can be written as UTF-8, whatever bytes the name of a file holds."""
    return text.encode(errors="backslashreplace").decode()
