"""What a run that translates wrote of its test split: its worst answers, and some that are right."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from pathlib import Path

from couloir.artifacts.page import Cell, shortened, table
from couloir.record.predictions import read_predictions

WRONG, RIGHT = 20, 5
"""Answers of each kind that are shown at most."""
LONGEST = 300
"""Characters of a text that are shown."""
SOURCE, TRUTH, PREDICTION, NATS = "source", "truth", "prediction", "nats_per_token"


def translations(run: Path) -> tuple[str, str] | None:
    """A table of answers, and a sentence about it; None where the run has written none.

    Raises:
        CouloirError: `predictions.csv` cannot be read.
    """
    counts = {True: 0, False: 0}
    right: list[dict[str, str]] = []

    def wrong() -> Iterator[dict[str, str]]:
        for row in read_predictions(run):
            if not {SOURCE, TRUTH, PREDICTION, NATS} <= set(row):
                return
            is_right = row[TRUTH] == row[PREDICTION]
            counts[is_right] += 1
            if not is_right:
                yield row
            elif len(right) < RIGHT:
                right.append(row)

    worst = heapq.nlargest(WRONG, wrong(), key=lambda row: float(row[NATS]))
    total = sum(counts.values())
    if not total:
        return None
    rows = [_cells(row) for row in [*worst, *right]]
    note = f"{counts[True]:,} of the {total:,} answers are exact, as they were written after training. "
    if worst:
        also = f"; the last {len(right)} are right" if right else ""
        note += f"First come the {len(worst)} wrong ones with the least probable truth{also}. "
    html = table(["sample", "source", "truth", "prediction", "nats a token"], rows, "answers of the test split")
    return html, f"{note}predictions.csv has all."


def _cells(row: dict[str, str]) -> list[Cell]:
    texts = [Cell(shortened(row[name], LONGEST), kind="code long") for name in (SOURCE, TRUTH, PREDICTION)]
    nats = float(row[NATS])
    return [Cell(row.get("sample", ""), kind="number"), *texts, Cell(f"{nats:.4f}", nats, "number")]
