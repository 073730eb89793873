"""Batches of a set that is in memory: its rows, put into the epoch's order once, and taken from it batch by batch."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from couloir.data.source import Source
from couloir.data.splits import Indices
from couloir.data.worker_processes import end_workers, look_after, settle_in
from couloir.torch_private import workers_of


class Rows:
    """Batches of a split's samples, one epoch each time it is called.

    Args:
        source: the samples.
        indices: which of them the split has, (N,).
        targets: the targets of the split, (N,) or (N, 1).
        workers: processes that fetch them; 0: this one.
        device: where the samples are, and the targets go.
    """

    def __init__(self, source: Source, indices: Indices, targets: Tensor, workers: int, device: torch.device) -> None:
        self.source, self.indices, self.targets = source, torch.from_numpy(indices), targets
        self.workers, self.device = workers, device
        self._iterator: Callable[[], Iterator[Any] | None] = lambda: None  # held by whoever iterates

    def __call__(self, batches: Sequence[Tensor], seeds: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
        """Raw inputs and targets, batch by batch, on the source's device; nothing is drawn, so no seed is needed.

        Args:
            batches: indices into the split.
            seeds: one a batch.
        """
        if not batches:
            return
        # One look-up an epoch instead of two a batch, and on a GPU one copy of the order instead of one a step.
        order, sizes = torch.cat(list(batches)), [len(batch) for batch in batches]
        rows, targets = self.indices[order].to(self.device), self.targets[order].to(self.device)
        chosen = torch.split(rows, sizes)
        inputs = map(self.source.fetch, chosen) if self.workers == 0 else self._fetched(chosen)
        yield from zip(inputs, torch.split(targets, sizes), strict=True)

    @property
    def processes(self) -> list[Any]:
        """The worker processes that there are."""
        return workers_of(self._iterator())

    def close(self, at_once: bool = False) -> None:
        """End the workers; the next epoch starts others.

        Args:
            at_once: kill them.
        """
        end_workers(self._iterator(), at_once)

    def _fetched(self, rows: Sequence[Tensor]) -> Iterator[Any]:
        # batch_size=None: the sampler's items are whole batches already, so nothing is collated sample by sample. A
        # generator of its own: the loader draws the workers' seeds from it instead of from the run's random numbers.
        loader = DataLoader(
            _Fetching(self.source),
            batch_size=None,
            sampler=rows,
            num_workers=self.workers,
            worker_init_fn=settle_in,
            generator=torch.Generator().manual_seed(0),
        )
        iterator = iter(loader)
        look_after(iterator)
        self._iterator = weakref.ref(iterator)
        return iterator


class _Fetching(Dataset[Tensor]):
    """Lets a DataLoader's workers fetch whole batches."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def __getitem__(self, rows: Tensor) -> Tensor:
        fetched: Tensor = self.source.fetch(rows)
        return fetched
