"""Losses that go wrong in one process of a run and not in the others."""

from __future__ import annotations

import os
import signal

import torch.nn.functional as F
from torch import Tensor

from couloir.loss.classification import CrossEntropy


class NotANumber(CrossEntropy):
    """The loss of the second process is not a number at its third batch of the training."""

    seen = 0

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        self.seen += self.training
        loss = F.cross_entropy(prediction, target)
        return loss * float("nan") if self.seen == 3 and os.environ.get("RANK") == "1" else loss


class NotANumberThenKilled(NotANumber):
    """The same, and the second process is killed at its sixth batch, as by a system that is out of memory."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        loss = super().forward(prediction, target)
        if self.seen == 6 and os.environ.get("RANK") == "1":
            print("the second process has had enough", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return loss
