"""Both loss curves side by side, measured by the height of the picture that they make."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from statistics import median

from couloir.artifacts.log_axis import wants_log
from couloir.diagnosis.curve import Curve, Point
from couloir.diagnosis.finding import Evidence, number, quoted
from couloir.diagnosis.reading import HIGH, NOTHING_LEARNED, Reading
from couloir.diagnosis.settings import Settings

FEWEST = 4
"""Epochs from which on a curve says something."""
TALLEST = 2.0
"""Times the loss of chance up to which first values count; beyond it only the first steps went wrong."""
FLAT_PICTURE = 0.4
"""The least height, as a share of the largest value: curves that hardly change are looked at from further away."""
HIGH_SINCE_FIRST = 0.75
"""The same against the first epoch's loss, where chance is unknown."""
REBUILT = 0.4
"""The share of the images' variance above which an autoencoder that no longer comes down gives back little more than
the mean image.
"""
FLAT_SINCE_MIDDLE = 0.9
"""The share of its loss in the middle of the run that such an autoencoder has left at the end."""
GOOD = 0.75
"""Accuracy or R² with which a loss is not high, however it began."""
STILL = 0.08
"""The share of a whole fall that must belong to the last quarter of the epochs for a curve to be still falling."""
STILL_ANNEALED = 0.3
"""The same where the rate has been brought down, which ends a fall by itself."""
STILL_LOGARITHMIC = 0.15
"""The same on a logarithmic axis, where a loss that falls to zero draws a straight line, whose last quarter is 0.25."""
TESTED_WORSE = 0.05
"""What the accuracy of the test must be below that of training, where there is one."""
CREEPING = 0.15
"""The share of its level that a loss must have come down over the last quarter, for it not to be flat."""
PERFECT = 0.999
"""The share of samples that are right, with which a loss may fall on or not."""
FEW_SAMPLES = 20
"""A validation set of fewer samples tells little: one of them is more than five points of accuracy."""
ANNEALED = 0.1
"""The last rate over the largest, below which the rate has been brought down."""
SIGNIFICANT = 2.5
"""Standard errors that a slope must have."""
STEADILY = 0.9
"""The share of the steps that go down in a curve that falls steadily."""
THROWN_OFF = 0.2
"""The share of the height that training must have fallen, and risen again."""
VISIBLE = 0.02
"""The share of the height below which a change is none."""


