"""Which fold tests which sample, and hold-outs that keep groups together: seeded, stratified by class, and the same on
every machine. NumPy alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from couloir.config.folds import LEAVE_ONE_GROUP_OUT, refuse_beyond, refuse_too_few
from couloir.data.splits import Indices
from couloir.errors import CouloirError

Groups = NDArray[np.generic]
"""A name or a number for each sample; samples of one group belong together."""


def cut(
    targets: NDArray[np.generic],
    folds: int | str,
    fold: int | None,
    seed: int,
    stratify: bool,
    groups: Groups | None = None,
) -> tuple[Indices, str]:
    """The samples that one of several folds tests, and what it is called.

    Args:
        targets: one target a sample, (N,) or (N, K).
        folds: how many; or `leave_one_group_out`: each group is one.
        fold: which, from 0.
        seed: what the folds follow from.
        stratify: whether the targets are classes.
        groups: of each sample, (N,); None: each sample may go anywhere.

    Raises:
        CouloirError: there is no such fold, or there are too few samples or groups.
    """
    names = None if groups is None else np.unique(groups)
    refuse_too_few(folds, len(targets), None if names is None else len(names))
    by_group = folds == LEAVE_ONE_GROUP_OUT
    if by_group:
        if groups is None or names is None:
            raise CouloirError(
                f"data.folds={folds} needs to know the group of each sample.",
                next_step="hand `groups` to `Loaded`, or state how many folds there are: data.folds=5",
            )
        of_each, count = fold_of_each_group(groups), len(names)
    else:
        count = int(folds)
        of_each = fold_of_each(targets, count, seed, stratify, groups)
    if fold is None:
        raise CouloirError(f"There are {count} folds, and nothing says which one to test on.", next_step="data.fold=0")
    refuse_beyond(fold, count)
    name = f" (the group {names[fold]})" if names is not None and by_group else ""
    return np.flatnonzero(of_each == fold), f"fold {fold} of 0 to {count - 1}{name}"


def fold_of_each(
    targets: NDArray[np.generic], folds: int, seed: int, stratify: bool, groups: Groups | None = None
) -> Indices:
    """The number of the fold, 0..folds-1, that tests each sample, (N,).

    Without groups the folds' sizes differ by at most one, and so do their counts of each class where they are
    stratified. With groups, each group goes to the fold that needs it most, the largest group first.

    Args:
        targets: one target a sample, (N,) or (N, K).
        folds: how many; at most as many as there are samples, and groups.
        seed: what the folds follow from.
        stratify: whether the targets are classes.
        groups: of each sample, (N,); None: each sample may go anywhere.
    """
    rng = np.random.default_rng(seed)
    classes = _classes(targets, stratify)
    if groups is None:
        # Dealt out like cards, class by class: each class, and all together, go round the folds.
        order = rng.permutation(len(classes))
        order = order[np.argsort(classes[order], kind="stable")]
        fold = np.empty(len(classes), dtype=np.int64)
        fold[order] = np.arange(len(classes)) % folds
        return fold
    totals = np.bincount(classes)
    members = _members(groups)
    order = rng.permutation(len(members))
    order = order[np.argsort([-len(members[place]) for place in order], kind="stable")]
    counts, sizes = np.zeros((folds, len(totals))), np.zeros(folds)
    fold = np.empty(len(classes), dtype=np.int64)
    for place in order:
        added = np.bincount(classes[members[place]], minlength=len(totals))
        # What the squared distance to the ideal counts grows by, each class in units of its size.
        growth = np.round(((2 * (counts - totals / folds) + added) * added / totals).sum(axis=1), 9)
        chosen = np.lexsort((sizes, growth))[0]
        fold[members[place]] = chosen
        counts[chosen] += added
        sizes[chosen] += len(members[place])
    return fold


def fold_of_each_group(groups: Groups) -> Indices:
    """The number of the fold that tests each sample where each group is a fold, the groups sorted: (N,)."""
    return np.unique(groups, return_inverse=True)[1].reshape(-1).astype(np.int64)


def hold_out_groups(
    pool: Indices, targets: NDArray[np.generic], groups: Groups, fraction: float, seed: int, stratify: bool
) -> tuple[Indices, Indices]:
    """Split a pool of indices into what stays and what is held out, whole groups, at least one each.

    Groups come in a random order, and each is held out if that brings the held classes nearer to their share.

    Args:
        pool: indices into `targets`, of at least two groups.
        targets: one target a sample of the whole set.
        groups: of each sample of the whole set.
        fraction: the share of the samples that is held out, in (0, 1).
        seed: what the draw follows from.
        stratify: whether the targets are classes.
    """
    classes = _classes(targets[pool], stratify)
    totals = np.bincount(classes)
    totals = np.maximum(totals, 1)
    members = _members(groups[pool])
    missing = fraction * totals  # of each class
    held: list[Indices] = []
    least: tuple[float, Indices] | None = None
    for place in np.random.default_rng(seed).permutation(len(members)):
        added = np.bincount(classes[members[place]], minlength=len(totals))
        growth = float(((added - 2 * missing) * added / totals).sum())
        if least is None or growth < least[0]:
            least = growth, members[place]
        if growth < 0 and len(held) + 1 < len(members):
            held.append(members[place])
            missing = missing - added
    if not held:
        assert least is not None, "there are groups"
        held.append(least[1])
    chosen = np.sort(np.concatenate(held))
    return np.delete(pool, chosen), pool[chosen]


def _classes(targets: NDArray[np.generic], stratify: bool) -> Indices:
    """A number 0..C-1 for each sample's class; one class where the targets are no classes."""
    if not stratify:
        return np.zeros(len(targets), dtype=np.int64)
    numbers: Indices = np.unique(targets, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return numbers


def _members(groups: Groups) -> list[Indices]:
    """The samples of each group, the groups sorted by their names."""
    number = np.unique(groups, return_inverse=True)[1].reshape(-1)
    order = np.argsort(number, kind="stable")
    return list(np.split(order, np.cumsum(np.bincount(number))[:-1]))
