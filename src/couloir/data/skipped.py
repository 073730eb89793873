"""What is left out of a set, and how it is told. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from couloir.record import files

NAMED = 8
"""Kinds of files that are named; the others are counted."""


class Skipped(NamedTuple):
    """A sample that cannot be used, or a file that is not taken for one.

    Attributes:
        split: the split that it was found in; empty for a table, whose rows are split afterwards.
        file: the file, which for a table holds others as well.
        line: the line of a table's row, None for a photograph.
        label: the class, or what stands in the target's cell; empty where that cannot be told.
        reason: what is wrong with it.
        by: the key that leaves it out.
        kind: what is not taken for a sample, in words that go for others as well; empty for samples that cannot be
            used.
        number: how many samples or files the entry is for: of shards not all are named.
    """

    split: str
    file: str
    line: int | None
    label: str
    reason: str
    by: str = "data.on_error=skip"
    kind: str = ""
    number: int = 1


def as_csv(skipped: Sequence[Skipped]) -> str:
    """The list as `skipped.csv` holds it: split, file, line, class, reason."""
    columns = ["split", "file", "line", "class", "reason"]
    return legible(files.as_csv(columns, [row[: len(columns)] for row in skipped]))


def in_words(skipped: Sequence[Skipped]) -> Iterator[str]:
    """Sentences for the console: how many samples there are, and the first; how many other files, by kind."""
    samples = unusable(skipped)
    if samples:
        first, rows, number = samples[0], samples[0].line is not None, how_many(samples)
        what = "row" if rows else "photograph"
        count = f"{number:,} {what}{'' if number == 1 else 's'}"
        place = f"{first.file}, line {first.line}" if rows else first.file
        keys = " and ".join(sorted({row.by for row in samples}))
        yield legible(f"{count} left out ({keys}), first {place}: {first.reason}")
    kinds: dict[str, list[Skipped]] = {}
    for entry in skipped:
        if entry.kind:
            kinds.setdefault(entry.kind, []).append(entry)
    if kinds:
        parts = [f"{kind} ({how_many(entries):,}, such as {_named(entries[0])})" for kind, entries in kinds.items()]
        more = f" and {len(parts) - NAMED} more kinds" if len(parts) > NAMED else ""
        yield legible(f"not used: {', '.join(parts[:NAMED])}{more}; skipped.csv lists them")


def unusable(skipped: Sequence[Skipped]) -> list[Skipped]:
    """The samples that cannot be used, without the files that nobody takes for samples."""
    return [entry for entry in skipped if not entry.kind]


def how_many(skipped: Iterable[Skipped]) -> int:
    """How many samples or files some entries are for."""
    return sum(entry.number for entry in skipped)


def _named(entry: Skipped) -> str:
    file = Path(entry.file)
    return f"{file.name}, line {entry.line}" if entry.line else f"{file.parent.name}/{file.name}"


def legible(text: str) -> str:
    """Text that can be written as UTF-8, whatever bytes the name of a file holds."""
    return text.encode(errors="backslashreplace").decode()
