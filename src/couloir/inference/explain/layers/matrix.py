"""A layer as one matrix: a convolution is a fully-connected layer with many zeros, whose other weights are shared.

Source: the course, Louppe, convolution as a matrix multiplication: U v(x) = v(u * x), with v the numbers of an image
row by row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import matplotlib
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from couloir.errors import CouloirError
from couloir.inference.explain.exhibit import Exhibit, Panel
from couloir.inference.explain.subject import Shown, Subject
from couloir.inference.explain.words import Wanted

LARGEST = 4_000_000
"""Entries of a matrix at most: 16 MB."""
WRITTEN = (24, 40)
"""Rows and columns of a matrix at most whose numbers are written into the picture."""
EXACT = 1e-4
"""What U v(x) + b may differ from the layer, relative to the largest number that comes out."""
CELL, DPI = 0.34, 110
"""Inches of a number in the picture."""


@dataclass(frozen=True)
class AsMatrix:
    """A layer written as v(h) = U v(x) + b.

    Attributes:
        matrix: U, (outputs, inputs).
        constant: b, (outputs,).
        given: the shape of what the layer is given, without the batch.
        gives: the shape of what comes out.
        apart: the largest difference of U v(x) + b from what the layer itself gave for the samples.
        largest: the largest number that it gave.
    """

    matrix: Tensor
    constant: Tensor
    given: tuple[int, ...]
    gives: tuple[int, ...]
    apart: float
    largest: float


def matrix(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """The matrices of layers: those that are named, or the first that computes sums with weights.

    Raises:
        CouloirError: a layer is not linear, or its matrix would be too large.
    """
    names = wanted.layers or (first_linear(subject),)
    return [_exhibit(name, as_matrix(subject, shown.x, name)) for name in names]


def first_linear(subject: Subject) -> str:
    """The name of the first layer that is a sum with weights.

    Raises:
        CouloirError: there is none.
    """
    for met in subject.met:
        layer = subject.net.get_submodule(met.name)
        known = isinstance(layer, nn.Conv2d | nn.Linear) or hasattr(layer, "multiply_adds")
        if known and not any(layer.children()):
            return met.name
    raise CouloirError("No layer of the network is a convolution or a linear layer.", next_step="name it: --layer NAME")


def as_matrix(subject: Subject, x: Tensor, name: str) -> AsMatrix:
    """A layer as a matrix, compared with the layer for some samples.

    Each column is what the layer makes of an input that is one in one place and zero elsewhere, less what it makes of
    zeros: so it holds for any stride, padding and dilation, and for weights that are not shared.

    Args:
        subject: the network.
        x: standardised samples, (N, ...).
        name: of the layer.

    Raises:
        CouloirError: the layer is not linear, or the matrix would have more than `LARGEST` entries.
    """
    met = subject.layer(name)
    layer = subject.net.get_submodule(name)
    inputs: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda module, given: inputs.append(given[0]))
    try:
        outputs = subject.outputs(x, name)
    finally:
        hook.remove()
    given = torch.cat(inputs)
    shape = tuple(given.shape[1:])
    size = math.prod(shape)
    if size * math.prod(met.shape) > LARGEST:
        raise CouloirError(
            f"The matrix of '{name}' would have {math.prod(met.shape):,} rows and {size:,} columns, more than "
            f"{LARGEST:,} entries.",
            next_step="smaller images (data.image_size), or another layer: --layer NAME",
        )
    with torch.no_grad():
        constant = layer(given.new_zeros(1, *shape)).reshape(-1)
        basis = torch.eye(size, dtype=given.dtype, device=given.device).reshape(size, *shape)
        columns = torch.cat([layer(part).flatten(1) for part in torch.split(basis, 256)])
        found = (columns - constant).T.contiguous()
        apart = float((given.flatten(1) @ found.T + constant - outputs.flatten(1)).abs().max())
    largest = float(outputs.abs().max())
    if apart > EXACT * max(largest, 1.0):
        raise CouloirError(
            f"The layer '{name}' ({met.kind}) is not linear: no matrix gives what it gives.",
            next_step="a convolution or a linear layer: --layer NAME",
        )
    return AsMatrix(found, constant, shape, tuple(met.shape), apart, largest)


def _exhibit(name: str, found: AsMatrix) -> Exhibit:
    values = found.matrix.cpu().numpy()
    rows, columns = values.shape
    weights = int((values != 0).sum())
    numbers = {
        "layer": name, "rows": rows, "columns": columns, "entries": rows * columns, "not_zero": weights,
        "different": len(np.unique(np.round(values[values != 0], 6))), "largest_difference": found.apart,
    }  # fmt: skip
    constant = "" if bool((found.constant == 0).all()) else " + b"
    note = (
        f"What {name} gives is U v(x){constant}: v lays {_shape(found.given)} flat, row by row, and U has a row for "
        f"each of the {rows:,} numbers that come out. {weights:,} of its {rows * columns:,} entries are not zero, and "
        f"{numbers['different']:,} of these are different. The product differs from the layer itself by at most "
        f"{found.apart:.2g} for the samples shown, whose largest number is {found.largest:.4g}."
    )
    panel = Panel(f"matrix_{name}", f"U of {name}, {rows:,} x {columns:,}", drawn(values), values)
    side = 900 if rows <= WRITTEN[0] and columns <= WRITTEN[1] else 480
    return Exhibit("matrix", f"{name} as a matrix", note, [panel], numbers=numbers, side=side)


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in shape) + " numbers"


def drawn(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A matrix (rows, columns) as a picture: blue below zero, red above, with its numbers where there is room."""
    most = float(np.abs(values).max()) or 1.0
    shades: NDArray[np.uint8] = (matplotlib.colormaps["RdBu_r"](values / (2 * most) + 0.5)[..., :3] * 255).astype(
        np.uint8
    )
    rows, columns = values.shape
    if rows > WRITTEN[0] or columns > WRITTEN[1]:
        return shades.repeat(max(1, 480 // columns), axis=0).repeat(max(1, 480 // columns), axis=1)
    texts = [[number(float(value)) for value in row] for row in values]
    cell = CELL * max(1.0, max(len(text) for row in texts for text in row) / 3.5)
    figure = Figure(figsize=(columns * cell, rows * CELL), dpi=DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.imshow(shades, aspect="auto", extent=(0, columns, rows, 0))
    for row, line in enumerate(texts):
        for column, text in enumerate(line):
            faint = values[row, column] == 0
            dark = abs(float(values[row, column])) > 0.65 * most
            colour = "white" if dark else "0.65" if faint else "black"
            axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=9, color=colour)
    with matplotlib.rc_context({"text.usetex": False}):
        canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]


def number(value: float) -> str:
    """A number in at most four characters and a sign: whole ones without a point."""
    return f"{value:.0f}" if abs(value - round(value)) < 5e-4 or abs(value) >= 1000 else f"{value:.3g}"
