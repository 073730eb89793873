"""The curves of one run or of several: loss, metric, learning rate, and what else was measured every epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from couloir.artifacts.log_axis import wants_log
from couloir.artifacts.page import Chart, Choice, charts, choices, label, smoothing
from couloir.config.metrics import facts, leading, ordered, together
from couloir.record.metrics import epoch_of
from couloir.report.evidence import RunRecord, columns, labels

GROUP = "curves"
POINTS = 2000
"""Points of a curve at most."""
ALL_POINTS = 30_000
"""Points of all curves of a page at most."""
NAMED, NAME = 12, 30
"""Runs that a legend names at most, and characters of such a name: the boxes above the charts name them all."""
SPLITS = {"train": ("training", "--c0", "solid"), "val": ("validation", "--c1", "solid")}
SMALL = {
    "gradients/norm": "norm of the gradients",
    "gradients/first_to_last": "gradient, first / last",
    "gradients/dead_units": "units without gradient",
    "waiting": "waiting for data",
}
"""Columns in small charts, and what they are."""
NORMS = "gradients/"
SHARES = ("gradients/dead_units", "waiting")
"""Columns of numbers in [0, 1]."""


def curves(records: Sequence[RunRecord]) -> str:
    """The controls and the charts; empty where no epoch is complete."""
    drawn = _charts(records)
    if not drawn:
        return ""
    return _controls(records, drawn) + charts(drawn[:2], width=460) + charts(drawn[2:], width=310)


def _controls(records: Sequence[RunRecord], drawn: Sequence[Chart]) -> str:
    entries = []
    if len(records) > 1:
        named = enumerate(labels(records))
        entries += [Choice("key", GROUP, name, f"run {at}", True, f"--c{at % 10}") for at, name in named]
    there = columns(records)
    for split, (name, colour, _) in SPLITS.items():
        if any(column.startswith(f"{split}/") for column in there):
            entries.append(Choice("key", GROUP, name, split, True, colour if len(records) == 1 else ""))
    loss = next((chart for chart in drawn if "meta" in chart.layout), None)
    if loss is not None:
        entries.append(Choice("log", GROUP, "logarithmic loss", on=loss.layout["yaxis"].get("type") == "log"))
    row = choices(entries, "what the charts show")
    return row.removesuffix("</div>") + smoothing(GROUP) + "</div>"


def _charts(records: Sequence[RunRecord]) -> list[Chart]:
    there = columns(records)
    metrics = list(dict.fromkeys(name.partition("/")[2] for name in there if name.startswith(("train/", "val/"))))
    first = leading(metrics)
    groups = together(there)
    order = [name for name in ("loss", first) if name in metrics]
    order = order[1:] if any(group.instead_of_loss for group in groups) else order
    each = max(50, min(POINTS, ALL_POINTS // max(1, len(records) * len(there))))
    players = ordered(name.removeprefix(NORMS) for name in there if name.startswith(NORMS) and name not in SMALL)
    norms = [f"{NORMS}{name}" for name in players]
    beside: list[Chart] = []
    shared: set[str] = set()
    if len(records) == 1:  # of several runs each has a colour, and a column a chart
        shared = {name for group in groups for name in group.names}
        beside = [_of_group(records[0], group.names, group.label, each) for group in groups]
    rest = [name for name in metrics if name not in order and name not in shared and name != "loss"]
    drawn = [_of_metric(records, name, each) for name in order]
    if beside and groups[0].instead_of_loss:
        drawn = [beside.pop(0), *drawn]
    drawn += [_of_rates(records, each)] if "lr" in there else []
    drawn += [
        *(_small(chart, named=True) for chart in beside),
        *(_small(_of_metric(records, name, each)) for name in rest),
    ]
    if len(norms) > 1 and len(records) == 1:
        drawn.append(_small(_of_group(records[0], norms, SMALL["gradients/norm"], each), named=True))
        norms = []
    told = SMALL | {name: f"norm of the gradients, {name.removeprefix(NORMS)}" for name in norms}
    drawn += [_of_column(records, name, said, each) for name, said in told.items() if name in there]
    return [chart for chart in drawn if any(value is not None for trace in chart.data for value in trace["y"])]


def _of_group(record: RunRecord, names: Sequence[str], told: str, most: int) -> Chart:
    """Columns of a run in one chart, a colour each: validation as a line, training dotted."""
    traces: list[dict[str, Any]] = []
    for at, name in enumerate(names):
        alone = name.startswith(NORMS)
        said = name.removeprefix(NORMS) if alone else facts(name).label
        for split in ("",) if alone else ("val", "train"):
            column, meant = (f"{split}/{name}", f"{said}, {SPLITS[split][0]}") if split else (name, said)
            trace = _trace(record, column, label(meant), most)
            if trace is not None:
                dash = "dot" if split == "train" else "solid"
                trace |= {"name": label(meant, 2 * NAME), "line": {"color": f"--c{at}", "dash": dash, "width": 1.8}}
                trace |= {"meta": {"keys": [split] if split else [], "smooth": True}, "showlegend": True}
                traces.append(trace)
    values = [value for trace in traces for value in trace["y"] if value is not None]
    shares = all(facts(name).low == 0 and facts(name).high == 1 for name in names)
    axis: dict[str, Any] = {"title": {"text": label(told)}, "type": "linear" if shares else _scale(values)}
    layout = {"xaxis": _epochs(), "yaxis": axis}
    return Chart(traces, layout, f"{told} over the epochs; dotted: training", 340, group=GROUP)


def _of_metric(records: Sequence[RunRecord], metric: str, most: int) -> Chart:
    traces: list[dict[str, Any]] = []
    names = labels(records)
    for at, record in enumerate(records):
        for split, (told, colour, dash) in SPLITS.items():
            name, keys = told, [split]
            if len(records) > 1:
                name, keys = names[at], [f"run {at}", split]
                colour, dash = f"--c{at % 10}", "dot" if split == "train" else "solid"
            trace = _trace(record, f"{split}/{metric}", f"{label(name)}, {told}" if len(records) > 1 else told, most)
            if trace is None:
                continue
            trace |= {"name": label(name, NAME), "line": {"color": colour, "dash": dash, "width": 1.8}}
            trace |= {"meta": {"keys": keys, "smooth": True}, "legendgroup": f"{at} {split}"}
            alone = split == "val" or f"val/{metric}" not in columns([record])
            trace["showlegend"] = len(records) == 1 or (alone and len(records) <= NAMED)
            traces.append(trace)
        traces += _best(record, metric, at, len(records))
    chosen = {name: node for record in records for name, node in record.chosen.items()}
    values = [value for trace in traces for value in trace["y"] if value is not None]
    axis: dict[str, Any] = {"title": {"text": label(facts(metric, chosen).label)}}
    layout: dict[str, Any] = {"xaxis": _epochs(), "yaxis": axis}
    if metric == "loss" and values and min(values) > 0:
        layout["meta"] = {"log": True}
        axis["type"] = _scale(values)
    if len(records) == 1 and records[0].best is not None:
        layout["shapes"] = [{
            "type": "line", "x0": records[0].best["epoch"], "x1": records[0].best["epoch"], "yref": "paper",
            "y0": 0, "y1": 1, "line": {"color": "--muted", "dash": "dot", "width": 1.2},
        }]  # fmt: skip
    several = "; dotted: training" if len(records) > 1 else ""
    more = 9 * len(records) if 1 < len(records) <= NAMED else 0
    return Chart(traces, layout, f"{metric} over the epochs{several}", 340 + more, group=GROUP)


def _best(record: RunRecord, metric: str, at: int, runs: int) -> list[dict[str, Any]]:
    """A mark at the best epoch."""
    row = record.best
    value = math.nan if row is None else row.get(f"val/{metric}", math.nan)
    if row is None or not math.isfinite(value):
        return []
    epoch = epoch_of(row)
    colour = "--best" if runs == 1 else f"--c{at % 10}"
    return [{
        "type": "scatter", "mode": "markers", "x": [epoch], "y": [value], "name": f"best epoch ({epoch})",
        "showlegend": runs == 1,
        "marker": {"symbol": "star", "size": 12, "color": colour, "line": {"color": "--card", "width": 1}},
        "meta": {"keys": ["val"] if runs == 1 else [f"run {at}", "val"]},
        "hovertemplate": "best epoch %{x}: %{y}<extra></extra>",
    }]  # fmt: skip


def _of_rates(records: Sequence[RunRecord], most: int) -> Chart:
    """The rates of a run's parts, where they have several; otherwise that of the schedule."""
    chart = _of_column(records, "lr", "learning rate", most)
    parts = [name for name in columns(records) if name.startswith("lr/")] if len(records) == 1 else []
    traces = []
    for at, column in enumerate(parts):
        name = column.partition("/")[2]
        trace = _trace(records[0], column, label(name), most)
        if trace is not None:
            trace |= {"name": label(name, NAME), "line": {"color": f"--c{at % 10}", "width": 1.8}}
            trace |= {"meta": {"keys": [], "smooth": False}, "showlegend": len(parts) <= NAMED}
            traces.append(trace)
    if not traces:
        return chart
    values = [value for trace in traces for value in trace["y"] if value is not None]
    kind = "log" if min(values) > 0 and len(traces) > 2 else _scale(values)
    axis = {"title": {"text": label("learning rate")}, "type": kind}
    layout = {**chart.layout, "yaxis": axis, "showlegend": len(traces) <= NAMED}
    return replace(chart, data=traces, layout=layout)


