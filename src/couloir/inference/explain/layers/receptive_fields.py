"""Receptive fields: which pixels a unit can depend on, and which of them count.

The theoretical field follows from the network's form (`dependence.py`). The effective one is measured: the mean
absolute gradient of the middle unit over inputs, which falls off from the middle like a Gaussian and fills a part of
the theoretical field alone (Luo, Li, Urtasun and Zemel, 2016, Understanding the Effective Receptive Field in Deep
Convolutional Neural Networks).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from couloir.artifacts.page import Cell, details, table
from couloir.inference.explain.exhibit import Exhibit, Panel, as_picture
from couloir.inference.explain.layers.dependence import Fields, trace
from couloir.inference.explain.layers.positive import measured
from couloir.inference.explain.layers.seen import map_layers
from couloir.inference.explain.plates import Pixels, boxed, resized
from couloir.inference.explain.subject import PASSING, Met, Shown, Subject
from couloir.inference.explain.words import Wanted
from couloir.palette import palette

INPUTS = 4
"""Inputs over which the effective field is measured."""
SHARE = 0.95
"""Of the gradient, which the effective field holds."""
DRAWN = 5
"""Layers whose fields are drawn, where nobody names some."""
PICTURE, WIDTH, DPI = 224, 4.2, 100
"""Pixels of a map's longer side, inches of the drawing, and dots in an inch."""
MEASURED = 12
"""Layers without a rule that are measured, which takes a pass and back each, where nobody names them."""
AROUND = 1.0
"""How far the drawing goes beyond the image at most, in its own sides."""
AT_ONCE = 16
"""Layers that the table shows at once; more are shown when they are asked for."""
Box = tuple[int, int, int, int]
"""The first and the last row, the first and the last column, all of them within."""


@dataclass(frozen=True)
class ReceptiveField:
    """What the units of one layer can depend on.

    Attributes:
        met: the layer.
        subject: the network.
        fields: of each unit; None: no rule says them, and they are measured.
        image: rows and columns of the image.
    """

    met: Met
    subject: Subject
    fields: Fields | None
    image: tuple[int, int]

    @property
    def is_measured(self) -> bool:
        """Whether it is measured for each unit that is asked for, so that it ends where the image does."""
        return self.fields is None

    @property
    def middle(self) -> tuple[int, int]:
        """The row and the column of the middle unit."""
        return self.met.shape[1] // 2, self.met.shape[2] // 2

    def box(self, unit: tuple[int, int], inside: bool = False) -> Box:
        """The pixels of one unit by its row and column.

        Args:
            unit: the unit.
            inside: those in the image alone; else also those that would be there if maps went on beyond their borders.
        """
        if self.fields is None:
            seen = measured(self.subject.net, self.subject.empty(), self.met.name, unit)
            if not seen.any():  # a call that passes no gradient hides it
                seen = np.ones_like(seen)
            rows, columns = np.nonzero(seen.any(axis=1))[0], np.nonzero(seen.any(axis=0))[0]
            return int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])
        field = self.fields.inside if inside else self.fields.whole
        return *field.rows.at(unit[0]), *field.columns.at(unit[1])

    @cached_property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the middle unit's field."""
        top, bottom, left, right = self.box(self.middle)
        return bottom - top + 1, right - left + 1

    @cached_property
    def step(self) -> tuple[float, float]:
        """Pixels from the field of one unit to that of the next, the mean over the map; 0: all units see the same."""
        if self.fields is None:
            return float("nan"), float("nan")
        steps = []
        for axis, count in zip((self.fields.whole.rows, self.fields.whole.columns), self.met.shape[1:], strict=True):
            many = max(1, count - 1)
            steps.append((axis.at(many)[0] - axis.at(0)[0]) / many)
        return steps[0], steps[1]

    @cached_property
    def start(self) -> tuple[int, int]:
        """The first row and column of the first unit's field; below zero they lie in the padding."""
        top, _, left, _ = self.box((0, 0))
        return top, left

    @cached_property
    def share(self) -> float:
        """The part of the image's pixels that the middle unit can depend on."""
        height, width = self.image
        top, bottom, left, right = self.box(self.middle, inside=True)
        return (bottom - top + 1) * (right - left + 1) / (height * width)


def fields_of(subject: Subject, layers: Sequence[Met]) -> list[ReceptiveField]:
    """The theoretical fields of layers with maps."""
    x = subject.empty()
    found = trace(subject.net, x, [met.name for met in layers])
    known = {name: fields for name, fields in found.items() if fields.whole.known and fields.whole.is_placed}
    return [ReceptiveField(met, subject, known.get(met.name), (x.shape[-2], x.shape[-1])) for met in layers]


