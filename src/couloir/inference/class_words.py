"""A class as it is typed behind a flag. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence

from couloir.errors import CouloirError, did_you_mean


def class_number(word: str, names: Sequence[str], flag: str) -> int:
    """The number of a class, by its name or number.

    Args:
        word: what was typed.
        names: the names of the classes.
        flag: behind which it was typed.

    Raises:
        CouloirError: there is no such class.
    """
    if word in names:
        return list(names).index(word)
    if word.isdecimal() and int(word) < len(names):
        return int(word)
    hint = did_you_mean(word, names, form=f"{flag} {{}}")
    raise CouloirError(
        f"The run knows no class '{word}'.",
        place=f"classes: {', '.join(names[:20])}{', ...' * (len(names) > 20)}",
        next_step=hint or f"{flag} {names[-1]}",
    )
