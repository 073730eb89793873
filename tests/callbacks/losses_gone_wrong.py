"""Losses that go wrong at some batches of training; which ones, the tests set."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from couloir.loss.classification import CrossEntropy

WRONG: dict[str, Any] = {"batches": set(), "seen": 0, "kind": "nan"}
"""The numbers of the batches, counted from one over all epochs; `nan`, or `gradient`: a finite loss's is infinite."""


class InfiniteGradient(torch.autograd.Function):
    """The identity, with a gradient that is too large."""

    @staticmethod
    def forward(_context: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:
        return gradient * float("inf")


class Wrong(CrossEntropy):
    """Cross-entropy, but for the batches that `WRONG` names."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        loss = F.cross_entropy(prediction, target)
        if not torch.is_grad_enabled():
            return loss
        WRONG["seen"] += 1
        if WRONG["seen"] not in WRONG["batches"]:
            return loss
        return InfiniteGradient.apply(loss) if WRONG["kind"] == "gradient" else loss * float("nan")
