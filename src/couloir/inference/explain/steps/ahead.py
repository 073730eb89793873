"""Forecasts: which steps of a window each step to come goes by, over many windows."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from couloir.artifacts.page import Chart, label
from couloir.errors import CouloirError
from couloir.inference.explain.exhibit import Exhibit, Panel
from couloir.inference.explain.heat import ONE_SIGN
from couloir.inference.explain.steps.by_step import channels_of
from couloir.inference.explain.steps.drawing import DPI, drawn
from couloir.inference.explain.steps.sequences import OverSteps
from couloir.inference.explain.subject import BATCH, Shown, Subject
from couloir.inference.explain.words import Wanted

WINDOWS = 64
"""Windows that the mean is of, at most."""
AHEAD = 24
"""Steps to come that are looked at each, at most: of more some, from the first to the last."""


def horizons(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """The mean absolute gradient of each step to come for each step of the window.

    Raises:
        CouloirError: the run forecasts nothing, or its windows differ in length.
    """
    if subject.data.kind != "future":
        raise CouloirError(
            "The run forecasts nothing, so there are no steps to come.", next_step="leave the method horizons out"
        )
    over = cast(OverSteps, subject)
    windows = [x for x, _, _ in over.split(wanted.split, min(WINDOWS, wanted.most or WINDOWS))]
    if len({x.shape[1] for x in windows}) != 1:
        raise CouloirError(
            "The windows of this run differ in length, so their steps have no mean.",
            next_step="leave the method horizons out",
        )
    x, series = torch.cat(windows), int(shown.target[0])
    steps = chosen_steps(over, x[:1])
    each = gradients_ahead(over, x, steps, series)
    values = each.sum(dim=2).cpu().numpy()
    name = subject.name_of(series)
    note = (
        f"How much each step to come of {name} changes when a number of the window grows by one deviation: the mean of "
        f"absolute gradients over {len(x):,} windows of the {wanted.split} split, summed over the channels. The last "
        "step of the window is on the right."
    )
    exhibit = Exhibit("horizons", f"What the forecast of {name} goes by", note, side=620)
    exhibit.panels = [
        Panel(
            "horizons", "rows: steps to come; columns: steps of the window", picture(values, steps), each.cpu().numpy()
        )
    ]
    exhibit.charts = [_profile(values), _by_channel(over, each.mean(dim=0).sum(dim=0).tolist())]
    by_step = values.mean(axis=0)
    strongest = np.argsort(-by_step, kind="stable")[:10]
    exhibit.numbers = {
        "output": name, "split": wanted.split, "windows": len(x), "steps_ahead": [step + 1 for step in steps],
        "strongest": [{"steps_before_the_last": int(len(by_step) - 1 - at), "gradient": float(by_step[at])}
                      for at in strongest],
        "by_channel": dict(zip(channels_of(over), each.mean(dim=0).sum(dim=0).tolist(), strict=True)),
    }  # fmt: skip
    return [exhibit]


def chosen_steps(subject: OverSteps, x: Tensor) -> list[int]:
    """The steps to come that are looked at, from 0: all, or `AHEAD` from the first to the last."""
    with torch.no_grad():
        horizon = int(subject.net(x).shape[1])
    found = np.linspace(0, horizon - 1, min(horizon, AHEAD)).round().astype(int)
    return [int(step) for step in found]


def gradients_ahead(subject: OverSteps, x: Tensor, steps: list[int], series: int) -> Tensor:
    """The mean over windows of the absolute gradient of some steps to come, (len(steps), T, F).

    Args:
        subject: the network.
        x: windows (N, T, F), standardised.
        steps: to come, from 0.
        series: the one that is forecast, from 0.
    """
    total = torch.zeros(len(steps), *x.shape[1:], device=x.device)
    for part in torch.split(x, BATCH):
        given = part.detach().clone().requires_grad_()
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            output = subject.net(given)[:, :, series].sum(dim=0)
            for row, step in enumerate(steps):
                gradient = torch.autograd.grad(output[step], given, retain_graph=row + 1 < len(steps))[0]
                total[row] += gradient.abs().sum(dim=0)
    return total / len(x)


def picture(values: NDArray[Any], steps: list[int]) -> NDArray[np.uint8]:
    """Steps to come over steps of the window, (rows, T), as colours."""
    figure = Figure((7.0, 1.4 + 0.12 * len(steps)), dpi=DPI, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    count = values.shape[1]
    image = axes.imshow(values, aspect="auto", interpolation="nearest", cmap=ONE_SIGN, vmin=0,
                        extent=(-count + 0.5, 0.5, len(steps) - 0.5, -0.5))  # fmt: skip
    figure.colorbar(image, ax=axes, pad=0.01, fraction=0.05).ax.tick_params(labelsize=7)
    shown = range(0, len(steps), max(1, len(steps) // 12))
    axes.set_yticks(list(shown), [f"+{steps[at] + 1}" for at in shown], fontsize=7)
    axes.set_xlabel("step of the window, 0 is the last", fontsize=8)
    axes.set_ylabel("step to come", fontsize=8)
    axes.tick_params(axis="x", labelsize=7)
    return drawn(figure)


def _profile(values: NDArray[Any]) -> Chart:
    """The mean over the steps to come, by the step of the window."""
    count = values.shape[1]
    trace = {
        "type": "scatter", "mode": "lines", "x": list(range(-count + 1, 1)), "y": values.mean(axis=0).tolist(),
        "line": {"color": "--c0", "width": 1.8}, "showlegend": False, "hovertemplate": "%{x}: %{y:.4g}<extra></extra>",
    }  # fmt: skip
    layout = {"xaxis": {"title": {"text": "step of the window, 0 is the last"}},
              "yaxis": {"title": {"text": "mean absolute gradient"}, "rangemode": "tozero"}}  # fmt: skip
    return Chart([trace], layout, "the mean absolute gradient by the step of the window", 300)


def _by_channel(subject: OverSteps, sums: list[float]) -> Chart:
    """The sum over the steps of the window, by channel."""
    trace = {
        "type": "bar", "orientation": "h", "x": sums, "y": [label(name, 30) for name in channels_of(subject)],
        "marker": {"color": "--c0"}, "showlegend": False, "hovertemplate": "%{y}: %{x:.4g}<extra></extra>",
    }  # fmt: skip
    layout = {"yaxis": {"autorange": "reversed", "automargin": True, "type": "category"},
              "xaxis": {"title": {"text": "sum of mean absolute gradients"}}}  # fmt: skip
    return Chart([trace], layout, "the sum of mean absolute gradients by channel", 110 + 24 * len(sums))
