"""`maps.png`: images beside their truth, what the network says of them, and where it is wrong; the worst first."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from couloir.config.fields import IGNORED
from couloir.config.metrics import facts
from couloir.metric.worst_maps import WorstMaps
from couloir.palette import coloured, palette

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

CLASSES, VALUES, SHARES, IMAGES = "classes", "values", "shares", "images"
"""What a map holds: numbers of classes, values in [0, 1], shares of its own largest value, or an image's colours."""
CELL, GAP, LABEL = 1.9, 0.08, 1.9
"""Inches of a picture's longer side at most, of the room between two, and of the words before a row."""
LEAST = 0.8
"""Inches of a row at least: its words need them."""
LONGEST = 28
"""Letters of a file's name at most: of a longer one the end is shown."""
HEAD, FOOT, LINE = 0.35, 0.25, 0.24
"""Inches of the titles, of what stands below a row of the legend, and of a line of the legend."""
DPI = 110
NAMED = 24
"""Classes that the legend names at most: those that have the most pixels in the pictures."""
IN_A_LINE = 6
WRONG, RIGHT, UNCOUNTED = (214, 39, 40), (238, 238, 238), (0, 0, 0)
HEAT = "magma"
Picture = NDArray[np.uint8]
"""(H, W, 3)."""


def maps_figure(worst: WorstMaps, kind: str, classes: Sequence[str]) -> Figure:
    """The pictures of some images as a figure.

    Args:
        worst: the images.
        kind: what their maps hold.
        classes: the names of the classes, where the maps have some.
    """
    from matplotlib.figure import Figure

    rows = [panels(planes, kind) for planes in worst.planes]
    titles, legend = list(TITLES[kind]), _legend(worst, kind, classes)
    if kind == IMAGES and all(np.array_equal(row[0], row[1]) for row in rows):  # nothing was made worse
        titles, rows = [titles[0], *titles[2:]], [[row[0], *row[2:]] for row in rows]
    lines = -(-len(legend) // IN_A_LINE)
    heights = [max(_breadths(row)[1], LEAST) + GAP for row in rows]
    width = LABEL + len(titles) * (CELL + GAP) + GAP
    height = HEAD + sum(heights) + FOOT + LINE * lines
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    for place, title in enumerate(titles):
        middle = LABEL + place * (CELL + GAP) + CELL / 2
        axes.text(middle, HEAD * 0.55, title, ha="center", va="center", fontsize=9, weight="bold", color="black")
    top = HEAD
    for number, (row, room) in enumerate(zip(rows, heights, strict=True)):
        axes.text(0.12, top + 0.05, _words(worst, number), ha="left", va="top", fontsize=7.5, color="black")
        breadth, depth = _breadths(row)
        for place, picture in enumerate(row):
            left = LABEL + place * (CELL + GAP) + (CELL - breadth) / 2
            axes.imshow(picture, extent=(left, left + breadth, top + depth, top), aspect="auto")
        top += room
    axes.set(xlim=(0, width), ylim=(height, 0))  # which each image has changed
    if legend:
        figure.legend(
            handles=legend, loc="lower center", ncols=min(IN_A_LINE, len(legend)), fontsize=8, frameon=False,
            handlelength=1.2, handleheight=1.0, labelcolor="black",
        )  # fmt: skip
    return figure


def _breadths(row: Sequence[Picture]) -> tuple[float, float]:
    """Width and height of a row's pictures in inches."""
    height, width = row[0].shape[:2]
    return CELL * width / max(height, width), CELL * height / max(height, width)


def maps_png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    stream = io.BytesIO()
    with matplotlib.rc_context({"text.usetex": False}):
        figure.savefig(stream, format="png")
    return stream.getvalue()


TITLES = {
    CLASSES: ("image", "truth", "prediction", "error"),
    VALUES: ("image", "truth", "prediction", "error"),
    SHARES: ("image", "truth", "prediction", "error"),
    IMAGES: ("input", "clean", "answer", "error"),
}
"""What stands above the pictures."""


def panels(planes: NDArray[np.uint8], kind: str) -> list[Picture]:
    """The four pictures of one image, one size each.

    Args:
        planes: of `WorstMaps`, (P, H, W).
        kind: what the maps hold.
    """
    if kind == IMAGES:
        given, clean, answer = (_as_image(part) for part in np.split(planes, 3))
        error = np.abs(clean.astype(np.int16) - answer).mean(axis=2) / 255
        return [given, clean, answer, _heat(error / max(float(error.max()), 1e-6))]
    image, truth, said = _as_image(planes[:-2]), planes[-2], planes[-1]
    if kind == CLASSES:
        error = np.where((truth == said)[..., None], RIGHT, WRONG).astype(np.uint8)
        error[truth == IGNORED] = UNCOUNTED
        return [image, coloured(truth), coloured(said), error]
    shown = [part.astype(np.float64) / 255 for part in (truth, said)]
    return [image, _heat(shown[0]), _heat(shown[1]), _heat(np.abs(shown[0] - shown[1]))]


def _as_image(planes: NDArray[np.uint8]) -> Picture:
    """Planes (1, H, W) or (3, H, W) as a picture."""
    return np.ascontiguousarray(np.broadcast_to(planes.transpose(1, 2, 0), (*planes.shape[1:], 3)))


def _heat(values: NDArray[np.float64]) -> Picture:
    """Values from 0 to 1 as dark to bright."""
    import matplotlib

    colours: Callable[[Any], Any] = matplotlib.colormaps[HEAT]
    shown: Picture = (colours(values)[..., :3] * 255).round().astype(np.uint8)
    return shown


def _words(worst: WorstMaps, number: int) -> str:
    """What stands before a row: which image it is, and its numbers."""
    told = [f"no. {worst.position[number]}"]
    if worst.files:
        name = worst.files[number].replace("$", r"\$")
        told.append(name if len(name) <= LONGEST else f"...{name[3 - LONGEST :]}")
    for name, values in worst.numbers.items():
        value = values[number]
        told.append(f"{facts(name).label} {value:.3f}" if value == value else f"{facts(name).label}: none")
    return "\n".join(told)


def _legend(worst: WorstMaps, kind: str, classes: Sequence[str]) -> list[Patch]:
    """What the colours mean."""
    if kind != CLASSES:
        top = {VALUES: "1", SHARES: "largest value of both maps", IMAGES: "largest error of an image"}[kind]
        shades = _heat(np.array([[0.0, 0.5, 1.0]]))[0]
        return [_patch(shade, label) for shade, label in zip(shades, ("0", "half", top), strict=True)]
    counts = np.bincount(np.concatenate([planes[-2:].reshape(-1) for planes in worst.planes]), minlength=256)
    there = [int(place) for place in np.argsort(-counts, kind="stable") if counts[place] and place != IGNORED]
    known = sorted(there[:NAMED])
    names = [(classes[place] if place < len(classes) else str(place)).replace("$", r"\$") for place in known]
    entries = [_patch(palette()[place], name[:20]) for place, name in zip(known, names, strict=True)]
    entries.append(_patch(WRONG, "wrong"))
    return [*entries, _patch(UNCOUNTED, "does not count")] if counts[IGNORED] else entries


def _patch(colour: Sequence[int] | NDArray[np.uint8], label: str) -> Patch:
    """An entry of the legend."""
    from matplotlib.patches import Patch

    red, green, blue = (int(value) / 255 for value in colour)
    return Patch(facecolor=(red, green, blue), edgecolor="grey", linewidth=0.5, label=label)
