"""From the compact rows of a table to what a network takes, a batch at a time: gaps filled, categories one-hot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from couloir.data.dates import calendar
from couloir.data.features import CYCLES, Feature
from couloir.data.named import ignoring
from couloir.errors import CouloirError


class Encoding:
    """What the columns of a table become; `couloir.data.columns` has the form of the compact rows.

    A missing number becomes the training split's median, a missing category or boolean its most frequent one (of
    several the first), a missing date its median date. An unknown category is a row of zeros.

    Args:
        features: what the columns become.
        fills: what stands for a missing value, one for each column in memory; None: `fit` finds out.
        gaps: whether there are missing values among the rows.
    """

    def __init__(self, features: Sequence[Feature], fills: Sequence[float] | None = None, gaps: bool = True) -> None:
        self.features = list(features)
        plain = all(feature.kind in ("number", "boolean") and not feature.indicator for feature in features)
        self.is_identity = plain and not gaps
        """Whether rows in memory are the network's inputs already."""
        self.fills = None if fills is None else list(fills)
        self.inputs = [name for feature in features for name in feature.inputs]
        """The names of the network's inputs."""
        self.width = sum(feature.width for feature in features)
        """Columns of a row in memory."""
        self._plans: dict[torch.device, _Plan] = {}

    @property
    def numbers(self) -> list[bool]:
        """Of each input, whether it is a number, which is standardised; all else is 0 and 1, or a wave."""
        found: list[bool] = []
        for feature in self.features:
            first = feature.kind in ("number", "date")
            found += [first and place == 0 for place in range(len(feature.inputs))]
        return found

    @property
    def offsets(self) -> list[float]:
        """What was taken off each input in memory."""
        of_first = [[feature.offset, *[0.0] * (len(feature.inputs) - 1)] for feature in self.features if feature.inputs]
        return [offset for each in of_first for offset in each]

    @property
    def signature(self) -> bytes:
        """What the codes and offsets in memory mean; nothing where rows in memory are numbers as they are written."""
        told = [(each.name, each.kind, each.offset, each.categories, each.cycles) for each in self.features]
        is_plain = all(each.kind == "number" and not each.offset for each in self.features)
        return b"" if is_plain else repr(told).encode(errors="surrogateescape")

    def fit(self, rows: NDArray[np.float32], indices: NDArray[np.int64]) -> None:
        """Find what stands for missing values, where that is not known yet.

        Args:
            rows: a table in memory, (N, C).
            indices: those of its rows that are the training split.

        Raises:
            CouloirError: a column has no value in the training split.
        """
        if self.fills is not None:
            return
        fills: list[float] = []
        for feature in self.features:
            values = rows[indices, len(fills)]
            values = values[~np.isnan(values)]
            if not len(values):
                raise CouloirError(
                    f"No row of the training split has a value in the column '{feature.name}'.",
                    next_step=f"leave the column out with {ignoring(feature.name)}",
                )
            fills += _fills(feature, values)
        self.fills = fills

    def __call__(self, x: Tensor) -> Tensor:
        """float32 (B, C) -> float32 (B, F), on its device."""
        plan = self._plans.get(x.device)
        if plan is None:
            assert self.fills is not None, "it is fitted before"
            plan = self._plans[x.device] = _Plan(self.features, self.fills, x.device)
        return plan(x)

    def plain(self) -> list[dict[str, Any]]:
        """What a checkpoint keeps: each feature with what stands for its missing values."""
        fills, found = iter(self.fills or [0.0] * self.width), []
        for feature in self.features:
            found.append({**feature.plain(), "fills": [next(fills) for _ in range(feature.width)]})
        return found

    @classmethod
    def of_plain(cls, state: Sequence[Mapping[str, Any]]) -> Encoding:
        """The encoding that a checkpoint keeps."""
        features = [Feature(**{key: value for key, value in each.items() if key != "fills"}) for each in state]
        return cls(features, [fill for each in state for fill in each["fills"]])


def _fills(feature: Feature, values: NDArray[np.float32]) -> list[float]:
    """What stands for a missing value of a column, from those that there are, (N,)."""
    if feature.kind in ("category", "boolean"):
        codes, counts = np.unique(values, return_counts=True)
        return [float(codes[np.argmax(counts)])]
    middle = float(np.median(values.astype(np.float64)))
    parts = calendar(np.array([middle + feature.offset])) if feature.cycles else {}
    return [float(np.float32(middle)), *(float(parts[cycle][0]) for cycle in feature.cycles)]


class _Plan:
    """The same as tensors on one device.

    The inputs are made kind by kind, for all columns of a kind at once, and then put into their order.
    """

    def __init__(self, features: Sequence[Feature], fills: Sequence[float], device: torch.device) -> None:
        numbers: list[int] = []
        waves: list[tuple[int, float, float]] = []
        categories: list[tuple[int, float]] = []
        indicators: list[int] = []
        where: dict[str, list[int]] = {"numbers": [], "waves": [], "categories": [], "indicators": []}
        place = out = 0
        for feature in features:
            if feature.kind == "category":
                categories += [(place, float(code)) for code in range(len(feature.categories))]
                where["categories"] += range(out, out := out + len(feature.categories))
            else:
                numbers.append(place)
                where["numbers"] += range(out, out := out + 1)
            for number, cycle in enumerate(feature.cycles, 1):
                turn = 2 * np.pi / CYCLES[cycle]
                waves += [(place + number, turn, 0.0), (place + number, turn, np.pi / 2)]
                where["waves"] += range(out, out := out + 2)
            if feature.indicator:
                indicators.append(place)
                where["indicators"] += range(out, out := out + 1)
            place += feature.width

        def tensor(values: Sequence[Any], dtype: torch.dtype) -> Tensor:
            return torch.tensor(values, dtype=dtype, device=device)

        self.fills = tensor(fills, torch.float32)
        self.numbers, self.indicators = tensor(numbers, torch.long), tensor(indicators, torch.long)
        self.wave_of = tensor([place for place, _, _ in waves], torch.long)
        self.turn = tensor([turn for _, turn, _ in waves], torch.float32)
        self.phase = tensor([phase for _, _, phase in waves], torch.float32)
        self.category_of = tensor([place for place, _ in categories], torch.long)
        self.code = tensor([code for _, code in categories], torch.float32)
        order = [place for places in where.values() for place in places]
        self.order = tensor(np.argsort(order).tolist(), torch.long)
        self.in_order = order == sorted(order)

    def __call__(self, x: Tensor) -> Tensor:
        gaps = x.isnan()
        full = torch.where(gaps, self.fills, x)
        parts = [full.index_select(1, self.numbers)]
        if len(self.wave_of):
            parts.append(torch.sin(full.index_select(1, self.wave_of) * self.turn + self.phase))
        if len(self.category_of):
            parts.append((full.index_select(1, self.category_of) == self.code).to(x.dtype))
        if len(self.indicators):
            parts.append(gaps.index_select(1, self.indicators).to(x.dtype))
        together = torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
        return together if self.in_order else together.index_select(1, self.order)
