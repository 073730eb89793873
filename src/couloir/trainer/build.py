"""Lightning's Trainer with the defaults that depend on the machine."""

from __future__ import annotations

import warnings
from typing import Any, cast

import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Checkpoint

from couloir.errors import CouloirError


def trainer(
    accelerator: str = "auto", devices: int | str | list[int] = 1, precision: str = "auto", **options: Any
) -> Trainer:
    """Lightning's Trainer; `precision=auto` is bf16 mixed precision on a GPU that has it, and float32 elsewhere.

    Args:
        accelerator: `auto` takes a GPU where there is one; `cpu`, `gpu`.
        devices: how many, or which.
        precision: `auto`, or any of Lightning's (`32-true`, `bf16-mixed`, ...).
        options: Lightning's own; see `pytorch_lightning.Trainer`.

    Raises:
        CouloirError: the accelerator is not there, or Lightning refuses the combination.
    """
    if precision == "auto":
        precision = "bf16-mixed" if accelerator != "cpu" and _gpu_with_bf16() else "32-true"
    saves = any(isinstance(callback, Checkpoint) for callback in options.get("callbacks", []))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*enable_progress_bar.*")
            return Trainer(
                accelerator=accelerator,
                devices=devices,
                precision=cast(Any, precision),  # a wrong word is Lightning's to refuse
                enable_progress_bar=False,  # callbacks.progress shows it
                enable_model_summary=False,  # `couloir summary` shows it
                enable_checkpointing=saves,  # True without such a callback would add Lightning's own
                num_sanity_val_steps=0,
                **options,
            )
    except (MisconfigurationException, ValueError, TypeError) as error:
        raise CouloirError(
            f"The trainer cannot be built: {' '.join(str(error).split())}",
            next_step="trainer=cpu trains everywhere; `couloir list trainer default` shows the keys",
        ) from error


def _gpu_with_bf16() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
