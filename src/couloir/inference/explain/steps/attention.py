"""What each head of each layer attends to: a matrix of weights with the steps on both sides."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from couloir.errors import CouloirError
from couloir.inference.explain.exhibit import Exhibit, Panel, as_array
from couloir.inference.explain.plates import Pixels
from couloir.inference.explain.steps.by_step import steps_of
from couloir.inference.explain.steps.drawing import DPI, drawn, name_steps
from couloir.inference.explain.steps.sequences import OverSteps, ShownSequences
from couloir.inference.explain.subject import Shown, Subject
from couloir.inference.explain.words import Wanted
from couloir.task.translation import Translation, behind_start

BESIDE = 4
"""Heads that stand beside each other."""
HEADS = 16
"""Heads of a layer that a plate shows at most."""
SIDE, LONGEST = 1.5, 2.9
"""Inches of a matrix of few steps and of many."""


def attention(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """A plate for each layer, its heads beside each other.

    Raises:
        CouloirError: the network has no attention.
    """
    over = cast(OverSteps, subject)
    layers = attending(subject.net)
    if not layers:
        raise CouloirError(
            "The network has no attention whose weights can be kept.", next_step="leave the method attention out"
        )
    note = (
        "Each row is a step that asks, each column one that answers; the darker, the larger the weight, and each row "
        "sums to 1 (Vaswani et al., 2017, equation 1). Weights say what a layer looks at, not what the answer goes by: "
        "integrated gradients do (Jain and Wallace, 2019)."
    )
    found = []
    for number, sample in enumerate(cast(ShownSequences, shown).samples):
        exhibit = Exhibit("attention", f"Attention: {shown.names[number]}", note, sample=number, side=1080)
        for name, (values, rows, columns) in weights_of(over, sample).items():
            told = f"{name}: {len(values)} heads"
            exhibit.panels.append(Panel(f"attention_{number}_{name}", told, plate(values, rows, columns), values))
            exhibit.numbers[name] = {
                "heads": len(values), "entropy": [float(each) for each in entropy(values)],
                "largest": [float(each) for each in values.max(axis=2).mean(axis=1)],
            }  # fmt: skip
        found.append(exhibit)
    return found


def attending(net: nn.Module) -> dict[str, nn.Module]:
    """The modules of a network that can keep the weights of their attention, by name."""
    return {
        name: module for name, module in net.named_modules() if hasattr(module, "keeps") and hasattr(module, "weights")
    }


class Looked(NamedTuple):
    """What one layer looks at.

    Attributes:
        weights: by head, (h, T, S).
        asking: what stands at each step that asks, (T,).
        answering: what stands at each step that answers, (S,).
    """

    weights: NDArray[np.float32]
    asking: list[str]
    answering: list[str]


def weights_of(subject: OverSteps, x: Tensor) -> dict[str, Looked]:
    """What each layer looks at in one sequence (1, t, ...), by the layer's name.

    A network that translates writes its answer first, and is told it again: its decoder's steps are the tokens that it
    is told, and those of attention across to the source the tokens that it writes there.
    """
    names = steps_of(subject, x)
    if not subject.translates:
        with kept(subject.net), torch.no_grad():
            subject.net(x)
            return {name: Looked(values, names, names) for name, values in _read(subject.net).items()}
    task = cast(Translation, subject.task)
    written = task.look(x).samples()[0][None]
    told = cast(Tensor, behind_start(written, task.start))
    with kept(subject.net), torch.no_grad():
        cast(Any, subject.net)(x, told)
        found = _read(subject.net)
    after = [f"→{word}" for word in subject.words(written)]
    looked = {}
    for name, values in found.items():
        if getattr(subject.net.get_submodule(name), "across", False):
            looked[name] = Looked(values, after, names)
        else:
            words = subject.words(told) if name.startswith("decoder") else names
            looked[name] = Looked(values, words, words)
    return looked


def _read(net: nn.Module) -> dict[str, NDArray[np.float32]]:
    return {name: as_array(cast(Tensor, module.weights)[0]) for name, module in attending(net).items()}


@contextmanager
def kept(net: nn.Module) -> Iterator[None]:
    """Keep the weights of the passes that follow; none afterwards."""
    modules: Sequence[Any] = list(attending(net).values())
    before = [module.keeps for module in modules]
    for module in modules:
        module.keeps = True
    try:
        yield
    finally:
        for module, was in zip(modules, before, strict=True):
            module.keeps, module.weights = was, None


def entropy(weights: NDArray[Any]) -> NDArray[np.float64]:
    """The mean over what asks of the entropy of its weights, in bits, by head: (h, T, S) -> (h,). 0: one step alone."""
    shares = np.asarray(weights, dtype=np.float64)
    logs = np.log2(np.where(shares > 0, shares, 1.0))
    return np.asarray(-(shares * logs).sum(axis=2).mean(axis=1))


def plate(values: NDArray[Any], rows: Sequence[str], columns: Sequence[str]) -> Pixels:
    """The matrices of a layer's heads, (h, T, S), side by side, all with the same shades."""
    shown = values[:HEADS]
    beside = min(BESIDE, len(shown))
    below = math.ceil(len(shown) / beside)
    side = min(LONGEST, max(SIDE, 0.6 + 0.11 * max(len(rows), len(columns))))
    figure = Figure((beside * side + 0.5, below * (side + 0.25)), dpi=DPI, facecolor="white", layout="constrained")
    grid = figure.subplots(below, beside, squeeze=False)
    most = float(shown.max(initial=0.0)) or 1.0
    for at, axes in enumerate(grid.flat):
        if at >= len(shown):
            axes.set_axis_off()
            continue
        axes.imshow(shown[at], cmap="Blues", vmin=0, vmax=most, interpolation="nearest", aspect="auto")
        axes.set_title(f"head {at}", fontsize=8)
        name_steps(axes, columns)
        name_steps(axes, rows, vertical=True)
    return drawn(figure)
