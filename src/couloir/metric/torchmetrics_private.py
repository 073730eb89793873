"""What Couloir uses of TorchMetrics' private parts; `test_torchmetrics_private.py` fails when they change."""

from __future__ import annotations

from torchmetrics import Metric


def set_update_count(metric: Metric, count: int) -> None:
    """Let a metric whose state was put back know how much it has taken in.

    `_update_count`: `update_count` can only be read, and a metric that counts no update warns when it is computed.
    """
    metric._update_count = count
