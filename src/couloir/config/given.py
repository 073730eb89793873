"""What a network is given of one sample, by the data's keys alone: the shape of each input. Nothing here imports torch.

A layer table and a graph need an input, and are drawn without the data: its numbers do not matter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from couloir.config.fields import fields_of, input_field, is_sequence
from couloir.config.image_size import input_size, sample_shape, size_of

STEPS = 32
"""Steps of a sequence whose data does not say how many there are."""
TRANSLATION = "translation"


@dataclass(frozen=True)
class Given:
    """One input of one sample.

    Attributes:
        shape: without the batch.
        tokens: whether its numbers count tokens; else they are real.
    """

    shape: tuple[int, ...]
    tokens: bool = False

    @property
    def bytes(self) -> int:
        """What it takes in memory: int64 or float32."""
        return math.prod(self.shape) * (8 if self.tokens else 4)


def given_by(data: Mapping[str, Any]) -> list[Given]:
    """What a network takes of one sample; of a translation the source and, as in training, the target.

    Args:
        data: the node of the data: `fields`, `channels`, `image_size`, `length`.
    """
    fields = fields_of(data)
    kind = fields[input_field(fields)]
    steps, channels = int(data.get("length") or STEPS), int(data.get("channels") or 1)
    if kind == "tokens":
        return [Given((steps,), tokens=True)] * (2 if data.get("task") == TRANSLATION else 1)
    if kind == "series":
        return [Given((steps, channels))]
    if kind == "video":
        return [Given((channels, steps, *size_of(data["image_size"])))]
    return [Given(sample_shape(channels, input_size(data)))]


def assumed_length(data: Mapping[str, Any]) -> str:
    """A sentence about a length that nobody states; "" where there is none to state."""
    if data.get("length") is not None or not is_sequence(fields_of(data)):
        return ""
    return f"for a sequence of {STEPS} steps: data.length says no number"


def in_words(given: Sequence[Given]) -> str:
    """`8 x 8`, or `12 and 12`."""
    return " and ".join(" x ".join(map(str, each.shape)) for each in given)
