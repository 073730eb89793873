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
        targets: the label of each, (N,), -1 where it is not known; None: of none it is known.
    """

    def __init__(
        self,
        tokens: Sequence[Sequence[int]],
        texts: Sequence[str],
        lines: Sequence[int],
        targets: NDArray[Any] | None = None,
    ) -> None:
        self.tokens, self.texts, self.lines, self.targets = tokens, texts, lines, targets
        self.known = np.zeros(len(tokens), dtype=bool) if targets is None else targets >= 0
        self.skipped: list[Skipped] = []

    def __len__(self) -> int:
        return len(self.tokens)

    def batches(self, batch_size: int) -> Generator[Raw]:
        """Some texts at a time, in order."""
        for start in range(0, len(self.tokens), batch_size):
            yield Raw(Padded.of([torch.tensor(each) for each in self.tokens[start : start + batch_size]]))
