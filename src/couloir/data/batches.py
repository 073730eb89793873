"""Batches, ready for the network: an index, one conversion to float, augmentation, standardisation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, overload

import torch
from torch import Tensor

from couloir.config.fields import SAMPLE, SHARE
from couloir.ragged import length

Batch = dict[str, Any]
"""Fields by name, and beside them `couloir.config.fields.SAMPLE` and, where the parts of several processes are uneven,
`SHARE`.
"""
POOL = 50
"""Batches that are sorted by the length of their samples together."""
Prepare = Callable[[Tensor, Tensor], Batch]
Read = Callable[[Sequence[Tensor], Sequence[int]], Iterator[tuple[Tensor, Tensor]]]
"""Batches of indices, and a seed for what is drawn for each -> raw inputs and targets, batch by batch."""


class EpochOrder(Protocol):
    """The order of an epoch, of which stretches are found without the rest."""

    def take(self, start: int, stop: int) -> Tensor:
        """The samples from one place of the epoch to another, (stop - start,)."""


class Order(Protocol):
    """The orders of a split's epochs."""

    def epoch(self, number: int) -> EpochOrder:
        """The order of one epoch: a pure function of its number."""


class OneByOne(Sequence[Tensor]):
    """Batches that are made when they are asked for, so that an epoch's need not be in memory.

    Args:
        count: how many.
        make: the batch of a number.
    """

    def __init__(self, count: int, make: Callable[[int], Tensor]) -> None:
        self._count, self._make = count, make

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, number: int) -> Tensor: ...

    @overload
    def __getitem__(self, number: slice) -> OneByOne: ...

    def __getitem__(self, number: int | slice) -> Tensor | OneByOne:
        if isinstance(number, slice):
            chosen = range(self._count)[number]
            return OneByOne(len(chosen), lambda at: self._make(chosen[at]))
        if not -self._count <= number < self._count:
            raise IndexError(number)
        return self._make(number % self._count)


class Share(NamedTuple):
    """What an uneven batch of several processes carries beside its fields.

    Attributes:
        own: samples of this process that count; 0: it works on stand-ins, so that all processes take the step.
        whole: samples of all processes together.
        weight: what the mean loss of this process counts in the mean over processes, own * processes / whole.
    """

    own: int
    whole: int
    weight: float


