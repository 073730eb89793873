"""The machine's cores: how many there are, and how not to fight over them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""What a container may use: microseconds of CPU a period, and the period, or `max`."""


def cores(quota_file: Path = CPU_QUOTA) -> int:
    """The cores that this process may use: those it is bound to, and no more than its container is given."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = quota_file.read_text().split()
        return max(1, min(bound, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no such file, or "max": no limit
        return bound


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch's operations run in the calling thread alone.

    An operation on one photograph takes a tenth of a millisecond. Where other processes keep the cores busy, its
    threads wait for each other thirty times as long.
    """
    import torch  # only here: a sweep asks for the cores, and has no other use for it

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
