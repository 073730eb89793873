"""The LightningDataModule of every supervised set: splits, standardisation, batches, fingerprint."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning import LightningDataModule
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor

from couloir.config.fields import KINDS, SAMPLE, SIZE, Fields, default_fields, input_field, target_field
from couloir.config.image_size import ImageSize, size_of
from couloir.config.world import ALONE, World
from couloir.data.batches import Batch, Batches, Order, Prepare
from couloir.data.columns import Described
from couloir.data.division import Division, Split, check_labels, choose
from couloir.data.encoding import Encoding
from couloir.data.label_noise import with_noise
from couloir.data.rows import Rows
from couloir.data.skipped import Skipped
from couloir.data.source import CHUNK, ArraySource, Cuttable, Load, Loaded, Source, give_up_others
from couloir.data.splits import Indices, take
from couloir.data.standardise import Standardise, channel_statistics, pixel_order
from couloir.data.windows import windows_first
from couloir.data.workers import Cutting
from couloir.errors import CouloirError
from couloir.machine import cores
from couloir.ragged import Ragged, moved

Degrade = Callable[[Tensor, Tensor | None], Tensor]


class Samples(LightningDataModule):
    """Labelled samples, split, standardised and batched.

    Batches come ready for the network: the input field float32 (B, C, H, W) or (B, F), standardised per channel; the
    target field a label (B,) int64, labels (B, K) float32, a map of classes (B, H, W) int64 or of values (B, M, H, W)
    float32 in [0, 1], boxes, or a value (B, K) float32, scaled as `target_scaling` says: value = scaled * target_scale
    + target_offset. Of several values each has its own scale and offset, which are lists then.

    A set with maps has them in its raw inputs, as further channels behind those of the image: uint8, numbers of classes
    with `IGNORED` where none counts, or values from 0 to 255.

    Args:
        load: reads the files; called once, by `setup`.
        task: what the set is for, a choice of the group `task`.
        fields: the kind of the input and of the target, by the names that they have in a batch; None: what the task
            and the image size say.
        channels: channels of the images, or inputs that the columns of a table become.
        image_size: pixels of the images' sides, or height and width; None for tables.
        num_classes: classes, or outputs of a regression; None: there are none.
        classes: the classes that take part, by name or number, in the order of their labels; None: all.
        batch_size: samples a batch, of each process where there are several.
        val_fraction: share of the training samples held out for validation, where the set brings none.
        test_fraction: share of all samples held out for the test, where the set brings none.
        subset: at most so many samples to train and validate on, at most so many of a validation split that the set
            brings, and at most so many to test on; stratified. With folds: of all samples that the folds are made of.
        folds: the samples are divided into so many folds, one of which is the test split, instead of the set's own;
            `leave_one_group_out`: each group is a fold; None: there are no folds.
        fold: which fold is the test split, from 0.
        seed: what splits and orders follow from.
        workers: processes that prepare batches; 0: this one; None: for photographs as many as there are cores.
        standardize: subtract the mean and divide by the deviation of each channel.
        mean: the channels' means, images in [0, 1]; None: computed from the training split.
        std: the channels' deviations; None: computed.
        target_scaling: `none`, `standardize` or `unit` (to [0, 1]), of a regression's targets, each on its own.
        sampler: `shuffled`, an epoch has each training sample once; `balanced`, it draws as many with replacement, each
            class as often as every other.
        label_noise: share of the training labels that are replaced by classes drawn at random.
        permute_pixels: put the pixels of each image in another order, the same for all, which follows from the seed.
            It is the last thing that happens to an image before the network, behind the augmentation.
        planes: channels of the raw inputs that are the map and not the image.
        maps: `classes` or `values`: what a map holds.
        degrade: makes the input of a clean image, (B, C, H, W) in [0, 1], which becomes the target; it draws from
            torch's generator, or, where it gets a number for each sample, from those numbers alone.
        augmentation: of the training batches.
        world: this process's place among those that share every batch.
    """

    def __init__(
        self,
        load: Load,
        *,
        task: str,
        channels: int,
        image_size: ImageSize | None,
        num_classes: int | None,
        classes: Sequence[str | int] | None = None,
        batch_size: int,
        val_fraction: float = 0.15,
        test_fraction: float = 0.15,
        subset: int | None = None,
        folds: int | str | None = None,
        fold: int | None = None,
        seed: int = 0,
        workers: int | None = 0,
        standardize: bool = True,
        mean: list[float] | None = None,
        std: list[float] | None = None,
        target_scaling: str = "none",
        sampler: str = "shuffled",
        label_noise: float = 0.0,
        permute_pixels: bool = False,
        fields: Fields | None = None,
        planes: int = 0,
        maps: str | None = None,
        degrade: Degrade | None = None,
        augmentation: Callable[..., Any] | None = None,
        world: World = ALONE,
    ) -> None:
        super().__init__()
        self.planes, self.maps, self.degrade = planes, maps, degrade
        self.factor = int(getattr(degrade, "factor", 1))
        """How much larger than its input a target is."""
        self._load = load
        self.fields = dict(fields or default_fields(task, image_size))
        self.input, self.target = input_field(self.fields), target_field(self.fields)
        self.kind = self.fields[self.target]
        self.augmentation, self.world = augmentation, world
        self.task, self.channels, self.image_size, self.num_classes = task, channels, image_size, num_classes
        self.batch_size, self.seed, self.workers = batch_size, seed, workers
        self.val_fraction, self.test_fraction, self.subset = val_fraction, test_fraction, subset
        self.standardize, self.target_scaling, self.sampler = standardize, target_scaling, sampler
        if sampler == "balanced" and self.kind != "label":
            raise CouloirError(
                "data.sampler=balanced goes by the class of a sample, and these samples have no single class.",
                next_step="leave data.sampler out",
            )
        if label_noise > 0 and self.kind != "label":
            raise CouloirError(
                "data.label_noise replaces the class of a sample, and these samples have no single class.",
                next_step="leave data.label_noise out",
            )
        self.label_noise = label_noise
        if permute_pixels and (image_size is None or self.kind in ("map", "boxes")):
            raise CouloirError(
                "data.permute_pixels puts the pixels of images in another order, and "
                + (
                    "the data has no images."
                    if image_size is None
                    else f"{KINDS[self.kind]} would stay where they are."
                ),
                next_step="leave data.permute_pixels out",
            )
        self.order = pixel_order(math.prod(size_of(image_size)), seed) if permute_pixels and image_size else None
        """The places of the pixels in the order in which the network gets them; None: as they are."""
        self.folds, self.fold = folds, fold
        self.grouped = False
        self.mean, self.std = mean, std
        self.target_offset: float | list[float] = 0.0
        self.target_scale: float | list[float] = 1.0
        self.classes: list[str] = []
        self._chosen = classes
        self.targets: list[str] = []
        """The names of a regression's values, where they have names."""
        self.encoding: Encoding | None = None
        """What the columns of a table become."""
        self.columns: list[Described] = []
        """What each column of a table is."""
        self.notes: list[str] = []
        """What the console says of the files."""
        self.device = torch.device("cpu")
        self._statistics: dict[str, Any] = {}
        self.splits: dict[str, Split] = {}
        self.stand_ins: dict[str, Source] = {}
        """What batches of a split hold instead of its inputs, ready for the network: features, say."""
        self.skipped: list[Skipped] = []
        self._readers: list[Cutting | Rows] = []
        self._pixels: list[int] | None = None
        """The training pixels of each class, once somebody has asked."""

    def setup(self, stage: str | None = None) -> None:
        """Read, check, split and measure the samples; a second call changes nothing."""
        if self.splits:
            return
        loaded = self._load()
        if self._chosen is not None:
            if self.kind != "label":
                raise CouloirError(
                    f"data.classes chooses one class a sample; here a sample has {KINDS[self.kind]}.",
                    next_step="leave data.classes out",
                )
            choose(loaded, self._chosen)
        self.classes, self.targets, self.skipped = loaded.classes, loaded.targets, loaded.skipped
        self.grouped = loaded.groups is not None
        self.encoding, self.columns, self.notes = loaded.encoding, loaded.columns, loaded.notes
        self._check(loaded)
        division = Division(
            self._chosen is not None, self.kind == "label", self.seed, self.val_fraction, self.test_fraction,
            self.subset, self.folds, self.fold,
        )  # fmt: skip
        self.splits, told = division.splits(loaded)
        self.notes = [*self.notes, *told]
        if self.subset is not None:
            give_up_others((split.source, split.indices) for split in self.splits.values())
        if self.label_noise > 0:
            split = self.splits["train"]
            split.instead, said = with_noise(
                split.source.targets, split.indices, self.label_noise, self.num_classes or len(self.classes), self.seed
            )
            self.notes.append(said)
        self._measure_inputs()
        self._measure_targets()

    def _check(self, loaded: Loaded) -> None:
        inputs = getattr(loaded.train, "inputs", None)  # files are decoded to as many channels as are asked for
        if inputs is not None:
            channels = inputs.shape[1] - self.planes if self.encoding is None else len(self.encoding.inputs)
            if channels != self.channels:
                raise CouloirError(
                    f"The data has {channels} channels, not {self.channels}.", next_step="leave data.channels out"
                )
        if self.kind == "label" and self.num_classes is not None:
            check_labels(loaded, self.num_classes, chosen=self._chosen is not None)

    def _measure_inputs(self) -> None:
        """What stands for missing values, and mean and deviation of each channel, over the training split."""
        if self.encoding is not None:
            source = self.splits["train"].source
            assert isinstance(source, ArraySource), "a table is in memory"
            self.encoding.fit(source.inputs.numpy(), self.splits["train"].indices)
        if not self.standardize:
            self.mean, self.std = [0.0] * self.channels, [1.0] * self.channels
        if self.mean is None or self.std is None:
            mean, std = self._channel_statistics()
            self._refuse_constant(std)
            self.mean, self.std = self.mean or mean, self.std or std
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise CouloirError(
                f"data.mean and data.std have {len(self.mean)} and {len(self.std)} values; there are "
                f"{self.channels} channels.",
                next_step="give one value for each channel, or data.mean=null data.std=null: Couloir computes them",
            )
        self._settle_inputs(self.mean, self.std)

    def _settle_inputs(self, mean: list[float], std: list[float]) -> None:
        """Standardise by these from now on."""
        # A channel that never varies says nothing; dividing by its zero deviation would make it NaN.
        std = [value or 1.0 for value in std]
        if self.encoding is not None:
            mean = [value - offset for value, offset in zip(mean, self.encoding.offsets, strict=True)]
        self._standardise = Standardise(mean, std, image=self.image_size is not None, order=self.order)

    def _refuse_constant(self, std: list[float]) -> None:
        split = self.splits["train"]
        if any(std) or not split.source.paths:
            return
        raise CouloirError(
            "All training photographs have the same value in every pixel: there is nothing to learn from them.",
            place=str(split.source.paths[split.indices[0]]),
            next_step="look at the files; data.standardize=false trains on them all the same",
        )

    def _channel_statistics(self) -> tuple[list[float], list[float]]:
        def values(x: Tensor) -> Tensor:
            return self._encoded(self._images(x))

        mean, std = channel_statistics(self.splits["train"], self.channels, values)
        if self.encoding is not None:
            numbers = torch.tensor(self.encoding.numbers)
            mean = mean + torch.tensor(self.encoding.offsets, dtype=torch.float64)
            mean, std = torch.where(numbers, mean, 0.0), torch.where(numbers, std, 1.0)
        return mean.tolist(), std.tolist()

    def _images(self, x: Tensor) -> Tensor:
        """Raw inputs without their maps."""
        return x[:, : x.shape[1] - self.planes] if self.planes else x

    def _encoded(self, x: Tensor) -> Tensor:
        """The rows of a table as the network's inputs, not yet standardised; anything else as it is."""
        return x if self.encoding is None or self.encoding.is_identity else self.encoding(x)

    def _measure_targets(self) -> None:
        if "target_scale" in self._statistics:
            self.target_offset, self.target_scale = (
                self._statistics["target_offset"], self._statistics["target_scale"],
            )  # fmt: skip
            return
        if self.kind != "value":
            return
        targets = self.splits["train"].targets.astype(np.float64).reshape(len(self.splits["train"].indices), -1)
        scaling = [self._target_scaling(values) for values in targets.T]
        offsets, scales = [offset for offset, _ in scaling], [scale or 1.0 for _, scale in scaling]
        several = len(scaling) > 1
        self.target_offset, self.target_scale = (offsets, scales) if several else (offsets[0], scales[0])

    def _target_scaling(self, values: NDArray[np.float64]) -> tuple[float, float]:
        """Offset and scale of one target's values, (N,)."""
        if self.target_scaling == "none":
            return 0.0, 1.0
        if self.target_scaling == "standardize":
            return float(values.mean()), float(values.std())
        return float(values.min()), float(values.max() - values.min())

    def to(self, device: torch.device) -> None:
        """Hand out batches on a device from now on."""
        self.device = device

    def standardised_as(self, statistics: dict[str, Any]) -> None:
        """Prepare samples as a checkpoint's run did, before `setup`; what is not stated there is computed.

        Args:
            statistics: a `state_dict`.
        """
        self.mean, self.std = statistics.get("mean", self.mean), statistics.get("std", self.std)
        self._statistics = statistics
        if hasattr(self._load, "as_before"):
            self._load.as_before(statistics)

    @classmethod
    def without_samples(cls, facts: Mapping[str, Any], statistics: dict[str, Any]) -> Samples:
        """What a finished run knows of its data, for whoever has the run and not the data: it makes batches of others.

        Args:
            facts: the node `data` of the run's configuration.
            statistics: a `state_dict`, of the run's checkpoint.

        Raises:
            CouloirError: it does not say how samples were standardised.
        """
        if statistics.get("mean") is None or statistics.get("std") is None:
            raise CouloirError(
                "The checkpoint does not say how the samples of its run were standardised.",
                next_step="couloir evaluate computes it again, where the data is there",
            )
        data = cls(
            _no_samples,
            task=str(facts.get("task")), fields=facts.get("fields"), channels=facts["channels"],
            image_size=facts.get("image_size"), num_classes=facts.get("num_classes"),
            batch_size=facts.get("batch_size") or 1, workers=facts.get("workers"), seed=facts.get("seed") or 0,
            maps=facts.get("maps"), permute_pixels=bool(facts.get("permute_pixels")),
        )  # fmt: skip
        data.factor = int(facts.get("factor") or 1)
        data.standardised_as(statistics)
        data.classes = [str(name) for name in statistics.get("classes", ())]
        data.targets = [str(name) for name in statistics.get("targets", ())]
        if "columns" in statistics:
            data.encoding = Encoding.of_plain(statistics["columns"])
        data._settle_inputs(statistics["mean"], statistics["std"])
        data._measure_targets()
        return data

    def as_batch(self, x: Tensor, targets: NDArray[Any] | None = None) -> Batch:
        """Samples of the caller's own as a batch, prepared as those of the validation are, on the device.

        Args:
            x: raw inputs, as a `Source` has them: uint8 or float32 in [0, 1] (B, C, H, W), or rows in memory (B, F).
            targets: theirs, as a `Source` has them; None: the batch has no target.
        """
        if targets is None or self.kind == "map":
            batch: Batch = {self.input: self._standardise(self._encoded(cast(Tensor, moved(x, self.device))))}
            return batch if targets is None else {**batch, self.target: moved(torch.as_tensor(targets), self.device)}
        return self._prepare(x, self._scaled(targets), augmentation=None)

    def cut_squares(self, count: int) -> None:
        """Cut so many squares out of each photograph of the test split, where it comes from a file."""
        source = self.splits["test"].source
        if hasattr(source, "squares"):
            source.squares = count

    def sizes(self) -> dict[str, int]:
        """How many samples each split has."""
        return {name: len(split.indices) for name, split in self.splits.items()}

    def class_counts(self) -> tuple[list[int], int] | None:
        """The training samples of each class, and all training samples; None where there are no classes.

        Of maps of classes, their pixels, all those that count together. Of a checkpoint's run where its statistics are
        used.
        """
        if "class_counts" in self._statistics:
            return list(self._statistics["class_counts"]), int(self._statistics["train_samples"])
        if "train" not in self.splits:
            return None
        if self.maps == "classes":
            if self._pixels is None:
                self._pixels = self._pixels_of_classes()
            return self._pixels, sum(self._pixels)
        targets = self.splits["train"].targets
        if self.kind == "label":
            return np.bincount(targets, minlength=self.num_classes or 0).tolist(), len(targets)
        return (targets.astype(np.int64).sum(axis=0).tolist(), len(targets)) if self.kind == "labels" else None

    def _pixels_of_classes(self) -> list[int]:
        """How many pixels of the training images have each class."""
        split, classes = self.splits["train"], self.num_classes or 0
        if hasattr(split.source, "pixels_of_classes"):
            counted: NDArray[np.int64] = split.source.pixels_of_classes(split.indices, classes)
            return [int(count) for count in counted]
        total = torch.zeros(classes, dtype=torch.int64)
        for part in torch.split(torch.from_numpy(split.indices), CHUNK):
            values = split.source.fetch(part)[:, -1].reshape(-1).cpu()
            total += torch.bincount(values[values < classes].long(), minlength=classes)
        return [int(count) for count in total]

    def target_bounds(self) -> tuple[float, float] | None:
        """The least and the largest value over all splits, as the loss sees them; None where there are no values."""
        if self.kind != "value":
            return None
        scaled = np.concatenate([self._scaled_values(split.targets).reshape(-1) for split in self.splits.values()])
        return float(scaled.min()), float(scaled.max())

    def keep_only(self, count: int) -> None:
        """Train, validate and test on the same `count` training samples: a sanity check, not a measurement."""
        split = self.splits["train"]
        kept = split.indices[take(split.targets, count, self.seed, self.kind == "label")]
        self.splits = {name: Split(split.source, kept, split.instead) for name in self.splits}

    def fingerprint(self) -> str:
        """`sha256:` and the hash over the bytes of the samples and targets in use, split by split."""
        digest = hashlib.sha256(b"" if self.encoding is None else self.encoding.signature)
        digest.update(b"" if self.order is None else self.order.numpy().tobytes())
        for name, split in self.splits.items():
            digest.update(f"{name} {len(split.indices)}".encode())
            split.source.hash_into(digest.update, split.indices)
            digest.update(split.targets.tobytes())
        return f"sha256:{digest.hexdigest()}"

    def in_order(self, split: str) -> Batches:
        """All samples of a split in order, not augmented, whatever stands in for them elsewhere."""
        return self._batches(split, stand_in=None, drop_single=False)

    def spread(self, split: str, at_most: int) -> Iterator[Batch]:
        """Samples from all over a split, in order and not augmented, all of them for this process.

        Args:
            split: its name.
            at_most: how many.

        Returns:
            their batches; `sample` has their numbers in the split.
        """
        whole = self.splits[split]
        numbers = np.linspace(0, len(whole.indices) - 1, min(at_most, len(whole.indices))).astype(np.int64)
        part = replace(whole, indices=whole.indices[numbers])
        batches = self._batches(split, stand_in=None, drop_single=False, part=part, world=ALONE)
        try:
            for batch in batches:
                yield {**batch, SAMPLE: torch.from_numpy(numbers).to(self.device)[batch[SAMPLE]]}
        finally:
            batches.close()

    def train_dataloader(self) -> Batches:
        """The training batches, in a new order each epoch, augmented."""
        return self._batches("train", self.stand_ins.get("train"), shuffle=True, augmentation=self.augmentation)

    def train_batches(self, batch_size: int) -> Batches:
        """The training batches in another size."""
        return self._batches(
            "train", self.stand_ins.get("train"), shuffle=True, augmentation=self.augmentation, batch_size=batch_size
        )

    def val_dataloader(self) -> Batches:
        """The validation batches, in order."""
        return self._batches("val", self.stand_ins.get("val"))

    def test_dataloader(self) -> Batches:
        """The test batches, in order."""
        return self._batches("test", self.stand_ins.get("test"))

    def teardown(self, stage: str) -> None:
        """End the worker processes; a loader that is iterated again starts others."""
        self.end_workers()

    def worker_processes(self) -> list[Any]:
        """The worker processes that there are."""
        return [process for reader in self._readers for process in reader.processes]

    def end_workers(self, at_once: bool = False) -> None:
        """End the worker processes.

        Args:
            at_once: kill them.
        """
        for reader in self._readers:
            reader.close(at_once)
        self._readers = []

    def _batches(
        self,
        name: str,
        stand_in: Source | None,
        shuffle: bool = False,
        augmentation: Callable[..., Any] | None = None,
        batch_size: int | None = None,
        drop_single: bool | None = None,
        part: Split | None = None,
        world: World | None = None,
    ) -> Batches:
        batch_size, world = batch_size or self.batch_size, world or self.world
        split = part or self.splits[name]
        targets = self._targets(split)
        read: Cutting | Rows
        if stand_in is not None:
            stand_in.to(self.device)
            read = Rows(stand_in, np.arange(len(split.indices)), targets, 0, self.device)
        elif isinstance(split.source, Cuttable):
            windows, augmentation = windows_first(augmentation)
            windows = split.source.windows if windows is None and shuffle else windows
            workers = max(1, cores() // self.world.local_size) if self.workers is None else self.workers
            read = Cutting(split.source, split.indices, targets, batch_size, windows, workers)
        else:
            device = self.device if not self.workers else torch.device("cpu")
            split.source.to(device)
            read = Rows(split.source, split.indices, targets, self.workers or 0, device)
        if isinstance(read, Cutting) or read.workers > 0:
            self._readers.append(read)
        prepare: Prepare = self._beside
        if stand_in is None:
            prepare = partial(self._prepare, augmentation=augmentation, drawn=shuffle)
        return Batches(
            len(split.indices),
            batch_size,
            read,
            prepare,
            shuffle=shuffle,
            strata=torch.from_numpy(split.targets) if shuffle and self.sampler == "balanced" else None,
            seed=self.seed,
            drop_single=name == "train" if drop_single is None else drop_single,
            rank=world.rank,
            world=world.size,
            device=self.device,
            orders=self._orders(split, world) if shuffle and self.sampler == "shuffled" else None,
        )

    def _orders(self, split: Split, world: World) -> Order | None:
        """The orders in which the source of a split is read best, where it has its own."""
        orders = getattr(split.source, "orders", None)
        return None if orders is None else cast(Order, orders(split.indices, self.seed, world))

    def _targets(self, split: Split) -> Tensor:
        """What goes with the raw inputs of a split: targets as the loss takes them.

        Of sets with maps, whose targets are among the inputs: the samples' numbers in their source, (N,), or these with
        height and width, (N, 3), where images of several sizes stand in one batch.
        """
        sizes = getattr(split.source, "sizes", None)
        if self.kind != "map" or sizes is None or len(np.unique(sizes, axis=0)) == 1:
            return self._scaled(split.targets)
        return torch.from_numpy(np.column_stack([split.targets, sizes[split.indices]]).astype(np.int64))

    def _scaled(self, targets: NDArray[Any]) -> Tensor:
        if self.target == self.input:  # there is nothing to learn but the inputs
            return torch.zeros(len(targets))
        if self.kind in ("label", "map"):
            return torch.from_numpy(targets.astype(np.int64))
        if self.kind == "boxes":
            return torch.from_numpy(targets.astype(np.float32))
        if self.kind == "labels":
            return torch.from_numpy(targets.astype(np.float32))
        return torch.from_numpy(self._scaled_values(targets).astype(np.float32)).reshape(len(targets), -1)

    def _scaled_values(self, targets: NDArray[Any]) -> NDArray[np.float64]:
        scaled: NDArray[np.float64] = (targets.astype(np.float64) - self.target_offset) / self.target_scale
        return scaled

    def _beside(self, x: Tensor, y: Tensor) -> Batch:
        """A batch of what stands in for the inputs, with its targets."""
        batch: Batch = {self.input: moved(x, self.device)}
        return batch if self.target == self.input else {**batch, self.target: moved(y, self.device)}

    def _prepare(self, x: Tensor, y: Tensor, augmentation: Callable[..., Any] | None, drawn: bool = False) -> Batch:
        """A batch of raw inputs and of what goes with them.

        Args:
            x: raw inputs, with their maps.
            y: of `_targets`.
            augmentation: of the batch; None: it stays as it is.
            drawn: whether a degradation draws anew; else it follows from each sample's number.
        """
        x = cast(Tensor, moved(x, self.device))
        batch: Batch = {self.input: self._encoded(self._images(x))}
        if self.planes:
            batch[self.target] = self._map(x[:, -self.planes :])
        elif self.kind == "boxes":
            there = y[..., -1] >= 0
            batch[self.target] = moved(Ragged(y[there], there.sum(dim=1)), self.device)
        elif self.target != self.input and self.degrade is None:
            batch[self.target] = moved(y, self.device)
        if augmentation is not None and not isinstance(augmentation, torch.nn.Identity):
            batch[self.input] = as_float(cast(Tensor, batch[self.input]))
            if getattr(augmentation, "by_field", False):
                batch = augmentation(batch, self.fields)
            else:  # of the user's own: a function of inputs alone
                batch[self.input] = augmentation(batch[self.input])
        if self.kind == "map" and y.ndim == 2:
            batch[SIZE] = moved(y[:, 1:], self.device)
        if self.degrade is not None:
            self._degrade(batch, None if drawn else y if y.ndim == 1 else y[:, 0])
        batch[self.input] = self._standardise(cast(Tensor, batch[self.input]))
        return batch

    def _map(self, x: Tensor) -> Tensor:
        """Raw maps (B, M, H, W) as a batch has them."""
        return x[:, 0].long() if self.maps == "classes" else as_float(x.contiguous())

    def _degrade(self, batch: Batch, numbers: Tensor | None) -> None:
        """Make the clean images of a batch its targets, and its inputs of them."""
        assert self.degrade is not None
        clean = as_float(batch[self.input])
        batch[self.target] = clean
        if SIZE not in batch:
            batch[self.input] = self.degrade(clean, numbers)
            return
        # One by one: what stands beside an image must not come into it.
        made = [
            self.degrade(image[None, :, :height, :width], None if numbers is None else numbers[place : place + 1])[0]
            for place, (image, (height, width)) in enumerate(zip(clean, batch[SIZE].tolist(), strict=True))
        ]
        batch[SIZE] = torch.tensor([image.shape[1:] for image in made], device=clean.device)
        room = clean.new_zeros(len(made), made[0].shape[0], *batch[SIZE].amax(dim=0).tolist())
        for place, image in zip(room, made, strict=True):
            place[:, : image.shape[1], : image.shape[2]] = image
        batch[self.input] = room

    def example_batch(self, count: int | None = None, first: bool = False) -> Batch:
        """Samples of the training split, standardised, not augmented; it draws no random number.

        Args:
            count: how many; None: a batch.
            first: the first ones, in the data's order, instead of some from all over the split.
        """
        split = self.splits["train"]
        count = min(count or self.batch_size, len(split.indices))
        chosen = torch.arange(count) if first else torch.linspace(0, len(split.indices) - 1, count).long()
        x = split.source.fetch(torch.from_numpy(split.indices)[chosen])
        y = self._targets(split)[chosen]
        device, self.device = self.device, torch.device("cpu")
        try:
            return self._prepare(x.cpu(), y, augmentation=None)
        finally:
            self.device = device

    def seen(self, split: str, places: Indices, seed: int | None = None) -> Batch:
        """Some samples of a split as the network sees them; no random number of the run is drawn.

        Args:
            split: its name.
            places: their numbers in the split.
            seed: what their augmentation follows from, as in training; None: they are not augmented.
        """
        chosen = self.splits[split]
        indices, y = chosen.indices[places], self._targets(chosen)[torch.from_numpy(places)]
        windows, augmentation = None, self.augmentation
        if isinstance(chosen.source, Cuttable):
            windows, augmentation = windows_first(augmentation)
            windows = chosen.source.windows if windows is None else windows
        device, self.device = self.device, torch.device("cpu")
        try:
            with isolate_rng():
                seed_generators(0 if seed is None else seed)
                if isinstance(chosen.source, Cuttable) and windows is not None and seed is not None:
                    room = chosen.source.empty(len(indices))
                    chosen.source.cut(indices.tolist(), room, windows, seed)
                    x = room.movedim(-1, -3)
                else:
                    x = chosen.source.fetch(torch.from_numpy(indices)).cpu()
                return self._prepare(x, y, None if seed is None else augmentation, drawn=seed is not None)
        finally:
            self.device = device

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must know to standardise new samples, and to weigh classes, in the same way."""
        # Pixels are counted where a loss asks for it, and not for each checkpoint.
        counted = None if self.maps and self._pixels is None else self.class_counts()
        counts = {} if counted is None else {"class_counts": counted[0], "train_samples": counted[1]}
        return {
            "mean": self.mean,
            "std": self.std,
            "target_offset": self.target_offset,
            "target_scale": self.target_scale,
            "classes": self.classes,
            "targets": self.targets,
            **({} if self.encoding is None else {"columns": self.encoding.plain()}),
            **counts,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The statistics follow from the data and the seed; a checkpoint's are for those who have only the
        checkpoint.
        """


def _no_samples() -> Loaded:
    """Never called: these samples are known by a checkpoint alone."""
    raise RuntimeError("there are no samples to load")


def as_float(x: Tensor) -> Tensor:
    """uint8 images as float32 in [0, 1]; what is float already stays as it is."""
    return x.float().div_(255.0) if x.dtype == torch.uint8 else x


def seed_generators(seed: int) -> None:
    """Seed the generators that an augmentation may draw from: those of Python, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