def effective(subject: Subject, x: Tensor, layers: Sequence[Met], seed: int = 0) -> list[NDArray[np.float32]]:
    """The mean absolute gradient of each layer's middle unit, over inputs and over signs drawn for its channels.

    Args:
        subject: the network.
        x: standardised inputs (N, C, H, W).
        layers: with maps.
        seed: what the signs follow from.

    Returns:
        for each layer (H, W): the sum over the image's channels.
    """
    generator = torch.Generator().manual_seed(seed)
    given = x.detach().clone().requires_grad_()
    with torch.enable_grad(), subject.kept([met.name for met in layers]) as found:
        subject.net(given)
    maps = []
    for at, met in enumerate(layers):
        unit = found[met.name][:, :, met.shape[1] // 2, met.shape[2] // 2]
        signs = torch.randint(0, 2, unit.shape, generator=generator).to(unit.device) * 2.0 - 1.0
        kept = at + 1 < len(layers)
        (gradient,) = torch.autograd.grad((unit * signs).sum(), given, retain_graph=kept)
        maps.append(gradient.abs().sum(dim=1).mean(dim=0).float().cpu().numpy())
    return maps


def held_in(values: NDArray[Any], share: float = SHARE) -> int:
    """The least number of pixels that hold a share of a map's sum; 0 where all of it is zero."""
    descending = np.sort(values.astype(np.float64).ravel())[::-1].cumsum()
    return 0 if descending[-1] == 0 else int(np.searchsorted(descending, share * descending[-1] * (1 - 1e-12)) + 1)


def gaussian_width(values: NDArray[Any]) -> tuple[float, float]:
    """The deviations, along rows and along columns, of the Gaussian with a map's own mean and variance: that of the
    greatest likelihood, where the map is a density. In pixels.
    """
    total = float(values.sum())
    deviations = []
    for axis in (1, 0):
        weights, places = values.sum(axis=axis, dtype=np.float64) / total, np.arange(values.shape[1 - axis])
        mean = float((weights * places).sum())
        deviations.append(float(np.sqrt((weights * (places - mean) ** 2).sum())))
    return deviations[0], deviations[1]


def receptive_fields(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """The fields of all layers with maps as a table, of some as boxes, and of these the effective ones."""
    chosen = map_layers(subject, wanted, DRAWN)
    every = [met for met in subject.mapped if met.kind not in PASSING]
    every += [met for met in chosen if met not in every]
    fields = fields_of(subject, every)
    by_name = {field.met.name: field for field in fields}
    some = [by_name[met.name] for met in chosen]
    unruled = [field for field in fields if field.is_measured]
    kept = {round(at * (len(unruled) - 1) / (MEASURED - 1)) for at in range(MEASURED)}
    left_out = [field for at, field in enumerate(unruled) if at not in kept and field not in some]
    fields = [field for field in fields if field not in left_out]
    html, facts = _table(fields)
    drawn = Panel("receptive_fields", "the fields of the middle units", _drawing(shown.pixels[0], some))
    note = (
        "What a unit in the middle of each layer can depend on; a step is the distance between two neighbours' fields. "
        "A field that begins below zero, or is larger than the image, lies partly in the padding."
    )
    if any(field.is_measured for field in fields):
        note += " Sizes with a ~ are measured in the image, since the network has calls that no rule describes."
        note += f" {len(left_out)} more of these layers are left out; --layer names them." if left_out else ""
    measure = chosen if wanted.layers else [chosen[0], chosen[len(chosen) // 2], chosen[-1]]
    measure = list(dict.fromkeys(measure))
    panels, numbers, told = _effective(subject, shown, wanted, [by_name[met.name] for met in measure])
    return [
        Exhibit("receptive_fields", "Theoretical receptive fields", note, [drawn], html=html,
                numbers={"layers": facts}, side=int(WIDTH * DPI)),
        Exhibit("receptive_fields", "Effective receptive fields", told, panels, numbers={"effective": numbers},
                side=PICTURE),
    ]  # fmt: skip


def _table(fields: Sequence[ReceptiveField]) -> tuple[str, list[dict[str, Any]]]:
    """The fields as a table, and as plain values."""
    rows, facts = [], []
    before: tuple[Any, ...] = ()
    for at, field in enumerate(fields):
        met, (height, width) = field.met, field.size
        size = f"{'~' * field.is_measured}{height}" + (f" x {width}" if width != height else "")
        steps, starts = field.step, field.start
        step = "" if field.is_measured else _one_or_two([f"{value:g}" for value in steps])
        facts.append({
            "layer": met.name, "kind": met.kind, "shape": list(met.shape), "size": [height, width],
            "step": None if field.is_measured else list(steps), "start": list(starts), "share": field.share,
            "measured": field.is_measured,
        })  # fmt: skip
        same = (met.shape, field.size, steps, starts)
        if same == before:  # an activation, say
            continue
        before = same
        rows.append([
            Cell(met.name, at, "code"), Cell(met.kind),
            Cell(f"{met.shape[0]} x {met.shape[1]} x {met.shape[2]}", met.shape[1] * met.shape[2], "number"),
            Cell(size, height * width, "number"), Cell(step, None if field.is_measured else steps[0], "number"),
            Cell(_one_or_two([str(value) for value in starts]), starts[0], "number"),
            Cell(f"{field.share:.1%}", field.share, "number"),
        ])  # fmt: skip
    columns = ("layer", "kind", "maps", "field", "step", "the first begins at", "of the image")
    html = table(columns, rows, "the receptive field of each layer, in pixels")
    return (html if len(rows) <= AT_ONCE else details(f"all {len(rows)} layers", html)), facts


def _one_or_two(values: Sequence[str]) -> str:
    return values[0] if len(set(values)) == 1 else ", ".join(values)


def _drawing(pixels: Tensor, fields: Sequence[ReceptiveField]) -> Pixels:
    """The fields of some layers' middle units as boxes on an image."""
    picture = as_picture(pixels)
    height, width = picture.shape[:2]
    boxes = [field.box(field.middle) for field in fields]
    margin = max([0, *(reach for top, bottom, left, right in boxes
                       for reach in (-top, bottom + 1 - height, -left, right + 1 - width))])  # fmt: skip
    margin = min(margin, int(AROUND * max(height, width))) + max(1, max(height, width) // 40)
    size = width + 2 * margin, height + 2 * margin
    lines = len(fields) * 0.165 + 0.1
    figure = Figure(figsize=(WIDTH, WIDTH * size[1] / size[0] + lines), dpi=DPI, facecolor="white")
    share = lines / (WIDTH * size[1] / size[0] + lines)
    axes = figure.add_axes((0, share, 1, 1 - share))
    axes.set_axis_off()
    axes.imshow(picture, interpolation="nearest", cmap="gray", vmin=0, vmax=255)
    handles = []
    for at, (field, (top, bottom, left, right)) in enumerate(zip(fields, boxes, strict=True)):
        red, green, blue = (int(value) / 255 for value in palette()[1 + at % 11])
        box = Rectangle((left - 0.5, top - 0.5), right - left + 1, bottom - top + 1, fill=False, linewidth=2,
                        edgecolor=(red, green, blue))  # fmt: skip
        box.set_label(f"{field.met.name}: {_one_or_two([str(side) for side in field.size])} pixels".replace("$", r"\$"))
        box.set_zorder(20 - at)  # small fields above large ones, whose edges they may share
        axes.add_patch(box)
        handles.append(box)
    axes.set(xlim=(-0.5 - margin, width - 0.5 + margin), ylim=(height - 0.5 + margin, -0.5 - margin))
    figure.legend(handles=handles, loc="lower center", fontsize=8, frameon=False, labelcolor="black",
                  bbox_to_anchor=(0.5, 0), borderaxespad=0.2, labelspacing=0.3)  # fmt: skip
    return _as_pixels(figure)


def _as_pixels(figure: Figure) -> Pixels:
    FigureCanvasAgg(figure)
    stream = io.BytesIO()
    with matplotlib.rc_context({"text.usetex": False}):
        figure.savefig(stream, format="png")
    return np.asarray(Image.open(stream).convert("RGB"))


def _effective(
    subject: Subject, shown: Shown, wanted: Wanted, fields: Sequence[ReceptiveField]
) -> tuple[list[Panel], list[dict[str, Any]], str]:
    """The effective fields: pictures, numbers, and how they were measured."""
    x = shown.x[:INPUTS]
    noise = INPUTS - len(x)
    if noise:
        generator = torch.Generator().manual_seed(wanted.seed)
        drawn = torch.rand(noise, *x.shape[1:], generator=generator)
        x = torch.cat([x, subject.standardised(drawn.to(x.device))])
    maps = effective(subject, x, [field.met for field in fields], wanted.seed)
    panels, numbers = [], []
    for field, values in zip(fields, maps, strict=True):
        top, bottom, left, right = field.box(field.middle, inside=True)
        area = (bottom - top + 1) * (right - left + 1)
        pixels, name = held_in(values), field.met.name
        fact: dict[str, Any] = {"layer": name, "pixels": pixels, "share": pixels / area, "width": None}
        told = f"{name}: no gradient passes"
        if pixels:
            rows, columns = gaussian_width(values)
            fact["width"] = [rows, columns]
            told = f"{name}: {pixels / area:.0%} of the field holds {SHARE:.0%}; Gaussian of {rows:.1f} x {columns:.1f}"
        numbers.append(fact)
        panels.append(Panel(f"effective_field_{name}", told, _heat(values, (top, bottom, left, right)), values))
    images = f"{len(x) - noise} sample{'s' * (len(x) - noise > 1)}" + (
        f" and {noise} image{'s' * (noise > 1)} of noise" if noise else ""
    )
    told = (
        f"How much the middle unit of a layer changes with each pixel: the mean absolute gradient over {images}, "
        "brighter is more. The box is the theoretical field; widths are deviations in pixels, along rows and columns."
    )
    return panels, numbers, told


def _heat(values: NDArray[np.float32], box: Box) -> Pixels:
    """A map as dark to bright, by the root, so that its tails are seen; with the outline of the theoretical field."""
    shares = np.sqrt(values / max(float(values.max()), 1e-30))
    colours = (matplotlib.colormaps["magma"](shares)[..., :3] * 255).round().astype(np.uint8)
    factor = max(1, PICTURE // max(values.shape))
    large = resized(colours, max(PICTURE, max(values.shape)))
    top, bottom, left, right = (value * factor for value in box)
    return boxed(large, (top, bottom + factor - 1, left, right + factor - 1), (120, 200, 255))
