"""Windows of series: what was, and what came after, with the dates of both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from couloir.data.sequence.series_table import SeriesTable
from couloir.data.sequence.spacing import Days, as_texts
from couloir.data.sequence.stretches import Stretch, Stretches
from couloir.data.splits import Indices


class DatedWindows(Stretches):
    """Windows of `length` steps, and the `horizon` steps behind each.

    Args:
        table: the series; the first K of its channels are to be forecast.
        starts: where the windows begin, (N,).
        length: steps of input.
        horizon: steps to come.
    """

    def __init__(self, table: SeriesTable, starts: NDArray[np.int64], length: int, horizon: int) -> None:
        steps = Stretch(table.values, starts, length)
        super().__init__({"series": steps, "future": Stretch(steps.values, starts + length, horizon)})
        self.table, self.count, self.length, self.horizon = table, len(table.targets), length, horizon
        self.days = table.days
        self._names, self._begins = [each.name for each in table.series], [each.start for each in table.series]

    def fetch(self, indices: Tensor, seed: int | None = None) -> dict[str, Any]:
        """Series (B, T, F) and future (B, H, K), as they are in the table."""
        raw = super().fetch(indices, seed)
        return {"series": raw["series"], "future": raw["future"][..., : self.count]}  # type: ignore[call-overload]

    def hash_into(self, add: Callable[[bytes], object], indices: Indices) -> None:
        """The bytes of all steps, once, and where the windows begin."""
        add(self.input.values.cpu().numpy().tobytes())
        add(self.input.starts.numpy()[indices].tobytes())
        add(f"{self.length} {self.horizon} {self.count}".encode())

    def to(self, device: torch.device) -> None:
        """Move the steps, which both fields share."""
        self.input.to(device)
        self.fields["future"].values = self.input.values

    @property
    def first_step(self) -> str:
        """What `words` says of a window: `date` or `step`."""
        return "step" if self.days is None else "date"

    def dates(self, number: int) -> Days | None:
        """The dates of a window and of the steps behind it, (T + H,)."""
        start = int(self.input.starts[number])
        return None if self.days is None else self.days[start : start + self.length + self.horizon]

    def words(self, numbers: NDArray[np.int64]) -> list[str]:
        """The first step to come of some windows: its date or its number, behind the name of its series."""
        steps = self.input.starts.numpy()[numbers] + self.length
        places = np.searchsorted(self._begins, steps, side="right") - 1
        if self.days is None:
            texts = [str(step - self._begins[place] + 1) for step, place in zip(steps, places, strict=True)]
        else:
            texts = as_texts(self.days[steps]) if len(steps) else []
        if len(self._names) == 1:
            return texts
        return [f"{self._names[place]} {text}" for place, text in zip(places, texts, strict=True)]
