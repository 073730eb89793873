"""What each task measures, by name; torch-free, so that a monitored metric is checked before torch is imported."""

from __future__ import annotations

CLASSIFICATION = ("loss", "accuracy", "top5_accuracy")
"""Top-5 accuracy is measured where there are more than five classes."""
REGRESSION = ("loss", "mae", "rmse", "r2")


def measured(task: str, num_classes: int, split: str = "val") -> list[str]:
    """The metrics of a split, such as `val/loss`.

    Args:
        task: `classification` or `regression`.
        num_classes: classes of the data.
        split: `train`, `val` or `test`.
    """
    if task == "regression":
        return [f"{split}/{name}" for name in REGRESSION]
    return [f"{split}/{name}" for name in CLASSIFICATION if name != "top5_accuracy" or num_classes > 5]
