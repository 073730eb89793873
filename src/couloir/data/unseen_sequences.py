"""Sequences of numbers that a finished run has never seen, batch by batch."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from couloir.data.skipped import Skipped
from couloir.data.unseen import Raw
from couloir.ragged import Padded


class UnseenSequences:
    """Sequences of steps.

    Args:
        values: of each sequence, (t, F).
        lines: where each begins in its file.
        label: the class of all of them, -1 where it is not known; None: nothing is compared.
    """

    def __init__(self, values: Sequence[NDArray[np.float64]], lines: Sequence[int], label: int | None = None) -> None:
        self.values, self.lines = values, lines
        self.targets: NDArray[Any] | None = None if label is None else np.full(len(values), label, np.int64)
        self.known = np.full(len(values), label is not None and label >= 0)
        self.skipped: list[Skipped] = []

    def __len__(self) -> int:
        return len(self.values)

    def batches(self, batch_size: int) -> Generator[Raw]:
        """Some sequences at a time, in order."""
        for start in range(0, len(self.values), batch_size):
            yield Raw(Padded.of([torch.from_numpy(each) for each in self.values[start : start + batch_size]]))
