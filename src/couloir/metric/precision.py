"""The precision of the sums that metrics keep on the device."""

from __future__ import annotations

import torch


def widest(apple_gpu: bool) -> torch.dtype:
    """float64, so that an epoch's sum does not lose its small terms; Apple's GPUs have nothing wider than float32."""
    return torch.float32 if apple_gpu else torch.float64


WIDE = widest(torch.backends.mps.is_available())
"""One precision for all devices of a machine: metrics are made on the CPU and move to the GPU with the network."""
