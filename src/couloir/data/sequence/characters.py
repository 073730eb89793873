"""How many characters of a text its tokens stand for. Nothing here imports torch."""

from __future__ import annotations

from couloir.data.sequence.byte_pairs import bytes_of
from couloir.data.sequence.vocabulary import START, STOP, UNKNOWN, Vocabulary


def characters(vocabulary: Vocabulary) -> list[int]:
    """How many characters each token stands for, (V,).

    Of bytes, and of the bytes of `bpe`, those that begin a character in UTF-8 count one, and those that go on with it
    none. A word counts the space behind it as well, as `Vocabulary.decode` puts it there. The special tokens count
    none, but `UNKNOWN` of single characters, which stands for one.
    """
    return [_of(vocabulary.unit, number, token) for number, token in enumerate(vocabulary.tokens)]


def _of(unit: str, number: int, token: str) -> int:
    if token in (UNKNOWN, START, STOP):
        return int(token == UNKNOWN and unit == "character")
    if unit == "byte":
        return int(begins(number))
    if unit == "bpe":
        return sum(map(begins, bytes_of(token)))
    return len(token) + (unit == "word")


def begins(byte: int) -> bool:
    """Whether a byte is the first of a character in UTF-8."""
    return byte & 0b1100_0000 != 0b1000_0000
