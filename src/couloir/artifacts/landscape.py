"""`loss_surface.png`: the loss around a solution, along two random directions and in the plane of the training's path.

Li, Xu, Taylor, Studer and Goldstein, 2018, Visualizing the Loss Landscape of Neural Nets: random directions whose
filters have the norms of the network's own (section 4), and the principal directions of the path (section 7). Only
weights move, tensors with two axes or more; biases and the parameters of normalisation stay.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from couloir.layer_kinds import TransposedConvolution
from couloir.record.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

LEVELS = 18
"""Lines of equal loss."""
ROOM = 0.25
"""What the plane of a path has beyond its ends, as a share of its length."""
Values = NDArray[np.float64]


class Surface(NamedTuple):
    """The loss over a plane through the solution.

    Attributes:
        x: along the first direction, (P,).
        y: along the second, (P,).
        loss: (P, P): the second direction by rows.
        path: where the training was, (E, 2); empty for random directions.
        epochs: of the path, (E,).
        shares: of the path's variance along each of the two; empty for random directions.
    """

    x: Values
    y: Values
    loss: Values
    path: Values
    epochs: Sequence[float]
    shares: tuple[float, ...]


def moving_weights(net: nn.Module) -> dict[str, nn.Parameter]:
    """The tensors that directions move, by name, in the network's order: those with two axes or more."""
    return {name: parameter for name, parameter in net.named_parameters() if parameter.ndim > 1}


def in_a_row(weights: Mapping[str, Tensor]) -> Tensor:
    """All of them in one row, (P,), float32 on the CPU."""
    return torch.cat([weight.detach().reshape(-1).float().cpu() for weight in weights.values()])


def filter_axis(net: nn.Module, name: str) -> int:
    """The axis of a weight that counts its filters: the outputs of its layer."""
    return int(isinstance(net.get_submodule(name.rpartition(".")[0]), TransposedConvolution))


def random_direction(net: nn.Module, seed: int, number: int) -> dict[str, Tensor]:
    """A random direction, each of whose filters has the norm of the network's own filter, by the weight's name.

    Args:
        net: the network.
        seed: what it follows from.
        number: which direction of the seed.
    """
    draws = torch.Generator().manual_seed(seed * 2 + number)
    found = {}
    for name, weight in moving_weights(net).items():
        drawn = torch.randn(weight.shape, generator=draws)
        found[name] = filter_normalised(drawn, weight.detach().float().cpu(), filter_axis(net, name)).to(weight)
    return found


def filter_normalised(direction: Tensor, weight: Tensor, axis: int) -> Tensor:
    """A direction with the norm of each filter of a weight: d / ||d|| ||w||, filter by filter.

    Args:
        direction: of the weight's shape.
        weight: (O, ...).
        axis: which axis counts the filters.
    """
    others = [at for at in range(weight.ndim) if at != axis]
    norms = [torch.linalg.vector_norm(tensor, dim=others, keepdim=True) for tensor in (direction, weight)]
    normalised: Tensor = direction * (norms[1] / norms[0].clamp_min(1e-12))
    return normalised


def principal_directions(path: NDArray[np.float32]) -> tuple[Values, Values, tuple[float, float]]:
    """The two directions along which a path moves most, seen from its end.

    Args:
        path: weights by epoch, (E, P), at least three; the last is the solution.

    Returns:
        the directions (2, P), of length 1 and orthogonal; the path along them, (E, 2), the end at 0; and the share of
        the path's sum of squared distances from its end along each.
    """
    steps = torch.from_numpy(path).double() - torch.from_numpy(path[-1]).double()
    _, singular, directions = torch.linalg.svd(steps[:-1], full_matrices=False)
    first = directions[:2]
    along = steps @ first.T
    sign = torch.where(along[0] < 0, -1.0, 1.0)  # the path begins in the upper right corner: svd leaves the sign open
    first, along = first * sign[:, None], along * sign
    shares = (singular.square() / singular.square().sum().clamp_min(1e-300))[:2].tolist()
    return first.numpy(), along.numpy(), (shares[0], shares[1])


def surface(
    net: nn.Module, loss: Callable[[], Tensor], directions: Sequence[Mapping[str, Tensor]], x: Values, y: Values,
    between: Callable[[], None] = lambda: None,
) -> Values:  # fmt: skip
    """The loss for weights w + x d1 + y d2, (len(y), len(x)); the weights are as before afterwards.

    Args:
        net: the network.
        loss: its loss with the weights that it has.
        directions: two, each by the weights' names.
        x: steps along the first.
        y: steps along the second.
        between: called between two points; it may end the work by an exception.
    """
    weights = moving_weights(net)
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    found = []
    try:
        with torch.no_grad():
            for down in y:
                for right in x:
                    between()
                    for name, weight in weights.items():
                        weight.copy_(
                            before[name] + float(right) * directions[0][name] + float(down) * directions[1][name]
                        )
                    found.append(loss().detach().double())
    finally:
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(before[name])
    return torch.stack(found).cpu().numpy().reshape(len(y), len(x))


