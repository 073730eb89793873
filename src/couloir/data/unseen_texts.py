"""Texts that a finished run has never seen, batch by batch."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from couloir.data.skipped import Skipped
from couloir.data.unseen import Raw
from couloir.ragged import Padded


class UnseenTexts:
    """Texts as tokens.

    Args:
        tokens: of each text.
        texts: as they stand in their file.
        lines: where they stand.
    """

    def __init__(self, tokens: Sequence[Sequence[int]], texts: Sequence[str], lines: Sequence[int]) -> None:
        self.tokens, self.texts, self.lines = tokens, texts, lines
        self.targets: NDArray[Any] | None = None
        self.known = np.zeros(len(tokens), dtype=bool)
        self.skipped: list[Skipped] = []

    def __len__(self) -> int:
        return len(self.tokens)

    def batches(self, batch_size: int) -> Generator[Raw]:
        """Some texts at a time, in order."""
        for start in range(0, len(self.tokens), batch_size):
            yield Raw(Padded.of([torch.tensor(each) for each in self.tokens[start : start + batch_size]]))
