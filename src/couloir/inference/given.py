"""The samples of files as a finished run takes them, batch by batch, for whoever looks at them themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from couloir.config.fields import SAMPLE
from couloir.data.batches import Batch
from couloir.data.sequence.unseen_videos import UnseenVideos
from couloir.data.unseen import Arrays, Photographs
from couloir.inference.asking import Asking
from couloir.inference.inputs import Inputs
from couloir.inference.trained import Trained

BATCH = 64
"""Samples at a time."""


class Given(NamedTuple):
    """Some samples out of files.

    Attributes:
        names: where each comes from.
        batch: as the network takes them.
        truth: the class or the value of each, as the data states it; None where nothing is known.
        known: (B,) of which it is known.
    """

    names: list[str]
    batch: Batch
    truth: NDArray[Any] | None
    known: NDArray[np.bool_]


def given(trained: Trained, inputs: Inputs, unusable: list[tuple[str, str]]) -> Iterator[Given]:
    """The samples of files, batch by batch, read as `couloir predict` reads them.

    Args:
        trained: the run.
        inputs: the files.
        unusable: what cannot be read goes there, each with the reason.

    Raises:
        CouloirError: the run does not take them.
    """
    unusable += [(entry.where, entry.reason) for entry in inputs.unusable]
    for asked in Asking([trained]).about(inputs):
        samples: Any = asked.samples[0]
        start = 0
        for raw in samples.batches(BATCH):
            failed = sorted(raw.failed)
            for error in (raw.failed[place] for place in failed):
                where = error.place or ""
                unusable.append((where, error.fact.removeprefix(f"{Path(where).name} ").rstrip(".")))
            places = np.delete(np.arange(len(raw.x)), failed)
            if len(places):
                batch = trained.prepare(raw.x[torch.from_numpy(places)])
                batch[SAMPLE] = torch.from_numpy(start + places)
                truth = None if samples.targets is None else samples.targets[start + places]
                names = _names(samples, asked.name, start + places)
                yield Given(names, batch, truth, samples.known[start + places])
            start += len(raw.x)


def _names(samples: Any, file: Path | None, places: NDArray[np.int64]) -> list[str]:
    if isinstance(samples, Photographs | UnseenVideos):
        return [str(samples.paths[place]) for place in places]
    alone = isinstance(samples, Arrays) and len(samples) == 1
    return [str(file) if alone else f"{file}, sample {place}" for place in places]
