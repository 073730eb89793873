"""Where sequences come from: stretches of arrays in memory, cut out when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from couloir.data.splits import Indices
from couloir.ragged import Padded

Raw = dict[str, Tensor | Padded]
"""Fields of some samples as they are in memory, by name."""


class Stretch:
    """One field of all samples: of each a stretch of one array; stretches may overlap.

    Args:
        values: all steps, (L, ...).
        starts: where each sample's stretch begins, (N,).
        lengths: how many steps each has, at least one, (N,); an int: all the same.
    """

    def __init__(self, values: NDArray[Any] | Tensor, starts: NDArray[Any], lengths: NDArray[Any] | int) -> None:
        self.values = values if isinstance(values, Tensor) else torch.from_numpy(np.ascontiguousarray(values))
        self.starts = torch.from_numpy(np.asarray(starts, np.int64))
        self.lengths = torch.from_numpy(np.broadcast_to(np.asarray(lengths, np.int64), len(self.starts)).copy())

    @classmethod
    def of(cls, sequences: Sequence[NDArray[Any]]) -> Stretch:
        """Sequences (t, ...) of any length, laid end to end."""
        lengths = np.array([len(each) for each in sequences], np.int64)
        return cls(np.concatenate(list(sequences)), np.cumsum(lengths) - lengths, lengths)

    def take(self, indices: Tensor, shift: int = 0) -> Tensor | Padded:
        """The stretches of some samples: (B, T, ...) where all are as long, else padded with zeros at their ends.

        Args:
            indices: the samples, (B,) on the CPU.
            shift: steps by which all of them begin later; one that would end behind the array begins earlier.
        """
        starts, lengths = self.starts[indices], self.lengths[indices]
        if shift:
            starts = torch.minimum(starts + shift, len(self.values) - lengths)
        longest = int(lengths.max())
        steps = torch.arange(longest)
        if int(lengths.min()) == longest:
            return self.values[(starts[:, None] + steps).to(self.values.device)]
        there = steps < lengths[:, None]
        places = torch.where(there, starts[:, None] + steps, 0)
        values, there = self.values[places.to(self.values.device)], there.to(self.values.device)
        values = values * there.view(*there.shape, *(1,) * (values.ndim - 2)).to(values.dtype)
        return Padded(values, lengths.to(self.values.device))

    def to(self, device: torch.device) -> None:
        """Move the array; where stretches begin stays on the CPU."""
        self.values = self.values.to(device)


class Stretches:
    """A source of samples whose fields are sequences; see `couloir.data.source.Source`.

    Args:
        fields: the sequences by the names that they have in a batch, the input first.
        targets: labels (N,), or values (N, K); None: the fields say all, and these are the samples' numbers.
        paths: the files that the samples come from, one each; None: they do not have one each.
        slack: steps by which a training batch begins later at most, less one: where a long text is cut into windows,
            each epoch cuts elsewhere. 1: never. A draw follows from the batch's seed.
    """

    measured = 50_000

    def __init__(
        self,
        fields: Mapping[str, Stretch],
        targets: NDArray[Any] | None = None,
        paths: list[Path] | None = None,
        slack: int = 1,
    ) -> None:
        self.fields, self.slack = dict(fields), slack
        self.input = next(iter(self.fields.values()))
        self.targets: NDArray[Any] = np.arange(len(self.input.starts)) if targets is None else targets
        self.paths = paths or []

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The steps of each sample's input, (N,)."""
        lengths: NDArray[np.int64] = self.input.lengths.numpy()
        return lengths

    def fetch(self, indices: Tensor, seed: int | None = None) -> Raw:
        """The fields of some samples.

        Args:
            indices: their numbers, (B,).
            seed: of the batch, in training; None: nothing is drawn.
        """
        shift = 0 if seed is None or self.slack == 1 else seed % self.slack
        return {name: field.take(indices.cpu(), shift) for name, field in self.fields.items()}

    def hash_into(self, add: Callable[[bytes], object], indices: Indices) -> None:
        """The bytes of the samples' fields."""
        for number in indices.tolist():
            add(self.bytes_of(number))

    def bytes_of(self, number: int) -> bytes:
        """The bytes of one sample's fields, one field after the other."""
        parts = []
        for field in self.fields.values():
            start = int(field.starts[number])
            parts.append(field.values[start : start + int(field.lengths[number])].cpu().numpy().tobytes())
        return b"".join(parts)

    def to(self, device: torch.device) -> None:
        """Move the arrays."""
        for field in self.fields.values():
            field.to(device)


class Stretched:
    """Batches of a split's samples, one epoch each time it is called; see `couloir.data.batches.Read`.

    Args:
        source: the samples.
        indices: which of them the split has, (N,).
        targets: the targets of the split, (N, ...).
        drawn: whether windows may begin elsewhere in each epoch.
    """

    processes: tuple[Any, ...] = ()
    workers = 0

    def __init__(self, source: Stretches, indices: Indices, targets: Tensor, drawn: bool) -> None:
        self.source, self.indices, self.targets, self.drawn = source, torch.from_numpy(indices), targets, drawn

    def __call__(self, batches: Sequence[Tensor], seeds: Sequence[int]) -> Iterator[tuple[Any, Tensor]]:
        """Fields by name, and targets, batch by batch."""
        for batch, seed in zip(batches, seeds, strict=True):
            yield self.source.fetch(self.indices[batch], seed if self.drawn else None), self.targets[batch]

    def close(self, at_once: bool = False) -> None:
        """There are no worker processes."""