@dataclass(frozen=True)
class View:
    """What rules of loss curves look at.

    Attributes:
        reading: the run.
        train: the training loss.
        val: the validation loss.
    """

    reading: Reading
    train: Curve
    val: Curve

    @cached_property
    def settings(self) -> Settings:
        """What is unusual in the configuration."""
        return Settings(self.reading)

    @cached_property
    def logarithmic(self) -> bool:
        """Whether the axis of the losses is logarithmic, as in `curves.png`."""
        return wants_log([*self.train.values, *self.val.values])

    @cached_property
    def few(self) -> int | None:
        """The number of validation samples where it is too small to tell; None: there are enough, or it is unknown."""
        samples = self.reading.sizes.get("val")
        return samples if samples is not None and samples < FEW_SAMPLES else None

    @property
    def readable(self) -> bool:
        """Whether both curves are long enough to say something."""
        return min(len(self.train), len(self.val)) >= FEWEST

    @cached_property
    def chance(self) -> float | None:
        """The loss of chance; where only the share of errors that is left is known, as if the loss went with it."""
        share = self.unexplained("train")
        if self.reading.chance is None and share is not None and 0 < share <= 1 and self.train.end > 0:
            return self.train.end / share
        return self.reading.chance

    @cached_property
    def height(self) -> float:
        """From the lower curve's least value to where the curves began, or to the loss of chance."""
        begun = max(self.train.first, self.val.first)
        top = begun if self.chance is None else max(self.chance, min(begun, TALLEST * self.chance))
        bottom = min(*self.train.values, *self.val.values)
        return max(top - bottom, FLAT_PICTURE * abs(top), 1e-12)

    @cached_property
    def stopped_in_time(self) -> bool:
        """Whether early stopping waited for an improvement at the end, so that the run is what it was at its best."""
        patience = self.reading.key("callbacks.early_stopping.patience")
        return (
            patience is not None
            and self.val.epochs.index(self.val.newest.epoch) - self.val.epochs.index(self.val.least.epoch)
            <= int(patience) + 1
        )

    @cached_property
    def levels(self) -> tuple[float, float]:
        """Training and validation loss at the end, or at the best epoch where the run was stopped in time."""
        if self.stopped_in_time:
            return self.train.at(self.val.least.epoch), self.val.least.value
        return self.train.end, self.val.end

    @cached_property
    def ends(self) -> tuple[Point, Point]:
        """What a sentence quotes for these levels."""
        if self.stopped_in_time:
            return self.train.near(self.val.least.epoch), self.val.least
        return self.train.newest, self.val.newest

    @property
    def gap(self) -> float:
        """Validation loss less training loss at the end, as a share of the height."""
        train, val = self.levels
        return (val - train) / self.height

    @cached_property
    def tested(self) -> tuple[Point, float] | None:
        """The training loss of the epoch that was tested, and its test loss; None: unknown, or of few samples."""
        test, epoch = self.reading.numbers.get("test/loss"), self.reading.tested
        few = self.reading.sizes.get("test", FEW_SAMPLES) < FEW_SAMPLES
        if test is None or few or epoch is None or "train/loss" not in epoch:
            return None
        return Point(int(epoch["epoch"]), epoch["train/loss"]), test

    @property
    def test_gap(self) -> float:
        """Test loss less training loss in the epoch that was tested, as a share of the height; 0 where it is unknown.

        0 as well where the test answers about as many samples rightly as training: then only the loss is larger.
        """
        if self.tested is None:
            return 0.0
        measure, epoch = self.reading.measure("train"), self.reading.tested or {}
        if measure is not None and measure[0].counts_samples:
            name = measure[0].name
            train, test = epoch.get(f"train/{name}"), self.reading.numbers.get(f"test/{name}")
            if train is not None and test is not None and train - test < TESTED_WORSE:
                return 0.0
        return (self.tested[1] - self.tested[0].value) / self.height

    def wrong(self, split: str) -> float | None:
        """The share of what guessing gets wrong that is still wrong, by the metric alone; None: unknown."""
        measure = self.reading.measure(split)
        return None if measure is None else measure[0].unexplained(measure[1].end, self.reading.outcomes)

    @property
    def settled(self) -> bool:
        """Whether the share of right answers no longer rises: a loss that falls on makes them surer, and no better."""
        measure = self.reading.measure("val")
        if measure is None or not measure[0].counts_samples:
            return False
        line = measure[1].tail()
        return measure[1].end >= PERFECT or line.slope < SIGNIFICANT * line.error

    def unexplained(self, split: str) -> float | None:
        """The share of what chance gets wrong that is still wrong at the end; None: what chance gets is unknown."""
        curve = self.train if split == "train" else self.val
        measure = self.reading.measure(split)
        share = None if measure is None else measure[0].unexplained(measure[1].end, self.reading.outcomes)
        known = share is not None or not self.reading.rebuilds
        if self.reading.chance is None or (known and measure is not None and not measure[0].guess_per_class):
            return share  # R² goes by the targets of the split itself, which may be spread otherwise than in training
        return curve.end / self.reading.chance

    @property
    def learned(self) -> bool:
        """Whether training went anywhere below chance, so that a gap to validation is a matter of what was learned."""
        share = self.unexplained("train")
        return share is None or share < NOTHING_LEARNED

    @property
    def thrown_off(self) -> bool:
        """Whether training had come well on its way before its loss rose again."""
        lowest = self.train.smooth[self.train.lowest]
        return min(self.train.first - lowest, self.train.rise) >= THROWN_OFF * self.height

    def high(self, split: str) -> bool:
        """Whether a loss has remained high; how low a bound could be, nobody knows."""
        if self.reading.has_bound:
            return False
        if self.reading.rebuilds:
            return self._rebuilds_little(split)
        share = self.unexplained(split)
        if share is not None:
            return share > HIGH
        curve = self.train if split == "train" else self.val
        measure = self.reading.measure(split)
        if measure is not None and measure[0].higher_is_better and measure[1].end >= GOOD:
            return False
        return curve.first > 0 and curve.end > HIGH_SINCE_FIRST * curve.first

    def _rebuilds_little(self, split: str) -> bool:
        """Whether what comes back of images is one colour, or for half of the run about the mean image."""
        share, curve = self.reading.unexplained_of_pixels(split), self.train if split == "train" else self.val
        flat = curve.end > FLAT_SINCE_MIDDLE * curve.smooth[len(curve) // 2]
        return share is not None and (share > NOTHING_LEARNED or (flat and share > REBUILT))

    @cached_property
    def annealed(self) -> bool:
        """Whether the rate was brought down to a tenth or less of its peak by the end."""
        rates = self.reading.curve("lr")
        return rates is not None and max(rates.values) > 0 and rates.values[-1] <= ANNEALED * max(rates.values)

    def falling(self, curve: Curve) -> bool:
        """Whether a curve is still on its way down: significantly and to the end, on the axis that is drawn."""
        if self._descends(curve):
            return True
        if not self.logarithmic or self.settled:
            return False
        drawn = Curve(curve.epochs, tuple(math.log(value) for value in curve.values))
        line, newest = drawn.tail(), drawn.tail(share=8)
        if line.slope >= 0 or -line.slope < SIGNIFICANT * line.error or newest.slope > 0.3 * line.slope:
            return False
        share = STILL_ANNEALED if self.annealed else STILL_LOGARITHMIC
        return -line.change >= share * (drawn.first - drawn.end)

    @property
    def creeps(self) -> bool:
        """Whether the training loss has lost a good part of its level over the last quarter, however slowly."""
        line = self.train.tail()
        return -line.slope >= SIGNIFICANT * line.error and -line.change >= CREEPING * abs(self.train.end) > 0

    def _descends(self, curve: Curve) -> bool:
        """Whether it falls on a linear axis."""
        line, newest = curve.tail(), curve.tail(share=8)
        whole = curve.first - curve.end
        if line.slope >= 0 or -line.slope < SIGNIFICANT * line.error or newest.slope > 0.3 * line.slope:
            return False
        if whole < 0.05 * self.height and not self._setting_out(curve):
            return False
        share = STILL_ANNEALED if self.annealed else STILL
        return -line.change >= share * whole and (-line.change >= VISIBLE * self.height or self._setting_out(curve))

    def _setting_out(self, curve: Curve) -> bool:
        """Whether a curve that has hardly fallen does so as smoothly and as fast at the end as before."""
        whole, steps = curve.first - curve.end, curve.epochs[-1] - curve.epochs[0]
        return (
            curve.descent >= STEADILY
            and whole > 0.003 * abs(curve.first)
            and -curve.tail().slope >= 0.7 * whole / steps
        )

    @cached_property
    def levelled_off(self) -> int:
        """The first epoch at which the validation loss was where it ended."""
        near = self.levels[1] + max(0.03 * self.height, self.val.noise)
        places = zip(self.val.epochs, self.val.smooth, strict=True)
        return next((epoch for epoch, value in places if value <= near), self.val.epochs[-1])

    @cached_property
    def lead(self) -> float:
        """How far validation lies below training over the last half, as a share of the height; the median.

        A training loss is a mean over its epoch, before which the network was worse, so the next epoch's counts if it
        is lower.
        """
        later = dict(zip(self.train.epochs, self.train.values, strict=True))
        pairs = [
            (min(later[epoch], later.get(epoch + 1, later[epoch])), value)
            for epoch, value in zip(self.val.epochs, self.val.values, strict=True)
            if epoch in later
        ]
        half = pairs[len(pairs) // 2 :]
        return median(train - val for train, val in half) / self.height if half else 0.0

    def evidence(self) -> Evidence:
        """The numbers that every diagnosis of loss curves shows; those of an epoch stand in `metrics.csv`."""
        train, val = self.ends
        positive = train.value > 0 and val.value > 0
        relative = f"; validation is {number(val.value / train.value)} times training" if positive else ""
        best, monitor = self.reading.best, self.reading.monitor
        test, sizes = self.reading.numbers.get("test/loss"), self.reading.sizes
        weights = "best" if self.reading.keeps_best else "last"
        samples = ", ".join(f"{split} {sizes[split]:,}" for split in ("train", "val", "test") if split in sizes)
        return (
            ("epochs", str(self.reading.epochs)),
            *([] if best is None else [("best epoch", f"{best['epoch']:g}, {monitor} {number(best[monitor])}")]),
            ("training loss", _course(self.train)),
            ("validation loss", _course(self.val)),
            *([] if test is None else [("test loss", f"{number(test)}, with the weights of the {weights} epoch")]),
            *([("samples", samples)] if samples else []),
            ("gap", f"{number(val.value - train.value)} at epoch {val.epoch}{relative}"),
            ("slope of training", _slope(self.train)),
            ("slope of validation", _slope(self.val)),
            ("noise", f"{number(self.train.noise)} in training, {number(self.val.noise)} in validation, estimated"),
        )


def _course(curve: Curve) -> str:
    first = Point(curve.epochs[0], curve.first)
    return f"{quoted(first)}, lowest {quoted(curve.least)}, last {quoted(curve.newest)}"


def _slope(curve: Curve) -> str:
    line = curve.tail()
    return f"{number(line.slope)} an epoch, a straight line through the last {line.points} epochs"
