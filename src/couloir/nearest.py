"""Did you mean ...?"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, words: Iterable[str], count: int = 3) -> list[str]:
    """The words most like `word`, best first; case and look-alikes are ignored, and a shared beginning counts."""
    by_folded = {_folded(candidate): candidate for candidate in words}
    folded = _folded(word)
    close = difflib.get_close_matches(folded, by_folded, n=count, cutoff=0.55)
    if len(folded) >= 3:
        close += [name for name in by_folded if name.startswith(folded[:4]) and name not in close]
    return [by_folded[name] for name in close[:count]]


def _folded(word: str) -> str:
    """A letter O is often a zero, and an l a one."""
    return word.casefold().translate(str.maketrans("ol", "01"))


def did_you_mean(word: str, words: Iterable[str], form: str = "{}") -> str | None:
    """`did you mean model=resnet50?`, or None where nothing is near."""
    found = nearest(word, words)
    if not found:
        return None
    before, _, after = form.partition("{}")  # no `format`: what the user typed may hold braces of its own
    return "did you mean " + ", ".join(f"{before}{name}{after}" for name in found) + "?"
