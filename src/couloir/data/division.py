"""From what a set's files hold to its splits: which samples take part, and which of them are held out. NumPy alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from couloir.data.classes import chosen_classes
from couloir.data.folds import cut, hold_out_groups
from couloir.data.splits import Indices, hold_out, hold_out_by_number, take
from couloir.errors import CouloirError

if TYPE_CHECKING:
    from couloir.data.source import Loaded, Source

LEFT_OUT = -1
"""The label of samples whose class does not take part."""


@dataclass
class Split:
    """Some samples of a source, in order."""

    source: Source
    indices: Indices
    instead: NDArray[Any] | None = None
    """Targets of all the source's samples that this split has in place of the source's own; None: there are none."""

    @property
    def targets(self) -> NDArray[Any]:
        """The targets of the split's samples."""
        chosen: NDArray[Any] = (self.source.targets if self.instead is None else self.instead)[self.indices]
        return chosen


def choose(loaded: Loaded, chosen: Sequence[str | int]) -> None:
    """Give the chosen classes the labels 0, 1, ..., and all others `LEFT_OUT`.

    Args:
        loaded: samples of one class each; it is changed.
        chosen: the classes by name or number.

    Raises:
        CouloirError: there is no such class, or a split without a sample of the chosen ones.
    """
    names = chosen_classes(chosen, loaded.classes)
    labels = np.full(len(loaded.classes), LEFT_OUT)
    labels[[loaded.classes.index(name) for name in names]] = np.arange(len(names))
    for source in sources(loaded):
        source.targets = labels[source.targets]
        if len(taking_part(source, chosen=True)) == 0:
            raise CouloirError(
                "A split has no sample of the classes that data.classes names.", next_step="add other classes"
            )
    loaded.classes = names


def check_labels(loaded: Loaded, num_classes: int, chosen: bool) -> None:
    """Every label of a sample that takes part is one of 0 to `num_classes` - 1.

    Raises:
        CouloirError: one is not.
    """
    for source in sources(loaded):
        labels = source.targets[taking_part(source, chosen)]
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= num_classes:
            wrong = low if low < 0 else high
            raise CouloirError(
                f"There is a label {wrong}, outside of the {num_classes} classes 0..{num_classes - 1}.",
                next_step=f"correct the labels, or set data.num_classes={high + 1}",
            )


@dataclass(frozen=True)
class Division:
    """How samples become splits.

    Attributes:
        chosen: whether `choose` has chosen classes.
        stratify: whether each split has its share of each label.
        seed: what is drawn follows from it.
        val_fraction: share of the training samples held out for validation, where the set brings none.
        test_fraction: share of all samples held out for the test, where the set brings none.
        subset: at most so many samples of each split; None: all.
        folds: parts, one of which is the test split, or `leave_one_group_out`; None: there are none.
        fold: which of them.
    """

    chosen: bool
    stratify: bool
    seed: int
    val_fraction: float
    test_fraction: float
    subset: int | None
    folds: int | str | None
    fold: int | None

    def splits(self, loaded: Loaded) -> tuple[dict[str, Split], list[str]]:
        """`train`, `val` and `test`, and what the console says of them.

        Raises:
            CouloirError: there are too few samples, or groups.
        """
        train, seed = loaded.train, self.seed
        pool = taking_part(train, self.chosen)
        least = 3 - (loaded.val is not None) - (loaded.test is not None)
        if len(pool) < least:
            raise CouloirError(
                f"There {'is 1 sample' if len(pool) == 1 else f'are {len(pool)} samples'}, too few to train, validate "
                "and test on.",
                next_step=f"give {least} or more: each split takes one at least",
            )
        notes = []
        if self.folds is not None:
            if self.subset is not None:
                pool = pool[take(train.targets[pool], self.subset, seed, self.stratify)]
            groups = None if loaded.groups is None else loaded.groups[pool]
            held, which = cut(train.targets[pool], self.folds, self.fold, seed, self.stratify, groups)
            aside = "" if loaded.test is None else f"; the set's own {len(loaded.test.targets):,} are left aside"
            notes = [f"{which}, {len(held):,} of {len(pool):,} samples, is the test split{aside}"]
            test, pool = Split(loaded.held_out or train, pool[held]), np.delete(pool, held)
        else:
            if loaded.test is None:
                pool, held = self._hold_out(loaded, pool, self.test_fraction, seed)
                test = Split(loaded.held_out or train, held)
            else:
                test = Split(loaded.test, taking_part(loaded.test, self.chosen))
            if self.subset is not None:
                pool = pool[take(train.targets[pool], max(2, self.subset), seed, self.stratify)]
                test.indices = test.indices[take(test.targets, self.subset, seed, self.stratify)]
        if loaded.val is None:
            pool, held = self._hold_out(loaded, pool, self.val_fraction, seed + 1)
            val = Split(loaded.held_out or train, held)
        else:
            val = Split(loaded.val, taking_part(loaded.val, self.chosen))
            if self.subset is not None:
                val.indices = val.indices[take(val.targets, self.subset, seed, self.stratify)]
        return {"train": Split(train, pool), "val": val, "test": test}, notes

    def _hold_out(self, loaded: Loaded, pool: Indices, fraction: float, seed: int) -> tuple[Indices, Indices]:
        """Hold samples out of a pool, whole groups where there are groups."""
        targets = loaded.train.targets
        if loaded.by_number:
            return hold_out_by_number(pool, fraction, seed)
        if loaded.groups is None:
            return hold_out(pool, targets, fraction, seed, self.stratify)
        if len(np.unique(loaded.groups[pool])) < 2:
            raise CouloirError(
                f"{len(pool):,} samples of one group cannot be divided: no group is in two splits.",
                next_step="name another column or pattern for the groups, or more folds",
            )
        return hold_out_groups(pool, targets, loaded.groups, fraction, seed, self.stratify)


def taking_part(source: Source, chosen: bool) -> Indices:
    """The numbers of the samples that take part: all, or those of the classes that `choose` has chosen."""
    return np.flatnonzero(source.targets != LEFT_OUT) if chosen else np.arange(len(source.targets))


def sources(loaded: Loaded) -> list[Source]:
    """Those of the splits that a set brings."""
    return [source for source in (loaded.train, loaded.val, loaded.test) if source is not None]
