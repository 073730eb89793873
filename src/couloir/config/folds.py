"""Folds of the data, `data.folds`: how many there are, and which one a run tests on. Nothing here imports torch."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig

from couloir.config import resolvers
from couloir.config.compose import Sentence
from couloir.errors import CouloirError, as_typed

LEAVE_ONE_GROUP_OUT = "leave_one_group_out"
"""`data.folds` for a fold a group."""
FOLDS, FOLD = "data.folds", "data.fold"
GROUP_KEYS = ("group", "group_pattern")
"""Keys of a data set that say which samples belong together."""


def check_folds(sentence: Sentence, each: bool, reads_data: bool) -> None:
    """Check the folds of a sentence.

    Args:
        sentence: of `settle`.
        each: whether a sweep names the fold of each run.
        reads_data: whether the data will be read.

    Raises:
        CouloirError: it is not said which fold a run tests on, there is no such fold, or the data has too few samples
            or groups.
    """
    cfg = sentence.cfg
    folds, fold = cfg.data.get("folds"), cfg.data.get("fold")
    if folds is None:
        if reads_data and _grouped(cfg):
            _counts(cfg)  # which looks whether a group is in two splits
        if fold is not None:
            raise CouloirError(
                f"{FOLD}={fold} chooses a fold, and {FOLDS} does not say how many there are.",
                next_step=f"add {FOLDS}=5, or leave {FOLD} out",
            )
        return
    if folds == LEAVE_ONE_GROUP_OUT and not _grouped(cfg):
        keys = [f"data.{key}=..." for key in GROUP_KEYS if key in cfg.data]
        way = f"add {keys[0]}" if keys else f"this data has no groups; {FOLDS}=5 makes folds of samples"
        raise CouloirError(f"{FOLDS}={folds} needs to know the group of each sample.", next_step=way)
    if folds == LEAVE_ONE_GROUP_OUT and cfg.data.get("subset") is not None:
        raise CouloirError(
            f"data.subset may leave whole groups out, and {FOLDS}={folds} makes a fold for each.",
            next_step=f"leave data.subset out, or {FOLDS}=5",
        )
    if cfg.get("overfit") is not None:
        raise CouloirError(
            f"overfit={cfg.overfit} trains and tests on the same samples, so there are no folds.",
            next_step=f"leave overfit or {FOLDS} out",
        )
    if fold is None and not each and reads_data:
        words = [word for word in sentence.overrides if not word.lstrip("+").startswith(f"{FOLD}=")]
        many = "a fold for each group" if folds == LEAVE_ONE_GROUP_OUT else f"{folds} folds"
        raise CouloirError(
            f"{FOLDS}={folds} makes {many}, and a run tests on one of them.",
            next_step=f"`{as_typed(['train', '-m', *words])}` trains a run for each fold; "
            f"`{as_typed(['train', *words, f'{FOLD}=0'])}` trains one, tested on the first fold",
        )
    samples, groups = _counts(cfg) if reads_data else (None, None)
    refuse_too_few(folds, samples, groups)
    count = groups if folds == LEAVE_ONE_GROUP_OUT else folds
    if fold is not None and count is not None:
        refuse_beyond(fold, count)


def number_of_folds(cfg: DictConfig) -> int | None:
    """How many folds each setting of a sweep is trained on; None: the data has no folds, or one of them is chosen.

    Args:
        cfg: of a checked sentence.

    Raises:
        CouloirError: each group is a fold, and the data does not say how many groups there are.
    """
    folds = cfg.data.get("folds")
    if folds is None or cfg.data.get("fold") is not None:
        return None
    if folds != LEAVE_ONE_GROUP_OUT:
        return int(folds)
    _, groups = _counts(cfg)
    if groups is None:
        raise CouloirError(
            "The data does not say how many groups it has.",
            place=str(cfg.data.get("_target_")).rpartition(".")[0],
            next_step=f"let its module have a function count(keys) -> (samples, groups), or say {FOLDS}=5",
        )
    return groups


def refuse_too_few(folds: int | str, samples: int | None, groups: int | None) -> None:
    """Refuse folds that would be empty, or leave nothing to train or to validate on.

    Args:
        folds: the value of `data.folds`.
        samples: how many the folds are made of; None: not known.
        groups: how many groups they are in; None: in none, or not known.

    Raises:
        CouloirError: there are too few.
    """
    if folds == LEAVE_ONE_GROUP_OUT:
        if groups is not None and groups < 3:
            raise CouloirError(
                f"{FOLDS}={folds} needs three groups, to train, to validate and to test on; there "
                f"{'is' if groups == 1 else 'are'} {groups}.",
                next_step=f"name another column or pattern for the groups, or {FOLDS}=5 without groups",
            )
        return
    for what, count in (("groups", groups), ("samples", samples)):
        if count is not None and count < max(3, int(folds)):
            raise CouloirError(
                f"{FOLDS}={folds} needs at least {max(3, int(folds))} {what}; there {'is' if count == 1 else 'are'} "
                f"{count}.",
                next_step=f"{FOLDS}={count} or fewer" if count > 2 else f"leave {FOLDS} out",
            )


def refuse_beyond(fold: int, folds: int) -> None:
    """Refuse a fold that is not there.

    Raises:
        CouloirError: so it is.
    """
    if fold >= folds:
        raise CouloirError(
            f"There is no {FOLD}={fold}: the {folds} folds are 0 to {folds - 1}.",
            next_step=f"{FOLD}={folds - 1} tests on the last one",
        )


def _counts(cfg: DictConfig) -> tuple[int | None, int | None]:
    """The samples and the groups of the data, where it is Couloir's own or must say so: another module may import
    torch.
    """
    own = str(cfg.data.get("_target_")).startswith("couloir.")
    return resolvers.count_data(cfg.data) if own or cfg.data.get("folds") == LEAVE_ONE_GROUP_OUT else (None, None)


def _grouped(cfg: DictConfig) -> Any:
    return any(cfg.data.get(key) is not None for key in GROUP_KEYS)
