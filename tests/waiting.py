"""Waiting for other processes: as long as a slow machine needs, and no longer than they are at work."""

from __future__ import annotations

import time
from collections.abc import Callable

LONGEST = 900.0
"""Seconds after which a process counts as hanging, on the slowest machine too; none that is well comes near."""


def wait_until(condition: Callable[[], object], at_work: Callable[[], bool] = lambda: True) -> None:
    """Wait for a condition; fails at once where whatever would bring it about has ended, and has not done so.

    Args:
        condition: true when the waiting is over.
        at_work: whether the condition may still come about.
    """
    until = time.monotonic() + LONGEST
    while not condition():
        going_on = at_work()  # before the last look, so that what ended in between has its say
        if condition():
            return
        assert going_on, "what was waited for has ended before it came about"
        assert time.monotonic() < until, "it has not come about"
        time.sleep(0.02)
