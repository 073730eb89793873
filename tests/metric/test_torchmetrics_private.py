"""What is used of TorchMetrics' private parts, against the installed version."""

from __future__ import annotations

import warnings

import pytest
import torch
from torchmetrics.classification import MulticlassAccuracy

from couloir.metric.torchmetrics_private import set_update_count


def test_a_metric_whose_state_is_put_back_counts_on_and_is_computed_without_a_warning() -> None:
    first, second = (MulticlassAccuracy(3, average="micro") for _ in range(2))
    for _ in range(2):
        first.update(torch.tensor([0, 1, 2]), torch.tensor([0, 1, 1]))
    for name, value in first.metric_state.items():
        setattr(second, name, value)
    with pytest.warns(UserWarning, match="before the ``update`` method"):
        MulticlassAccuracy(3).compute()
    set_update_count(second, first.update_count)
    assert second.update_count == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert second.compute() == first.compute() == pytest.approx(2 / 3)
