"""How checkpoints reach the disk: straight into their file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO


class Straight(TorchCheckpointIO):
    """Writes a checkpoint into its file without building the whole of it in memory first, as Lightning's own does.

    With Adam a checkpoint is three times the network. Whoever saves it gives a temporary name and renames the file.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write the file; its folder is made where it is missing."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        torch.save(checkpoint, target)
