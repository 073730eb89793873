"""What the maps of a data set hold: pixels of each class, images that have it, maps with next to nothing in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from couloir.config.fields import IGNORED
from couloir.data.division import Split
from couloir.data.pairs import PairSource
from couloir.data.samples import Samples
from couloir.errors import CouloirError

MAPS = 500
"""Maps of a split, evenly spaced, that are looked at."""
ALONE = 0.999
"""Share of the pixels that count from which on a map is said to have one class alone."""
AT_A_TIME = 32


def maps(data: Samples) -> dict[str, Any] | None:
    """What maps hold, by split; None where there are none among the raw samples.

    Of restored images only what is learned: `holds` is `images` then, and all else is empty.
    """
    if data.degrade is None and not data.planes:
        return None
    holds = "images" if data.degrade is not None else str(data.maps)
    found: dict[str, Any] = {"holds": holds, "counted": {}, "pixels": {}, "images": {}, "ignored": {}, "empty": {}}
    if holds == "images":
        return found
    for name, split in data.splits.items():
        counts = [np.bincount(plane.reshape(-1), minlength=IGNORED + 1) for plane in _planes(split)]
        rows = np.array(counts, np.int64).reshape(-1, IGNORED + 1)
        found["counted"][name] = len(rows)
        if holds == "values":
            found["empty"][name] = int((rows[:, 1:].sum(axis=1) == 0).sum())
            continue
        classes = rows[:, : data.num_classes or IGNORED]
        inside = classes.sum(axis=1)
        found["pixels"][name] = [int(count) for count in classes.sum(axis=0)]
        found["images"][name] = [int(count) for count in (classes > 0).sum(axis=0)]
        found["ignored"][name] = float(rows[:, IGNORED].sum() / max(1, rows.sum()))
        found["empty"][name] = int((classes.max(axis=1, initial=0) >= ALONE * inside).sum())
    return found


def _planes(split: Split) -> Iterator[NDArray[np.uint8]]:
    """Some maps of a split, (H, W): of files whole ones, whatever windows are cut of them."""
    indices = split.indices[:: max(1, -(-len(split.indices) // MAPS))]
    source = split.source
    if isinstance(source, PairSource):
        for index in indices.tolist():
            try:
                yield source.frames.get([source.first + index])[0][..., -1].numpy()
            except CouloirError:  # it is listed among those that are broken
                continue
        return
    for part in torch.split(torch.from_numpy(indices), AT_A_TIME):
        yield from source.fetch(part)[:, -1].cpu().numpy()
