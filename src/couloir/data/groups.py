"""Groups: samples that belong together, such as the photographs of one patient, and stay in one split.

Nothing here imports torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from couloir.errors import CouloirError

WORDS = {"train": "training", "val": "validation", "test": "test"}


def groups_of_files(files: Sequence[Path], root: Path, pattern: str) -> NDArray[Any]:
    """The names of the files' groups, (N,).

    Args:
        files: below the root.
        root: of the data set.
        pattern: a regular expression that is looked for in each path relative to the root, with / between folders;
            its first group, or else all that it matches, is the name.

    Raises:
        CouloirError: it is no regular expression, or a file does not match.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise CouloirError(
            f"data.group_pattern is no regular expression: {error}.",
            place=pattern,
            next_step="such as 'data.group_pattern=\"(patient[0-9]+)_\"', in quotes",
        ) from error
    names = []
    for file in files:
        path = (file.relative_to(root) if file.is_relative_to(root) else file).as_posix()
        found = expression.search(path)
        name = None if found is None else found[1 if expression.groups else 0]
        if not name:
            raise CouloirError(
                f"data.group_pattern finds no group in the name of a file: {path}",
                place=str(file),
                next_step=f"a pattern that every file matches, not only some, or remove the file; it is {pattern}",
            )
        names.append(name)
    return np.array(names)


def counted(groups: Mapping[str, NDArray[Any]], folds: bool, place: str) -> int | None:
    """How many groups the training samples are in, none of which may be in two of the set's own splits.

    Args:
        groups: of the samples of each split; empty: there are no groups.
        folds: whether there are folds, which leave the set's own test split aside.
        place: where the splits come from.

    Returns:
        None where there are no groups.

    Raises:
        CouloirError: a group is in two splits.
    """
    splits = [name for name in groups if name != "test" or not folds]
    for number, one in enumerate(splits):
        for other in splits[number + 1 :]:
            both = np.intersect1d(groups[one], groups[other])
            if len(both):
                more = f", and {len(both) - 1:,} more groups are" if len(both) > 1 else ""
                raise CouloirError(
                    f"The group {both[0]} is in the {WORDS[one]} and in the {WORDS[other]} samples{more}.",
                    place=place,
                    next_step="move its samples into one of them, or leave the groups out",
                )
    return len(np.unique(groups["train"])) if groups else None
