"""A LightningDataModule that knows nothing of Couloir, with what Couloir asks of a data set around it.

It hands out `(x, y)` pairs or mappings from plain DataLoaders. What its fields are stands in its YAML. What it cannot
say (a fingerprint, statistics, samples' numbers) is left out.
"""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import LightningDataModule
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor
from torch.utils.data import DataLoader

from couloir.config.fields import Fields, fields_of, input_field, of_kind, target_field
from couloir.config.image_size import as_image_size, size_of
from couloir.data.batches import Batch
from couloir.errors import CouloirError
from couloir.log import say
from couloir.ragged import joined, length, moved, part

TRANSFER = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
"""Hooks by which a module has a say in how a batch reaches the device."""


def prepared(cfg: DictConfig, built: Any, augmentation: Any = None) -> Any:
    """A data set as Couloir asks for it; a LightningDataModule that knows nothing of Couloir gets that around it.

    Args:
        cfg: the configuration.
        built: what its node `data` builds.
        augmentation: of the training batches, for a set that was not handed it.
    """
    if hasattr(built, "fields") and hasattr(built, "sizes"):
        return built
    facts = OmegaConf.to_container(cfg.data, resolve=True)
    assert isinstance(facts, dict)
    return Plain(built, {str(name): value for name, value in facts.items()}, cfg.seed, augmentation)


