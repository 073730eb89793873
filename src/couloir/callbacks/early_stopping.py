"""Early stopping, off unless it is given a patience."""

from __future__ import annotations

from pytorch_lightning.callbacks import EarlyStopping


def early_stopping(
    monitor: str = "val/loss", mode: str = "min", patience: int | None = None, min_delta: float = 0.0
) -> EarlyStopping | None:
    """Lightning's EarlyStopping, or None when `patience` is None.

    Args:
        monitor: the metric that must go on improving.
        mode: `min` or `max`.
        patience: epochs without improvement before the run ends.
        min_delta: what counts as an improvement, in the metric's unit.
    """
    if patience is None:
        return None
    return EarlyStopping(
        monitor=monitor, mode=mode, patience=patience, min_delta=min_delta, check_finite=False, verbose=False
    )