def as_direction(row: Values, net: nn.Module) -> dict[str, Tensor]:
    """A direction in one row, (P,), by the weights' names."""
    found, at = {}, 0
    for name, weight in moving_weights(net).items():
        found[name] = torch.from_numpy(row[at : at + weight.numel()]).to(weight).reshape(weight.shape)
        at += weight.numel()
    return found


def spans(path: Values, points: int) -> tuple[Values, Values]:
    """The steps along both directions that show a whole path and some room around it, (P,) each; 0 is among them."""
    axes = []
    for along in path.T:
        low, high = min(0.0, float(along.min())), max(0.0, float(along.max()))
        room = ROOM * max(high - low, 0.2 * float(np.ptp(path, axis=0).max()), 1e-6)
        axes.append(np.linspace(low - room, high + room, points))
    return axes[0], axes[1]


def landscape_figure(surfaces: Sequence[Surface], told: str) -> Figure:
    """The surfaces beside each other as lines of equal loss.

    Args:
        surfaces: along random directions, and in the plane of the path where there is one.
        told: what is shown, above them.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patheffects import withStroke

    figure = Figure(figsize=(5.6 * len(surfaces), 5.0), dpi=120, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(told, fontsize=10)
    for place, shown in enumerate(surfaces, start=1):
        axes = figure.add_subplot(1, len(surfaces), place)
        finite = np.where(np.isfinite(shown.loss), shown.loss, np.nan)
        levels, norm = _levels(finite)
        if levels is None:
            axes.text(0.5, 0.5, "the loss is the same, or no number, everywhere", ha="center", transform=axes.transAxes)
        else:
            filled = axes.contourf(shown.x, shown.y, finite, levels=levels, norm=norm, cmap="viridis")
            axes.contour(shown.x, shown.y, finite, levels=levels, colors="white", linewidths=0.4, alpha=0.7)
            bar = figure.colorbar(filled, ax=axes, format="%.3g", ticks=levels[:: max(1, len(levels) // 6)])
            bar.ax.set_title("loss", fontsize=8)
            bar.ax.minorticks_off()
        if shown.epochs:
            axes.plot(*shown.path.T, color="#ff5a36", linewidth=1.4, marker="o", markersize=3)
            for epoch, (right, up) in zip(shown.epochs, shown.path, strict=True):
                if epoch in (shown.epochs[0], shown.epochs[-1]):
                    said = axes.annotate(f"epoch {epoch:g}", (right, up), color="white", fontsize=8, weight="bold",
                                         xytext=(4, 5), textcoords="offset points")  # fmt: skip
                    said.set_path_effects([withStroke(linewidth=2, foreground="#222222")])
            axes.set_xlabel(f"first direction of the path ({shown.shares[0]:.1%} of its variance)")
            axes.set_ylabel(f"second direction ({shown.shares[1]:.1%})")
            axes.set_title("the path of the training", fontsize=10)
        else:
            axes.set(xlabel="first random direction", ylabel="second random direction")
            axes.set_title("around the solution, in units of each filter's norm", fontsize=10)
        axes.plot(0, 0, marker="*", color="#ff5a36", markersize=11, markeredgecolor="white", markeredgewidth=0.6)
        axes.set(xlim=(shown.x[0], shown.x[-1]), ylim=(shown.y[0], shown.y[-1]))
    return figure


def _levels(loss: Values) -> tuple[Values | None, Normalize | None]:
    """Lines of equal loss, on a logarithmic scale where all losses are positive."""
    from matplotlib.colors import LogNorm, Normalize

    there = loss[np.isfinite(loss)]
    if not there.size or np.ptp(there) <= 1e-12 * max(1.0, float(np.abs(there).max())):
        return None, None
    low, high = float(there.min()), float(there.max())
    if low > 0:
        return np.geomspace(low * (1 - 1e-9), high * (1 + 1e-9), LEVELS), LogNorm(low, high)
    return np.linspace(low, high, LEVELS), Normalize(low, high)


def draw_landscape(file: Path, surfaces: Sequence[Surface], told: str) -> str | None:
    """Draw the surfaces into a PNG, under a temporary name that is renamed.

    Returns:
        None, or a sentence that says why there is no picture: it is no reason to end a run.

    Raises:
        OSError: it cannot be written.
    """
    return draw(file, lambda: landscape_figure(surfaces, told))


def draw(file: Path, make: Callable[[], Figure]) -> str | None:
    """Write a figure as a PNG; returns and raises as `draw_landscape`."""
    try:
        import matplotlib

        from couloir.artifacts.scene import STYLE

        with matplotlib.rc_context(STYLE), io.BytesIO() as stream:
            make().savefig(stream, format="png")
            picture = stream.getvalue()
    except Exception as error:  # noqa: BLE001  fonts, a matplotlibrc, whatever matplotlib stumbles over
        return f"{file.name} cannot be drawn: {type(error).__name__}: {' '.join(str(error).split())}"
    write_atomically(file, picture)
    return None
