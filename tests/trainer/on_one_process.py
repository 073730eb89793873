"""Losses that go wrong in one process of a run and not in the others."""

from __future__ import annotations

import os
import signal

import torch.nn.functional as F
from torch import Tensor

from couloir.loss.classification import CrossEntropy


class Killed(CrossEntropy):
    """The second process is killed at its third batch, as by a system that is out of memory."""

    seen = 0

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        self.seen += 1
        if self.seen == 3 and os.environ.get("RANK") == "1":
            print("the second process has had enough", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return F.cross_entropy(prediction, target)


class NotANumber(CrossEntropy):
    """The loss of the second process is not a number at its third batch."""

    seen = 0

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        self.seen += 1
        loss = F.cross_entropy(prediction, target)
        return loss * float("nan") if self.seen == 3 and os.environ.get("RANK") == "1" else loss