def _of_column(records: Sequence[RunRecord], column: str, told: str, most: int) -> Chart:
    traces = []
    names = labels(records)
    for at, record in enumerate(records):
        name = label(names[at]) if len(records) > 1 else told
        trace = _trace(record, column, name, most)
        if trace is not None:
            trace |= {"name": name, "line": {"color": f"--c{at % 10}", "width": 1.8}, "showlegend": False}
            trace["meta"] = {"keys": [f"run {at}"] if len(records) > 1 else [], "smooth": column != "lr"}
            traces.append(trace)
    values = [value for trace in traces for value in trace["y"] if value is not None]
    axis: dict[str, Any] = {"title": {"text": label(told)}, "type": "linear" if column in SHARES else _scale(values)}
    if axis["type"] == "linear":
        axis["rangemode"] = "tozero"
    return _small(Chart(traces, {"xaxis": _epochs(), "yaxis": axis}, f"{told} over the epochs", group=GROUP))


def _small(chart: Chart, named: bool = False) -> Chart:
    """A chart in a smaller frame; `named`: with the names of its curves above it."""
    layout = {**chart.layout, "margin": {"l": 56, "r": 12, "t": 12, "b": 46}, "showlegend": named}
    return replace(chart, layout=layout, height=290 if named else 230)


