"""Windows of series: what was, and what came after, with the dates of both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from couloir.data.sequence.spacing import Days, as_texts
from couloir.data.sequence.stretches import Stretch, Stretches
from couloir.data.splits import Indices


class DatedWindows(Stretches):
    """Windows of `length` steps, and the `horizon` steps behind each.

    Args:
        values: all steps, (L, F); the first K columns are to be forecast.
        targets: K.
        starts: where the windows begin, (N,).
        length: steps of input.
        horizon: steps to come.
        days: the dates of all steps, days since 1970, (L,); None: there are none.
    """

    def __init__(
        self,
        values: NDArray[np.float64],
        targets: int,
        starts: NDArray[np.int64],
        length: int,
        horizon: int,
        days: Days | None = None,
    ) -> None:
        steps = Stretch(values, starts, length)
        future = Stretch(steps.values, starts + length, horizon)
        super().__init__({"series": steps, "future": future})
        self.count, self.length, self.horizon, self.days = targets, length, horizon, days
        self.names: list[str] = []
        self._begins = np.zeros(1, dtype=np.int64)

    def named(self, names: list[str], begins: NDArray[np.int64]) -> None:
        """Say which series the windows are of: the names, and the first step of each among all."""
        self.names, self._begins = names, begins

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
        return (
            [f"{self.names[place]} {text}" for place, text in zip(places, texts, strict=True)] if self.names else texts
        )
