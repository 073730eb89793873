"""Codes, drawn or found, the paths between them, and the pictures that a run makes of them, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from couloir.data.batches import Batch
from couloir.errors import CouloirError
from couloir.inference.class_words import class_number
from couloir.inference.sampling.words import check_task, no_classes, no_codes_to_draw
from couloir.inference.trained import Trained
from couloir.task.generative import Generative

BATCH = 64
"""Codes that pass the network together. It is always that many, so that a sample's last bit does not depend on how many
others are asked for.
"""
STRAIGHT = 1e-4
"""Where the sine of the angle between two codes is below that, there is no arc between them: the line is taken."""


class Made(NamedTuple):
    """Some samples.

    Attributes:
        numbers: of the samples, (B,).
        labels: the class of each, (B,); None where the network is told none.
        pictures: (B, C, H, W) in [0, 1], on the CPU.
    """

    numbers: Tensor
    labels: Tensor | None
    pictures: Tensor


class Maker:
    """A run that makes pictures.

    Args:
        trained: the run.

    Raises:
        CouloirError: its task makes none.
    """

    def __init__(self, trained: Trained) -> None:
        if not isinstance(trained.task, Generative):
            check_task(trained.cfg, trained.run)
            raise CouloirError(
                f"{type(trained.task).__name__} of the run {trained.run.name} makes no pictures out of codes.",
                next_step="let it inherit from couloir.task.generative.Generative",
            )
        self.trained, self.task = trained, trained.task

    @property
    def classes(self) -> list[str]:
        """The names of the classes; their numbers where they have no names."""
        count = int(self.task.num_classes or 0)
        return list(self.task.classes) if len(self.task.classes) == count else [str(number) for number in range(count)]

    def label(self, stated: str | int | None) -> int | None:
        """The number of the class that is asked for; None: all of them in turn.

        Raises:
            CouloirError: there is none, or the network is told none.
        """
        if stated is None:
            return None
        if not self.task.conditional:
            raise no_classes(self.trained.run.name, type(self.task).__name__.lower())
        return class_number(str(stated), self.classes, "--class")

    def check_draws(self) -> None:
        """Whether codes can be drawn.

        Raises:
            CouloirError: they follow no known distribution.
        """
        if not self.task.can_draw:
            raise no_codes_to_draw(self.trained.run.name)

    def samples(self, count: int, seed: int, label: int | None = None) -> Iterator[Made]:
        """Samples by their numbers, from 0; a sample follows from the seed, its number and its class alone.

        Args:
            count: how many.
            seed: of their codes.
            label: the class; None: all of them in turn.
        """
        self.check_draws()
        for start in range(0, count, BATCH):
            numbers = torch.arange(start, start + BATCH)
            labels = self._labels(numbers, label)
            pictures = self._pictures(self.task.draw(numbers, seed), labels)
            kept = min(BATCH, count - start)
            yield Made(numbers[:kept], None if labels is None else labels[:kept], pictures[:kept])

    def _labels(self, numbers: Tensor, label: int | None) -> Tensor | None:
        if not self.task.conditional:
            return None
        return numbers % len(self.classes) if label is None else torch.full_like(numbers, label)

    def of(self, codes: Tensor, labels: Tensor | None = None) -> Iterator[Tensor]:
        """The pictures of codes (N, K), batch by batch, (B, C, H, W) in [0, 1] on the CPU.

        Args:
            codes: any number of them.
            labels: (N,), where the network is told a class.
        """
        for start in range(0, len(codes), BATCH):
            chosen = torch.arange(start, start + BATCH) % len(codes)
            pictures = self._pictures(codes[chosen.to(codes.device)], None if labels is None else labels[chosen])
            yield pictures[: len(codes) - start]

    def _pictures(self, codes: Tensor, labels: Tensor | None) -> Tensor:
        device = self.task.device
        with torch.inference_mode():
            return self.task.make(codes.to(device), None if labels is None else labels.to(device)).cpu()


def path(start: Tensor, end: Tensor, places: Tensor, spherical: bool) -> Tensor:
    """Codes from one to another, (T, K): along the line, or along the arc around the origin.

    Codes from N(0, 1) lie near a sphere, which a line leaves: the network has seen few codes of its middle.
    Source: White, 2016, Sampling Generative Networks, section 2.1.

    Args:
        start: (K,).
        end: (K,).
        places: (T,), 0 is the start and 1 the end.
        spherical: along the arc.
    """
    first, second, t = start.double(), end.double(), places.to(start.device).double()[:, None]
    angle = torch.acos((first @ second / (first.norm() * second.norm()).clamp_min(1e-12)).clamp(-1, 1))
    if not spherical or float(angle.sin()) < STRAIGHT:
        return ((1 - t) * first + t * second).float()
    return ((((1 - t) * angle).sin() * first + (t * angle).sin() * second) / angle.sin()).float()


class Codes(NamedTuple):
    """The codes of some samples of a split.

    Attributes:
        numbers: of the samples in their split, (N,).
        values: (N, K), float32.
        labels: the class of each, (N,); None where the data has no classes.
    """

    numbers: NDArray[np.int64]
    values: NDArray[np.float32]
    labels: NDArray[np.int64] | None


def codes_of(task: Generative, batches: Iterator[Batch], most: int | None = None) -> Codes:
    """The codes of a split.

    Args:
        task: finds them.
        batches: of the split.
        most: end as soon as there are so many; None: all.

    Raises:
        CouloirError: there are no samples, or their codes are not finite.
    """
    numbers, values, labels = [], [], []
    field, count = task.label_field, 0
    for batch in batches:
        with torch.inference_mode():
            codes = task.codes(batch).float().cpu().flatten(1)
        numbers.append(task.numbers(batch).cpu().numpy())
        values.append(codes.numpy())
        if field is not None and field in batch:
            labels.append(batch[field].cpu().numpy())
        count += len(codes)
        if most is not None and count >= most:
            break
    if not values:
        raise CouloirError("The test split has no samples, so there are no codes to show.")
    found = np.concatenate(values)[:most]
    if not np.isfinite(found).all():
        raise CouloirError(
            "Codes of the test split are NaN or infinite.", next_step="couloir diagnose says what became of the run"
        )
    return Codes(
        np.concatenate(numbers)[:most],
        found,
        np.concatenate(labels)[:most] if len(labels) == len(values) else None,
    )


def in_a_loop(keys: Tensor, frames: int, spherical: bool) -> Tensor:
    """Codes that pass through some of them and come back to the first, (frames, K), each as far from the next.

    Args:
        keys: (M, K), M at least 2.
        frames: how many codes.
        spherical: along arcs around the origin, not lines.
    """
    found = []
    for frame in range(frames):
        place = frame * len(keys) / frames
        begin = int(place)
        t = torch.tensor([place - begin])
        found.append(path(keys[begin], keys[(begin + 1) % len(keys)], t, spherical))
    return torch.cat(found)


def labelled(rows: int, classes: int, label: int | None, length: int) -> Tensor:
    """The class of each picture of some rows, (rows * length,): a class a row, all of them in turn, or always one."""
    of_row: Sequence[int] = [row % classes if label is None else label for row in range(rows)]
    return torch.tensor(of_row).repeat_interleave(length)
