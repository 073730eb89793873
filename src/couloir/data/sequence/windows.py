"""Where a long text is cut into windows: which begin where, and how long each is. NumPy alone.

A text of n tokens has n - 1 steps: each token but the last is read, and the one behind it is predicted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Cut = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Where windows begin, and how long each is, (N,) each."""


def windows(steps: int, length: int, whole: bool) -> Cut:
    """Windows one behind the other.

    Args:
        steps: of the text.
        length: of a window.
        whole: whether all are as long, so that steps at the end are left out; otherwise the last may be shorter, and
            each step is in one window.
    """
    starts = np.arange(0, steps - length + 1 if whole else steps, length, dtype=np.int64)
    return starts, np.minimum(length, steps - starts)


def streams(steps: int, length: int, count: int) -> Cut:
    """Windows of a text that is cut into streams, so that window k goes on where window k - `count` ends.

    Streams differ by one step at most, the longer ones first, and each step is in one window. Where nothing but that
    one step would be left for the last windows, those before them take it.

    Args:
        steps: of the text.
        length: of a window.
        count: streams; at most `steps` of them are made.
    """
    count = min(count, steps)
    each, longer = divmod(steps, count)
    sizes = each + (np.arange(count) < longer)
    begins = np.cumsum(sizes) - sizes
    rounds = -(-each // length)
    places = np.arange(rounds)[:, None] * length
    ends = np.where(np.arange(rounds)[:, None] == rounds - 1, sizes, places + length)
    return (begins + places).ravel().astype(np.int64), (ends - places).ravel().astype(np.int64)
