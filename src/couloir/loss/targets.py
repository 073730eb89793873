"""What a loss is handed: shapes that belong together, labels or probabilities, and full precision."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from couloir.config.fields import IGNORED
from couloir.errors import CouloirError


def in_full_precision(x: Tensor) -> Tensor:
    """The tensor in float32 where it is an integer or of half precision; float32 and float64 stay as they are."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def check_same_shape(prediction: Tensor, target: Tensor) -> None:
    """Refuse shapes that differ: (B,) and (B, 1) would broadcast to (B, B) and train on nonsense.

    Raises:
        CouloirError: the shapes differ.
    """
    if prediction.shape != target.shape:
        raise CouloirError(
            f"The prediction has shape {tuple(prediction.shape)}, the target {tuple(target.shape)}; "
            "this loss takes two equal shapes.",
            next_step="reshape one of them, for instance target.reshape(prediction.shape)",
        )


def are_labels(prediction: Tensor, target: Tensor) -> bool:
    """Whether the target is class labels rather than one number for each number of the prediction.

    Args:
        prediction: one number a class, (B, C) or (B, C, ...).
        target: integer labels (B,) or (B, ...), or values of the prediction's own shape.

    Raises:
        CouloirError: it is neither.
    """
    if target.shape == prediction.shape:
        return False
    classes = prediction.shape[1] if prediction.ndim > 1 else 0
    shape_of_labels = prediction.shape[:1] + prediction.shape[2:]
    if classes > 1 and target.shape == shape_of_labels and not target.is_floating_point():
        return True
    kind = str(target.dtype).removeprefix("torch.")
    labels = f"integer labels {tuple(shape_of_labels)} or " if classes > 1 else ""
    raise CouloirError(
        f"A prediction of shape {tuple(prediction.shape)} takes {labels}targets of its own shape; "
        f"the target is {kind} {tuple(target.shape)}.",
        next_step="labels are integers without a class axis; the prediction has one number for each class",
    )


def counted(target: Tensor) -> Tensor | None:
    """Which pixels of maps of classes (B, H, W) take part; None of other targets, all of which do.

    255 is a class like others where there is one label a sample.
    """
    return target != IGNORED if target.ndim > 2 and not target.is_floating_point() else None


def of_own_class(x: Tensor, target: Tensor) -> Tensor:
    """What each sample's or pixel's own class has, (B, ...), of numbers by class (B, C, ...).

    Of a pixel that is left out it is the number of class 0.
    """
    there = counted(target)
    target = target.long() if there is None else torch.where(there, target.long(), 0)
    return x.gather(1, target[:, None])[:, 0]


def as_probabilities(prediction: Tensor, target: Tensor) -> Tensor:
    """The target as one probability a class: labels become one-hot, values of the prediction's shape stay.

    Args:
        prediction: (B, C) or (B, C, ...), in the precision that the result has as well.
        target: labels (B,) or (B, ...), or probabilities of the prediction's shape.

    Returns:
        Probabilities of the prediction's shape.

    Raises:
        CouloirError: the target is neither.
    """
    if are_labels(prediction, target):
        target = F.one_hot(target.long(), prediction.shape[1]).movedim(-1, 1)
    return target.to(prediction.dtype)


def check_bounds(name: str, x: Tensor, low: float, high: float, next_step: str) -> None:
    """Refuse values outside [low, high], such as logits where probabilities are meant.

    Only on the CPU: a GPU would have to be waited for at every step. NaN passes, it is the trainer's to report.

    Raises:
        CouloirError: a value lies outside.
    """
    if x.device.type == "cpu" and bool(((x < low) | (x > high)).any()):
        raise CouloirError(
            f"{name} lie in [{low:g}, {high:g}]; these reach from {x.min().item():g} to {x.max().item():g}.",
            next_step=next_step,
        )
