"""A layer's values over a split in two dimensions: samples that the layer takes for alike lie near each other.

PCA keeps the two directions in which the values differ most. t-SNE keeps who is near to whom, and neither sizes of
groups nor distances between them (van der Maaten and Hinton, 2008, Visualizing Data using t-SNE; as there, it begins
with the first principal components).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from couloir.artifacts.page import Chart, label
from couloir.errors import CouloirError
from couloir.inference.explain.exhibit import Exhibit, Panel
from couloir.inference.explain.plates import Pixels
from couloir.inference.explain.subject import Shown, Subject
from couloir.inference.explain.words import Wanted
from couloir.palette import palette
from couloir.ragged import first
from couloir.record.files import as_csv, write_atomically

HIDDEN = "hidden"
"""What the last hidden layer is called in files."""
LEAST = 5
"""Samples that an embedding needs."""
NUMBERS = 4096
"""Numbers of a sample up to which a layer's maps are taken as they are; of larger ones the mean of each map counts."""
COMPONENTS, PERPLEXITY = 50, 30.0
"""Principal components that t-SNE sees, and its perplexity where there are samples enough."""
NAMED, COLOURS = 20, 10
"""Classes that a legend names at most, and colours of the page."""
DPI, INCHES = 110, 4.2
COLUMNS = ("sample", "truth", "answer", "pca_1", "pca_2", "tsne_1", "tsne_2")
Values = NDArray[np.float64]


@dataclass
class Cloud:
    """Samples of a split, and behind them those that are shown.

    Attributes:
        values: what a layer gives for each, (N, F).
        truth: the class of each, or its value; nan where it is not known.
        answers: the output that the network has chosen, or its value.
        names: of each.
        shown: how many of them, the last ones, are those that are explained.
        classes: whether truth and answers are classes.
        averaged: whether maps were averaged.
    """

    values: Values
    truth: Values
    answers: Values
    names: list[str]
    shown: int
    classes: bool
    averaged: bool = False

    @property
    def split(self) -> slice:
        """Those of the split."""
        return slice(0, len(self.names) - self.shown)


def principal_components(values: Values, count: int = 2) -> tuple[Values, Values]:
    """The coordinates of samples along the directions in which they differ most, and the share of the variance that
    each direction has.

    Args:
        values: (N, F).
        count: directions; of fewer columns or samples as many as there are.

    Returns:
        (N, count) and (count,); the signs are so that the largest coordinate of each direction is positive.
    """
    centred = values - values.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    found = (left * sizes)[:, :count]
    signs = np.sign(found[np.abs(found).argmax(axis=0), range(found.shape[1])])
    total = float((sizes**2).sum())
    return np.asarray(found * np.where(signs == 0, 1, signs)), sizes[:count] ** 2 / (total if total > 0 else 1.0)


def tsne(values: Values, seed: int = 0) -> Values:
    """The coordinates (N, 2) that t-SNE gives for samples (N, F); those of the same seed are the same."""
    from sklearn.manifold import TSNE

    first, _ = principal_components(values, COMPONENTS)
    perplexity = min(PERPLEXITY, max(1.0, (len(values) - 1) / 3))
    start = first[:, :2] if first.shape[1] > 1 else np.hstack([first, np.zeros_like(first)])
    start = start / max(float(start[:, 0].std()), 1e-30) * 1e-4  # as scikit-learn scales its own
    method = TSNE(2, perplexity=perplexity, init=start, random_state=seed, learning_rate="auto")
    return np.asarray(method.fit_transform(first), dtype=np.float64)


def own_class_nearest(values: Values, truth: Values) -> float:
    """The share of samples whose nearest other sample is of their own class."""
    near = _distances(values)
    np.fill_diagonal(near, np.inf)
    return float((truth[near.argmin(axis=1)] == truth).mean())


def _distances(values: Values) -> Values:
    sizes = (values**2).sum(axis=1)
    return np.asarray(np.maximum(sizes[:, None] + sizes - 2 * values @ values.T, 0))


