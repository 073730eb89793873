"""Networks as `couloir explain` sees them, without a run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor, nn

from couloir.inference.explain.subject import Shown, Subject
from couloir.inference.trained import Trained


def subject_of(
    net: nn.Module,
    channels: int = 1,
    size: int | None = 4,
    classes: int = 3,
    kind: str = "label",
    mean: Any = 0.0,
    std: Any = 1.0,
) -> Subject:
    """A network as one that was trained on images, or with `size=None` on tables.

    Args:
        net: the network.
        channels: of its images, or columns of its tables.
        size: of its images in pixels; None: tables.
        classes: its outputs.
        kind: of its target: `label`, `labels` or `value`.
        mean: what its inputs were standardised by.
        std: the same.
    """
    means = {"label": lambda scores: scores.softmax(dim=1), "labels": torch.sigmoid, "value": lambda scores: scores}
    data = SimpleNamespace(
        fields={"x": "row" if size is None else "image", "y": kind}, kind=kind, channels=channels, image_size=size,
        num_classes=classes, classes=[f"class{number}" for number in range(classes)] if kind != "value" else [],
        targets=[f"value{number}" for number in range(classes)] if kind == "value" else [], mean=mean, std=std,
    )  # fmt: skip
    task = SimpleNamespace(net=net, answer=means[kind], input="x", target="y")
    trained = SimpleNamespace(net=net, task=task, data=data, device=torch.device("cpu"), cfg=None)
    return Subject(cast(Trained, trained))


def shown_of(subject: Subject, pixels: Tensor, target: list[int] | None = None) -> Shown:
    """Inputs of it, and the outputs that are explained; None: the largest of each."""
    x = subject.standardised(pixels)
    chosen = subject.answers(x).argmax(dim=1) if target is None else torch.tensor(target)
    return Shown(pixels, x, chosen, [f"image{number}.png" for number in range(len(x))])
