"""Characters that tokens stand for."""

from __future__ import annotations

import pytest

from couloir.data.sequence.characters import begins, characters
from couloir.data.sequence.vocabulary import START, STOP, UNKNOWN, Vocabulary


def test_characters_count_one_and_what_marks_begin_and_end_none() -> None:
    assert characters(Vocabulary.of_characters("abba", special=[UNKNOWN, START, STOP])) == [1, 0, 0, 1, 1]


def test_bytes_that_begin_a_character_count_it() -> None:
    text = "naïve — 日本語 🙂"
    assert sum(begins(byte) for byte in text.encode()) == len(text)


def test_byte_pairs_count_the_characters_that_begin_in_them() -> None:
    pytest.importorskip("tokenizers", reason="couloir[text] is not installed")
    text = "Bär Bär Bären — naïve 日本語 🙂"
    vocabulary = Vocabulary.of_byte_pairs(text * 3, 262)
    counts = characters(vocabulary)
    assert len(vocabulary.encode(text)) < len(text.encode())
    assert sum(counts[number] for number in vocabulary.encode(text)) == len(text)


def test_words_count_their_letters_and_a_space() -> None:
    assert characters(Vocabulary.of_words(["to be be"])) == [0, 3, 3]
