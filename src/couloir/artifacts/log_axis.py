"""When an axis is logarithmic, in every picture of a run. Nothing here imports matplotlib."""

from __future__ import annotations

from collections.abc import Sequence

LOG_RANGE = 30
"""From this ratio of the largest to the least value on, an axis is logarithmic."""


def wants_log(values: Sequence[float]) -> bool:
    """Whether values are better read on a logarithmic axis: all positive, over a range of more than `LOG_RANGE`."""
    return len(values) > 0 and min(values) > 0 and max(values) / min(values) > LOG_RANGE
