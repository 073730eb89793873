"""The confusion matrix of the test split, and what follows from it for each class."""

from __future__ import annotations

from functools import partial

from couloir.artifacts.page import Cell, Chart, Choice, charts, choices, label, table
from couloir.record.tested import Confusion

GROUP = "confusion"
DRAWN = 100
"""Classes in the picture at most: those that are confused most."""
WRITTEN = 20
"""Up to so many classes, the numbers stand in the picture."""
ROWS = 400
"""Classes in the table at most: those that are recognised worst."""
PAIRS = 12
"""Pairs of classes that are listed at most, the most frequent first."""
SCALE = [[0, "--card"], [0.5, "--scale-middle"], [1, "--scale-high"]]


def _wrong(confusion: Confusion, place: int) -> int:
    """How often a class was missed, or another was taken for it."""
    column = sum(row[place] for row in confusion.counts)
    return sum(confusion.counts[place]) + column - 2 * confusion.counts[place][place]


def picture(matrix: Confusion) -> tuple[str, str]:
    """The heat map with its control, and a sentence about it."""
    places = list(range(len(matrix.classes)))
    note = "Rows are the true classes, columns the predicted ones. Colours follow the root of the counts."
    if len(places) > DRAWN:
        places = sorted(sorted(places, key=partial(_wrong, matrix), reverse=True)[:DRAWN])
        note += f" The {DRAWN} of {len(matrix.classes)} classes that are confused most; all are in confusion.csv."
    names = [label(matrix.classes[place], 24) for place in places]
    unique = [
        name if names.count(name) == 1 else f"{name} ({place})" for name, place in zip(names, places, strict=True)
    ]
    counts = [[matrix.counts[row][column] for column in places] for row in places]
    trace = {
        "type": "heatmap", "x": unique, "y": unique, "z": counts, "colorscale": SCALE, "showscale": False,
        "xgap": 1 if len(places) <= WRITTEN else 0, "ygap": 1 if len(places) <= WRITTEN else 0,
        "meta": {"matrix": True}, "hovertemplate": "true %{y}, predicted %{x}: %{text}<extra></extra>",
    }  # fmt: skip
    if len(places) <= WRITTEN:
        trace["texttemplate"] = "%{text}"
    layout = {
        "xaxis": {"type": "category", "title": {"text": "predicted"}, "showgrid": False, "constrain": "domain"},
        "yaxis": {"type": "category", "title": {"text": "true"}, "autorange": "reversed", "showgrid": False},
        "margin": {"l": 56, "r": 16, "t": 10, "b": 46},
    }
    size = max(300, min(680, 110 + 36 * len(places)))
    chart = Chart(
        [trace], layout, f"confusion matrix of {len(places)} classes", size, max_width=size + 120, group=GROUP
    )
    return choices([Choice("share", GROUP, "shares of each true class")], "what the matrix shows") + charts(
        [chart]
    ), note


def pairs(matrix: Confusion) -> str:
    """The pairs of classes that are confused most often; empty where none is."""
    found = [
        (count, row, column)
        for row, counts in enumerate(matrix.counts)
        for column, count in enumerate(counts)
        if count and row != column
    ]
    if not found:
        return ""
    rows = []
    for count, row, column in sorted(found, key=lambda entry: -entry[0])[:PAIRS]:
        share = count / (sum(matrix.counts[row]) or 1)
        cells = [
            Cell(matrix.classes[row], kind="key"),
            Cell(matrix.classes[column]),
            Cell(f"{count:,}", count, "number"),
        ]
        rows.append([*cells, Cell(f"{share:.1%}", share, "number")])
    return table(["true", "taken for", "times", "of the class"], rows, "pairs of classes that are confused most often")


def per_class(matrix: Confusion) -> tuple[str, str]:
    """Precision, recall, F1 and support of each class, the worst first, and a sentence about it."""
    entries = []
    for place, name in enumerate(matrix.classes):
        right, support = matrix.counts[place][place], sum(matrix.counts[place])
        taken = sum(row[place] for row in matrix.counts)
        precision = right / taken if taken else None
        recall = right / support if support else None
        f1 = 2 * right / (support + taken) if support + taken else None
        missed = [(count, column) for column, count in enumerate(matrix.counts[place]) if column != place]
        most = max(missed, key=lambda entry: entry[0], default=(0, 0))
        told = f"{matrix.classes[most[1]]} ({most[0]})" if most[0] else ""
        entries.append((1.0 if f1 is None else f1, [
            Cell(name, kind="key"), *(_share(value) for value in (precision, recall, f1)),
            Cell(f"{support:,}", support, "number"), Cell(told),
        ]))  # fmt: skip
    entries.sort(key=lambda entry: entry[0])
    note = f"The test split; the class with the least F1 first.{_macro(matrix)}"
    if len(entries) > ROWS:
        note += f" The {ROWS} worst of {len(entries)}; confusion.csv has all."
    columns = ["class", "precision", "recall", "F1", "support", "most often taken for"]
    return table(columns, [cells for _, cells in entries[:ROWS]], "precision and recall of each class"), note


def _macro(matrix: Confusion) -> str:
    """A sentence with the means over the classes that have samples, each of which counts the same."""
    recalls, f1 = [], []
    for place, row in enumerate(matrix.counts):
        if support := sum(row):
            recalls.append(row[place] / support)
            f1.append(2 * row[place] / (support + sum(other[place] for other in matrix.counts)))
    if not recalls:
        return ""
    means = (sum(values) / len(values) for values in (recalls, f1))
    return " Where each class counts the same: balanced accuracy {:.4f}, macro F1 {:.4f}.".format(*means)


def _share(value: float | None) -> Cell:
    return Cell("", kind="number") if value is None else Cell(f"{value:.4f}", value, "number")