class Plain(LightningDataModule):
    """A user's LightningDataModule, as a data set of Couloir.

    Its random numbers (shuffling, transforms) follow from the seed and the epoch alone, so that a run that was killed
    within an epoch goes on with the batches that it would have had.

    Args:
        module: the user's.
        facts: the node `data` of the configuration: `fields` and, where stated, `task`, `channels`, `image_size`,
            `num_classes`, `classes`, `batch_size`.
        seed: what the orders follow from.
        augmentation: of the training batches.
    """

    def __init__(self, module: LightningDataModule, facts: Mapping[str, Any], seed: int, augmentation: Any) -> None:
        super().__init__()
        self.module, self.seed, self.augmentation = module, seed, augmentation
        self.fields: Fields = fields_of(facts)
        self.task, self.channels = str(facts.get("task")), facts.get("channels")
        size, self.num_classes = facts.get("image_size"), facts.get("num_classes")
        self.image_size = None if size is None else as_image_size(size_of(size))
        self.classes = [str(name) for name in facts.get("classes") or self._numbered()]
        self.batch_size = facts.get("batch_size") or getattr(module, "batch_size", None)
        self.kind = self.fields[target_field(self.fields)]
        self.mean = self.std = None
        self.target_offset, self.target_scale = 0.0, 1.0
        self.targets: list[str] = []
        self.encoding = None
        self.device = torch.device("cpu")
        self.skipped: list[Any] = []
        self.columns: list[Any] = []
        for name in TRANSFER:  # as instance attributes, so that hooks which nobody has written cost no step anything
            if getattr(type(module), name) is not getattr(LightningDataModule, name):
                setattr(self, name, getattr(module, name))
        self._loaders: dict[str, Any] = {}
        self._kept: list[Batch] | None = None

    def _numbered(self) -> list[str]:
        labelled = of_kind(self.fields, ("label", "labels", "map")) and isinstance(self.num_classes, int)
        return [str(number) for number in range(self.num_classes or 0)] if labelled else []

    def prepare_data(self) -> None:
        """The module's own."""
        self.module.prepare_data()

    def setup(self, stage: str | None = None) -> None:
        """The module's own, for training and for the test; a second call changes nothing."""
        if self.trainer is not None:
            self.module.trainer = self.trainer  # as Lightning does for a module that it is given
        if self._loaders:
            return
        with isolate_rng():
            self.module.setup("fit")
            self.module.setup("test")
            self._loaders = {name: self._loader(name) for name in ("train", "val", "test")}
        say.info(
            "%s is your own data module: the run records no fingerprint of its samples, no statistics and no list "
            "of worker processes",
            type(self.module).__name__,
        )

    def _loader(self, split: str) -> Any:
        loader = getattr(self.module, f"{split}_dataloader")()
        if isinstance(loader, Sequence | Mapping) or not hasattr(loader, "__iter__"):
            raise CouloirError(
                f"{split}_dataloader() of the data returns {type(loader).__name__}; it must return one loader."
            )
        return loader

    def to(self, device: torch.device) -> None:
        """Hand out `as_batch` on a device from now on; Lightning moves the batches of plain loaders."""
        self.device = device

    def standardised_as(self, statistics: Mapping[str, Any]) -> None:
        """There are no statistics."""

    def sizes(self) -> dict[str, int]:
        """How many samples each split has; batches times their size where the set has no length."""
        return {name: self._size(name) for name in ("train", "val", "test")}

    def _size(self, split: str) -> int:
        if self._kept is not None:
            return sum(map(length, self._kept))
        loader = self._loaders[split]
        try:
            return len(loader.dataset)
        except (AttributeError, TypeError):
            return 0

    @classmethod
    def without_samples(cls, facts: Mapping[str, Any], seed: int, statistics: Mapping[str, Any]) -> Plain:
        """What a finished run knows of such data, for whoever has the run and not the data.

        Args:
            facts: the node `data` of the run's configuration.
            seed: the run's.
            statistics: a `state_dict`, of the run's checkpoint.
        """
        return cls(LightningDataModule(), {**facts, "classes": statistics.get("classes")}, seed, None)

    def as_batch(self, x: Tensor, targets: Any = None) -> Batch:
        """Samples of the caller's own as a batch, as the module's batches have them; nothing is changed.

        Args:
            x: inputs, (B, ...).
            targets: theirs, (B, ...); None: the batch has no target.
        """
        batch: Batch = {input_field(self.fields): x.to(self.device)}
        if targets is not None:
            batch[target_field(self.fields)] = torch.as_tensor(targets).to(self.device)
        return batch

    def cut_squares(self, count: int) -> None:
        """Images come as they are."""

    def class_counts(self) -> None:
        """Not known."""

    def target_bounds(self) -> tuple[float, float] | None:
        """Not known."""
        return None

    def keep_only(self, count: int) -> None:
        """Train, validate and test on the first `count` training samples: a sanity check, not a measurement."""
        self._kept, left = [], count
        for batch in self._replayed("train", augmented=False):
            chosen = torch.arange(min(left, length(batch)))
            self._kept.append({name: part(field, chosen) for name, field in batch.items()})
            left -= len(chosen)
            if not left:
                break

    def fingerprint(self) -> str | None:
        """Not known."""
        return None

    def example_batch(self, count: int | None = None, first: bool = True) -> Batch:
        """The first samples of the training split as validation would see them; no random number of the run is drawn.

        Args:
            count: how many; None: a batch.
            first: always so, since batches come in the module's order.
        """
        with isolate_rng():
            batches = self._replayed("train", augmented=False)
            taken: list[Batch] = []
            for batch in itertools.islice(iter(batches), 64):
                taken.append(batch)
                if count is None or sum(map(length, taken)) >= count:
                    break
        names = [name for name in self.fields if name in taken[0]]
        fields = {name: joined([batch[name] for batch in taken]) for name in names}
        chosen = torch.arange(sum(map(length, taken)))[:count]
        return {name: part(field, chosen) for name, field in fields.items()}

    def spread(self, split: str, at_most: int) -> Iterator[Batch]:
        """The first samples of a split as validation would see them: the module's order is all that is known.

        Args:
            split: its name.
            at_most: how many.
        """
        left = at_most
        for batch in self._replayed(split, augmented=False):
            chosen = torch.arange(min(left, length(batch)))
            yield {name: moved(part(batch[name], chosen), self.device) for name in self.fields if name in batch}
            left -= len(chosen)
            if not left:
                break

    def train_dataloader(self) -> Replayed:
        """The training batches."""
        return self._replayed("train", augmented=True)

    def train_batches(self, batch_size: int) -> Replayed:
        """A module of a user's own cuts its batches itself.

        Raises:
            CouloirError: always.
        """
        raise CouloirError(
            f"{type(self.module).__name__} makes its own batches, so other sizes cannot be tried.",
            next_step="train with other values of its own batch-size key, and compare the samples per second",
        )

    def val_dataloader(self) -> Replayed:
        """The validation batches."""
        return self._replayed("val", augmented=False)

    def test_dataloader(self) -> Replayed:
        """The test batches."""
        return self._replayed("test", augmented=False)

    def _replayed(self, split: str, augmented: bool) -> Replayed:
        loader = self._loaders[split] if self._kept is None else self._kept
        return Replayed(loader, self.fields, self.seed, split, self.augmentation if augmented else None)

    def teardown(self, stage: str) -> None:
        """The module's own."""
        self.module.teardown(stage)

    def worker_processes(self) -> list[Any]:
        """Those of its loaders are its own."""
        return []

    def end_workers(self, at_once: bool = False) -> None:
        """Its loaders end theirs."""

    def state_dict(self) -> dict[str, Any]:
        """The module's own, and the classes."""
        return {"module": self.module.state_dict(), "classes": self.classes}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The module's own."""
        self.module.load_state_dict(state_dict.get("module", {}))


