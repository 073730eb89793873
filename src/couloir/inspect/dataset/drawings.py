"""Charts of a data set: counts, histograms, correlations, points."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from couloir.artifacts.page import Chart, label
from couloir.data.health import WORDS
from couloir.inspect.dataset.columns import Seen, Target, with_target
from couloir.inspect.dataset.facts import Look
from couloir.inspect.dataset.numbers import Numbers, edges_of, histogram
from couloir.inspect.dataset.pixels import LEVELS, Pixels

BARS = 60
"""Classes in a chart at most, the largest of the training split."""
COLOURED = 10
"""Up to so many classes, a histogram shows each in a colour."""
COLUMNS = 24
"""Columns that are drawn at most, those that go most closely together with the target."""
CATEGORIES = 12
"""Categories of a chart at most, the most frequent ones."""
MATRIX = 40
"""Columns of the matrix of correlations at most."""
WRITTEN = 12
"""Up to so many columns, the numbers stand in the matrix."""
POINTS = 2000
"""Points of a chart at most, evenly spaced."""
SPLIT_COLOURS = {"train": "--c0", "val": "--c1", "test": "--c2"}
CHANNEL_COLOURS = ("--bad", "--good", "--accent")
DAY = 86_400_000
"""Milliseconds."""
DIVERGING = [[0, "--best"], [0.5, "--card"], [1, "--accent"]]


def class_counts(counted: dict[str, Any]) -> Chart:
    """Bars of each class's count, a colour a split."""
    names, counts = counted["names"], counted["counts"]
    order = list(range(len(names)))
    if len(names) > BARS:
        first = next(iter(counts.values()))
        order = sorted(sorted(order, key=lambda at: -first[at])[:BARS])
    shown = _unique([names[at] for at in order])
    traces = [
        {"type": "bar", "name": WORDS[split], "x": shown, "y": [each[at] for at in order],
         "marker": {"color": SPLIT_COLOURS.get(split, "--c3")},
         "hovertemplate": "%{x}: %{y:,}<extra>" + WORDS[split] + "</extra>"}
        for split, each in counts.items()
    ]  # fmt: skip
    layout = {
        "barmode": "stack", "xaxis": {"type": "category", "showgrid": False},
        "yaxis": {"title": {"text": counted["counted"]}},
    }  # fmt: skip
    return Chart(traces, layout, f"{counted['counted']} of each class, by split", 300)


def _unique(names: list[str]) -> list[str]:
    """Names for an axis, no two the same."""
    short = [label(name, 24) for name in names]
    return [name if short.count(name) == 1 else f"{name} ({at})" for at, name in enumerate(short)]


def values(look: Look) -> list[Chart]:
    """A histogram of each value to predict, a colour a split."""
    target = look.target or _target_alone(look)
    if target is None or target.values is None:
        return []
    sizes = [split["samples"] for split in look.facts["splits"].values()]
    found = []
    for name, column in zip(target.names, target.values.T, strict=True):
        edges = edges_of(column)
        parts = np.split(column, np.cumsum(sizes)[:-1])
        traces = [
            _bars(edges, histogram(part, edges), WORDS[split], SPLIT_COLOURS.get(split, "--c3"))
            for split, part in zip(look.facts["splits"], parts, strict=True)
        ]
        found.append(Chart(traces, _stacked(name, "samples"), f"histogram of {name}", 260))
    return found


def _target_alone(look: Look) -> Target | None:
    """The values that images are to be told."""
    from couloir.inspect.dataset.columns import target_of

    return target_of(look.data)


def _bars(edges: Numbers, counts: list[int], name: str, colour: str) -> dict[str, Any]:
    centres = ((edges[:-1] + edges[1:]) / 2).tolist()
    return {
        "type": "bar", "x": centres, "y": counts, "width": (edges[1:] - edges[:-1]).tolist(), "name": label(name, 24),
        "marker": {"color": colour, "line": {"width": 0}},
        "hovertemplate": "%{x:.5g}: %{y:,}<extra>%{fullData.name}</extra>",
    }  # fmt: skip


def _stacked(title: str, counted: str) -> dict[str, Any]:
    return {
        "barmode": "stack", "bargap": 0.02, "xaxis": {"title": {"text": label(title, 40)}},
        "yaxis": {"title": {"text": counted}}, "margin": {"l": 50, "r": 10, "t": 34, "b": 44},
    }  # fmt: skip


