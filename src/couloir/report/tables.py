"""Tables of a report: results, configuration, layers, epochs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from couloir.artifacts.page import Cell, Choice, choices, details, shortened, table
from couloir.config.metrics import OTHER_NUMBERS
from couloir.record.forecast import KINDS, NAIVE, SEASONAL, read_forecast
from couloir.record.result import summarise
from couloir.record.tested import memory_in_words, read_layers
from couloir.report.evidence import RunRecord, columns, labels, value_words
from couloir.sweep.progress import duration
from couloir.sweep.table import shown

SPLITS = {
    "test": "test",
    "tta": "test, views",
    NAIVE: "test, naive",
    SEASONAL: "test, seasonal naive",
    "best": "best epoch",
    "val": "last epoch",
    "train": "training",
}
"""The parts of `result.json`, and what their columns are called."""
COUNTS = {name: it.label for name, it in OTHER_NUMBERS.items() if name not in ("seconds", "validated_epoch")}
"""Counts of `result.json`, and what their columns are called."""
EPOCHS = 200
"""Rows of the table of epochs at most."""
LONGEST = 300
"""Characters of a value that are shown."""
LAYERS = 400


def number(value: float | None) -> Cell:
    """A cell with a number; an empty one where there is none."""
    if value is None or math.isnan(value):
        return Cell("", kind="number")
    return Cell(shown(value) if math.isfinite(value) else str(value), value if math.isfinite(value) else None, "number")


def forecast(run: Path) -> str:
    """The errors at each step to come, and over all of them, of the network and the naive forecasts; empty without."""
    errors = read_forecast(run)
    columns = [(kind, name) for kind in KINDS for name in errors.get(kind, {})]
    if not columns:
        return ""
    steps = len(errors[columns[0][0]][columns[0][1]])
    heads = ["step", *(f"{name}, {KINDS[kind]}" for kind, name in columns)]
    means = [Cell("all", kind="key"), *(number(sum(errors[kind][name]) / steps) for kind, name in columns)]
    rows = [
        [Cell(str(step + 1), step + 1, "number"), *(number(errors[kind][name][step]) for kind, name in columns)]
        for step in range(min(steps, EPOCHS))
    ]
    told = f"the {len(rows)} steps" if len(rows) == steps else f"the first {len(rows)} of {steps} steps"
    return table(heads, [means], "errors of the forecasts") + details(told, table(heads, rows, "errors by step"))


def whole(value: float | None) -> Cell:
    """A cell with a number that has no decimals, or whose decimals say nothing."""
    if value is None or not math.isfinite(value):
        return Cell("", kind="number")
    return Cell(f"{value:,.0f}", value, "number")


def _epochs(value: float | None) -> Cell:
    """A cell with a number of epochs, the last of which may have ended early."""
    return whole(value) if value is None or float(value).is_integer() else Cell(f"{value:g}", value, "number")


def results(record: RunRecord) -> str:
    """The numbers of one run: a row a metric, a column a split; empty where there are none."""
    numbers = record.numbers or _so_far(record)
    splits = [split for split in SPLITS if any(name.startswith(f"{split}/") for name in numbers)]
    metrics = [name.partition("/")[2] for name in numbers if name.partition("/")[0] in SPLITS]
    names = [name for name in dict.fromkeys(metrics) if name not in ("epoch", "samples_per_second")]
    if not names:
        return ""
    rows = [[Cell(name, kind="key"), *(number(numbers.get(f"{split}/{name}")) for split in splits)] for name in names]
    heads = dict(SPLITS)
    if record.flat.get("callbacks.checkpoint.keep") == "last":
        heads["test"] = "test, last epoch's weights"
    if "validated_epoch" in numbers:
        heads["val"] = f"last validation (epoch {numbers['validated_epoch']:g})"
    return table(["metric", *(heads[split] for split in splits)], rows, "results")


def _so_far(record: RunRecord) -> dict[str, float]:
    """What an unfinished run has, by the names of `result.json`."""
    return summarise(record.rows, record.best)


def comparison(records: Sequence[RunRecord]) -> str:
    """The numbers of several runs: a row a run."""
    every = [record.numbers or _so_far(record) for record in records]
    names = [
        name
        for split in ("test", "tta", "best", "val", "train")
        for name in dict.fromkeys(name for numbers in every for name in numbers)
        if name.partition("/")[0] == split and name not in COUNTS
    ]
    rows = []
    for record, numbers, label in zip(records, every, labels(records), strict=True):
        cells = [Cell(label, kind="code long"), Cell(record.state, kind=f"state {record.state}")]
        cells += [number(numbers.get(name)) for name in names]
        cells += [(_epochs if "epoch" in name else whole)(numbers.get(name)) for name in COUNTS]
        rows.append([*cells, seconds(record)])
    head = ["run", "status", *names, *COUNTS.values(), "time"]
    return table(head, rows, "results of the runs")


def seconds(record: RunRecord) -> Cell:
    """How long a run took."""
    return Cell("" if record.seconds is None else duration(record.seconds), record.seconds, "number")


def configuration(records: Sequence[RunRecord]) -> str:
    """Every key with its value in each run; what was typed, or what differs, stays when the rest is hidden.

    Empty where no configuration can be read.
    """
    typed = [_typed(record) for record in records]
    groups = [
        key for key in dict.fromkeys(key for words in typed for key in words)
        if not any(key in record.flat for record in records)
    ]  # fmt: skip
    keys = list(dict.fromkeys([*groups, *(key for record in records for key in record.flat)]))
    if len(keys) == len(groups):
        return ""
    rows, kept = [], []
    for key in keys:
        words = [_value(record, key, own) for record, own in zip(records, typed, strict=True)]
        several = len(set(words)) > 1
        cells = [Cell(key, kind="key code")]
        for value, own in zip(words, typed, strict=True):
            marks = ["code", "long"] if len(value) > 40 else ["code"]
            marks += ["other"] if several or (len(records) == 1 and key in own) else []
            cells.append(Cell(value if len(value) <= LONGEST else f"{value[:LONGEST]} …", kind=" ".join(marks)))
        rows.append(cells)
        kept.append(several if len(records) > 1 else key in typed[0])
    told = "only the differences" if len(records) > 1 else "only what was typed"
    head = ["key", *(heads(records) if len(records) > 1 else ["value"])]
    switch = choices([Choice("only", "configuration", told, on=any(kept))], "rows of the table")
    return switch + table(head, rows, "configuration", name="configuration", kept=kept)


def heads(records: Sequence[RunRecord]) -> list[str]:
    """The runs' labels as the heads of columns."""
    return [shortened(label, 40) for label in labels(records)]


