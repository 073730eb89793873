"""`couloir sample RUN --latent`: where the codes of the test split lie, and what stands at each place of their plane.

Codes of two numbers are shown as they are, with what the network makes of a grid of codes. Of longer ones there are two
pictures on a plane: principal components (Pearson, 1901), and t-SNE (van der Maaten and Hinton, 2008).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from couloir.artifacts.sample_grid import grid
from couloir.inference.sampling.drawing import Codes, Maker
from couloir.inference.sampling.pictures import marked, write_picture
from couloir.inference.sampling.words import LATENT_FILES
from couloir.record.files import as_csv, write_atomically, writing, written_whole

COLOURS = (
    "#CC6677", "#332288", "#B8A24A", "#117733", "#5BAFDD", "#882255", "#44AA99", "#777722", "#AA4499", "#333333",
)  # fmt: skip
"""Ten colours that people tell apart, also most of those who see no red or no green (after Paul Tol's `muted`, its sand
and cyan darker, on white).
"""
MARKERS = "os^Dv*PX<>"
"""Ten forms: of two classes with one colour each has its own, and they help where colours do not."""
NAMED = 20
"""Classes that have a colour and a form of their own at most: those with the most samples. All others are grey."""
OTHERS = "#BBBBBB"
SHOWN = 2_000
"""Samples in a picture at most: t-SNE compares each with each."""
PERPLEXITY = 30.0
"""Neighbours that count for a sample of t-SNE, about."""
SIDE = 20
"""Pictures of a side of the manifold."""
TAIL = 0.01
"""Of an autoencoder's codes the share that lies beyond the manifold on each side."""
LONGEST = 48
"""Letters of a run's name in a picture at most."""
PANEL, LEGEND, DPI = 4.6, 1.5, 120
"""Inches of a panel, inches of the legend, and dots of an inch."""


class Panel(NamedTuple):
    """Codes on a plane.

    Attributes:
        title: what was done.
        names: of the two axes.
        points: (N, 2).
    """

    title: str
    names: tuple[str, str]
    points: NDArray[np.float64]


def write_latent(folder: Path, maker: Maker, codes: Codes, title: str) -> list[Path]:
    """Write the codes, a picture of them and, where they have two numbers or one, the manifold; returns the files.

    Args:
        folder: it is there.
        maker: the run.
        codes: of the test split.
        title: what the picture says whose codes it shows.
    """
    table, numbers, scatter, manifold = (folder / name for name in LATENT_FILES)
    names = maker.classes if codes.labels is not None else []
    with writing(table):
        write_codes(table, numbers, codes, names)
        chosen = shown(len(codes.values))
        labels = None if codes.labels is None else codes.labels[chosen]
        panels = panels_of(codes.values[chosen].astype(np.float64))
        of = "" if len(chosen) == len(codes.values) else f"{len(chosen):,} of "
        whose = title if len(title) <= LONGEST else f"{title[: LONGEST - 3]}..."
        told = f"{whose}\ncodes of {of}{len(codes.values):,} test samples"
        write_atomically(scatter, marked(_png(scatter_figure(panels, labels, names, told))))
        written = [scatter, table, numbers]
        if codes.values.shape[1] <= 2 and maker.task.makes_images:
            pictures = torch.cat(list(maker.of(manifold_codes(codes.values, maker.task.can_draw))))
            write_picture(manifold, grid(pictures, SIDE, gap=0))
            written.insert(1, manifold)
        else:
            manifold.unlink(missing_ok=True)  # of an earlier time: the folder says what the newest codes are
    return written


def write_codes(table: Path, numbers: Path, codes: Codes, names: Sequence[str]) -> None:
    """Write the codes as CSV, with number and class of each sample, and as float32 (N, K).

    Args:
        table: it ends in `.csv`.
        numbers: it ends in `.npy`.
        codes: of samples.
        names: of the classes.
    """
    width = codes.values.shape[1]
    columns = ["sample", *(["class"] if codes.labels is not None else []), *(f"code_{k}" for k in range(width))]
    classes = [[]] * len(codes.values) if codes.labels is None else [[names[label]] for label in codes.labels.tolist()]
    rows = (
        [number, *named, *(f"{value:.9g}" for value in values)]
        for number, named, values in zip(codes.numbers.tolist(), classes, codes.values.tolist(), strict=True)
    )
    write_atomically(table, as_csv(columns, rows))
    with written_whole(numbers) as stream:
        np.save(stream, codes.values)


def shown(count: int) -> NDArray[np.int64]:
    """The places of at most `SHOWN` of some samples, spread evenly over all of them."""
    places: NDArray[np.int64] = np.linspace(0, count - 1, min(count, SHOWN)).round().astype(np.int64)
    return places


def panels_of(codes: NDArray[np.float64]) -> list[Panel]:
    """Codes (N, K) on planes.

    One number is spread at random along the other axis, two as they are, more by principal components and t-SNE.
    """
    count, width = codes.shape
    if width == 1:
        spread = np.random.default_rng(0).uniform(size=count)
        return [Panel("", ("code 0", "spread at random"), np.stack([codes[:, 0], spread], 1))]
    if width == 2:
        return [Panel("", ("code 0", "code 1"), codes)]
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    centred = codes - codes.mean(axis=0)
    varied = float(np.square(centred).sum()) > 0
    found = PCA(n_components=2, svd_solver="full").fit(codes) if varied and count > 1 else None
    points = np.zeros((count, 2)) if found is None else found.transform(codes)
    parts = (0.0, 0.0) if found is None else found.explained_variance_ratio_
    first = [f"component {number + 1} ({part:.0%} of the variance)" for number, part in enumerate(parts)]
    panels = [Panel("principal components", (first[0], first[1]), points)]
    if varied and count > 3:
        perplexity = min(PERPLEXITY, (count - 1) / 3)
        near = TSNE(perplexity=perplexity, init="pca", random_state=0, n_jobs=1).fit_transform(codes)
        panels.append(
            Panel("t-SNE", ("neighbours stay together; far distances say little", ""), near.astype(np.float64))
        )
    return panels


