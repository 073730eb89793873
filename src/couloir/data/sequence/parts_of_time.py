"""Training, validation and test one after the other in time, and the windows of each. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from couloir.data.dates import read_dates
from couloir.data.sequence.spacing import Days, as_texts
from couloir.errors import CouloirError

SPLITS = ("train", "val", "test")
IN_WORDS = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class Cuts:
    """Where the parts of time end.

    Attributes:
        val_fraction: share of the steps before the test that is held out for validation.
        test_fraction: share of all steps that is held out for the test.
        rows: steps of training, validation and test, from the first one on; None: the fractions say it.
        dates: the first day of validation, and of the test; None: they are not stated.
    """

    val_fraction: float
    test_fraction: float
    rows: tuple[int, int, int] | None = None
    dates: tuple[str, str] | None = None

    @classmethod
    def of(cls, keys: Mapping[str, Any]) -> Cuts:
        """What the keys of a data node say.

        Raises:
            CouloirError: `split` is neither three numbers nor two dates.
        """
        stated, rows, dates = keys.get("split"), None, None
        if stated is not None:
            items = list(stated) if isinstance(stated, Sequence) and not isinstance(stated, str) else []
            if len(items) == 3 and all(isinstance(each, int) and each >= 1 for each in items):
                rows = (items[0], items[1], items[2])
            elif len(items) == 2 and all(isinstance(each, str) for each in items):
                dates = (items[0], items[1])
            else:
                raise CouloirError(
                    f"data.split takes the steps of training, validation and test, or the first dates of validation "
                    f"and test, not {stated}.",
                    next_step="data.split=[8640,2880,2880], or data.split=[2017-07-01,2017-11-01]",
                )
        return cls(float(keys.get("val_fraction") or 0.15), float(keys.get("test_fraction") or 0.15), rows, dates)


@dataclass(frozen=True)
class Series:
    """Where a series lies among the steps of all, and its parts.

    Attributes:
        name: of the series; empty where there is one alone.
        start: its first step.
        train_end: behind the last step of training.
        val_start: the first step whose value may be a target of the validation; steps between the two are interpolated.
        val_end: behind the last step of validation.
        test_start: the same of the test.
        test_end: behind the last step of the test.
        stop: behind its last step.
    """

    name: str
    start: int
    train_end: int
    val_start: int
    val_end: int
    test_start: int
    test_end: int
    stop: int

    def bounds(self, split: str) -> tuple[int, int]:
        """The first step that may be a target, and the one behind the last; of training inputs lie there as well."""
        if split == "train":
            return self.start, self.train_end
        return (self.val_start, self.val_end) if split == "val" else (self.test_start, self.test_end)


def divided(
    bounds: Sequence[tuple[str, int, int]],
    days: Days | None,
    made: NDArray[np.bool_],
    cuts: Cuts,
    file: str,
) -> tuple[list[Series], list[str]]:
    """The parts of all series, cut at the same dates, or the same numbers of steps where there are no dates.

    Interpolated steps just before a cut depend on what comes behind it, so that they belong to no part.

    Args:
        bounds: name, first step and the step behind the last of each series.
        days: the dates of all steps, or None.
        made: which steps are interpolated.
        cuts: where the parts end.
        file: for messages.

    Raises:
        CouloirError: a date is none, or the series are too short.
    """
    if days is None:
        moments: NDArray[Any] = np.arange(max(stop - start for _, start, stop in bounds))
    else:
        moments = np.unique(days)
    ends = _ends(moments, days is not None, cuts, file)
    found = []
    for name, start, stop in bounds:
        own = moments[: stop - start] if days is None else days[start:stop]
        # Where a part ends, the next begins; what is interpolated before that is cut off the end.
        places = [
            start + (stop - start if end >= len(moments) else int(np.searchsorted(own, moments[end]))) for end in ends
        ]
        trimmed = []
        for place in places:
            while place > start and made[place - 1] and place < stop:
                place -= 1
            trimmed.append(place)
        found.append(Series(name, start, trimmed[0], places[0], trimmed[1], places[1], places[2], stop))
    return found, list(_told(moments, days is not None, ends))


def _ends(moments: NDArray[Any], dated: bool, cuts: Cuts, file: str) -> tuple[int, int, int]:
    """How many moments come before the end of training, validation and test."""
    count = len(moments)
    if cuts.rows is not None:
        ends = np.cumsum(cuts.rows).tolist()
        if ends[2] > count:
            raise CouloirError(
                f"data.split={list(cuts.rows)} needs {ends[2]:,} steps, and there are {count:,}.", place=file,
                next_step="smaller numbers, or leave data.split out",
            )  # fmt: skip
        return int(ends[0]), int(ends[1]), int(ends[2])
    if cuts.dates is not None:
        if not dated:
            raise CouloirError(
                "data.split names dates, and the series has none.", place=file,
                next_step="data.date=COLUMN, or numbers of steps: data.split=[700,150,150]",
            )  # fmt: skip
        stated = read_dates(list(cuts.dates)).days
        if not np.isfinite(stated).all():
            odd = cuts.dates[int(np.argmin(np.isfinite(stated)))]
            raise CouloirError(f"data.split: '{odd}' is no date.", next_step="data.split=[2017-07-01,2017-11-01]")
        first, second = (int(np.searchsorted(moments, day)) for day in stated)
        if not 0 < first < second < count:
            low, high = as_texts(moments[[0, -1]])
            raise CouloirError(
                f"data.split=[{', '.join(cuts.dates)}] leaves a part without a step: the series goes from {low} to "
                f"{high}.",
                next_step="two dates within that, the earlier one first",
            )
        return first, second, count
    test = count - round(count * cuts.test_fraction)
    return test - round(test * cuts.val_fraction), test, count


def _told(moments: NDArray[Any], dated: bool, ends: tuple[int, int, int]) -> list[str]:
    begins = (0, ends[0], ends[1])
    parts = []
    for split, begin, end in zip(SPLITS, begins, ends, strict=True):
        if end > begin:
            first = as_texts(moments[[begin]])[0] if dated else f"step {begin + 1:,}"
            parts.append(f"{IN_WORDS[split]} from {first} ({end - begin:,} steps)")
    aside = len(moments) - ends[2]
    return [f"  {', '.join(parts)}" + (f"; the last {aside:,} steps are left aside" if aside else "")]


def windows(
    series: Sequence[Series], made: NDArray[np.bool_], split: str, length: int, horizon: int, stride: int
) -> NDArray[np.int64]:
    """Where the windows of a part begin, (N,): `length` steps of input, and the `horizon` steps behind them.

    The targets of a window lie in its part. Its inputs may lie in parts before, but for training. No window's input
    ends with an interpolated step, whose value depends on what follows.

    Args:
        series: the parts.
        made: which steps are interpolated.
        split: `train`, `val` or `test`.
        length: steps of input.
        horizon: steps to come.
        stride: steps from one window to the next.
    """
    found = []
    for each in series:
        first, stop = each.bounds(split)
        begin = first if split == "train" else max(each.start, first - length)
        starts = np.arange(begin, stop - length - horizon + 1, stride, dtype=np.int64)
        found.append(starts[~made[starts + length - 1]])
    return np.concatenate(found)


def check_windows(
    series: Sequence[Series], made: NDArray[np.bool_], length: int, horizon: int, stride: int, file: str
) -> list[str]:
    """Each part has windows; sentences about series that have none in training.

    Raises:
        CouloirError: a part has none.
    """
    for split in SPLITS:
        if len(windows(series, made, split, length, horizon, stride)):
            continue
        longest = max(stop - first for first, stop in (each.bounds(split) for each in series))
        needed = length + horizon if split == "train" else horizon
        if longest >= needed:
            raise CouloirError(
                f"No {IN_WORDS[split]} window of {length:,} steps and the {horizon:,} behind them is there.",
                place=file,
                next_step="a smaller data.length, or fewer interpolated steps",
            )
        raise CouloirError(
            f"A {IN_WORDS[split]} window needs {needed:,} steps ("
            + (f"data.length={length} and " if split == "train" else "")
            + f"data.horizon={horizon}), and the {IN_WORDS[split]} part has {max(0, longest):,}.",
            place=file,
            next_step="smaller ones, a longer series, or a larger part: "
            + ("data.split" if split == "train" else f"data.{split}_fraction, data.split"),
        )
    short = [each.name for each in series if not len(windows([each], made, "train", length, horizon, stride))]
    if not short:
        return []
    named = ", ".join(short[:6]) + (", ..." if len(short) > 6 else "")
    return [f"  {len(short):,} of {len(series):,} series are too short for a training window: {named}"]