def levels(pixels: Pixels) -> Chart:
    """How often each channel has each level."""
    several = len(pixels.counts) == len(CHANNEL_COLOURS)
    x = (np.arange(LEVELS) / (LEVELS - 1)).tolist()
    traces = []
    for channel, counts in enumerate(pixels.counts):
        colour = CHANNEL_COLOURS[channel] if several else f"--c{channel % 10}"
        shares = (counts / max(1, int(counts.sum()))).tolist()
        traces.append({
            "type": "scatter", "mode": "lines", "x": x, "y": shares, "name": f"channel {channel}",
            "line": {"color": colour, "width": 1.4, "shape": "hvh"}, "showlegend": len(pixels.counts) > 1,
        })  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": "value of a pixel"}},
        "yaxis": {"title": {"text": "share of the pixels"}, "rangemode": "tozero"},
    }
    return Chart(traces, layout, "how often each channel has each value", 260)


def photograph_sizes(look: Look) -> list[Chart]:
    """Width against height of the photographs, and how many have which ratio."""
    assert look.headers is not None
    sizes = look.headers.sizes()
    if not len(sizes):
        return []
    chosen = sizes[:: max(1, -(-len(sizes) // POINTS))]
    pairs, counts = np.unique(chosen, axis=0, return_counts=True)
    points = {
        "type": "scatter", "mode": "markers", "x": pairs[:, 0].tolist(), "y": pairs[:, 1].tolist(), "showlegend": False,
        "marker": {"size": np.clip(4 + 2 * np.log2(counts), 4, 20).tolist(), "color": "--accent", "opacity": 0.6},
        "customdata": counts.tolist(), "hovertemplate": "%{x} × %{y}: %{customdata}<extra></extra>",
    }  # fmt: skip
    layout = {"xaxis": {"title": {"text": "width"}, "rangemode": "tozero"},
              "yaxis": {"title": {"text": "height"}, "rangemode": "tozero"}}  # fmt: skip
    ratio = np.log2(sizes[:, 0] / sizes[:, 1])
    edges = edges_of(ratio, 24)
    bars = _bars(edges, histogram(ratio, edges), "photographs", "--c0") | {"showlegend": False}
    ratios = _stacked("width / height as a power of 2", "photographs")
    return [
        Chart([points], layout, "width and height of the photographs", 280),
        Chart([bars], ratios, "ratios of the photographs' sides", 280),
    ]


def distributions(look: Look) -> tuple[list[Chart], str]:
    """A histogram or bars of each column, a colour a class, and a sentence about them."""
    used = [column for column in look.columns if column.used]
    order = used if look.target is None else sorted(used, key=lambda column: -_closeness(column, look.target))
    chosen = [column for column in used if column in order[:COLUMNS]] if len(used) > COLUMNS else used
    note = "Over all rows that are used."
    if len(used) > COLUMNS:
        note = f"The {COLUMNS} of {len(used)} columns that go together with the target most closely."
    target = look.target
    if target is not None and target.classes is not None:
        there = len(np.unique(target.classes))
        note += " A colour is a class." if there <= COLOURED else f" There are {there} classes, too many for colours."
    return [_distribution(column, target) for column in chosen], note


def _closeness(column: Seen, target: Target | None) -> float:
    goes = None if target is None else with_target(column, target)
    return 0.0 if goes is None else abs(float(goes["value"]))


def _distribution(column: Seen, target: Target | None) -> Chart:
    groups = _groups(len(column.missing), target)
    layout = _stacked(column.name, "rows")
    if column.codes is not None:
        counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.words))
        order = np.argsort(-counts, kind="stable")[:CATEGORIES].tolist()
        names = _unique([column.words[at] for at in order])
        traces = []
        for name, colour, rows in groups:
            own = np.bincount(column.codes[rows & (column.codes >= 0)], minlength=len(column.words))
            traces.append({
                "type": "bar", "x": names, "y": own[order].tolist(), "name": label(name, 24),
                "marker": {"color": colour},
                "hovertemplate": "%{x}: %{y:,}<extra>%{fullData.name}</extra>",
            })  # fmt: skip
        layout["xaxis"] |= {"type": "category", "showgrid": False}
    else:
        assert column.numbers is not None
        edges, numbers = edges_of(column.numbers), column.numbers
        traces = [_bars(edges, histogram(numbers[rows], edges), name, colour) for name, colour, rows in groups]
        if column.kind == "date":
            layout["xaxis"] |= {"type": "date"}
            for trace in traces:  # plotly counts milliseconds since 1970
                trace |= {"x": [day * DAY for day in trace["x"]], "width": [days * DAY for days in trace["width"]]}
                trace |= {"hovertemplate": "%{x}: %{y:,}<extra>%{fullData.name}</extra>"}
    for trace in traces:
        trace["showlegend"] = len(groups) > 1
    return Chart(traces, layout, f"distribution of {column.name}", 250)


def _groups(rows: int, target: Target | None) -> list[tuple[str, str, NDArray[np.bool_]]]:
    """The rows by class: name, colour, which ones; all together where there are no classes, or too many."""
    if target is None or target.classes is None:
        return [("rows", "--c0", np.ones(rows, dtype=bool))]
    there = np.unique(target.classes).tolist()
    if len(there) > COLOURED:
        return [("rows", "--c0", np.ones(rows, dtype=bool))]
    return [(target.names[at], f"--c{place}", target.classes == at) for place, at in enumerate(there)]


def points(look: Look) -> list[Chart]:
    """The points of a table with two columns of numbers; of one or more values against the only column."""
    numbers = [column for column in look.columns if column.used and column.numbers is not None]
    if len(numbers) != 2 or len([column for column in look.columns if column.used]) != 2:
        return []
    one, other = numbers
    traces = []
    for name, colour, rows in _groups(len(one.missing), look.target):
        traces.append(_scatter(one, other.numbers, rows, name, colour))
    layout = {
        "xaxis": {"title": {"text": label(one.name, 40)}},
        "yaxis": {"title": {"text": label(other.name, 40)}, "scaleanchor": "x"},
    }
    return [Chart(traces, layout, "the points of the table", 460, max_width=640)]


def _scatter(column: Seen, y: Any, rows: NDArray[np.bool_], name: str, colour: str) -> dict[str, Any]:
    assert column.numbers is not None
    chosen = np.flatnonzero(rows)
    chosen = chosen[:: max(1, -(-len(chosen) // POINTS))]
    return {
        "type": "scatter", "mode": "markers", "x": column.numbers[chosen].tolist(), "y": np.asarray(y)[chosen].tolist(),
        "name": label(name, 24), "showlegend": name not in ("rows", ""),
        "marker": {"size": 4, "color": colour, "opacity": 0.65},
    }  # fmt: skip


def against_values(look: Look) -> tuple[list[Chart], str]:
    """The values to predict against the columns of numbers that go together with them most closely."""
    target = look.target
    if target is None or target.values is None:
        return [], ""
    numbers = [column for column in look.columns if column.used and column.numbers is not None]
    order = sorted(numbers, key=lambda column: -_closeness(column, target))[:6]
    found = []
    for column in order:
        goes = with_target(column, target)
        at = target.names.index(goes["with"]) if goes is not None and goes["with"] in target.names else 0
        rows = np.ones(len(column.missing), dtype=bool)
        trace = _scatter(column, target.values[:, at], rows, "", "--c0")
        layout = {
            "xaxis": {"title": {"text": label(column.name, 40)}},
            "yaxis": {"title": {"text": label(target.names[at], 40)}},
            "margin": {"l": 56, "r": 10, "t": 10, "b": 44},
        }
        found.append(Chart([trace], layout, f"{target.names[at]} against {column.name}", 260))
    return found, "The columns of numbers whose correlation with a value is strongest."


def correlation_matrix(look: Look) -> tuple[Chart | None, str]:
    """The heat map of the correlations, and a sentence about it."""
    given = look.facts["correlations"]
    if given is None:
        return None, ""
    names, matrix = given["names"], given["matrix"]
    places = list(range(len(names)))
    note = "Pearson's correlation of each two columns of numbers, over the rows where both have a value."
    if len(names) > MATRIX:
        strength = [max((abs(value or 0.0) for other, value in enumerate(row) if other != at), default=0.0)
                    for at, row in enumerate(matrix)]  # fmt: skip
        places = sorted(sorted(places, key=lambda at: -strength[at])[:MATRIX])
        note += f" The {MATRIX} of {len(names)} columns with the strongest ones."
    shown = _unique([names[at] for at in places])
    z = [[matrix[row][column] for column in places] for row in places]
    trace: dict[str, Any] = {
        "type": "heatmap", "x": shown, "y": shown, "z": z, "zmin": -1, "zmax": 1, "colorscale": DIVERGING,
        "hovertemplate": "%{y}, %{x}: %{z:.3f}<extra></extra>", "colorbar": {"thickness": 12, "outlinewidth": 0},
    }  # fmt: skip
    if len(places) <= WRITTEN:
        trace["texttemplate"] = "%{z:.2f}"
    layout = {
        "xaxis": {"type": "category", "showgrid": False, "constrain": "domain"},
        "yaxis": {"type": "category", "autorange": "reversed", "showgrid": False},
        "margin": {"l": 56, "r": 16, "t": 10, "b": 46},
    }
    size = max(280, min(760, 120 + 30 * len(places)))
    return Chart([trace], layout, f"correlations of {len(places)} columns", size, max_width=size + 160), note
