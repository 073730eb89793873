"""What a network has learned of samples with one or two inputs, in the data's own units: a curve, or regions of the
plane. Nothing here moves a random generator, a running mean, or a module's mode.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from couloir.config.fields import is_sequence
from couloir.data.samples import Samples
from couloir.task.classification import Classification
from couloir.task.regression import Regression
from couloir.task.task import Task

SHOWN = {"train": 1500, "val": 500, "test": 1000}
"""Samples of each split that a picture shows at most, from all over it."""
AT_ONCE = 8192
"""Rows that the network sees together."""
ROOM = 0.06
"""How much wider than the samples a picture is, on each side."""
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """Samples with one or two inputs.

    Attributes:
        x: the inputs of each split's samples in the data's units, (N, F).
        y: their values, (N,), in the data's units, or their classes.
        offsets: what the data in memory leaves out of each input.
        inputs: the inputs' names.
        target: the name of the value.
        classes: the names of the classes; empty for values.
    """

    x: dict[str, Values]
    y: dict[str, Values]
    offsets: list[float]
    inputs: list[str]
    target: str
    classes: list[str]

    def limits(self, axis: int) -> tuple[float, float]:
        """The least and the greatest number that a picture shows of an input."""
        return wider(np.concatenate([x[:, axis] for x in self.x.values()]))


def wider(values: Values) -> tuple[float, float]:
    """The least and the greatest of some numbers, with some room on both sides."""
    low, high = float(values.min()), float(values.max())
    room = ROOM * (high - low) or 0.5 * abs(high) or 0.5
    return low - room, high + room


def has_curve(task: Task, data: Any) -> bool:
    """Whether the task learns one value of one number."""
    return isinstance(task, Regression) and _numbers(data) == 1 and data.num_classes == 1


def has_regions(task: Task, data: Any) -> bool:
    """Whether the task learns classes of two numbers."""
    return isinstance(task, Classification) and _numbers(data) == 2 and len(data.classes) > 1


def _numbers(data: Any) -> int:
    """How many inputs the data has, where each is a number of its own; 0 of any other data."""
    if not isinstance(data, Samples) or data.image_size is not None or not data.splits or data.stand_ins:
        return 0
    if is_sequence(data.fields):
        return 0  # a number for each step
    if data.encoding is None:
        return data.channels
    plain = all(len(feature.inputs) == feature.width == 1 for feature in data.encoding.features if feature.inputs)
    return data.channels if plain and data.encoding.width == data.channels else 0


def rows_of(data: Samples, splits: Sequence[str]) -> Rows | None:
    """The samples of some splits; None where there are none without a gap or an infinite number.

    Args:
        data: data of `has_curve` or `has_regions`.
        splits: their names.
    """
    offsets = [0.0] * data.channels if data.encoding is None else data.encoding.offsets
    found: dict[str, tuple[Values, Values]] = {}
    for name in splits:
        split = data.splits[name]
        places = np.linspace(0, len(split.indices) - 1, min(SHOWN[name], len(split.indices))).astype(np.int64)
        x = split.source.fetch(torch.from_numpy(split.indices[places])).cpu().double().numpy() + offsets
        y = split.targets[places].astype(np.float64).reshape(len(places))
        whole = np.isfinite(x).all(axis=1) & np.isfinite(y)
        found[name] = x[whole], y[whole]
    if not any(len(y) for _, y in found.values()):
        return None
    named = [f"x{place + 1}" for place in range(data.channels)] if data.channels > 1 else ["x"]
    inputs = named if data.encoding is None else data.encoding.inputs
    points = {name: pair[0] for name, pair in found.items()}
    values = {name: pair[1] for name, pair in found.items()}
    return Rows(
        points, values, list(offsets), list(inputs), data.targets[0] if data.targets else "y", list(data.classes)
    )


def answers(task: Task, data: Samples, x: Values, offsets: Sequence[float]) -> Tensor:
    """What the task answers for inputs in the data's units (N, F): values or probabilities (N, K) on the CPU."""
    weight = next(task.net.parameters(), torch.zeros(()))
    rows = torch.from_numpy((x - offsets).astype(np.float32))
    parts = []
    for part in torch.split(rows, AT_ONCE):
        given: Any = data.as_batch(part)[task.input]
        parts.append(task.answer(task.look(given.to(weight.device, weight.dtype))).float().cpu())
    return torch.cat(parts)


def curve_points(rows: Rows, count: int) -> Values:
    """Inputs from one side of a picture to the other, (count, 1)."""
    return np.linspace(*rows.limits(0), count)[:, None]


def plane_points(rows: Rows, side: int) -> Values:
    """The points of a grid over a picture, (side * side, 2): row by row, from below."""
    across, up = (np.linspace(*rows.limits(axis), side) for axis in (0, 1))
    return np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