def embedding(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """The values of some layers, by default of the last hidden one, over a split."""
    exhibits = []
    layers: Sequence[str | None] = [subject.layer(name).name for name in wanted.layers] or [None]
    for name in layers:
        cloud = _cloud(subject, shown, wanted, name)
        _check(cloud, name)
        exhibits.append(_exhibit(subject, wanted, name, cloud))
    return exhibits


def _layer_values(subject: Subject, x: Any, name: str | None) -> Tensor:
    """(B, F): what a layer gives, or the last hidden one."""
    if name is None:
        return subject.hidden(x)
    found = subject.outputs(x, name)
    return found.flatten(2).mean(dim=2) if _averages(found) else found.flatten(1)


def _averages(found: Tensor) -> bool:
    return found.ndim > 2 and found[0].numel() > NUMBERS


def _cloud(subject: Subject, shown: Shown, wanted: Wanted, name: str | None) -> Cloud:
    """What a layer gives over the split, and for the shown samples."""
    values: list[Tensor] = []
    truth: list[NDArray[Any]] = []
    answers: list[NDArray[Any]] = []
    names: list[str] = []
    for x, target, places in subject.split(wanted.split, wanted.most or None):
        values.append(_layer_values(subject, x, name).float().cpu())
        answers.append(_answers(subject, x))
        truth.append(_truth(subject, target, len(x)))
        names += [f"{wanted.split} sample {place}" for place in places]
    values.append(_layer_values(subject, shown.x, name).float().cpu())
    answers.append(_answers(subject, shown.x))
    known = shown.truth if shown.truth is not None and subject.chooses else [-1] * len(shown)
    truth.append(np.array([float(each) if each >= 0 else np.nan for each in known]))
    averaged = name is not None and _averages(_first_outputs(subject, shown, name))
    return Cloud(torch.cat(values).double().numpy(), np.concatenate(truth), np.concatenate(answers),
                 [*names, *shown.names], len(shown), subject.chooses, averaged)  # fmt: skip


def _first_outputs(subject: Subject, shown: Shown, name: str) -> Tensor:
    one: Any = first(shown.x, 1)
    return subject.outputs(one, name)


def _answers(subject: Subject, x: Tensor) -> NDArray[np.float64]:
    """The class that the network chooses, or the first of its values, (B,)."""
    found = subject.answers(x)
    return (found.argmax(dim=1) if subject.chooses else found[:, 0]).double().cpu().numpy()


def _truth(subject: Subject, target: Tensor | None, count: int) -> NDArray[np.float64]:
    """The class of each sample, or the first of its values in the data's units; nan where there is none."""
    kind = subject.data.kind
    if target is None or kind not in ("label", "value"):
        return np.full(count, np.nan)
    if kind == "value":
        return subject.as_answers(target.float().reshape(count, -1))[:, 0].double().cpu().numpy()
    classes = target.argmax(dim=1) if target.ndim > 1 else target
    return classes.double().cpu().numpy()


def _check(cloud: Cloud, name: str | None) -> None:
    """Whether there is something to embed.

    Raises:
        CouloirError: there is not.
    """
    count = len(cloud.names) - cloud.shown
    layer = "The last hidden layer" if name is None else f"The layer {name}"
    if count < LEAST:
        raise CouloirError(
            f"An embedding needs {LEAST} samples, and the split has {count}.",
            next_step="--split train, or a larger --most",
        )
    if not np.isfinite(cloud.values).all():
        raise CouloirError(
            f"{layer} gives values that are no numbers.", next_step="--methods dead_units, and look at the training"
        )
    if not np.ptp(cloud.values, axis=0).any():
        raise CouloirError(
            f"{layer} gives the same values for all samples, so there is nothing to lay out.",
            next_step="--methods dead_units says whether its units are dead; --layer names another one",
        )


def _exhibit(subject: Subject, wanted: Wanted, name: str | None, cloud: Cloud) -> Exhibit:
    """Charts, a picture and the coordinates of one layer."""
    points, shares = principal_components(cloud.values)
    if points.shape[1] == 1:
        points, shares = np.hstack([points, np.zeros_like(points)]), np.append(shares, 0.0)
    near = tsne(cloud.values, wanted.seed)
    layer = "the last hidden layer" if name is None else f"layer {name}"
    file = f"embedding_{name or HIDDEN}"
    axes = [f"component {at + 1} ({share:.0%} of the variance)" for at, share in enumerate(shares)]
    layouts = [("PCA", points, axes), ("t-SNE", near, ["", ""])]
    picture = _picture(subject, cloud, layouts)
    told = f"{layer}: PCA and t-SNE of {len(cloud.names):,} samples"
    panels = [Panel(file, told, picture, np.hstack([points, near]))]
    numbers: dict[str, Any] = {
        "layer": name, "split": wanted.split, "samples": len(cloud.names) - cloud.shown,
        "features": cloud.values.shape[1], "variance": [float(share) for share in shares], "own_class_nearest": None,
    }  # fmt: skip
    note = (
        f"The {cloud.values.shape[1]:,} values of {layer} for {len(cloud.names) - cloud.shown:,} samples of the "
        f"{wanted.split} split "
        f"{'by class' if cloud.classes else 'by value'}, and the shown samples as stars. "
        + ("Of maps the mean counts. " if cloud.averaged else "")
        + ("A cross is a sample that the network takes for another class. " if cloud.classes else "")
        + "t-SNE keeps who is near to whom; sizes of groups and the room between them mean nothing."
    )
    if cloud.classes and np.isfinite(cloud.truth[cloud.split]).all():
        share = own_class_nearest(cloud.values[cloud.split], cloud.truth[cloud.split])
        numbers["own_class_nearest"] = share
        note += f" Of {share:.1%} of the samples the nearest one in the layer is of their own class."
    _write(wanted, file, cloud, points, near, subject)
    charts = [_chart(subject, cloud, title, where, titles) for title, where, titles in layouts]
    return Exhibit("embedding", f"Samples as {layer} sees them", note, panels, charts, numbers=numbers, side=920)


def _groups(subject: Subject, cloud: Cloud) -> list[tuple[str, NDArray[np.bool_]]]:
    """The samples of the split by class, with the class's name; all of them where there are no classes."""
    inside = np.arange(len(cloud.names)) < len(cloud.names) - cloud.shown
    if not cloud.classes:
        return [("", inside)]
    there = sorted({int(each) for each in cloud.truth[inside & np.isfinite(cloud.truth)]})
    found = [(subject.name_of(each), inside & (cloud.truth == each)) for each in there]
    unknown = inside & ~np.isfinite(cloud.truth)
    return [*found, ("not known", unknown)] if unknown.any() else found


def _wrong(cloud: Cloud) -> NDArray[np.bool_]:
    """Which samples are taken for another class."""
    known = np.isfinite(cloud.truth) if cloud.classes else np.zeros(len(cloud.truth), dtype=bool)
    return np.asarray(known & (cloud.truth != cloud.answers))


def _said(subject: Subject, cloud: Cloud, at: int) -> str:
    """A sample in words."""
    truth, answer = cloud.truth[at], cloud.answers[at]
    if cloud.classes:
        known = f", {subject.name_of(int(truth))}" if np.isfinite(truth) else ""
        return f"{cloud.names[at]}{known}; answer {subject.name_of(int(answer))}"
    known = f", {truth:.4g}" if np.isfinite(truth) else ""
    return f"{cloud.names[at]}{known}; answer {answer:.4g}"


def _chart(subject: Subject, cloud: Cloud, title: str, where: Values, titles: Sequence[str]) -> Chart:
    """The samples as points that say what they are."""
    groups, wrong = _groups(subject, cloud), _wrong(cloud)
    traces: list[dict[str, Any]] = []
    for number, (name, chosen) in enumerate(groups):
        places = np.nonzero(chosen)[0]
        places = places[np.argsort(wrong[places], kind="stable")]  # the legend shows the first one's form
        marker: dict[str, Any] = {"size": 7, "opacity": 0.8, "color": _colour(number, len(groups)),
                                  "symbol": ["x" if wrong[at] else "circle" for at in places]}  # fmt: skip
        known = cloud.truth[places]
        if not cloud.classes and np.isfinite(known).all():
            scale = [[0, "--scale-low"], [0.5, "--scale-middle"], [1, "--scale-high"]]
            marker |= {"color": known.tolist(), "colorscale": scale, "showscale": True}
        traces.append(_points(where, places, [_said(subject, cloud, int(at)) for at in places], name, marker))
    places = np.arange(len(cloud.names) - cloud.shown, len(cloud.names))
    star = {"size": 15, "symbol": "star", "color": "--ink", "line": {"color": "--card", "width": 1}}
    traces.append(_points(where, places, [_said(subject, cloud, int(at)) for at in places], "shown", star))
    axes: list[dict[str, Any]] = [
        {"title": {"text": text}, "zeroline": False, "showticklabels": bool(text)} for text in titles
    ]
    layout = {"title": {"text": title, "x": 0.5, "y": 0.99}, "xaxis": axes[0], "yaxis": axes[1],
              "showlegend": len(groups) <= NAMED, "legend": {"orientation": "h", "y": -0.18, "yanchor": "top"},
              "margin": {"l": 56, "r": 16, "t": 34, "b": 46}}  # fmt: skip
    return Chart(traces, layout, f"{title} of a layer's values, each point a sample", 460)


def _points(where: Values, places: NDArray[Any], said: list[str], name: str, marker: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "markers", "name": label(name, 30) or "samples", "marker": marker,
        "x": where[places, 0].tolist(), "y": where[places, 1].tolist(), "text": [label(each, 90) for each in said],
        "hovertemplate": "%{text}<extra></extra>",
    }  # fmt: skip


def _colour(number: int, count: int) -> str:
    """Of a class on the page: one that follows light and dark, where these are enough."""
    if count <= COLOURS:
        return f"--c{number}"
    red, green, blue = (int(value) for value in palette()[1 + number % 250])
    return f"rgb({red},{green},{blue})"


def _picture(subject: Subject, cloud: Cloud, layouts: Sequence[tuple[str, Values, Sequence[str]]]) -> Pixels:
    """The same as a picture for files and paper."""
    figure = Figure(figsize=(2 * INCHES, INCHES + 0.5), dpi=DPI, facecolor="white", layout="constrained")
    groups, wrong = _groups(subject, cloud), _wrong(cloud)
    for at, (title, where, titles) in enumerate(layouts):
        axes = figure.add_subplot(1, 2, at + 1)
        for number, (name, chosen) in enumerate(groups):
            colour = tuple(int(value) / 255 for value in palette()[1 + number % 250])
            known = name.replace("$", r"\$")[:24] if at == 0 and len(groups) <= NAMED and name else None
            if not cloud.classes and np.isfinite(cloud.truth[chosen]).all():
                axes.scatter(where[chosen, 0], where[chosen, 1], s=12, c=cloud.truth[chosen], cmap="viridis")
                continue
            for marker, some in (("o", chosen & ~wrong), ("x", chosen & wrong)):
                axes.scatter(where[some, 0], where[some, 1], s=14, color=colour, marker=marker, linewidths=0.8,
                             label=known if marker == "o" else None)  # fmt: skip
        last = where[len(cloud.names) - cloud.shown :]
        axes.scatter(last[:, 0], last[:, 1], s=90, marker="*", color="black", edgecolors="white", linewidths=0.7,
                     label="shown" if at == 0 else None)  # fmt: skip
        axes.set_title(title, fontsize=10)
        axes.set_xlabel(titles[0], fontsize=8)
        axes.set_ylabel(titles[1], fontsize=8)
        axes.tick_params(labelsize=7)
        if not titles[0]:  # only who is near to whom has a meaning
            axes.set(xticks=[], yticks=[])
    figure.legend(loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    FigureCanvasAgg(figure)
    stream = io.BytesIO()
    with matplotlib.rc_context({"text.usetex": False}):
        figure.savefig(stream, format="png")
    return np.asarray(Image.open(stream).convert("RGB"))


def _write(wanted: Wanted, file: str, cloud: Cloud, points: Values, near: Values, subject: Subject) -> None:
    """The coordinates as a table.

    Raises:
        CouloirError: it cannot be written.
    """
    rows = []
    for at, name in enumerate(cloud.names):
        said = [
            "" if not np.isfinite(each) else subject.name_of(int(each)) if cloud.classes else f"{each:.6g}"
            for each in (cloud.truth[at], cloud.answers[at])
        ]
        rows.append([name, *said, *(f"{value:.6g}" for value in (*points[at], *near[at]))])
    place = wanted.output / f"{file}.csv"
    try:
        wanted.output.mkdir(parents=True, exist_ok=True)
        write_atomically(place, as_csv(COLUMNS, rows))
    except OSError as error:
        raise CouloirError(
            f"The coordinates cannot be written: {error.strerror or error}.", place=str(place),
            next_step="--output names another folder",
        ) from error  # fmt: skip
