"""Tables: what each column adds to an answer, and how much worse answers get when a column is shuffled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from couloir.artifacts.page import Cell, Chart, label, table
from couloir.config.metrics import facts, leading, monitored
from couloir.errors import CouloirError
from couloir.inference.explain.exhibit import Exhibit
from couloir.inference.explain.subject import Shown, Subject
from couloir.inference.explain.where.attribution import attributed, told_sum
from couloir.inference.explain.words import Wanted
from couloir.inference.trained import Measured

REPEATS = 5
"""Times that each column is shuffled."""
NODES = 64
"""Points of the path of integrated gradients: rows cost next to nothing."""
DRAWN = 30
"""Columns that a chart shows at most; the table has all."""


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        name: its name.
        inputs: the places of the network's inputs that it becomes.
        labels: the names of these inputs.
    """

    name: str
    inputs: list[int]
    labels: list[str]


def columns_of(subject: Subject) -> list[Column]:
    """The columns of the table, and the inputs that each becomes: a category has one for each of its values."""
    encoding = getattr(subject.data, "encoding", None)
    if encoding is None:
        return [Column(f"input {place}", [place], [f"input {place}"]) for place in range(int(subject.data.channels))]
    found, place = [], 0
    for feature in encoding.features:
        labels = list(feature.inputs)
        found.append(Column(feature.name, list(range(place, place + len(labels))), labels))
        place += len(labels)
    return [column for column in found if column.inputs]


def by_column(values: Tensor, columns: Sequence[Column]) -> Tensor:
    """The sum over the inputs of each column, (B, F) -> (B, columns)."""
    return torch.stack([values[:, column.inputs].sum(dim=1) for column in columns], dim=1)


def shuffled(
    x: Tensor, columns: Sequence[Column], measure: Callable[[Tensor], Mapping[str, float]], repeats: int, seed: int
) -> dict[str, NDArray[np.float64]]:
    """What is measured when the rows of one column are put into another order, by name, (columns, repeats).

    Breiman, 2001, Random Forests, section 10; Fisher, Rudin and Dominici, 2019, section 3.2.

    Args:
        x: standardised rows (N, F).
        columns: what is shuffled, all inputs of a column together.
        measure: takes rows like x.
        repeats: orders of each column.
        seed: the orders follow from it, the column's place and the number of the repeat alone.
    """
    found: dict[str, NDArray[np.float64]] = {}
    for place, column in enumerate(columns):
        for repeat in range(repeats):
            order = np.random.default_rng([seed, place, repeat]).permutation(len(x))
            changed = x.clone()
            changed[:, column.inputs] = x[torch.from_numpy(order).to(x.device)][:, column.inputs]
            for name, value in measure(changed).items():
                found.setdefault(name, np.full((len(columns), repeats), np.nan))[place, repeat] = value
    return found


def gradients_of_rows(subject: Subject, shown: Shown) -> list[Exhibit]:
    """How the score changes with each input of a row."""
    values = subject.gradients(shown.x, shown.target)
    labels = [name for column in columns_of(subject) for name in column.labels]
    note = "How much the score changes when an input grows by one: a number by one deviation of the training split."
    return [
        _of_row("gradients", "Gradients", note, subject, shown, number, labels, values[number].tolist())
        for number in range(len(shown))
    ]


def integrated_of_rows(subject: Subject, shown: Shown) -> list[Exhibit]:
    """What each column adds to the score, by integrated gradients, with the check of the sum."""
    columns = columns_of(subject)
    found = attributed(subject, shown.x, shown.target, torch.zeros_like(shown.x[:1]), NODES)
    scale = _units(subject, shown.target)
    found = found._replace(values=found.values * scale[:, None], difference=found.difference * scale)
    values = by_column(found.values, columns)
    exhibits = []
    for number in range(len(shown)):
        note = (
            "What each column adds to the score, on the way from a row of mean numbers without any category to this "
            f"one, in {found.nodes[number]} steps (Sundararajan, Taly and Yan, 2017)."
        )
        exhibit = _of_row("integrated_gradients", "Integrated gradients", note, subject, shown, number,
                          [column.name for column in columns], values[number].tolist())  # fmt: skip
        told_sum(exhibit, found, number)
        exhibits.append(exhibit)
    return exhibits


def _units(subject: Subject, target: Tensor) -> Tensor:
    """What a score of 1 is in the data's units, (B,): 1 but for the values of a regression that are scaled."""
    scale = getattr(subject.data, "target_scale", 1.0) if subject.data.kind == "value" else 1.0
    each = torch.as_tensor(scale, dtype=torch.float32, device=target.device).reshape(-1)
    return each[target] if len(each) > 1 else each.expand(len(target))


def _of_row(
    method: str, title: str, note: str, subject: Subject, shown: Shown, number: int, names: Sequence[str],
    values: Sequence[float],
) -> Exhibit:  # fmt: skip
    target = subject.name_of(int(shown.target[number]))
    exhibit = Exhibit(method, f"{title}: {target}", note, sample=number)
    written = dict(zip(names, _written(subject, shown.pixels[number], names), strict=True))
    rows = sorted(zip(names, values, strict=True), key=lambda pair: -abs(pair[1]))
    exhibit.charts.append(bars([name for name, _ in rows], [value for _, value in rows], f"{title} by column"))
    exhibit.html = table(
        ["column", "value", "adds" if method == "integrated_gradients" else "gradient"],
        [[Cell(name), Cell(written[name]), Cell(f"{value:.4g}", value, "number")] for name, value in rows],
        f"{title} of {target} by column",
    )
    exhibit.numbers = {"output": target, "values": dict(zip(names, values, strict=True))}
    return exhibit


