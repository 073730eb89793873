"""A rate that falls when the validation metric no longer improves."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from couloir.scheduler.interval import by_interval


def plateau(
    optimizer: Optimizer, monitor: str, mode: str, factor: float, patience: int, threshold: float, min_lr: float
) -> LRScheduler:
    """lr factor each time `monitor` has not improved for `patience` epochs; steps by epoch.

    Args:
        optimizer: what is scheduled.
        monitor: the metric.
        mode: whether it should fall (`min`) or rise (`max`).
        factor: what the rate is multiplied by.
        patience: epochs without improvement that are waited for.
        threshold: the relative change that counts as an improvement.
        min_lr: where the rate stops falling.
    """
    scheduler = ReduceLROnPlateau(
        optimizer, "max" if mode == "max" else "min", factor, patience, threshold, min_lr=min_lr
    )
    scheduler.monitor = monitor  # type: ignore[attr-defined]
    return by_interval(scheduler, "epoch")