def scatter_figure(
    panels: Sequence[Panel], labels: NDArray[np.int64] | None, names: Sequence[str], title: str
) -> Figure:
    """Codes beside each other, coloured by class.

    Args:
        panels: at least one.
        labels: the class of each point, (N,); None: there are none.
        names: of the classes.
        title: of the whole.
    """
    groups = groups_of(labels, names)
    room = LEGEND if len(groups) > 1 else 0.15
    width, height = PANEL * len(panels) + room, PANEL
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    for number, panel in enumerate(panels):
        left, bottom = (number * PANEL + 0.72) / width, 0.62 / height
        axes = figure.add_axes((left, bottom, (PANEL - 0.87) / width, (height - 1.45) / height))
        _draw(axes, panel, groups)
    figure.text(
        0.72 / width, 1 - 0.1 / height, title.replace("$", r"\$"), ha="left", va="top", fontsize=9, color="black",
        linespacing=1.3,
    )  # fmt: skip
    if len(groups) > 1:
        handles, told = figure.axes[0].get_legend_handles_labels()
        figure.legend(
            handles, told, loc="center left", bbox_to_anchor=((PANEL * len(panels) - 0.05) / width, 0.5), fontsize=9,
            frameon=False, labelcolor="black", markerscale=1.8, handletextpad=0.3,
        )  # fmt: skip
    return figure


class Group(NamedTuple):
    """Points of one look: their name in the legend, which they are, (N,), colour and form."""

    name: str
    places: NDArray[np.bool_]
    colour: str
    marker: str


def groups_of(labels: NDArray[np.int64] | None, names: Sequence[str]) -> list[Group]:
    """The points by class; one group of all where there are no classes."""
    if labels is None:
        return [Group("", np.array([]), COLOURS[1], MARKERS[0])]
    counts = np.bincount(labels, minlength=len(names))
    most = [int(place) for place in np.argsort(-counts, kind="stable")[:NAMED] if counts[place]]
    found = []
    for look, label in enumerate(sorted(most)):
        place = look % len(COLOURS)
        marker = MARKERS[(look + look // len(COLOURS)) % len(MARKERS)]
        name = str(names[label])
        found.append(Group(name if len(name) <= 14 else f"{name[:13]}…", labels == label, COLOURS[place], marker))
    others = ~np.isin(labels, most)
    return [*found, Group("others", others, OTHERS, ".")] if others.any() else found


def _draw(axes: Axes, panel: Panel, groups: Sequence[Group]) -> None:
    count = len(panel.points)
    area = float(np.clip(12_000 / max(count, 1), 9, 30))
    order = np.random.default_rng(0)
    for group in groups:
        points = panel.points if not len(group.places) else panel.points[group.places]
        axes.scatter(
            points[:, 0], points[:, 1], s=area, c=group.colour, marker=group.marker, linewidths=0, alpha=0.85,
            label=group.name.replace("$", r"\$"), zorder=2 + order.uniform(),
        )  # fmt: skip
    axes.set_title(panel.title, fontsize=10, color="black")
    axes.set_xlabel(panel.names[0], fontsize=9, color="black")
    axes.set_ylabel(panel.names[1], fontsize=9, color="black")
    axes.tick_params(labelsize=8, colors="black")
    if not panel.names[1]:
        axes.tick_params(labelleft=False, labelbottom=False)
    axes.grid(visible=True, color="0.9", linewidth=0.6, zorder=0)


def manifold_codes(values: NDArray[np.float32], normal: bool) -> Tensor:
    """The codes of the manifold's pictures, row by row from the top, (SIDE or SIDE * SIDE, K).

    Args:
        values: the codes of samples, (N, 1) or (N, 2).
        normal: whether codes come from N(0, 1): then the places are its quantiles at equal steps (Kingma and Welling,
            2014, appendix A); else equal steps between the ends of the samples' codes, `TAIL` left out on each side.
    """
    steps = (torch.arange(SIDE, dtype=torch.float64) + 0.5) / SIDE
    if normal:
        quantiles: Tensor = torch.special.ndtri(steps)
        sides = [quantiles] * values.shape[1]
    else:
        low, high = np.quantile(values.astype(np.float64), [TAIL, 1 - TAIL], axis=0).tolist()
        sides = [torch.linspace(*ends, SIDE, dtype=torch.float64) for ends in zip(low, high, strict=True)]
    if len(sides) == 1:
        return sides[0][:, None].float()
    across, up = sides[0], sides[1].flip(0)  # as the axes of the scatter: to the right and upwards
    return torch.stack([across.repeat(SIDE), up.repeat_interleave(SIDE)], dim=1).float()


def _png(figure: Figure) -> bytes:
    FigureCanvasAgg(figure)
    stream = io.BytesIO()
    with matplotlib.rc_context({"text.usetex": False}):
        figure.savefig(stream, format="png")
    return stream.getvalue()
