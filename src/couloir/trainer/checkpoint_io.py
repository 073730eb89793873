"""How checkpoints reach the disk, and come back: straight into their file, sealed, without running code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning import Trainer

from couloir.errors import CouloirError
from couloir.record.checkpoint import is_sealed, write_sealed


class SealedFiles(TorchCheckpointIO):
    """Writes a checkpoint into its file without building the whole of it in memory first, as Lightning's own does.

    With Adam a checkpoint is three times the network. Whoever saves it gives a temporary name and renames the file.

    Attributes:
        flushed: whether a file is on the disk once it is written; else its writer has to see to it.
    """

    flushed = True

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write the file, with its checksum; its folder is made where it is missing."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_sealed(target, lambda stream: torch.save(checkpoint, stream), self.flushed)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        """Read a file that this class has written, or any other of plain tensors and numbers.

        Raises:
            CouloirError: the file is damaged.
        """
        check_seal(Path(path))
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return content


def save_unflushed(trainer: Trainer, path: Path) -> None:
    """Write a checkpoint of the training as it stands; to see it onto the disk is left to the caller.

    Args:
        trainer: of the training; all of its processes call this together.
        path: the file.
    """
    files = trainer.strategy.checkpoint_io
    if isinstance(files, SealedFiles):
        files.flushed = False
    try:
        trainer.save_checkpoint(path)
    finally:
        if isinstance(files, SealedFiles):
            files.flushed = True


def check_seal(path: Path) -> None:
    """Refuse a checkpoint whose bytes are not those that were written.

    Raises:
        CouloirError: it is damaged.
    """
    if is_sealed(path) is False:
        raise CouloirError(
            f"The checkpoint {path.name} is damaged: its checksum is wrong.",
            place=str(path),
            next_step="`couloir resume RUN` continues from the last intact one",
        )
