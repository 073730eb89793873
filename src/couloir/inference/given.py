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
from couloir.data.unseen_texts import UnseenTexts
from couloir.inference.asking import Asking
from couloir.inference.forecasting import is_forecaster, last_windows
from couloir.inference.inputs import TABLE, Inputs
from couloir.inference.trained import Trained
from couloir.ragged import part, rows_of

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
    if inputs.kind == TABLE and is_forecaster(trained):
        yield from _windows(trained, inputs)
        return
    asking = Asking([trained])
    found = asking.about(inputs)
    unusable += [(entry.where, entry.reason) for entry in asking.unusable]
    for asked in found:
        samples: Any = asked.samples[0]
        start = 0
        for raw in samples.batches(BATCH):
            failed = sorted(raw.failed)
            for error in (raw.failed[place] for place in failed):
                where = error.place or ""
                unusable.append((where, error.fact.removeprefix(f"{Path(where).name} ").rstrip(".")))
            count = rows_of(raw.x)
            places = np.delete(np.arange(count), failed)
            if len(places):
                batch = trained.prepare(part(raw.x, torch.from_numpy(places)) if failed else raw.x)
                batch[SAMPLE] = torch.from_numpy(start + places)
                truth = None if samples.targets is None else samples.targets[start + places]
                names = _names(samples, asked.name, start + places)
                yield Given(names, batch, truth, samples.known[start + places])
            start += count


def _windows(trained: Trained, inputs: Inputs) -> Iterator[Given]:
    """What a run that forecasts looks at of each series of some tables: the steps before those to come."""
    for file in inputs.files:
        for name, values in last_windows(trained, file):
            batch = trained.prepare(torch.from_numpy(values[None]))
            batch[SAMPLE] = torch.zeros(1, dtype=torch.int64)
            yield Given([f"{file.name}, series {name}" if name else str(file)], batch, None, np.zeros(1, dtype=bool))


def _names(samples: Any, file: Path | None, places: NDArray[np.int64]) -> list[str]:
    if isinstance(samples, Photographs | UnseenVideos):
        return [str(samples.paths[place]) for place in places]
    if isinstance(samples, UnseenTexts):
        return [f"{Path(str(file)).name}, line {samples.lines[place]}" for place in places]
    alone = isinstance(samples, Arrays) and len(samples) == 1
    return [str(file) if alone else f"{file}, sample {place}" for place in places]
