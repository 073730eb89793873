"""Prompts as tokens: what a run cannot read is named."""

from __future__ import annotations

import pytest

from couloir.data.sequence.vocabulary import START, STOP, UNKNOWN, Vocabulary
from couloir.errors import CouloirError
from couloir.inference.sampling.texts import beginning, encoded

CHARACTERS = Vocabulary.of_characters("ab\nc ")
WORDS = Vocabulary("word", [UNKNOWN, START, STOP, "the", "cat", "."], lowercase=True)


def test_a_character_that_the_run_does_not_know_is_named() -> None:
    assert encoded(CHARACTERS, "cab") == CHARACTERS.encode("cab")
    with pytest.raises(CouloirError, match="has the character 'é', and the run's vocabulary of 5 does not") as refused:
        encoded(CHARACTERS, "caé")
    assert "\\n" in str(refused.value.place)


def test_a_word_that_the_run_would_take_for_unknown_is_named() -> None:
    assert encoded(WORDS, "The cat.") == [3, 4, 5]
    with pytest.raises(CouloirError, match="has the word 'dog'"):
        encoded(WORDS, "The dog.")
    with pytest.raises(CouloirError, match="has no word in it"):
        encoded(WORDS, "  ")


def test_a_text_without_a_prompt_begins_behind_a_line_break_or_the_next_that_there_is() -> None:
    assert beginning(CHARACTERS) == CHARACTERS.encode("\n")
    assert beginning(Vocabulary.of_characters("xyz ")) == [0]
    assert beginning(WORDS) == [5]
    assert beginning(Vocabulary("word", [UNKNOWN, START, "a"])) == [2]