class Strata(NamedTuple):
    """The samples of a split by their class.

    Attributes:
        members: all samples, those of one class after those of another, (N,).
        starts: where each class begins among them, (C,).
        sizes: how many samples each class has, at least one, (C,).
    """

    members: Tensor
    starts: Tensor
    sizes: Tensor

    @classmethod
    def of(cls, labels: Tensor) -> Strata:
        """The strata of labels (N,); classes without a sample are none."""
        _, sizes = torch.unique(labels, return_counts=True)
        return cls(labels.argsort(stable=True), sizes.cumsum(0) - sizes, sizes)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Samples with replacement: first a class, then one of its samples, each as likely as the others, (count,)."""
        drawn = torch.randint(len(self.sizes), (count,), generator=generator)
        sizes = self.sizes[drawn]
        place = (torch.rand(count, generator=generator, dtype=torch.float64) * sizes).long()
        return self.members[self.starts[drawn] + torch.minimum(place, sizes - 1)]


def bucketed(order: Tensor, lengths: Tensor, batch_size: int, generator: torch.Generator) -> Tensor:
    """An order in which the samples of a batch are of about the same length.

    A shuffled order is cut into pools of `POOL` batches, which are sorted by length; then the batches are shuffled. A
    last batch that is not full stays the last.

    Args:
        order: all samples, shuffled, (N,).
        lengths: their steps, (N,).
        batch_size: samples a batch.
        generator: draws the order of the batches.
    """
    pools = [pool[lengths[pool].argsort(stable=True)] for pool in torch.split(order, batch_size * POOL)]
    batches = torch.split(torch.cat(pools), batch_size)
    full = len(order) // batch_size
    drawn = torch.randperm(full, generator=generator).tolist()
    return torch.cat([*(batches[number] for number in drawn), *batches[full:]])


class Batches:
    """An iterable over a split, one epoch each time it is iterated.

    The order of epoch e is a pure function of (seed, e), drawn from a generator of its own: what else draws random
    numbers does not
    change it, and a later process can take an epoch up where an earlier one left it.

    Args:
        num_samples: how many samples the split has.
        batch_size: samples a batch, of this process.
        read: an epoch's batches of indices into the split -> raw inputs and targets; what it hands out is its own again
            once the next batch is asked for.
        prepare: raw inputs and targets -> the fields as the network and the loss take them, on their device; runs in
            this process.
        shuffle: draw a new order each epoch.
        strata: the class of each sample, (num_samples,) int64; an epoch then draws as many samples with replacement,
            every class that there is as likely as every other. None: each sample once.
        lengths: the steps of each sample, (num_samples,) int64: a shuffled epoch puts samples of about the same length
            into a batch, and draws the order of the batches. None: lengths do not matter.
        seed: what the orders follow from.
        drop_single: leave out a last batch of one sample, which batch normalisation cannot train on.
        rank: this process among those that share every batch: all cut the same order into batches of
            batch_size * world samples, and each takes its part of every one.
        world: how many processes there are.
        device: where the samples' numbers go, once an epoch.
        own_draws: whether what is drawn for a batch differs from process to process.
        orders: the orders of the epochs, where the split is shuffled and its samples are read best in another order
            than any; None: each order of the samples is as likely as every other.
    """

    def __init__(
        self,
        num_samples: int,
        batch_size: int,
        read: Read,
        prepare: Prepare,
        shuffle: bool = False,
        strata: Tensor | None = None,
        lengths: Tensor | None = None,
        seed: int = 0,
        drop_single: bool = False,
        rank: int = 0,
        world: int = 1,
        device: torch.device | str = "cpu",
        own_draws: bool = True,
        orders: Order | None = None,
    ) -> None:
        self.orders = orders
        self.device, self.own_draws = device, own_draws
        self.num_samples, self.batch_size = num_samples, batch_size
        self.read, self.prepare = read, prepare
        self.shuffle, self.seed = shuffle, seed
        self._strata = None if strata is None else Strata.of(strata)
        self._lengths = lengths
        self.epoch = 0
        self.position = 0
        self._takes_up = False
        self.rank, self.world, self.least = rank, world, 2 if drop_single else 1
        whole, rest = divmod(num_samples, batch_size * world)
        self.drop_last = drop_single and rest == 1 and whole > 0
        self._length = whole if self.drop_last or not rest else whole + 1

    def __len__(self) -> int:
        return self._length

    @property
    def has_single(self) -> bool:
        """Whether a batch has one sample only; where it can, a last one of one sample is left out."""
        return self.batch_size == 1 or self.num_samples == 1

    def order(self, epoch: int) -> Tensor:
        """The samples of an epoch in their order, (num_samples,)."""
        if not self.shuffle:
            return torch.arange(self.num_samples)
        if self.orders is not None:
            return self.orders.epoch(epoch).take(0, self.num_samples)
        # Two seeds of one epoch, and two epochs of one seed, must not share a stream.
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        if self._strata is not None:
            return self._strata.draw(self.num_samples, generator)
        order = torch.randperm(self.num_samples, generator=generator)
        if self._lengths is None:
            return order
        return bucketed(order, self._lengths, self.batch_size * self.world, generator)

    def part(self, batch: Tensor) -> tuple[Tensor, Share | None]:
        """This process's part of a batch of all processes, and its share where the parts are not all alike.

        An uneven batch is spread over as many processes as can have `least` samples; the others get `least` samples
        that do not count.
        """
        count = len(batch)
        if count == self.batch_size * self.world:
            return batch[self.rank * self.batch_size :][: self.batch_size], None
        working = min(self.world, max(1, count // self.least))
        if self.rank >= working:
            return batch[: self.least], Share(0, count, 0.0)
        own, larger = divmod(count, working)
        begin = self.rank * own + min(self.rank, larger)
        own += self.rank < larger
        return batch[begin : begin + own], Share(own, count, own * self.world / count)

    def __iter__(self) -> Iterator[Batch]:
        if self.position > 0 and not self._takes_up:  # the loop ended the epoch early: trainer.limit_train_batches
            self.epoch, self.position = self.epoch + 1, 0
        self._takes_up = False
        epoch, start = self.epoch, self.position
        batches, numbers, share = self._epoch(epoch, start)
        seeds = [self.seed_of(epoch, start + number) for number in range(len(batches))]
        for done, (x, y) in enumerate(self.read(batches, seeds), start + 1):
            self.epoch, self.position = (epoch + 1, 0) if done == self._length else (epoch, done)
            batch = self.prepare(x, y)
            batch[SAMPLE] = numbers[done - 1 - start]
            if share is not None and done == self._length:
                batch[SHARE] = share
            yield batch

    def _epoch(self, epoch: int, start: int) -> tuple[Sequence[Tensor], Sequence[Tensor], Share | None]:
        """This process's parts of an epoch's batches from one on, the same on the device, and the last one's share."""
        whole = self.batch_size * self.world
        if self.shuffle and self.orders is not None:
            order = self.orders.epoch(epoch)

            def part(number: int) -> tuple[Tensor, Share | None]:
                begin = (start + number) * whole
                return self.part(order.take(begin, min(begin + whole, self.num_samples)))

            parts = OneByOne(self._length - start, lambda number: part(number)[0])
            numbers = OneByOne(len(parts), lambda number: parts[number].to(self.device))
            return parts, numbers, part(len(parts) - 1)[1] if self.world > 1 and len(parts) else None
        batches = torch.split(self.order(epoch), whole)[start : self._length]
        share: Share | None = None
        if self.world > 1 and batches:
            *even, (last, share) = map(self.part, batches)  # only the last one can be uneven
            batches = (*(part for part, _ in even), last)
        sizes = [len(batch) for batch in batches]
        return batches, torch.split(torch.cat(batches).to(self.device), sizes) if batches else (), share

    def seed_of(self, epoch: int, number: int) -> int:
        """What the random windows of one batch of an epoch follow from, in this process or in all."""
        rank = self.rank if self.own_draws else 0
        digest = hashlib.sha256(f"windows {self.seed} {epoch} {number} {rank}".encode()).digest()
        return int.from_bytes(digest[:7])

    def close(self) -> None:
        """End the worker processes, where there are any; the next iteration starts others."""
        close = getattr(self.read, "close", None)
        if close is not None:
            close()

    def state_dict(self) -> dict[str, int]:
        """Where the iteration stands: the epoch, and the batches of it that have been handed out."""
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from a saved place; the next iteration is what remains of that epoch."""
        self.epoch, self.position = state["epoch"], state["position"]
        self._takes_up = True


def samples_in(batch: Batch, world: int) -> int:
    """How many samples a batch has over all processes.

    Args:
        batch: fields by name and, where the processes' parts are not all alike, the share.
        world: how many processes there are.
    """
    share: Share | None = batch.get(SHARE)
    return length(batch) * world if share is None else share.whole
