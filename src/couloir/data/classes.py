"""Which classes of a labelled set take part: `data.classes`, by name or by number; when they are called imbalanced.

Nothing here imports torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from couloir.config.fields import KINDS
from couloir.errors import CouloirError, did_you_mean

if TYPE_CHECKING:
    from couloir.data.listing import Listing

KEY = "data.classes"
SHOWN = 12
"""Classes that a message names at most."""
UNEQUAL = 10
"""Times the samples of the smallest class that the largest one has, from which on classes are called imbalanced."""
_INTEGER = re.compile(r"-?\d+")


def chosen_classes(chosen: Any, names: Sequence[str]) -> list[str]:
    """The names of the classes that take part; the first gets the label 0.

    A class is chosen by its name, or by its number, counted from 0 in the order of the set; where a class of the set
    is named by an integer, integers are names.

    Args:
        chosen: names and numbers; None: all classes.
        names: all classes of the set, in the order of their labels.

    Raises:
        CouloirError: there is no such class, one is chosen twice, or there are fewer than two.
    """
    if chosen is None:
        return list(names)
    if isinstance(chosen, str) or not isinstance(chosen, Sequence):
        raise CouloirError(f"{KEY} takes a list of names or numbers, not {chosen}.", next_step=_example(names))
    numbered = not any(_INTEGER.fullmatch(name) for name in names)
    found = [_named(entry, names, numbered) for entry in chosen]
    twice = next((name for place, name in enumerate(found) if name in found[:place]), None)
    if twice is not None:
        raise CouloirError(
            f"{KEY} names the class '{twice}' twice.",
            next_step=f"{KEY}=[{','.join(dict.fromkeys(found))}]" if len(set(found)) > 1 else _example(names),
        )
    if len(found) < 2:
        raise CouloirError(
            f"{KEY} names {'one class' if found else 'no class'}; a classification needs at least two.",
            next_step=_example(names),
        )
    return found


def _named(entry: Any, names: Sequence[str], numbered: bool) -> str:
    if entry is None:  # what Hydra makes of null
        entry = next((name for name in names if name.casefold() == "null"), "null")
    elif isinstance(entry, bool):
        entry = next((name for name in names if name.casefold() == str(entry).casefold()), entry)
    if str(entry) in names:
        return str(entry)
    if numbered and isinstance(entry, int) and not isinstance(entry, bool) and 0 <= entry < len(names):
        return names[entry]
    shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    range_of_numbers = f", or 0 to {len(names) - 1}" if numbered else ""
    raise CouloirError(
        f"There is no class '{entry}' in the data.",
        place=f"classes: {shown}{range_of_numbers}",
        next_step=did_you_mean(str(entry), list(names), form="{}") or _example(names),
    )


def _example(names: Sequence[str]) -> str:
    return f"{KEY}=[{','.join(names[:2])}]" if len(names) > 1 else f"leave {KEY} out"


def check_choice(keys: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """What a data set's `inspect` asks of its keys: the classes that take part, as many as are stated.

    Args:
        keys: of the node `data`; `classes` and `num_classes` are looked at.
        names: all classes of the set.

    Raises:
        CouloirError: as `chosen_classes`; or `data.num_classes` states another number than are chosen.
    """
    found, stated = chosen_classes(keys.get("classes"), names), keys.get("num_classes")
    if keys.get("classes") is not None and isinstance(stated, int) and stated != len(found):
        raise CouloirError(
            f"{KEY} names {len(found)} classes, and data.num_classes is {stated}.",
            next_step="leave data.num_classes out: it follows from data.classes",
        )
    return found


def only(listing: Listing, chosen: Sequence[str | int] | None) -> Listing:
    """The files of some classes alone, labelled in the order in which the classes are given.

    Args:
        listing: what was found in a folder.
        chosen: names or numbers of classes; None: all.

    Raises:
        CouloirError: there is no such class, or a split has none of them; or pictures have no single class.
    """
    if chosen is None:
        return listing
    if listing.kind != "label":
        raise CouloirError(
            f"{KEY} chooses among pictures of one class each; here a picture has {KINDS[listing.kind]}.",
            next_step=f"leave {KEY} out",
        )
    names = chosen_classes(chosen, listing.classes)
    labels = {listing.classes.index(name): label for label, name in enumerate(names)}
    splits = {
        split: [(path, labels[label]) for path, label in samples if label in labels]
        for split, samples in listing.splits.items()
    }
    empty = next((split for split, samples in splits.items() if not samples), None)
    if empty is not None:
        raise CouloirError(
            f"{empty} has no image of the classes {', '.join(names[:SHOWN])}.",
            next_step=f"choose others with {KEY}, or remove the folder: then a part of the training images is held out",
        )
    return replace(listing, classes=names, splits=splits)