def _trace(record: RunRecord, column: str, told: str, most: int) -> dict[str, Any] | None:
    epochs, values = record.values(column)
    if not epochs:
        return None
    step = math.ceil(len(epochs) / most) or 1
    kept = sorted({*range(0, len(epochs), step), len(epochs) - 1})
    return {
        "type": "scatter", "mode": "lines+markers" if len(kept) < 25 else "lines", "marker": {"size": 5},
        "x": [epochs[place] for place in kept], "y": [values[place] for place in kept],
        "hovertemplate": f"{told}, epoch %{{x}}: %{{y}}<extra></extra>",
    }  # fmt: skip


def _scale(values: Sequence[float]) -> str:
    return "log" if wants_log(values) else "linear"


def _epochs() -> dict[str, Any]:
    return {"title": {"text": "epoch"}, "tickformat": "d", "hoverformat": "~g", "minallowed": 0}


def signals(record: RunRecord) -> list[Chart]:
    """How large the signals of the layers are, from `signals.csv`: a chart a column, a line a measurement."""
    rows = record.files.signals
    epochs = list(dict.fromkeys(row.epoch for row in rows))
    shown = epochs if len(epochs) <= 4 else [epochs[round(place * (len(epochs) - 1) / 3)] for place in range(4)]
    drawn = []
    for column in ("activation_variance", "gradient_variance", "weight_gradient_variance"):
        traces = []
        for at, epoch in enumerate(shown):
            values = [(row.layer, getattr(row, column)) for row in rows if row.epoch == epoch]
            points = [(layer, value) for layer, value in values if value is not None and 0 < value < math.inf]
            if points:
                traces.append({
                    "type": "scatter", "mode": "lines+markers", "name": label(f"epoch {epoch}"),
                    "x": [label(layer) for layer, _ in points], "y": [value for _, value in points],
                    "line": {"color": f"--c{at}", "width": 1.6},
                })  # fmt: skip
        if traces:
            told = column.replace("_", " ")
            heights = {"type": "log", "title": {"text": told}, "exponentformat": "power"}
            layout = {"yaxis": heights, "xaxis": {"type": "category"}}
            drawn.append(Chart(traces, layout, f"{told} of each layer", 280))
    return drawn
