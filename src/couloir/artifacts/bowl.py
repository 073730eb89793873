"""`bowl.png`: the exact loss of a network with two weights, the way of the descent, and the solution by a formula.

With the mean squared error and outputs that are linear in the weights the loss is a quadratic function,
L(w) = w'Aw - 2b'w + c with A = P'P/n, b = P'y/n, c = y'y/n, where the columns of P are what each weight adds to the
outputs. Plain gradient descent over all samples, w <- w - rate grad L, multiplies its error along each eigenvector of
the Hessian 2A by 1 - rate lambda, so it is stable for rates below 2 / lambda_max.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from couloir.artifacts.landscape import draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEVELS = 16
"""Lines of equal loss, evenly spaced outwards."""
GRID = 81
"""Points of an axis."""
FAR = 6.0
"""How far the picture reaches, in distances of the start from the solution: a descent that explodes leaves it."""
MARKED = 80
"""Steps up to which each is marked by a dot."""
PROBE = (0.7, -1.3)
"""Where it is tried whether the outputs are linear in the weights."""
Values = NDArray[np.float64]


class Bowl(NamedTuple):
    """A quadratic loss of two weights, L(w) = w'Aw - 2b'w + c.

    Attributes:
        quadratic: A, (2, 2).
        linear: b, (2,).
        constant: c.
        solution: the weights of the least loss, by least squares, (2,).
        samples: how many it is the mean over.
    """

    quadratic: Values
    linear: Values
    constant: float
    solution: Values
    samples: int

    def loss(self, weights: Values) -> Values:
        """The loss of weights (..., 2), (...)."""
        bent = np.einsum("...i,ij,...j->...", weights, self.quadratic, weights)
        return np.asarray(bent - 2 * weights @ self.linear + self.constant)

    @property
    def stable(self) -> float:
        """The rate below which plain gradient descent over all samples comes to the solution: 2 / lambda_max."""
        return 2 / float(np.linalg.eigvalsh(2 * self.quadratic)[-1])


def bowl_of(net: nn.Module, x: Tensor, y: Tensor) -> Bowl | None:
    """The bowl of a network with two weights under the mean squared error; None where outputs are not linear in them.

    Args:
        net: the network; it is left as it is.
        x: the training samples as the network takes them, (N, ...).
        y: their targets as the loss takes them, (N, K).
    """
    own = copy.deepcopy(net).to(device="cpu", dtype=torch.float64).eval()
    x, y = x.cpu().double(), y.cpu().double()

    def outputs(first: float, second: float) -> Tensor:
        with torch.no_grad():
            torch.nn.utils.vector_to_parameters(torch.tensor([first, second], dtype=torch.float64), own.parameters())
            found: Tensor = own(x).reshape(y.shape)
            return found

    nothing = outputs(0, 0)
    each = [outputs(1, 0) - nothing, outputs(0, 1) - nothing]
    if not torch.allclose(outputs(*PROBE), nothing + PROBE[0] * each[0] + PROBE[1] * each[1], atol=1e-9):
        return None
    parts = torch.stack([part.reshape(-1) for part in each], dim=1).numpy()
    rest = (y - nothing).reshape(-1).numpy()
    solution = np.linalg.lstsq(parts, rest, rcond=None)[0]
    count = len(rest)
    return Bowl(parts.T @ parts / count, parts.T @ rest / count, float(rest @ rest) / count, solution, len(x))


def names_of(net: nn.Module) -> list[str]:
    """What the two weights are called."""
    return [f"{name}[{at}]" if parameter.numel() > 1 else name
            for name, parameter in net.named_parameters() for at in range(parameter.numel())]  # fmt: skip


def bowl_figure(bowl: Bowl, path: Values, names: Sequence[str], rate: float) -> Figure:
    """The loss as lines of equal height with the way of the descent, and beside it the loss by steps.

    Args:
        bowl: the loss.
        path: the weights before the first step and after each, (S + 1, 2).
        names: of the two weights.
        rate: the learning rate of the first step.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.4, 4.9), dpi=120, facecolor="white")
    FigureCanvasAgg(figure)
    stable = f"2 / λmax = {bowl.stable:.4g}"
    figure.suptitle(
        f"learning rate {rate:g}; over all {bowl.samples:,} samples plain gradient descent is stable below {stable}",
        fontsize=10,
    )
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    figure.subplots_adjust(left=0.07, right=0.985, bottom=0.12, top=0.87, wspace=0.2)  # to measure it is slow
    far = np.linalg.norm(path - bowl.solution, axis=1)
    within = np.isfinite(far) & (far <= FAR * max(float(far[0]), 1e-6))
    reach = 1.15 * max(float(far[within].max(initial=0.0)), 1e-3)
    steps = [np.linspace(middle - reach, middle + reach, GRID) for middle in bowl.solution]
    heights = bowl.loss(np.stack(np.meshgrid(*steps), axis=-1))
    least = float(bowl.loss(bowl.solution))
    levels = least + (heights.max() - least) * (np.arange(1, LEVELS + 1) / LEVELS) ** 2
    filled = left.contourf(*steps, heights, levels=[least - 1e-12, *levels], cmap="Blues_r")
    left.contour(*steps, heights, levels=levels, colors="#33506e", linewidths=0.4)
    figure.colorbar(filled, ax=left, format="%.3g").ax.set_title("loss", fontsize=8)
    marker: dict[str, Any] = {"marker": "o", "markersize": 2.6} if len(path) <= MARKED else {}
    left.plot(
        *path[: _first_beyond(far, reach)].T, color="#d1571b", linewidth=1.2, label=f"{len(path) - 1:,} steps", **marker
    )
    left.plot(*path[0], marker="s", color="#d1571b", markeredgecolor="white", linestyle="none", label="start")
    left.plot(*bowl.solution, marker="*", markersize=13, color="#f2c230", markeredgecolor="black",
              markeredgewidth=0.6, linestyle="none", label="least squares, by the formula")  # fmt: skip
    left.set(xlabel=names[0], ylabel=names[1], aspect="equal", xlim=(steps[0][0], steps[0][-1]),
             ylim=(steps[1][0], steps[1][-1]))  # fmt: skip
    left.legend(loc="upper right", fontsize=8, framealpha=0.9)
    with np.errstate(over="ignore", invalid="ignore"):
        losses = bowl.loss(path)
    right.plot(losses, color="#d1571b", linewidth=1.2, **marker)
    right.axhline(least, color="#b0860a", linewidth=1, linestyle="--", label=f"the least loss, {least:.4g}")
    right.set(xlabel="step", ylabel="loss over the training split")
    if least > 0 or np.all(losses[np.isfinite(losses)] > 0):
        right.set_yscale("log")
    right.legend(fontsize=8)
    return figure


def _first_beyond(far: Values, reach: float) -> int:
    """How many points are drawn: up to the first one beyond the picture, which the line still leads to."""
    beyond = np.flatnonzero(~(far <= 2 * reach))
    return int(beyond[0]) if len(beyond) else len(far)


def draw_bowl(file: Path, bowl: Bowl, path: Values, names: Sequence[str], rate: float) -> str | None:
    """Draw it into a PNG; returns and raises as `couloir.artifacts.landscape.draw`."""
    return draw(file, lambda: bowl_figure(bowl, path, names, rate))
