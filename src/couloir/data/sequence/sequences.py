"""The LightningDataModule of sequences: tokens, series and videos, with a class, with what comes next, or with both."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from couloir.config.fields import Fields
from couloir.config.world import ALONE, World
from couloir.data.batches import Batch, Batches, Prepare
from couloir.data.division import Split
from couloir.data.samples import Samples, as_float
from couloir.data.sequence.stretches import Raw, Stretched, Stretches
from couloir.data.sequence.vocabulary import Vocabulary
from couloir.data.source import CHUNK, Load, Loaded, Source
from couloir.errors import CouloirError
from couloir.ragged import Field, Padded, moved


class Sequences(Samples):
    """Samples with steps, split, standardised, put together by length and batched.

    Batches have the input field as tokens (B, T) int64, a series (B, T, F) or a video (B, C, T, H, W) float32,
    standardised; where lengths differ it is `Padded`. The target is a label (B,) int64; tokens to predict, of the form
    of the input; or values to come (B, H, K) float32, standardised as the first K channels of the input are.

    Args:
        load: reads the files; each of its sources is `Stretches`.
        task: what the set is for, a choice of the group `task`.
        fields: the kind of the input and of the target, by name.
        channels: numbers at a step of a series, channels of a video; None: the steps are tokens.
        num_classes: classes; of tokens to predict the size of their vocabulary; of a forecast the series.
        vocabulary: what the tokens stand for; None: there are none, or `load` says it.
        horizon: steps to come that a forecast is of.
        season: steps of the season that a seasonal naive forecast repeats; None: there is none.
        carry_state: batches go on where those before ended, so that a network may keep its state. Samples are numbered
            so that sample k is a part of the stream k modulo `batch_size`.
        bucket: whether training batches are of samples of about the same length.
        measure: mean and deviation of each channel over the training split, (C,) each; None: over its samples.
        naive_errors: of a forecast the mean absolute error of the seasonal naive one over the training split, a number
            for each of the K series; None: over the inputs of its samples.
        keys: those of `Samples`.
    """

    def __init__(
        self,
        load: Load,
        *,
        task: str,
        fields: Fields,
        num_classes: int | None,
        batch_size: int,
        channels: int | None = None,
        vocabulary: Vocabulary | None = None,
        horizon: int | None = None,
        season: int | None = None,
        carry_state: bool = False,
        bucket: bool = True,
        measure: Callable[[], tuple[Tensor, Tensor]] | None = None,
        naive_errors: Callable[[], list[float]] | None = None,
        augmentation: Callable[..., Any] | None = None,
        world: World = ALONE,
        **keys: Any,
    ) -> None:
        super().__init__(
            load, task=task, fields=fields, channels=channels or 0, image_size=None, num_classes=num_classes,
            batch_size=batch_size, augmentation=augmentation, world=world, **keys,
        )  # fmt: skip
        self.input_kind = self.fields[self.input]
        self.vocabulary, self.horizon, self.season = vocabulary, horizon, season
        self.carry_state, self.bucket, self._measure = carry_state, bucket, measure
        self.naive_errors: list[float] = []
        """Of a forecast: what an error is divided by to be scaled (MASE), in the data's units, for each of K series."""
        self._naive_errors = naive_errors
        self.facts: dict[str, Any] = {}
        """Of series out of a table: the names of their channels, and how their dates follow each other."""

    def _check(self, loaded: Loaded) -> None:
        if self.vocabulary is None:
            self.vocabulary = loaded.vocabulary
        self.facts = loaded.facts
        if self.input_kind != "tokens":
            shape = cast(Stretches, loaded.train).fields[self.input].values.shape
            channels = shape[-3] if self.input_kind == "video" else shape[-1]
            if channels != self.channels:
                raise CouloirError(
                    f"The data has {channels} channels, not {self.channels}.", next_step="leave data.channels out"
                )
        super()._check(loaded)

    def _measure_inputs(self) -> None:
        """Mean and deviation of each channel over the training split; tokens have none."""
        if self.input_kind == "tokens":
            self.mean, self.std = [], []
            return
        super()._measure_inputs()

    def _channel_statistics(self) -> tuple[list[float], list[float]]:
        if self._measure is not None:
            mean, std = self._measure()
            return mean.tolist(), std.tolist()
        split = self.splits["train"]
        total = torch.zeros(3, self.channels, dtype=torch.float64)
        for part in torch.split(torch.from_numpy(split.indices), CHUNK):
            x = cast(Stretches, split.source).fetch(part)[self.input]
            values = x.values[x.mask()] if isinstance(x, Padded) else x
            if self.input_kind == "video":
                values = as_float(values).movedim(-3, -1)
            values = values.reshape(-1, self.channels).double()
            total += torch.stack([values.sum(0), values.square().sum(0), torch.full((self.channels,), len(values))])
        mean = total[0] / total[2]
        std = (total[1] / total[2] - mean.square()).clamp_min(0).sqrt()
        return mean.tolist(), torch.where(std > 1e-7 * (1 + mean.abs()), std, 0.0).tolist()

    def _settle_inputs(self, mean: list[float], std: list[float]) -> None:
        if self.input_kind == "tokens":
            return
        std = [value or 1.0 for value in std]  # a channel that never varies says nothing
        shape = (-1, 1, 1) if self.input_kind == "video" else (-1,)
        self._shift = torch.tensor(mean, dtype=torch.float64).view(shape)
        self._scale = torch.tensor(std, dtype=torch.float64).view(shape)

    def _measure_targets(self) -> None:
        """Values to come are scaled as the first channels of the input are."""
        if self.kind != "future":
            super()._measure_targets()
            return
        count = self.num_classes or 1
        assert self.mean is not None, "the inputs are measured first"
        assert self.std is not None
        self.target_offset = list(self.mean[:count])
        self.target_scale = [value or 1.0 for value in self.std[:count]]
        if self.splits:
            self.naive_errors = self._naive_in_samples(count) if self._naive_errors is None else self._naive_errors()

    def _naive_in_samples(self, count: int) -> list[float]:
        """The mean absolute difference of steps one season apart, within the inputs of the training samples."""
        split, step = self.splits["train"], self.season or 1
        total, steps = torch.zeros(count, dtype=torch.float64), 0
        for part in torch.split(torch.from_numpy(split.indices), CHUNK):
            x = cast(Stretches, split.source).fetch(part)[self.input]
            for sample in x.samples() if isinstance(x, Padded) else x:
                values = as_float(sample) if self.input_kind != "video" else as_float(sample).movedim(-3, -1)
                values = values[..., :count].double()
                differences = (values[step:] - values[:-step]).abs().reshape(-1, count)
                total += differences.sum(0)
                steps += len(differences)
        found: list[float] = (total / max(1, steps)).tolist()
        return found

    def _standardised(self, x: Field, kind: str) -> Field:
        """Raw inputs, or values to come, as the network takes them: frames behind channels in a video, and frames to
        come before theirs, (B, H, C, h, w).
        """
        if isinstance(x, Padded):
            values = self._scaled_steps(x.values)
            there = x.mask().view(*x.values.shape[:2], *(1,) * (x.values.ndim - 2))
            values = values * there
            return Padded(values.transpose(1, 2).contiguous() if kind == "video" else values, x.lengths)
        values = self._scaled_steps(cast(Tensor, x))
        return values.transpose(1, 2).contiguous() if kind == "video" else values

    def _scaled_steps(self, x: Tensor) -> Tensor:
        count = x.shape[-3] if self.input_kind == "video" else x.shape[-1]
        shift, scale = (each[:count].to(x.device) for each in (self._shift, self._scale))
        return ((as_float(x) - shift) / scale).float()

    def _prepare(self, x: Any, y: Tensor, augmentation: Callable[..., Any] | None, drawn: bool = False) -> Batch:
        """A batch of raw fields and of the targets beside them."""
        raw: Raw = x if isinstance(x, dict) else {self.input: x}
        batch: Batch = {}
        for name, field in raw.items():
            placed = moved(field, self.device)
            kind = self.fields[name]
            if kind in ("tokens", "target_tokens"):
                whole = placed.values if isinstance(placed, Padded) else cast(Tensor, placed)
                whole = whole.long()
                batch[name] = Padded(whole, placed.lengths) if isinstance(placed, Padded) else whole
            else:
                batch[name] = self._standardised(placed, kind)
        if self.target not in batch and self.target != self.input:
            batch[self.target] = moved(y, self.device)
        if augmentation is not None and not isinstance(augmentation, torch.nn.Identity):
            batch = augmentation(batch, self.fields)
        return batch

    def _targets(self, split: Split) -> Tensor:
        if self.kind in ("target_tokens", "future"):
            return torch.from_numpy(split.targets.astype(np.int64))
        return super()._targets(split)

    def as_batch(self, x: Any, targets: NDArray[Any] | None = None) -> Batch:
        """Samples of the caller's own as a batch, prepared as those of the validation are, on the device.

        Args:
            x: the raw input, a tensor (B, T, ...) or `Padded`; or all raw fields by name.
            targets: theirs, where they are no sequences; None: the batch has no target.
        """
        self._check_tokens(x)
        batch = self._prepare(x, torch.empty(0), augmentation=None)
        if targets is not None:
            batch[self.target] = moved(self._scaled(targets), self.device)
        elif not (isinstance(x, dict) and self.target in x):
            batch.pop(self.target, None)
        return batch

    def _check_tokens(self, x: Any) -> None:
        """Tokens of the caller's own are in the vocabulary.

        Raises:
            CouloirError: one is not.
        """
        if self.input_kind != "tokens" or self.vocabulary is None or isinstance(x, dict):
            return
        values = x.values if isinstance(x, Padded) else x
        wrong = values[(values < 0) | (values >= len(self.vocabulary))]
        if len(wrong):
            raise CouloirError(
                f"There is no token {int(wrong[0])}: the vocabulary has {len(self.vocabulary)}, from 0 to "
                f"{len(self.vocabulary) - 1}.",
                next_step="the run's `data.vocabulary.encode(text)` gives the tokens of a text",
            )

    def example_batch(self, count: int | None = None, first: bool = False) -> Batch:
        """Samples of the training split as validation sees them; it draws no random number."""
        split = self.splits["train"]
        count = min(count or self.batch_size, len(split.indices))
        chosen = torch.arange(count) if first else torch.linspace(0, len(split.indices) - 1, count).long()
        return self._picked(split, chosen)

    def seen(self, split: str, places: NDArray[np.int64], seed: int | None = None) -> Batch:
        """Some samples of a split as the network sees them; there is nothing that is drawn."""
        return self._picked(self.splits[split], torch.from_numpy(places))

    def _picked(self, split: Split, chosen: Tensor) -> Batch:
        raw = cast(Stretches, split.source).fetch(torch.from_numpy(split.indices)[chosen])
        device, self.device = self.device, torch.device("cpu")
        try:
            return self._prepare(raw, self._targets(split)[chosen], augmentation=None)
        finally:
            self.device = device

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
        if self.carry_state and batch_size != self.batch_size:
            raise CouloirError(
                "data.carry_state=true cuts the text into as many streams as a batch has samples, so other sizes "
                "cannot be tried.",
                next_step="data.carry_state=false",
            )
        split = part or self.splits[name]
        source = cast(Stretches, split.source)
        source.to(self.device)
        read = Stretched(source, split.indices, self._targets(split), drawn=shuffle)
        lengths = source.lengths[split.indices]
        shuffle = shuffle and not self.carry_state
        prepare: Prepare = lambda x, y: self._prepare(x, y, augmentation, drawn=shuffle)  # noqa: E731
        return Batches(
            len(split.indices),
            batch_size,
            cast(Any, read),
            prepare,
            shuffle=shuffle,
            strata=torch.from_numpy(split.targets) if shuffle and self.sampler == "balanced" else None,
            lengths=torch.from_numpy(lengths) if shuffle and self.bucket and lengths.min() < lengths.max() else None,
            seed=self.seed,
            drop_single=name == "train" if drop_single is None else drop_single,
            rank=world.rank,
            world=world.size,
            device=self.device,
            own_draws=False,
        )

    @classmethod
    def without_samples(cls, facts: Mapping[str, Any], statistics: dict[str, Any]) -> Sequences:
        """What a finished run knows of its data, for whoever has the run and not the data."""
        data = cls(
            _no_samples, task=str(facts.get("task")), fields=facts["fields"], channels=facts.get("channels"),
            num_classes=facts.get("num_classes"), batch_size=facts.get("batch_size") or 1, seed=facts.get("seed") or 0,
            horizon=facts.get("horizon"), season=facts.get("season"), carry_state=bool(facts.get("carry_state")),
        )  # fmt: skip
        data.standardised_as(statistics)
        data.classes = [str(name) for name in statistics.get("classes", ())]
        data.targets = [str(name) for name in statistics.get("targets", ())]
        if "vocabulary" in statistics:
            data.vocabulary = Vocabulary.of_plain(statistics["vocabulary"])
        data._settle_inputs(statistics.get("mean") or [], statistics.get("std") or [])
        data._measure_targets()
        data.facts = dict(statistics.get("facts", {}))
        data.naive_errors = [float(value) for value in statistics.get("naive_errors", ())]
        return data

    def texts(self, split: str, places: NDArray[np.int64]) -> list[str]:
        """What some samples of a split say, as far as their tokens keep it.

        Args:
            split: its name.
            places: their numbers in the split.
        """
        if self.vocabulary is None:
            raise ValueError("the samples are no tokens")
        if not len(places):
            return []
        chosen = self.splits[split]
        field = cast(Stretches, chosen.source).fetch(torch.from_numpy(chosen.indices[places]))[self.input]
        rows = field.samples() if isinstance(field, Padded) else list(field)
        return [self.vocabulary.decode(row.tolist()) for row in rows]

    def fingerprint(self) -> str:
        """As of other samples, with the vocabulary: the same numbers may stand for other texts."""
        whole = super().fingerprint()
        if self.vocabulary is None:
            return whole
        return f"sha256:{sha256((whole + json.dumps(self.vocabulary.plain())).encode()).hexdigest()}"

    def keep_only(self, count: int) -> None:
        """As of other samples.

        Raises:
            CouloirError: batches go on where those before ended, which a few samples do not.
        """
        if self.carry_state:
            raise CouloirError(
                "overfit trains on a few samples, and data.carry_state=true on samples that follow each other.",
                next_step="data.carry_state=false",
            )
        super().keep_only(count)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must know to prepare new samples in the same way."""
        return {
            **super().state_dict(),
            **({} if self.vocabulary is None else {"vocabulary": self.vocabulary.plain()}),
            **({"naive_errors": self.naive_errors} if self.naive_errors else {}),
            **({"facts": self.facts} if self.facts else {}),
        }


def _no_samples() -> Loaded:
    """Never called: these samples are known by a checkpoint alone."""
    raise RuntimeError("there are no samples to load")


def check_windows(length: int, needed: int, place: str, keys: Sequence[str]) -> None:
    """A series is as long as a window and what follows it.

    Raises:
        CouloirError: it is shorter.
    """
    if length < needed:
        raise CouloirError(
            f"A window needs {needed:,} steps ({', '.join(keys)}), and there are {length:,}.", place=place,
            next_step=f"a smaller {keys[0]}, or a longer series",
        )  # fmt: skip
