"""When an axis is logarithmic, in every picture of a run. Nothing here imports matplotlib."""

from __future__ import annotations

from collections.abc import Sequence

LOG_RANGE = 30
"""From this ratio of the largest to the least value on, an axis is logarithmic."""
AS_ZERO = 1e-25
"""The share of the largest value below which one is as good as 0: so many decades of an axis show nothing else."""


def wants_log(values: Sequence[float]) -> bool:
    """Whether values are better read on a logarithmic axis: all positive, over a range of more than `LOG_RANGE`."""
    return len(values) > 0 and min(values) > AS_ZERO * max(values) and max(values) > LOG_RANGE * min(values)
