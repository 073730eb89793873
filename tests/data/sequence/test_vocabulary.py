"""What tokens stand for: texts come back, and plain values give the same vocabulary."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pytest

from couloir.data.sequence import byte_pairs
from couloir.data.sequence.vocabulary import UNKNOWN, Vocabulary
from couloir.errors import CouloirError

TEXT = "Der Bär sah 3 Äpfel,\nund aß sie: 🍎🍎🍎 ...\tEnde. Der Bär ging; der Bär kam."


def byte_pair_vocabulary() -> Vocabulary:
    pytest.importorskip("tokenizers", reason="couloir[text] is not installed")
    return Vocabulary.of_byte_pairs(TEXT, 270)


@pytest.mark.parametrize("unit", ["character", "byte", "bpe"])
def test_a_text_comes_back_exactly(unit: str) -> None:
    made = {
        "character": lambda: Vocabulary.of_characters(TEXT),
        "byte": Vocabulary.of_bytes,
        "bpe": byte_pair_vocabulary,
    }
    vocabulary = made[unit]()
    again = Vocabulary.of_plain(vocabulary.plain())
    assert again == vocabulary
    numbers = vocabulary.encoded(TEXT)
    assert again.decode(again.encode(TEXT)) == TEXT
    assert again.decode(numbers) == TEXT, "numbers of an array as well"
    assert numbers.tolist() == again.encode(TEXT)
    assert numbers.max() < len(vocabulary)


def test_a_byte_is_its_own_number() -> None:
    assert Vocabulary.of_bytes().encode("aß") == [97, 0xC3, 0x9F]
    assert Vocabulary.of_bytes().decode([97, 0xC3]) == "a\N{REPLACEMENT CHARACTER}"


def test_byte_pairs_join_what_stands_together_and_know_every_byte() -> None:
    vocabulary = byte_pair_vocabulary()
    assert len(vocabulary) == 270
    assert len(vocabulary.encode("Der Bär")) < len("Der Bär".encode())
    assert vocabulary.decode(vocabulary.encode("漢字 nie gesehen")) == "漢字 nie gesehen"


def test_byte_pairs_without_the_package_say_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "tokenizers":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(CouloirError, match="needs the package tokenizers") as caught:
        byte_pairs.trained("abc", 300)
    assert "pip install 'couloir[text]'" in str(caught.value)


def test_a_character_out_of_the_vocabulary_is_unknown_or_named() -> None:
    assert Vocabulary.of_characters("ab", [UNKNOWN]).encoded("axb").tolist() == [1, 0, 2]
    with pytest.raises(KeyError) as caught:
        Vocabulary.of_characters("ab").encoded("axb")
    assert caught.value.args == ("x",)


def test_words_are_ranked_by_how_often_they_are_there() -> None:
    vocabulary = Vocabulary.of_words(["The cat, the dog.", "A cat!"], at_least=2)
    assert list(vocabulary.tokens) == [UNKNOWN, "cat", "the"]
    assert vocabulary.encode("THE bird") == [2, 0]
    assert list(Vocabulary.of_words(["b a b", "c"], at_most=2).tokens) == [UNKNOWN, "b"]
    assert np.array_equal(vocabulary.encoded("cat the"), [1, 2])
