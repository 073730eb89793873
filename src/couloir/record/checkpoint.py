"""What a run's checkpoint holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from couloir.errors import CouloirError
from couloir.model.weights import NOT_WEIGHTS


def read_checkpoint(file: Path) -> dict[str, Any]:
    """A run's checkpoint.

    Raises:
        CouloirError: it cannot be read.
    """
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except NOT_WEIGHTS as error:
        raise CouloirError(
            f"The checkpoint {file.name} cannot be read: it is torn, or holds more than plain tensors and numbers.",
            place=str(file),
            next_step="take another one; a file that would run code is refused",
        ) from error
    if not isinstance(content, dict) or "state_dict" not in content:
        raise CouloirError(f"{file.name} is no checkpoint of a run.", place=str(file))
    return content


def network_state(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    """The network's state dict, without what the run measured beside it."""
    entries = checkpoint["state_dict"].items()
    return {name.removeprefix("net."): value for name, value in entries if name.startswith("net.")}
