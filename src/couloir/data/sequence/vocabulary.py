"""What tokens stand for: characters, bytes, words or parts of words. Nothing here imports torch."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from couloir.data.sequence import byte_pairs

UNKNOWN, START, STOP = "<unknown>", "<start>", "<stop>"
_WORDS = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by number.

    Attributes:
        unit: what a token is: `character`, `byte`, `word` or `bpe`.
        tokens: their texts, by number; the special ones `UNKNOWN`, `START` and `STOP` come first, where there are any.
        lowercase: whether characters or words are looked up in small letters.
        merges: of `bpe`, the pairs that are joined, in their order, `LEFT RIGHT` each.
    """

    unit: str
    tokens: Sequence[str]
    lowercase: bool = False
    merges: Sequence[str] = ()
    numbers: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "numbers", {token: number for number, token in enumerate(self.tokens)})

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    def of_words(
        cls, texts: Iterable[str], at_least: int = 1, at_most: int | None = None, lowercase: bool = True
    ) -> Vocabulary:
        """The words of some texts, the most frequent first, behind `UNKNOWN`.

        Args:
            texts: of the training split.
            at_least: how often a word must be there.
            at_most: tokens at most, `UNKNOWN` among them; None: any number.
            lowercase: whether small and large letters are the same.
        """
        counted = Counter(word for text in texts for word in words(text, lowercase))
        return cls.of_counts(counted, at_least, at_most, lowercase)

    @classmethod
    def of_counts(
        cls, counted: Mapping[str, int], at_least: int = 1, at_most: int | None = None, lowercase: bool = True
    ) -> Vocabulary:
        """The same of words that are counted already."""
        ranked = sorted((word for word, count in counted.items() if count >= at_least), key=lambda w: (-counted[w], w))
        kept = ranked if at_most is None else ranked[: at_most - 1]
        return cls("word", [UNKNOWN, *kept], lowercase)

    @classmethod
    def of_characters(cls, text: str, special: Sequence[str] = ()) -> Vocabulary:
        """The characters of a text, sorted, behind the special tokens."""
        return cls("character", [*special, *sorted(set(text))])

    @classmethod
    def of_bytes(cls) -> Vocabulary:
        """All bytes; a token's number is the byte."""
        return cls("byte", [chr(byte) if byte < 128 else f"<0x{byte:02X}>" for byte in range(256)])

    @classmethod
    def of_byte_pairs(cls, text: str, at_most: int) -> Vocabulary:
        """Bytes, and what often stands together in a text.

        Args:
            text: of the training split.
            at_most: tokens at most, at least 256.

        Raises:
            CouloirError: the package `tokenizers` is not installed.
        """
        tokens, merges = byte_pairs.trained(text, at_most)
        return cls("bpe", tokens, merges=merges)

    def encode(self, text: str) -> list[int]:
        """The tokens of a text; what the vocabulary lacks is `UNKNOWN`.

        Raises:
            KeyError: it lacks one, and has no `UNKNOWN`; its argument is the token.
            CouloirError: tokens are `bpe`, and the package `tokenizers` is not installed.
        """
        if self.unit == "byte":
            return list(text.encode())
        if self.unit == "bpe":
            return byte_pairs.encoded(self.tokens, self.merges, text)
        return self.of_parts(
            words(text, self.lowercase) if self.unit == "word" else text.lower() if self.lowercase else text
        )

    def of_parts(self, parts: Sequence[str]) -> list[int]:
        """The numbers of words or characters; what the vocabulary lacks is `UNKNOWN`.

        Raises:
            KeyError: it lacks one, and has no `UNKNOWN`; its argument is the token.
        """
        unknown = self.numbers.get(UNKNOWN)
        found = [self.numbers.get(part, unknown) for part in parts]
        if None in found:
            raise KeyError(parts[found.index(None)])
        return [number for number in found if number is not None]

    def encoded(self, text: str) -> NDArray[np.int32]:
        """The same as an array, (T,); long texts of characters take a moment only."""
        if self.unit != "character":
            return np.array(self.encode(text), np.int32)
        points = np.frombuffer((text.lower() if self.lowercase else text).encode("utf-32-le"), np.uint32)
        there = np.zeros(int(points.max(initial=0)) + 1, bool)
        there[points] = True
        known = np.flatnonzero(there)
        numbers = np.zeros(len(there), np.int32)
        numbers[known] = self.encode("".join(map(chr, known.tolist())))
        found: NDArray[np.int32] = numbers[points]
        return found

    def decode(self, numbers: Iterable[int]) -> str:
        """The text of some tokens: exactly of characters, bytes and `bpe`; words are parted by spaces.

        Bytes that are no character, such as half of one, become the replacement character.
        """
        if self.unit == "byte":
            return bytes(int(number) for number in numbers).decode("utf-8", errors="replace")
        if self.unit == "bpe":
            return byte_pairs.decoded(self.tokens[number] for number in numbers)
        return (" " if self.unit == "word" else "").join(self.tokens[number] for number in numbers)

    def plain(self) -> dict[str, Any]:
        """Plain values, for a checkpoint."""
        merges = {"merges": list(self.merges)} if self.merges else {}
        return {"unit": self.unit, "tokens": list(self.tokens), "lowercase": self.lowercase, **merges}

    @classmethod
    def of_plain(cls, values: Mapping[str, Any]) -> Vocabulary:
        """The vocabulary of such values."""
        return cls(str(values["unit"]), list(values["tokens"]), bool(values.get("lowercase")), values.get("merges", ()))


def words(text: str, lowercase: bool = True) -> list[str]:
    """Words, and signs that are no part of one, in their order."""
    return _WORDS.findall(text.lower() if lowercase else text)
