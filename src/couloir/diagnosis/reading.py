"""What a run has left that a diagnosis can go by; all but `metrics.csv` may be missing."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import fmean, median, pstdev
from typing import Any

from couloir.config.metrics import Metric, facts, leading, monitored
from couloir.diagnosis.curve import Curve
from couloir.errors import CouloirError
from couloir.record.metrics import Row, best_row, of_the_largest, whole_epochs
from couloir.record.run_files import RunFiles
from couloir.record.signals import LayerSignal

SQUARED_LOSS = ".MeanSquaredError"
"""The end of `_target_` of the loss that is the variance of the targets where nothing but their mean is said."""
UNIFORM_LOSSES = (".CrossEntropy", ".NegativeLogLikelihood")
"""The ends of `_target_` of losses that are log C where all C classes are given the same probability."""
REBUILDS = ".Reconstruction"
"""The end of `_target_` of the task whose samples are their own targets."""
NOT_AUGMENTED = "Identity"
"""The end of `_target_` of `augmentation=none`."""
LARGEST = 1e100
"""Beyond it a value is as good as infinite; its square would be."""
DATED = re.compile(r"\d{4}-\d\d-\d\d_")
"""How the folder of a run begins that `train` has named; trials of a sweep have numbers."""
LOOKED_BACK = 20
"""Earlier runs that are looked at."""
HIGH = 0.55
"""The share of the loss of guessing, or of its errors, above which a loss is high."""
NOTHING_LEARNED = 0.8
"""The share of the loss of guessing above which nothing to speak of was learned."""
STEADY = 0.05
"""Deviation, as a share, within which a ratio counts as constant."""


@dataclass(frozen=True)
class Reading:
    """The evidence of one run.

    Attributes:
        name: of its folder.
        rows: of `metrics.csv`, those of whole epochs.
        config: the resolved configuration; None: unknown.
        words: what the user typed; None: unknown.
        status: the facts of `status.json`.
        sizes: samples of each split.
        signals: of every layer that was measured, in the order of epochs and layers.
        numbers: of `result.json`, those of the test among them.
        tried: of runs before this one that differ in a single key: the key and its value there.
        within: the other rows: of validations within an epoch, and of an epoch that was cut short.
        deviations: of the values of each channel of the training images, in [0, 1].
    """

    name: str
    rows: list[Row]
    config: Mapping[str, Any] | None = None
    words: tuple[str, ...] | None = None
    status: dict[str, Any] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    signals: tuple[LayerSignal, ...] = ()
    numbers: dict[str, float] = field(default_factory=dict)
    within: tuple[Row, ...] = ()
    tried: tuple[tuple[str, Any], ...] = ()
    deviations: tuple[float, ...] = ()

    @property
    def epochs(self) -> int:
        """The number of epochs that were completed."""
        return len(self.rows)

    def curve(self, column: str) -> Curve | None:
        """The finite values of a column; None where there is none."""
        points = [(int(row["epoch"]), row[column]) for row in self.rows if column in row]
        points = [(epoch, value) for epoch, value in points if abs(value) <= LARGEST]
        return Curve(*zip(*points, strict=True)) if points else None

    def measure(self, split: str) -> tuple[Metric, Curve] | None:
        """The metric that leads beside the loss, and its finite values on a split; None where there is none."""
        curve = None if self._leading is None else self.curve(f"{split}/{self._leading}")
        return None if self._leading is None or curve is None else (facts(self._leading), curve)

    @cached_property
    def _leading(self) -> str | None:
        return leading({column for row in self.rows for column in row})

    @cached_property
    def monitor(self) -> str:
        """The column that decides about the best epoch."""
        return monitored(self.config or {})[0]

    @cached_property
    def best(self) -> Row | None:
        """The row of the best epoch, the same as in the table of results and in the report; None: there is none."""
        every = sorted([*self.rows, *self.within], key=lambda row: row["epoch"])
        return best_row(every, *monitored(self.config or {}))

    @property
    def keeps_best(self) -> bool:
        """Whether the run kept the weights of its best epoch, which the test then took; else it took the last ones."""
        return bool(self.key("callbacks.checkpoint.keep") != "last")

    @cached_property
    def tested(self) -> Row | None:
        """The row of the epoch whose weights the test took; None: there is none."""
        last = max([*self.rows, *self.within], key=lambda row: row["epoch"], default=None)
        return self.best if self.keeps_best else last

    @cached_property
    def train(self) -> Curve | None:
        """The training loss: the mean over each epoch's batches, while the weights changed."""
        return self._loss("train")

    @cached_property
    def val(self) -> Curve | None:
        """The validation loss: after each epoch."""
        return self._loss("val")

    def _loss(self, split: str) -> Curve | None:
        """Of a loss whose parts come in one after the other, the epochs in which all of it is there."""
        curve, first = self.curve(f"{split}/loss"), self.warm_up
        if curve is None or not first:
            return curve
        kept = [(epoch, value) for epoch, value in zip(curve.epochs, curve.values, strict=True) if epoch > first]
        return Curve(*zip(*kept, strict=True)) if kept else None

    @cached_property
    def has_players(self) -> bool:
        """Whether two players learn against each other: what is good for one is bad for the other, and their losses
        are no measure of either.
        """
        return any({"train/generator", "train/discriminator"} <= row.keys() for row in self.rows)

    @cached_property
    def has_bound(self) -> bool:
        """Whether the loss is a bound in nats, as a VAE's is: nobody knows how low it could be."""
        return any({"train/neg_elbo", "train/kl"} <= row.keys() for row in self.rows)

    @property
    def warm_up(self) -> int:
        """Epochs in which the training loss of a VAE is not yet that of validation: its KL divergence comes in."""
        epochs = self.key("task.warm_up_epochs", 0)
        return math.ceil(epochs) if self.has_bound and isinstance(epochs, int | float) else 0

    @property
    def rebuilds(self) -> bool:
        """Whether the run is an autoencoder's: its samples are its targets."""
        return str(self.key("task._target_", "")).endswith(REBUILDS)

    def unexplained_of_pixels(self, split: str) -> float | None:
        """The squared error of rebuilt samples, divided by that of the mean value of each channel; None: unknown."""
        curve = self.curve(f"{split}/mse")
        variance = self.variance
        return None if curve is None or variance is None else curve.end / variance

    @cached_property
    def variance(self) -> float | None:
        """Of the values that an autoencoder rebuilds: the error of one value for all of a channel; None: unknown."""
        if not self.rebuilds:
            return None
        if self.key("data.image_size") is None and self.config is not None:
            return 1.0  # columns are standardised
        return fmean(each**2 for each in self.deviations) if self.deviations else None

    @cached_property
    def broken_epoch(self) -> int | None:
        """The first epoch whose training loss is NaN or infinite."""
        losses = [(int(row["epoch"]), row["train/loss"]) for row in self.rows if "train/loss" in row]
        return next((epoch for epoch, loss in losses if not abs(loss) <= LARGEST), None)

    def key(self, path: str, default: Any = None) -> Any:
        """A value of the configuration; the default where it is unknown, null or not there."""
        value: Any = self.config
        for name in path.split("."):
            value = value[name] if isinstance(value, Mapping) and name in value else None
        return default if value is None else value

    def augmented(self) -> bool:
        """Whether training sees changed images."""
        return not str(self.key("augmentation._target_", NOT_AUGMENTED)).endswith(NOT_AUGMENTED)

    @cached_property
    def classes(self) -> int | None:
        """How many classes there are; None: a regression, or unknown."""
        count = self.key("data.num_classes")
        if self.rebuilds or self.has_bound or self.has_players:
            return None  # the data has classes, and the task learns none
        return (
            int(count) if self.key("data.task") == "classification" and isinstance(count, int) and count > 1 else None
        )

    @property
    def outcomes(self) -> int | None:
        """How many classes a guess chooses among, also where it is of a pixel; None: a regression, or unknown."""
        count = self.key("data.num_classes")
        pixels = self.key("data.task") == "segmentation" and isinstance(count, int) and count > 1
        return int(count) if pixels else self.classes

    @cached_property
    def chance(self) -> float | None:
        """The loss of a network that has learned nothing but the targets' mean; None: unknown.

        Of C classes it is log C. For a squared error it is the variance of the targets, which follows from loss and R²,
        or of images that are their own targets from the data's deviations.
        """
        loss = str(self.key("loss._target_", ""))
        if self.rebuilds:
            return self.variance if loss.endswith(SQUARED_LOSS) and not self.key("task.sparsity") else None
        if self.classes is not None and loss.endswith(UNIFORM_LOSSES) and not self.key("model.auxiliary_weight"):
            return math.log(self.classes)
        known = [(row["train/loss"], row["train/r2"]) for row in self.rows if {"train/loss", "train/r2"} <= row.keys()]
        ratios = [error / (1 - r2) for error, r2 in known if 0 < error <= LARGEST and -LARGEST <= r2 < 1]
        if len(ratios) < 3 or pstdev(ratios) > STEADY * fmean(ratios):
            return None
        return median(ratios)

    @property
    def learned(self) -> bool:
        """Whether training ended well below the loss of guessing; False where that is unknown."""
        return self.below(NOTHING_LEARNED)

    def below(self, share: float) -> bool:
        """Whether training ended below this share of the loss of guessing; False where that is unknown."""
        return self.chance is not None and self.train is not None and self.train.end < share * self.chance

    def ended_by_rule(self) -> bool:
        """Whether the run came to its end before its last epoch because it had been told when to stop."""
        stops = self.key("callbacks.early_stopping.patience") or self.key("callbacks.stop_at.threshold")
        return bool(stops) and self.epochs < int(self.key("trainer.max_epochs", self.epochs))


