"""Worker processes that cut samples straight into batches which all processes share."""

from __future__ import annotations

import mmap
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from couloir.data.source import Cuttable
from couloir.data.splits import Indices
from couloir.data.windows import CutsWindows
from couloir.data.worker_processes import end_workers, look_after, settle_in
from couloir.errors import CouloirError
from couloir.log import say
from couloir.torch_private import iterator_of, workers_of

AHEAD = 2
"""Batches that each worker may be ahead of the training."""

Item = tuple[int, NDArray[np.int64], int]
"""A slot of the ring, the samples that go into it, and the seed of their windows."""


class Cutting:
    """Batches of a split's photographs, one epoch each time it is called.

    Workers write into the slots of a ring in shared memory and answer with nothing but a word. A slot is written again
    only after the consumer has asked for the batch that follows it: what a caller wants to keep, it copies before.

    Args:
        source: the photographs.
        indices: which of them the split has, (N,).
        targets: the targets of the split, (N,).
        batch_size: samples a batch.
        windows: draws the windows; None: the middles of the photographs.
        workers: processes; 0: this one.
        tolerant: whether what cannot be cut leaves zeros in its batch, and is told in `failed`, instead of being
            raised.
    """

    def __init__(
        self,
        source: Cuttable,
        indices: Indices,
        targets: Tensor,
        batch_size: int,
        windows: CutsWindows | None,
        workers: int,
        tolerant: bool = False,
    ) -> None:
        self.source, self.indices, self.targets, self.tolerant = source, indices, targets, tolerant
        self.failed: dict[int, CouloirError] = {}
        """Of the newest batch what could not be cut, by its place in the batch."""
        self.batch_size, self.windows, self.workers = batch_size, windows, workers
        self._plan = _Plan()
        self._loader: DataLoader[Any] | None = None
        self._ring = torch.empty(0)
        self._epochs = 0
        self._warned = False

    def __call__(self, batches: Sequence[Tensor], seeds: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
        """Raw inputs, uint8 (B, C, H, W), and targets, batch by batch.

        Args:
            batches: indices into the split.
            seeds: what the windows of each batch follow from.

        Raises:
            CouloirError: a file cannot be read or decoded.
        """
        if self._loader is None:
            # Only the last batch may be of another size than the others; of two samples where batches have one.
            self._start(max([self.batch_size, *(len(batches[at]) for at in (0, -1) if batches)]))
        assert self._loader is not None
        self._epochs += 1
        epoch = self._epochs
        self._plan.batches, self._plan.seeds, self._plan.slots = batches, seeds, len(self._ring)
        mistake: CouloirError | None = None
        # A new iteration of the loader first waits for what the workers still do for one that was broken off.
        answers = iter(self._loader)
        look_after(answers)
        for number, (chosen, answer) in enumerate(zip(batches, answers, strict=True)):
            if isinstance(answer, CouloirError):
                mistake = answer
                break
            self.failed = answer if isinstance(answer, dict) else {}
            if not isinstance(answer, dict):
                self._note(answer)
            slot = self._ring[number % len(self._ring)]
            yield slot[: len(chosen)].movedim(-1, -3), self.targets[chosen]
            if epoch != self._epochs:
                raise RuntimeError("A new iteration of these batches has started; an earlier one cannot continue.")
        if mistake is not None:
            self.close()  # the error's frames hold the iterator; the garbage collector would wait for its workers
            try:
                raise mistake
            finally:
                del mistake

    def _start(self, room: int) -> None:
        """Make the ring and the loader; the loader starts its workers when it is iterated, and keeps them."""
        # The loader asks for the next batch before it hands one out: that one, and all that the workers are ahead.
        slots = self.workers * AHEAD + 1
        self._ring = _shared(self.source.empty(0).shape[1:], slots, room, forked=_forks())
        self._loader = DataLoader(
            _Slots(self._ring, self.source, self.indices, self.windows, self.tolerant),
            batch_size=None,
            sampler=self._plan,
            num_workers=self.workers,
            prefetch_factor=AHEAD if self.workers else None,
            persistent_workers=self.workers > 0,
            worker_init_fn=settle_in,
            multiprocessing_context="fork" if self.workers and _forks() else None,
            # Of its own: the loader would draw the workers' seeds from the run's random numbers.
            generator=torch.Generator(),
        )

    @property
    def processes(self) -> list[Any]:
        """The worker processes that there are."""
        return workers_of(iterator_of(self._loader))

    def close(self, at_once: bool = False) -> None:
        """End the workers, and give the ring's memory back; the next epoch starts others.

        Args:
            at_once: kill them.
        """
        iterator = iterator_of(self._loader)
        self._loader, self._ring = None, torch.empty(0)
        # A loop that has not asked for the end of its epoch holds them, perhaps in a cycle: not left to chance.
        end_workers(iterator, at_once)
        self.source.settle()
        if self._epochs > 0:
            self._note(self.source.problem)

    def _note(self, problem: str | None) -> None:
        if problem is not None and not self._warned:
            self._warned = True
            say.warning("%s", problem)


class _Plan(Sampler[Item]):
    """What the workers are told, exchanged between epochs: the loader keeps its sampler for good."""

    def __init__(self) -> None:
        self.batches: Sequence[Tensor] = ()
        self.seeds: Sequence[int] = ()
        self.slots = 1

    def __iter__(self) -> Iterator[Item]:
        for number, (chosen, seed) in enumerate(zip(self.batches, self.seeds, strict=True)):
            yield number % self.slots, chosen.numpy(), seed

    def __len__(self) -> int:
        return len(self.batches)


Cut = CouloirError | dict[int, CouloirError] | str | None
"""What a worker answers: the user's mistake, or those of some samples, or what is wrong with the cache, or nothing."""


class _Slots(Dataset[Cut]):
    """Fills a slot."""

    def __init__(
        self, ring: Tensor, source: Cuttable, indices: Indices, windows: CutsWindows | None, tolerant: bool
    ) -> None:
        self.ring, self.source, self.indices, self.windows, self.tolerant = ring, source, indices, windows, tolerant

    def __getitem__(self, item: Item) -> Cut:
        slot, chosen, seed = item
        numbers, room = self.indices[chosen].tolist(), self.ring[slot, : len(chosen)]
        try:
            self.source.cut(numbers, room, self.windows, seed)
        except CouloirError as error:
            if not self.tolerant:
                return error  # raised here, the loader would wrap its sentence into a traceback
            return self._one_by_one(numbers, room)
        return self.source.problem

    def _one_by_one(self, numbers: list[int], room: Tensor) -> dict[int, CouloirError]:
        """Cut what can be cut; the others' mistakes."""
        failed = {}
        for place, number in enumerate(numbers):
            try:
                self.source.cut([number], room[place : place + 1])
            except CouloirError as error:
                room[place].zero_()
                failed[place] = error
        return failed


def _forks() -> bool:
    return sys.platform == "linux"


def _shared(shape: torch.Size, slots: int, batch_size: int, forked: bool) -> Tensor:
    """Room for `slots` batches that worker processes share, uint8 (slots, B, ...)."""
    whole = (slots, batch_size, *shape)
    if not forked:
        ring = torch.empty(whole, dtype=torch.uint8)
        ring.share_memory_()  # type: ignore[no-untyped-call]
        return ring
    # An anonymous map is shared by a fork, and does not count against /dev/shm, of which a container has 64 MB.
    count = int(np.prod(whole))
    return torch.frombuffer(mmap.mmap(-1, count), dtype=torch.uint8, count=count).view(whole)
