"""The names of ImageNet's classes: folders of its photographs have WordNet's numbers, such as `n02206856` for a bee."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def imagenet() -> dict[str, str]:
    """Number in WordNet 3.0 -> name of the 1,000 classes, in the order of published weights."""
    lines = Path(__file__).with_name("imagenet_classes.txt").read_text(encoding="utf-8").splitlines()[1:]
    return dict(line.split(" ", 1) for line in lines)
