"""The figures of a sweep's report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from couloir.artifacts.log_axis import wants_log
from couloir.artifacts.page import Chart, label
from couloir.record.metrics import read_metrics
from couloir.record.tested import read_layers
from couloir.sweep.axes import Axis, axis, of_numbers
from couloir.sweep.noise import deviation
from couloir.sweep.table import in_order, ranked, swept_keys, typed
from couloir.sweep.trials import Objective, SweepRecord, TrialRecord

CURVES = 10
"""Trials whose curves are drawn at most."""
POINTS = 300
"""Points of a curve at most."""
HOVERED = 300
"""Up to so many trials, a dot of the history tells its setting: it would take much room for thousands."""
SLICED = 6000
"""Dots of all slices together at most."""
DISCS = 6, 60
"""Pixels of the discs of the smallest networks at least, and of the largest."""
SCALE = [[0, "--scale-low"], [0.5, "--scale-middle"], [1, "--scale-high"]]
MARKS = {"pruned": ("x", "--warn"), "failed": ("cross", "--bad"), "diverged": ("triangle-up", "--bad"),
         "interrupted": ("circle-open", "--muted")}  # fmt: skip


def history(record: SweepRecord, place: int) -> Chart:
    """An objective of each trial by its number, and the best so far as a line.

    Args:
        record: the sweep.
        place: which objective.
    """
    goal = record.objectives[place]
    done = record.completed
    values = _means(done, place)
    spreads = [deviation(trial.values[place]) for trial in done]
    points: dict[str, Any] = {
        "type": "scatter", "mode": "markers", "name": "completed", "x": [trial.number for trial in done], "y": values,
        "text": _settings(done), "marker": {"color": "--accent", "size": 7},
        "hovertemplate": "trial %{x}: %{y}<br>%{text}<extra></extra>",
    }  # fmt: skip
    if any(spread is not None for spread in spreads):
        points["error_y"] = {"type": "data", "array": spreads, "color": "--accent", "thickness": 1, "width": 2}
    best: list[float] = []
    for value in values:
        best.append(value if not best or goal.better(value, best[-1]) else best[-1])
    line = {
        "type": "scatter", "mode": "lines", "name": "best so far", "x": points["x"], "y": best, "hoverinfo": "skip",
        "line": {"color": "--best", "shape": "hv", "width": 2},
    }  # fmt: skip
    others = [trace for state in MARKS if (trace := _without_value(record, state, goal)) is not None]
    strip = any(trace["yaxis"] == "y2" for trace in others)
    least = 0.12 if strip else 0.0
    layout = {
        "xaxis": {"title": {"text": "trial"}, "anchor": "y2" if strip else "y"},
        "yaxis": {"title": {"text": label(goal.name)}, "domain": [least, 1], **_scale(goal, values)},
        "yaxis2": {"domain": [0, 0.06], "range": [-1, 1], "visible": False, "fixedrange": True},
    }
    return Chart([line, points, *others], layout, f"{goal.name} of each trial, and the best so far", 360)


def _without_value(record: SweepRecord, state: str, goal: Objective) -> dict[str, Any] | None:
    """The trials that did not complete: at the last value they reached if that is known, else in a strip below."""
    trials = [trial for trial in record.trials if trial.state == state]
    if not trials:
        return None
    same = goal.name.rpartition("/")[2] == record.monitor.rpartition("/")[2]
    reached = [_reached(trial, record.monitor) if same and state == "pruned" else None for trial in trials]
    in_strip = None in reached
    symbol, colour = MARKS[state]
    return {
        "type": "scatter", "mode": "markers", "name": state, "x": [trial.number for trial in trials],
        "y": [0] * len(trials) if in_strip else reached, "yaxis": "y2" if in_strip else "y",
        "text": _settings(trials),
        "marker": {"color": colour, "symbol": symbol, "size": 8},
        "hovertemplate": f"trial %{{x}}: {state}" + ("" if in_strip else " at %{y}") + "<br>%{text}<extra></extra>",
    }  # fmt: skip


def _reached(trial: TrialRecord, monitor: str) -> float | None:
    for run in reversed(trial.runs):
        values = [row[monitor] for row in read_metrics(run, strict=False) if monitor in row]
        if values and math.isfinite(values[-1]):
            return values[-1]
    return None


def parallel(record: SweepRecord) -> Chart | None:
    """Each completed trial as a line through its parameters to its objectives; None where there is nothing to see."""
    done = in_order(record, record.completed)[::-1]  # the best are drawn last, above the others
    axes = parameter_axes(record, done)
    if len(done) < 2 or not axes:
        return None
    goals = [of_numbers(goal.name, _means(done, place)) for place, goal in enumerate(record.objectives)]
    ends = goals[0].dimension()["values"]
    least, most = _quantile(ends, 0.1), _quantile(ends, 0.9)
    rising = record.objectives[0].direction == "maximize"
    least, most = (least, max(ends)) if rising else (min(ends), most)  # one that is far off takes not all the colours
    trace = {
        "type": "parcoords", "dimensions": [entry.dimension() for entry in [*axes, *goals]],
        "line": {"color": ends, "colorscale": SCALE, "reversescale": not rising, "cmin": least, "cmax": most},
        "labelangle": -14, "labelfont": {"color": "--ink", "size": 12}, "tickfont": {"color": "--muted", "size": 11},
        "rangefont": {"color": "rgba(0,0,0,0)", "size": 1},
        "unselected": {"line": {"color": "--grid", "opacity": 0.25}},
    }  # fmt: skip
    width = 130 * (len(axes) + len(goals))
    title = f"the parameters of {len(done)} trials and their {goals[0].name}, as lines"
    return Chart([trace], {"margin": {"l": 80, "r": 80, "t": 70, "b": 24}}, title, 420, width)


def slices(record: SweepRecord, keys: Sequence[str]) -> list[Chart]:
    """The first objective against each of the keys."""
    goal, best = record.objectives[0], record.best
    order = ranked(record)
    step = math.ceil(len(order) * len(keys) / SLICED) or 1
    shown = order[::step][::-1]  # the best comes last, above the others
    charts = []
    for entry in parameter_axes(record, shown):
        if entry.name not in keys:
            continue
        places = zip(shown, entry.places(), strict=True)
        there = [(trial, place) for trial, place in places if place is not None]
        values = _means([trial for trial, _ in there], 0)
        is_best = [trial is best for trial, _ in there]
        trace = {
            "type": "scatter", "mode": "markers", "showlegend": False,
            "x": [place for _, place in there], "y": values, "customdata": [trial.number for trial, _ in there],
            "marker": {
                "color": ["--best" if it else "--accent" for it in is_best],
                "size": [11 if it else 7 for it in is_best],
                "line": {"width": 0.5, "color": "--card"},
            },
            "hovertemplate": "trial %{customdata}: %{y}<br>%{x}<extra></extra>",
        }  # fmt: skip
        layout = {
            "xaxis": entry.layout(),
            "yaxis": {"title": {"text": label(goal.name)}, **_scale(goal, values)},
            "margin": {"l": 56, "r": 12, "t": 12, "b": 46},
        }
        charts.append(Chart([trace], layout, f"{goal.name} against {entry.name}", 260))
    return charts


def importances(shares: dict[str, float], goal: Objective) -> Chart:
    """The share of each parameter in what moves an objective, the largest on top."""
    order = sorted(shares.items(), key=lambda pair: pair[1])
    trace = {
        "type": "bar", "orientation": "h", "x": [share for _, share in order], "y": [label(key) for key, _ in order],
        "marker": {"color": "--accent"}, "texttemplate": "%{x:.0%}", "textposition": "outside", "cliponaxis": False,
        "textfont": {"color": "--muted"}, "hovertemplate": "%{y}: %{x:.1%}<extra></extra>",
    }  # fmt: skip
    most = max(shares.values(), default=1.0)
    layout = {
        "xaxis": {"tickformat": ".0%", "range": [0, 1.15 * most]}, "yaxis": {"type": "category", "ticks": ""},
        "margin": {"l": 56, "r": 16, "t": 8, "b": 30}, "bargap": 0.35,
    }  # fmt: skip
    return Chart([trace], layout, f"how much each parameter moves {goal.name}", 50 + 34 * len(shares))


def curves(record: SweepRecord) -> list[Chart]:
    """The monitored value and the losses of the best trials over their epochs, the mean over seeds and folds.

    Losses of different units share no axis: they are left out where the trials differ in their loss.
    """
    of_monitor: list[dict[str, Any]] = []
    of_loss: list[dict[str, Any]] = []
    for place, trial in enumerate(ranked(record)[:CURVES]):
        rows = [read_metrics(run, strict=False) for run in trial.runs]
        name = label(f"trial {trial.number}", 40)
        colour = f"--c{place}"
        for column, traces, dash in (
            (record.monitor, of_monitor, "solid"),
            ("val/loss", of_loss, "solid"),
            ("train/loss", of_loss, "dot"),
        ):
            epochs, means = _mean_curve(rows, column)
            if not epochs:
                continue
            mode = "lines+markers" if len(epochs) <= 2 else "lines"
            traces.append({
                "type": "scatter", "mode": mode, "name": name, "legendgroup": name, "x": epochs, "y": means,
                "showlegend": dash == "solid", "line": {"color": colour, "dash": dash, "width": 1.6},
                "text": label(f"{column}  {typed(trial.parameters)}", 120),
                "hovertemplate": f"{name}, epoch %{{x}}: %{{y}}<br>%{{text}}<extra></extra>",
            })  # fmt: skip
    charts = []
    titles = ((of_monitor, record.monitor), (of_loss, "loss (dotted: training)"))
    one_unit = not {"task", "loss"} & set(record.differ)
    for traces, title in titles if record.monitor != "val/loss" else titles[1:]:
        if traces and (title == record.monitor or one_unit):
            heights = [value for trace in traces for value in trace["y"]]
            log = title != record.monitor and wants_log(heights)
            layout = {"xaxis": {"title": {"text": "epoch"}},
                      "yaxis": {"title": {"text": label(title)}, **({"type": "log"} if log else {})}}  # fmt: skip
            charts.append(Chart(traces, layout, f"{title} of the best trials over the epochs", 360))
    return charts


def _mean_curve(runs: list[list[dict[str, float]]], column: str) -> tuple[list[float], list[float]]:
    """Epochs and the mean over the runs that have a finite value there, thinned to what can be seen."""
    found: dict[float, list[float]] = {}
    for rows in runs:
        for row in rows:
            if "epoch" in row and math.isfinite(row.get(column, math.nan)):
                found.setdefault(row["epoch"], []).append(row[column])
    epochs = sorted(found)
    step = math.ceil(len(epochs) / POINTS) or 1
    kept = sorted({*epochs[::step], *epochs[-1:]})
    return kept, [sum(found[epoch]) / len(found[epoch]) for epoch in kept]


def pareto(record: SweepRecord) -> Chart:
    """Two objectives against each other, and the trials that no other one beats in both."""
    one, other = record.objectives[:2]
    front = sorted(record.front(), key=lambda trial: trial.means or [])
    traces = []
    for trials, name, colour, mode in (
        (record.completed, "completed", "--muted", "markers"),
        (front, "Pareto front", "--best", "lines+markers"),
    ):
        traces.append({
            "type": "scatter", "mode": mode, "name": name, "x": _means(trials, 1), "y": _means(trials, 0),
            "customdata": [trial.number for trial in trials], "text": _settings(trials),
            "marker": {"color": colour, "size": 8}, "line": {"color": colour, "width": 1.4},
            "hovertemplate": "trial %{customdata}: %{x}, %{y}<br>%{text}<extra></extra>",
        })  # fmt: skip
    layout = {
        "xaxis": of_numbers(other.name, _means(record.completed, 1)).layout(),
        "yaxis": {"title": {"text": label(one.name)}, **_scale(one, _means(record.completed, 0))},
    }
    return Chart(traces, layout, f"{one.name} against {other.name}, and the Pareto front", 380)


def costs(record: SweepRecord) -> Chart | None:
    """The first objective of each trial against the multiply-adds of a sample, a disc as large as the network; None
    where the networks of all trials cost the same, or nothing is known of them.

    Source: Canziani, Paszke and Culurciello, 2016, An Analysis of Deep Neural Network Models for Practical
    Applications, figure 2: the area of a disc is the number of parameters.
    """
    goal, found = record.objectives[0], []
    for trial in record.completed[:HOVERED]:
        known = next((totals for run in trial.runs if (totals := read_layers(run).get("totals"))), None)
        if known is not None and known.get("multiply_adds", 0) > 0 and trial.means is not None:
            found.append((trial, int(known["multiply_adds"]), int(known["parameters"])))
    if len({cost for _, cost, _ in found}) < 2:
        return None
    most = max(size for _, _, size in found)
    trace = {
        "type": "scatter", "mode": "markers+text", "showlegend": False,
        "x": [cost for _, cost, _ in found], "y": _means([trial for trial, _, _ in found], 0),
        "text": [label(str(trial.parameters.get("model", trial.number)), 24) for trial, _, _ in found],
        "textposition": "top center", "textfont": {"color": "--ink", "size": 11}, "cliponaxis": False,
        "customdata": [f"{size:,} parameters<br>{label(typed(trial.parameters), 120)}" for trial, _, size in found],
        "marker": {
            "color": "--accent", "opacity": 0.55, "line": {"width": 1, "color": "--card"},
            "size": [max(DISCS[0], DISCS[1] * math.sqrt(size / most)) for _, _, size in found],
        },
        "hovertemplate": "%{y} at %{x:,} multiply-adds<br>%{customdata}<extra></extra>",
    }  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": "multiply-adds of a sample"}, "type": "log"},
        "yaxis": {"title": {"text": label(goal.name)}, **_scale(goal, trace["y"])},  # type: ignore[arg-type]
    }
    return Chart([trace], layout, f"{goal.name} against multiply-adds; a disc is as large as its network", 420)


def parameter_axes(record: SweepRecord, trials: Sequence[TrialRecord]) -> list[Axis]:
    """An axis for each key that any of the trials has."""
    axes = [axis(key, [trial.parameters.get(key) for trial in trials]) for key in swept_keys(record)]
    return [entry for entry in axes if any(value is not None for value in entry.values)]


def _settings(trials: Sequence[TrialRecord]) -> list[str]:
    return [label(typed(trial.parameters), 120) for trial in trials] if len(trials) <= HOVERED else [""] * len(trials)


def _means(trials: Sequence[TrialRecord], place: int) -> list[float]:
    return [trial.means[place] for trial in trials if trial.means is not None]


def _scale(goal: Objective, values: list[float]) -> dict[str, Any]:
    """A logarithmic axis for what is to become small and is spread over powers of ten."""
    spread = goal.direction == "minimize" and of_numbers(goal.name, values).log
    return {"type": "log"} if spread else {}


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[round(share * (len(values) - 1))]