class Replayed:
    """A plain loader, whose every epoch can be taken up in its middle.

    What the loader draws (orders, transforms within this process, the seeds of its workers) comes from a stream of its
    own, which begins anew with each epoch: a pure function of the seed, the split and, in training, the epoch.

    Args:
        loader: any iterable of batches.
        fields: the kinds of what it hands out; of a tuple, in the tuple's order.
        seed: what the stream follows from.
        split: likewise.
        augmentation: of whole batches.
    """

    def __init__(self, loader: Any, fields: Fields, seed: int, split: str, augmentation: Any = None) -> None:
        self.loader, self.fields, self.seed, self.split = loader, fields, seed, split
        self.augmentation: Any = None if isinstance(augmentation, torch.nn.Identity) else augmentation
        self.epoch = self.position = 0
        self._takes_up = False

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        if self.position > 0 and not self._takes_up:  # the loop ended the epoch early: trainer.limit_train_batches
            self.epoch, self.position = self.epoch + 1, 0
        self._takes_up = False
        epoch, skipped = self.epoch, self.position
        drawn = epoch if self.split == "train" else 0  # every validation sees the same
        digest = hashlib.sha256(f"plain {self.seed} {self.split} {drawn}".encode()).digest()
        stream = _Stream(int.from_bytes(digest[:7]))
        with stream.drawing():
            self._seed_generators(int.from_bytes(digest[7:14]))
            batches = iter(self.loader)
        number = 0
        while True:
            with stream.drawing():
                try:
                    item = next(batches)
                except StopIteration:
                    break
                batch = self._named(item)
                if self.augmentation is not None:
                    batch = self._augmented(batch)
            number += 1
            if number > skipped:
                self.epoch, self.position = epoch, number
                yield batch
        self.epoch, self.position = epoch + 1, 0

    @property
    def has_single(self) -> bool:
        """Whether a batch has one sample only, as far as the loader says."""
        if isinstance(self.loader, list):
            return any(length(batch) == 1 for batch in self.loader)
        size, samples = getattr(self.loader, "batch_size", None), getattr(self.loader, "dataset", ())
        if size is None or not hasattr(samples, "__len__"):
            return False
        return size == 1 or (len(samples) % size == 1 and not self.loader.drop_last)

    def _seed_generators(self, seed: int) -> None:
        """Generators of the loader's own go on from epoch to epoch otherwise, and no checkpoint holds them."""
        if not isinstance(self.loader, DataLoader):
            return
        for owner in (self.loader, self.loader.sampler, self.loader.batch_sampler):
            generator = getattr(owner, "generator", None)
            if isinstance(generator, torch.Generator):
                generator.manual_seed(seed)
        if hasattr(self.loader.sampler, "set_epoch"):
            self.loader.sampler.set_epoch(self.epoch)

    def _named(self, item: Any) -> Batch:
        """A batch as a mapping of fields.

        Raises:
            CouloirError: it does not have the fields that are stated.
        """
        if isinstance(item, Tensor) and len(self.fields) == 1:
            return {next(iter(self.fields)): item}
        if isinstance(item, Mapping):
            missing = [name for name in self.fields if name not in item]
            if missing:
                raise CouloirError(
                    f"The data's batches have no field '{missing[0]}'; they have {', '.join(map(str, item))}.",
                    next_step="list its fields in data.fields",
                )
            return dict(item)
        if isinstance(item, list | tuple) and len(item) == len(self.fields):
            return dict(zip(self.fields, item, strict=True))
        many = f"{len(item)} parts" if isinstance(item, list | tuple) else type(item).__name__
        raise CouloirError(
            f"The data's batches are {many}, and data.fields names {len(self.fields)}: {', '.join(self.fields)}.",
            next_step="list these fields in data.fields, in the order of the parts",
        )

    def _augmented(self, batch: Batch) -> Batch:
        if getattr(self.augmentation, "by_field", False):
            changed: Batch = self.augmentation(batch, self.fields)
            return changed
        name = input_field(self.fields)
        return {**batch, name: self.augmentation(batch[name])}

    def close(self) -> None:
        """The loader ends its workers itself."""

    def state_dict(self) -> dict[str, int]:
        """Where the iteration stands: the epoch, and the batches of it that have been handed out."""
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from a saved place; the next iteration is what remains of that epoch."""
        self.epoch, self.position = state["epoch"], state["position"]
        self._takes_up = True


class _Stream:
    """Random numbers of its own, in the generators of Python, NumPy and torch that everybody draws from."""

    def __init__(self, seed: int) -> None:
        outer = _generators()
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        self._state = _generators()
        _set_generators(outer)

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """For the length of a block, the generators are this stream's."""
        outer = _generators()
        _set_generators(self._state)
        try:
            yield
        finally:
            self._state = _generators()
            _set_generators(outer)


def _generators() -> tuple[Any, ...]:
    return random.getstate(), np.random.get_state(), torch.get_rng_state()


def _set_generators(states: tuple[Any, ...]) -> None:
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])
