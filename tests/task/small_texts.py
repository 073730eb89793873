"""A made-up text in memory, and the sentence that learns it: runs of a second for tests of next tokens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from couloir.config.world import ALONE, World
from couloir.data.sequence.sequences import Sequences
from couloir.data.sequence.stretches import Stretch, Stretches
from couloir.data.sequence.vocabulary import Vocabulary
from couloir.data.sequence.windows import streams
from couloir.data.source import Loaded

LETTERS = "abcdefg"


def made(length: int, noise: float = 0.1) -> np.ndarray[Any, Any]:
    """A text of letters in their order, now and then another one, (length,)."""
    generator = np.random.default_rng(0)
    text = np.arange(length) % len(LETTERS)
    return np.where(generator.random(length) < noise, generator.integers(0, len(LETTERS), length), text)


def cut(values: np.ndarray[Any, Any], count: int, steps: int) -> Stretches:
    """A text as `count` streams of stretches of `steps`."""
    starts, lengths = streams(len(values) - 1, steps, count)
    return Stretches({"text": Stretch(values, starts, lengths), "next": Stretch(values, starts + 1, lengths)})


def small_text(
    lengths: list[int], steps: int, vocabulary_size: int, length: int, image_size: None, **keys: Any
) -> Sequences:
    """Texts of so many letters to train, validate and test on."""
    world: World = keys.get("world", ALONE)
    count = keys["batch_size"] * world.size if keys["carry_state"] else 1

    def load() -> Loaded:
        train, val, test = (cut(made(each), count, steps) for each in lengths)
        return Loaded(train, test=test, val=val, vocabulary=Vocabulary("character", list(LETTERS)))

    return Sequences(load, **keys)


def inspect(target: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Nothing is read from files."""
    return {}


YAML = """# Letters.
# Source: made up.
_target_: small_texts.small_text
task: next_token
fields: {text: tokens, next: target_tokens}
lengths: [400, 90, 90]
steps: 8
channels: null
vocabulary_size: 7
length: 8
image_size: null
num_classes: 7
batch_size: 4
carry_state: false
seed: ${seed}
subset: null
"""


def write_conf(root: Path) -> None:
    """The choice `data=small_text` in a folder `conf`."""
    (root / "data").mkdir(parents=True, exist_ok=True)
    (root / "data/small_text.yaml").write_text(YAML)
