"""The precision of the sums that metrics keep on the device."""

from __future__ import annotations

import torch

WIDE = torch.float32 if torch.backends.mps.is_available() else torch.float64
"""float64, so that an epoch's sum does not lose its small terms; Apple's GPUs have nothing wider than float32."""
