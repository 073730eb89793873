"""Whether an exported file answers as its run does, on real samples of the validation split."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from couloir.config.fields import SIZE
from couloir.config.image_size import Size
from couloir.data.samples import Samples
from couloir.errors import CouloirError, ExportDiffers
from couloir.inference.predictor import Predictor
from couloir.task.dense import Dense
from couloir.task.tiles import mirrored

BATCHES = (1, 3, 5, 7)
"""Samples of the batches that the file is asked about; the run answers about all of them in one. Where there are fewer
samples, they come again.
"""
LIMIT = 1e-4
"""The largest difference that passes, in ranges of the run's answers: their largest less their smallest."""
STEPS = 4
"""Steps between neighbouring float32 numbers, at the size of the largest answer, that pass in any case."""


class Seen(NamedTuple):
    """The first samples of the validation split, in turn, as many as the batches need.

    Attributes:
        different: how many of them are different samples.
        raw: as the data reads them, uint8 (B, C, H, W) or float32 (B, ...); None: a data module of the user's own does
            not say.
        prepared: as the network takes them, (B, ...).
    """

    different: int
    raw: Tensor | None
    prepared: Tensor


@dataclass(frozen=True)
class Agreement:
    """How far a file's answers are from those of its run.

    Attributes:
        samples: different ones that both have answered for.
        batch_sizes: in which the file was asked.
        largest_difference: of any number in any answer; of several values that of the one nearest to its limit.
        range: the run's largest answer less its smallest; of several values, of that one.
        limit: what the difference may be.
    """

    samples: int
    batch_sizes: list[int]
    largest_difference: float
    range: float
    limit: float


def first_samples(predictor: Predictor) -> Seen:
    """As many samples as the batches need.

    Raises:
        CouloirError: the network does not take one tensor a batch.
    """
    data, count = predictor.data, sum(BATCHES)
    if isinstance(data, Samples) and isinstance(predictor.task, Dense):
        return windows(predictor, predictor.task.window)
    if isinstance(data, Samples):
        split = data.splits["val"]
        places = np.arange(count) % len(split.indices)
        raw = split.source.fetch(torch.from_numpy(split.indices[places]))
        return Seen(min(count, len(split.indices)), raw, _tensor(data.seen("val", places)[data.input]))
    parts: list[Tensor] = []
    for batch in predictor.batches("val"):
        parts.append(_tensor(batch[predictor.task.input]))
        if sum(len(part) for part in parts) >= count:
            break
    if not parts:
        raise CouloirError("The validation split has no samples, and an export is checked on some.")
    there = torch.cat(parts)[:count]
    return Seen(len(there), None, there[torch.arange(count) % len(there)])


def windows(predictor: Predictor, size: Size) -> Seen:
    """The middles of whole images, as many as the batches need; smaller images are surrounded by their mirror image."""
    data, task, count = predictor.data, predictor.task, sum(BATCHES)
    assert isinstance(task, Dense)
    there = min(count, len(data.splits["val"].indices))
    found = []
    for place in range(there):
        batch = data.seen("val", np.array([place]))
        height, width = batch[SIZE][0].tolist() if SIZE in batch else batch[task.input].shape[-2:]
        x = _tensor(batch[task.input])[..., :height, :width] * task.input_std.cpu() + task.input_mean.cpu()
        found.append(mirrored(x, (height - size[0]) // 2, (width - size[1]) // 2, *size))
    raw = (torch.cat(found).clamp(0, 1) * 255).round().to(torch.uint8)[torch.arange(count) % there]
    return Seen(there, raw, data.as_batch(raw)[task.input])


def _tensor(field: Any) -> Tensor:
    if not isinstance(field, Tensor):
        raise CouloirError(
            f"The network takes {type(field).__name__} (samples of different lengths); an export takes one tensor.",
            next_step="--to safetensors writes the weights of any network",
        )
    return field


def agreement(
    own: Tensor,
    asked: Tensor,
    answers: Callable[..., Tensor],
    samples: int,
    apart: bool = False,
    beside: Sequence[Tensor] = (),
    kind: str = "validation samples",
    batches: Sequence[int] = BATCHES,
) -> Agreement:
    """Compare a file with its run.

    Args:
        own: the run's answers, (B, ...), B the sum of `batches`.
        asked: what the file takes for the same samples, (B, ...).
        answers: the file.
        samples: how many of them are different.
        apart: whether an answer is several values, each with a range of its own.
        beside: further inputs of the file, (B,) each.
        kind: what the samples are, for a message.
        batches: samples of each batch that the file is asked about.

    Raises:
        CouloirError: the run's own answers are not finite.
        ExportDiffers: the file's answers have another form, or differ by more than the limit.
    """
    if not own.isfinite().all():
        raise CouloirError(
            "The run answers with NaN or infinity on its own validation samples: there is nothing to export.",
            next_step="couloir diagnose says what became of the run",
        )
    parts = zip(*(torch.split(each, list(batches)) for each in (asked, *beside)), strict=True)
    found = torch.cat([answers(*part) for part in parts])
    if found.shape != own.shape:
        raise ExportDiffers(
            f"The exported file answers with {tuple(found.shape)}, the run with {tuple(own.shape)}. No file is left."
        )
    columns = zip(found.unbind(1), own.unbind(1), strict=True) if apart else [(found, own)]
    compared = [_compared(one, other, samples) for one, other in columns]
    worst = max(compared, key=lambda each: each.largest_difference / each.limit)
    if not worst.largest_difference <= worst.limit:
        raise ExportDiffers(
            f"The exported file does not answer as the run does: the largest difference on {samples} {kind} "
            f"is {worst.largest_difference:.3g}, and the limit is {worst.limit:.3g}, {LIMIT:g} of the answers' "
            "range. No file is left.",
            next_step="--to safetensors writes the weights alone, to the bit",
        )
    return worst


def _compared(found: Tensor, own: Tensor, samples: int) -> Agreement:
    difference = float((found.double() - own.double()).abs().max())
    spread = float(own.max()) - float(own.min())
    step = float(np.spacing(np.float32(own.abs().max())))
    limit = max(LIMIT * spread, STEPS * step)
    return Agreement(samples, list(BATCHES), math.inf if math.isnan(difference) else difference, spread, limit)
