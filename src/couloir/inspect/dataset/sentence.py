"""The sentence of a look at the data: what training would refuse in the files is told, not refused. No torch here."""

from __future__ import annotations

from dataclasses import replace

from couloir.config.check import checked
from couloir.config.compose import Sentence
from couloir.errors import CouloirError

SKIP = "data.on_error=skip"
"""Leaves out what cannot be used, so that the rest can be looked at."""


def sentence_of(words: list[str]) -> tuple[Sentence, CouloirError | None]:
    """The sentence that words make, and why training would refuse its files, where it would.

    Args:
        words: what follows `couloir data` at the prompt.

    Raises:
        CouloirError: a mistake in the sentence, or files that nothing can be said of.
    """
    try:
        return checked(words), None
    except CouloirError as refusal:
        if any(word.lstrip("+").startswith("data.on_error=") for word in words):
            raise
        try:
            sentence = checked([*words, SKIP])
        except CouloirError:
            raise refusal from None
        return replace(sentence, overrides=[word for word in sentence.overrides if word != SKIP]), refusal
