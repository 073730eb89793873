"""Small networks for grey images, as `couloir explain` looks into them, without a run."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from torch import Tensor, nn

from couloir.inference.explain.subject import Subject


def looked_into(
    net: nn.Module, side: int, kind: str = "label", mean: float = 0.5, std: float = 0.25, classes: Sequence[str] = ()
) -> Subject:
    """A network that takes images (B, 1, side, side) standardised by one mean and deviation.

    Args:
        net: it gives a score a class.
        side: of the images.
        kind: of what is learned.
        mean: of the pixels.
        std: their deviation.
        classes: their names.
    """
    data = SimpleNamespace(fields={"x": "image", "y": kind}, mean=[mean], std=[std], channels=1, image_size=side,
                           kind=kind, classes=list(classes))  # fmt: skip
    trained: Any = SimpleNamespace(task=SimpleNamespace(answer=_answer), net=net, data=data, device="cpu")
    return Subject(trained)


def _answer(scores: Tensor) -> Tensor:
    return scores.softmax(dim=1)