def read_run(run: Path | RunFiles) -> Reading:
    """The evidence in a run's folder.

    Raises:
        CouloirError: one of its files is torn.
    """
    files = run if isinstance(run, RunFiles) else RunFiles(run)
    files.refuse_torn("rows", "status", "config", "words", "signals")
    words = None if files.words is None else tuple(files.words)
    rows = whole_epochs(of_the_largest(files.rows))  # rules compare epochs of one network
    within = tuple(row for row in files.rows if not float(row["epoch"]).is_integer())
    signals, sizes = tuple(files.signals), _sizes(files)
    numbers, tried, deviations = _numbers(files), _tried(files), _deviations(files)
    return Reading(
        files.name, rows, files.config, words, files.status, sizes, signals, numbers, within, tried, deviations
    )


def _data(files: RunFiles) -> Mapping[str, Any]:
    """What is written down of the data; nothing where that is not known, which ends no diagnosis."""
    try:
        data = files.provenance.get("data")
    except CouloirError:
        return {}
    return data if isinstance(data, dict) else {}


def _sizes(files: RunFiles) -> dict[str, int]:
    """The samples of each split; none where they are not known."""
    sizes = _data(files).get("sizes")
    return {name: size for name, size in sizes.items() if isinstance(size, int)} if isinstance(sizes, dict) else {}


