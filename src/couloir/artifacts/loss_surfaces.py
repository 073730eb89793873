"""`losses.png`: what the course's five losses of saliency maps say of a true and a predicted value, as surfaces.

A loss of values is drawn for a map of one pixel, a loss of distributions for a map of two, whose shares are S and
1 - S: a map of one pixel has no other share than one.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor, nn

from couloir.loss.distribution import Bhattacharyya, KullbackLeibler
from couloir.loss.regression import ExponentialAbsoluteDifference, MeanSquaredError, MLNet
from couloir.record.files import write_atomically

COURSE: dict[str, type[nn.Module]] = {
    "MSE": MeanSquaredError,
    "EAD": ExponentialAbsoluteDifference,
    "MLNET": MLNet,
    "Bhattacharyya": Bhattacharyya,
    "KL": KullbackLeibler,
}
"""The five losses, in the course's order."""
POINTS = 17
"""Points of an axis."""
LEAST_SHARE = 0.01
"""Where the axes begin of a loss of distributions or probabilities: at zero it has a pole."""
STYLE: Any = {"font.size": 9}


def surface(loss: nn.Module, points: int = POINTS) -> tuple[Tensor, Tensor]:
    """What a loss gives for each pair of a true and a predicted value.

    Args:
        loss: of maps of values (B, 1, H, W) twice.
        points: of an axis.

    Returns:
        the values of an axis, (P,), and the losses (P, P): the true value by rows, the predicted one by columns.
    """
    expects = getattr(loss, "expects", "values")
    least, shares = (0.0 if expects == "values" else LEAST_SHARE), expects == "distribution"
    axis = torch.linspace(least, 1 - least, points, dtype=torch.float64)
    maps = torch.stack([axis, 1 - axis], dim=1) if shares else axis[:, None]
    maps = maps.view(points, 1, 1, 1, -1)
    values = [[float(loss(predicted, true)) for predicted in maps] for true in maps]
    return axis, torch.tensor(values)


def surfaces_figure(own: nn.Module | None = None, name: str = "") -> Figure:
    """The five surfaces, and that of a run's own loss: it stands for its kind, or beside them if it is none of them.

    MLNET is that of maps which have been divided by their maximum already: a map of one pixel would always be one.

    Args:
        own: the run's loss.
        name: what it is called, where it is none of the five.
    """
    losses: dict[str, nn.Module] = {label: kind() for label, kind in COURSE.items()}
    marked = next((label for label, kind in COURSE.items() if type(own) is kind), name)
    if isinstance(own, MLNet):
        own = MLNet(own.alpha)
    if own is not None:
        losses[marked] = own
    figure = Figure(figsize=(9.6, 6.2), dpi=120)
    FigureCanvasAgg(figure)
    for place, (label, loss) in enumerate(losses.items(), start=1):
        panel: Any = figure.add_subplot(2, 3, place, projection="3d")
        axis, values = surface(loss)
        predicted, true = torch.meshgrid(axis, axis, indexing="xy")
        is_own = own is not None and label == marked
        panel.plot_surface(
            predicted.numpy(), true.numpy(), values.numpy(), cmap="YlOrRd" if is_own else "Blues",
            edgecolor="#00000055", linewidth=0.25, rcount=POINTS, ccount=POINTS,
        )  # fmt: skip
        panel.set_xlabel("predicted S'", labelpad=-4)
        panel.set_ylabel("true S", labelpad=-4)
        panel.tick_params(labelsize=7, pad=-2)
        panel.view_init(elev=24, azim=-58)
        panel.set_title(f"{label} (this run)" if is_own else label, fontweight="bold" if is_own else "normal", pad=0)
    figure.subplots_adjust(left=0.02, right=0.95, bottom=0.04, top=0.95, wspace=0.12, hspace=0.12)
    return figure


def draw_surfaces(file: Path, own: nn.Module | None = None, name: str = "") -> str | None:
    """Draw the surfaces into a PNG.

    Args:
        file: where it goes; it is written under a temporary name and renamed.
        own: the run's loss, which is marked.
        name: what it is called, where it is none of the five.

    Returns:
        None, or a sentence that says why there is no picture: it is no reason to end a run.

    Raises:
        OSError: it cannot be written.
    """
    try:
        with matplotlib.rc_context(STYLE), io.BytesIO() as stream:
            surfaces_figure(own, name).savefig(stream, format="png")
            picture = stream.getvalue()
    except Exception as error:  # noqa: BLE001  fonts, a matplotlibrc, whatever matplotlib stumbles over
        return f"{file.name} cannot be drawn: {type(error).__name__}: {' '.join(str(error).split())}"
    write_atomically(file, picture)
    return None
