"""What there is to know of tokens: how long the texts are, which are the most frequent, and some texts."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from couloir.data.sequence.sequences import Sequences
from couloir.data.sequence.stretches import Stretches
from couloir.data.sequence.vocabulary import UNKNOWN
from couloir.inspect.dataset.targets import name_of

FREQUENT = 30
"""Tokens that are listed, the most frequent ones of the training split."""
SHOWN = 12
"""Texts of a split that are shown, from all over it."""


def texts(data: Any) -> dict[str, Any] | None:
    """The facts of tokens; None where the samples have none.

    Returns:
        `unit`, what a token is; `vocabulary`, how many there are; `splits`: of each how many `tokens` it has, the
        `min`, `median` and `max` of a sample, and the share that is `unknown`; `frequent`: the most frequent tokens of
        the training split, each with its `count`; `shown`: some samples of each split.
    """
    if not isinstance(data, Sequences) or data.vocabulary is None:
        return None
    counted = {name: _counts(data, name) for name in data.splits}
    number = data.vocabulary.numbers.get(UNKNOWN)
    splits = {}
    for name, split in data.splits.items():
        lengths, count = _lengths(data, name), counted[name]
        splits[name] = {
            "samples": len(split.indices), "tokens": int(lengths.sum()), "min": int(lengths.min()),
            "median": float(np.median(lengths)), "max": int(lengths.max()),
            "unknown": 0.0 if number is None else float(count[number] / max(1, count.sum())),
        }  # fmt: skip
    train = counted["train"]
    order = np.argsort(-train, kind="stable")[:FREQUENT]
    frequent = [{"token": data.vocabulary.decode([int(at)]), "count": int(train[at])} for at in order if train[at]]
    return {
        "unit": data.vocabulary.unit, "vocabulary": len(data.vocabulary), "splits": splits, "frequent": frequent,
        "shown": {name: _shown(data, name) for name in data.splits},
    }  # fmt: skip


def _lengths(data: Sequences, name: str) -> NDArray[np.int64]:
    split = data.splits[name]
    return cast(Stretches, split.source).lengths[split.indices]


def _counts(data: Sequences, name: str) -> NDArray[np.int64]:
    """How often each token is in the inputs of a split, (V,)."""
    assert data.vocabulary is not None
    split = data.splits[name]
    stretch = cast(Stretches, split.source).input
    values = stretch.values.cpu().numpy()
    # Stretches begin and end somewhere in one array: what lies within any of them, as often as it does.
    edges = np.zeros(len(values) + 1, np.int64)
    starts, lengths = stretch.starts.numpy()[split.indices], stretch.lengths.numpy()[split.indices]
    np.add.at(edges, starts, 1)
    np.add.at(edges, starts + lengths, -1)
    times = np.cumsum(edges)[:-1]
    return np.bincount(values, weights=times, minlength=len(data.vocabulary)).astype(np.int64)


def _shown(data: Sequences, name: str) -> list[dict[str, Any]]:
    split = data.splits[name]
    count = len(split.indices)
    places = np.linspace(0, count - 1, min(SHOWN, count)).astype(np.int64)
    labelled = data.kind == "label"
    return [
        {"number": int(place), "class": name_of(data, split.targets[place]) if labelled else None, "text": text}
        for place, text in zip(places, data.texts(name, places), strict=True)
    ]