def _typed(record: RunRecord) -> dict[str, str]:
    """What was typed, by keys and groups."""
    parts = [word.lstrip("+").partition("=") for word in record.typed if "=" in word]
    return {key.replace("@", "."): value for key, _, value in parts}


def _value(record: RunRecord, key: str, typed: dict[str, str]) -> str:
    if key in record.flat:
        return value_words(record.flat[key])
    return typed.get(key, "")


def layers(run: Path) -> tuple[str, str] | None:
    """The table of `layers.json` and a sentence with its totals; None where there is none."""
    content = read_layers(run)
    rows = []
    try:
        totals = content["totals"]
        parameters, learning = int(totals["parameters"]), int(totals.get("trainable_parameters", totals["parameters"]))
        some_fixed, remembered = learning != parameters, "memory_bytes" in totals
        for layer in content["layers"]:
            shape = " × ".join(str(side) for side in layer["output_shape"])
            names = [Cell(str(layer["name"]), kind="key code"), Cell(str(layer["type"])), Cell(shape, kind="number")]
            learn = [_count(layer.get("trained"))] if some_fixed else []
            kept = [_mib(int(layer["memory_bytes"]))] if remembered else []
            rows.append([*names, _count(layer["parameters"]), *learn, _count(layer["multiply_adds"]), *kept])
        note = (
            f"{parameters:,} parameters{f', {learning:,} of which learn' if some_fixed else ''}, "
            f"{int(totals['multiply_adds']):,} multiply-adds for one sample."
        )
        if remembered:
            words = memory_in_words(totals)
            note += f" {words[0].upper()}{words[1:]}."
    except (KeyError, TypeError, ValueError):
        return None
    if len(rows) > LAYERS:
        note += f" The first {LAYERS} of {len(rows)} layers."
    head = ["layer", "type", "output shape", "parameters", *(["learn"] if some_fixed else []), "multiply-adds"]
    head += ["memory, MiB"] if remembered else []
    return table(head, rows[:LAYERS], "layers of the network"), note


def _mib(count: int) -> Cell:
    return Cell(f"{count / 2**20:,.2f}" if count else "", count, "number")


def _count(value: Any) -> Cell:
    return Cell(f"{int(value):,}" if value else "", int(value), "number")


def epochs(record: RunRecord) -> str:
    """The rows of `metrics.csv`, for whoever reads numbers rather than curves; thinned where there are many."""
    if not record.rows:
        return ""
    names = columns([record])
    step = math.ceil(len(record.rows) / EPOCHS)
    picked = record.rows[::step]
    rows = [[_exact(row.get(name)) for name in names] for row in picked]
    told = "the epochs in numbers" if step == 1 else f"every {step}th epoch in numbers; all are in metrics.csv"
    return details(told, table(names, rows, "the epochs in numbers"))


def _exact(value: float | None) -> Cell:
    return Cell("", kind="number") if value is None else Cell(f"{value:.6g}", kind="number")
