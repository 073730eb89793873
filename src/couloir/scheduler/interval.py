"""Whether a scheduler goes by epochs or by steps, and how long a run is in either."""

from __future__ import annotations

import math
from typing import TypeVar

from torch.optim.lr_scheduler import LRScheduler

Scheduler = TypeVar("Scheduler", bound=LRScheduler)


def by_interval(scheduler: Scheduler, interval: str) -> Scheduler:
    """The scheduler with the attribute `interval`, `epoch` or `step`, that tells the loop when to step it."""
    scheduler.interval = interval  # type: ignore[attr-defined]
    return scheduler


def horizon(epochs: float, steps_per_epoch: int | None, interval: str) -> int:
    """The length of a run in what the scheduler counts; an epoch whose steps nobody has counted is one.

    Args:
        epochs: how many, the last one perhaps in part (`trainer.max_steps`).
        steps_per_epoch: the optimizer's steps in each.
        interval: `step` or `epoch`.
    """
    return round(epochs * (steps_per_epoch or 1)) if interval == "step" else math.ceil(epochs - 1e-9)