def _written(subject: Subject, row: Tensor, names: Sequence[str]) -> list[str]:
    """What stands in a row, (F,), by column or by input."""
    columns = columns_of(subject)
    if len(names) != len(columns):
        return [f"{value:.5g}" for value in row.tolist()]
    found = []
    for column in columns:
        values = [float(row[place]) for place in column.inputs]
        on = [label.partition("=")[2] for label, value in zip(column.labels, values, strict=True)
              if "=" in label and value > 0.5]  # fmt: skip
        is_category = all("=" in label or label.endswith(".missing") for label in column.labels)
        found.append(", ".join(on) or "none" if is_category else f"{values[0]:.5g}")
    return found


def bars(names: Sequence[str], values: Sequence[float], told: str, spread: Sequence[float] | None = None) -> Chart:
    """Bars below each other, the first on top; at most `DRAWN`.

    Args:
        names: what each is called.
        values: their lengths.
        told: what the chart shows.
        spread: the deviation of each, drawn as whiskers.
    """
    count = min(len(names), DRAWN)
    trace: dict[str, Any] = {
        "type": "bar", "orientation": "h", "x": list(values[:count]), "y": [label(name, 30) for name in names[:count]],
        "marker": {"color": "--c0"}, "showlegend": False, "hovertemplate": "%{y}: %{x:.4g}<extra></extra>",
    }  # fmt: skip
    if spread is not None:
        trace["error_x"] = {"type": "data", "array": list(spread[:count]), "color": "--muted", "thickness": 1.5}
    layout = {"yaxis": {"autorange": "reversed", "automargin": True, "type": "category"},
              "xaxis": {"title": {"text": label(told)}}}  # fmt: skip
    return Chart([trace], layout, told, 110 + 24 * count)


def permutation(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """How the loss and the leading metric of a split worsen when a column is shuffled.

    Raises:
        CouloirError: the network looks at images, or the data is not there.
    """
    if subject.is_image:
        raise CouloirError(
            "Shuffling columns needs a table, and this network looks at images.", next_step="--methods occlusion"
        )
    parts = [(x, target) for x, target, _ in subject.split(wanted.split, wanted.most) if target is not None]
    if not parts:
        raise CouloirError(
            f"The {wanted.split} split has no targets, and how wrong answers are cannot be measured.",
            next_step="leave the method permutation out",
        )
    x, target = torch.cat([part for part, _ in parts]), torch.cat([part for _, part in parts])
    sizes = [len(part) for part, _ in parts]

    def measure(rows: Tensor) -> dict[str, float]:
        task, measured = subject.task, Measured(subject.task)
        for given, wanted_of in zip(torch.split(rows, sizes), torch.split(target, sizes), strict=True):
            with torch.inference_mode():
                measured.add(task.compute({task.input: given, task.target: wanted_of}), len(given))
        return measured.numbers()

    columns = columns_of(subject)
    whole = measure(x)
    found = shuffled(x, columns, measure, REPEATS, wanted.seed)
    names = _measures(subject, whole)
    note = (
        f"The rows of one column are put into another order, {REPEATS} times, and {len(x):,} samples of the "
        f"{wanted.split} split are answered again (Breiman, 2001). A column that others can stand in for looks "
        "unimportant here."
    )
    exhibit = Exhibit("permutation", "Columns shuffled", note)
    worse = {name: _worsening(name, whole[name], found[name], subject) for name in names}
    first = worse[names[-1]]
    order = np.argsort(-first.mean(axis=1), kind="stable")
    for name in names:
        means, spread = worse[name].mean(axis=1), worse[name].std(axis=1, ddof=1)
        told = f"{facts(name).label}: how much worse"
        ordered = [columns[place].name for place in order]
        exhibit.charts.append(bars(ordered, means[order].tolist(), told, spread[order].tolist()))
    rows = []
    for place in order:
        cells = [Cell(columns[place].name)]
        for name in names:
            mean, apart = float(worse[name][place].mean()), float(worse[name][place].std(ddof=1))
            cells.append(Cell(f"{mean:.4g} ± {apart:.2g}", mean, "number"))
        rows.append(cells)
    heads = [f"{facts(name).label}: worse by" for name in names]
    exhibit.html = table(["column", *heads], rows, "how much worse answers get when a column is shuffled")
    exhibit.numbers = {
        "split": wanted.split, "samples": len(x), "repeats": REPEATS, "whole": {name: whole[name] for name in names},
        "worse": {
            columns[place].name: {
                name: {"mean": float(worse[name][place].mean()), "deviation": float(worse[name][place].std(ddof=1))}
                for name in names
            }
            for place in order
        },
    }  # fmt: skip
    return [exhibit]


def _measures(subject: Subject, numbers: Mapping[str, float]) -> list[str]:
    """The loss, and behind it the metric that decides about the run or leads."""
    of_run = monitored(subject.trained.cfg)[0].rpartition("/")[2]
    names = [name for name in ("loss", of_run) if name in numbers]
    other = leading(name for name in numbers if name != "loss")
    if other is not None and len(set(names)) < 2:
        names.append(other)
    return list(dict.fromkeys(names)) or list(numbers)[:1]


def _worsening(name: str, whole: float, found: NDArray[np.float64], subject: Subject) -> NDArray[np.float64]:
    """By how much numbers are worse than that of the whole, (columns, repeats)."""
    return whole - found if facts(name).higher_is_better else found - whole
