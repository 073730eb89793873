"""Fields whose samples differ in size, and what every field of a batch has in common: a length, a part, a device.

Boxes of all samples stand in one tensor, with each sample's count beside it (`Ragged`). Sequences are
padded to the longest of their batch, with each sample's length beside it (`Padded`), since a network takes a rectangle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Ragged(NamedTuple):
    """Rows of all samples, one sample after the other.

    Attributes:
        values: (N, ...), N rows of all samples together; of boxes (N, 5): x0, y0, x1, y1 in pixels, and the class.
        counts: (B,) int64, how many rows belong to each sample.
    """

    values: Tensor
    counts: Tensor

    @classmethod
    def of(cls, samples: Sequence[Tensor]) -> Ragged:
        """The form of some samples, each (n, ...)."""
        return cls(torch.cat(list(samples)), torch.tensor([len(sample) for sample in samples]))

    def samples(self) -> list[Tensor]:
        """Each sample's rows, (n, ...)."""
        return list(torch.split(self.values, self.counts.tolist()))


class Padded(NamedTuple):
    """Sequences of a batch, the shorter ones filled up with zeros at their ends.

    Attributes:
        values: (B, T, ...), T the length of the longest.
        lengths: (B,) int64.
    """

    values: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, samples: Sequence[Tensor]) -> Padded:
        """The form of some samples, each (t, ...)."""
        return cls(
            torch.nn.utils.rnn.pad_sequence(list(samples), batch_first=True),
            torch.tensor([len(sample) for sample in samples]),
        )

    def samples(self) -> list[Tensor]:
        """Each sequence without its padding, (t, ...)."""
        return [row[:length] for row, length in zip(self.values, self.lengths.tolist(), strict=True)]

    def mask(self) -> Tensor:
        """Where there is something, (B, T) bool."""
        return torch.arange(self.values.shape[1], device=self.lengths.device) < self.lengths[:, None]


Field = Tensor | Ragged | Padded


def length(batch: Mapping[str, Any]) -> int:
    """How many samples a batch has."""
    return rows_of(next(iter(batch.values())))


def part(field: Field, chosen: Tensor) -> Field:
    """Some samples of a field, in the order in which they are chosen, (n,) int64."""
    if isinstance(field, Tensor):
        return field[chosen]
    samples = field.samples()
    return type(field).of([samples[place] for place in chosen.tolist()])


def first(field: Field, count: int) -> Field:
    """The first samples of a field."""
    return field[:count] if isinstance(field, Tensor) else part(field, torch.arange(min(count, rows_of(field))))


def rows_of(field: Field) -> int:
    """How many samples a field has."""
    if isinstance(field, Tensor):
        return field.shape[0]
    return len(field.counts) if isinstance(field, Ragged) else len(field[0])


def joined(fields: Sequence[Field]) -> Field:
    """The samples of several fields of one form, one field after the other."""
    tensors = [field for field in fields if isinstance(field, Tensor)]
    if len(tensors) == len(fields) and len({each.shape[1:] for each in tensors}) == 1:
        return torch.cat(tensors)
    form = Ragged if isinstance(fields[0], Ragged) else Padded
    return form.of([sample for field in fields for sample in (field if isinstance(field, Tensor) else field.samples())])


def moved(field: Field, device: torch.device) -> Field:
    """A field on a device; to a GPU it is copied in the background, out of pinned memory that nobody else writes."""
    if not isinstance(field, Tensor):
        return type(field)(*(_moved(tensor, device) for tensor in field))
    return _moved(field, device)


def in_precision(field: Field, dtype: torch.dtype) -> Field:
    """A field whose real numbers have another precision; tokens and classes stay as they are."""
    if isinstance(field, Tensor):
        return field.to(dtype) if field.is_floating_point() else field
    values, beside = field
    return type(field)(values.to(dtype) if values.is_floating_point() else values, beside)


def _moved(x: Tensor, device: torch.device) -> Tensor:
    if device.type == "cuda" and x.device.type == "cpu":
        return x.pin_memory().to(device, non_blocking=True)
    return x.to(device)
