"""What networks with attention, and the schedule of their paper, need of other keys. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from couloir.errors import CouloirError

NOAM = "couloir.scheduler.annealing.noam"


def check_attention(model: Mapping[str, Any], scheduler: Mapping[str, Any] | None) -> None:
    """The heads share the width evenly, learned positions know how many there are, and a factor goes with a width.

    Args:
        model: the node of the model.
        scheduler: the node of the schedule; None: there is none.

    Raises:
        CouloirError: one of them does not hold.
    """
    if str(model.get("_target_")).startswith("couloir.model.sequence.") and "heads" in model:
        check_heads(int(model["width"]), int(model["heads"]))
        if model.get("positions") == "learned" and model.get("steps") is None:
            raise no_steps()
    if scheduler is not None and scheduler.get("_target_") == NOAM:
        check_factor(scheduler.get("factor"), scheduler.get("width"))


def check_heads(width: int, heads: int) -> None:
    """Each head has the same part of the width.

    Raises:
        CouloirError: the width cannot be divided so.
    """
    if width % heads:
        raise CouloirError(
            f"{heads} heads cannot share {width} numbers evenly.",
            place="model.heads",
            next_step=f"a width that {heads} divides, such as model.width={heads * -(-width // heads)}",
        )


def check_factor(factor: float | None, width: int | None) -> None:
    """The factor of equation 3 goes with the width of the network.

    Raises:
        CouloirError: there is a factor, and no width.
    """
    if factor is not None and width is None:
        raise CouloirError(
            "scheduler.factor goes with the width of the network, and model.width does not say it.",
            next_step="scheduler.width=512, or leave scheduler.factor out: then optimizer.lr is the largest rate",
        )


def no_steps() -> CouloirError:
    """What is said of learned positions where nobody knows how many there are."""
    return CouloirError(
        "Learned positions need to know how many steps there are at most.",
        next_step="model.steps=..., or model.positions=sinusoidal",
    )