def _deviations(files: RunFiles) -> tuple[float, ...]:
    """Of the images' channels; none where they are not known."""
    stated = _data(files).get("std")
    numbers = stated if isinstance(stated, list) else []
    return tuple(float(each) for each in numbers if isinstance(each, int | float) and 0 < each <= LARGEST)


def _tried(files: RunFiles) -> tuple[tuple[str, Any], ...]:
    """What was tried before: of the newest earlier runs beside this one, those whose words differ in a single key."""
    name, words = files.name, set(files.words or ())
    if files.words is None or not DATED.match(name):
        return ()
    beside = sorted((run for run in files.folder.resolve().parent.glob("2*") if run.name < name), reverse=True)
    found = []
    for run in beside[:LOOKED_BACK]:
        other = RunFiles(run, strict=False)
        keys = {word.lstrip("+~").partition("=")[0] for word in words ^ set(other.words or ())}
        if other.words is not None and len(keys) == 1:
            found += [(key, other.flat[key]) for key in keys if key in other.flat]
    return tuple(found)


def _numbers(files: RunFiles) -> dict[str, float]:
    """The finite numbers of `result.json`; none where it is torn, which ends no diagnosis."""
    try:
        return {name: value for name, value in files.numbers.items() if abs(value) <= LARGEST}
    except CouloirError:
        return {}
