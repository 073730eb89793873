"""What tokens stand for: characters, bytes, words or parts of words. Nothing here imports torch."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

UNKNOWN, START, STOP = "<unknown>", "<start>", "<stop>"
_WORDS = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by number.

    Attributes:
        unit: what a token is: `character`, `byte`, `word` or `bpe`.
        tokens: their texts, by number; the special ones `UNKNOWN`, `START` and `STOP` come first, where there are any.
        lowercase: whether words are looked up in small letters.
    """

    unit: str
    tokens: Sequence[str]
    lowercase: bool = False
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
        ranked = sorted((word for word, count in counted.items() if count >= at_least), key=lambda w: (-counted[w], w))
        kept = ranked if at_most is None else ranked[: at_most - 1]
        return cls("word", [UNKNOWN, *kept], lowercase)

    @classmethod
    def of_characters(cls, text: str, special: Sequence[str] = ()) -> Vocabulary:
        """The characters of a text, sorted, behind the special tokens."""
        return cls("character", [*special, *sorted(set(text))])

    def encode(self, text: str) -> list[int]:
        """The tokens of a text; what the vocabulary lacks is `UNKNOWN`.

        Raises:
            KeyError: it lacks one, and has no `UNKNOWN`; its argument is the token.
        """
        unknown = self.numbers.get(UNKNOWN)
        parts = words(text, self.lowercase) if self.unit == "word" else text
        found = [self.numbers.get(part, unknown) for part in parts]
        if None in found:
            raise KeyError(parts[found.index(None)])
        return [number for number in found if number is not None]

    def decode(self, numbers: Iterable[int]) -> str:
        """The text of some tokens; words are parted by spaces."""
        return (" " if self.unit == "word" else "").join(self.tokens[number] for number in numbers)

    def plain(self) -> dict[str, Any]:
        """Plain values, for a checkpoint."""
        return {"unit": self.unit, "tokens": list(self.tokens), "lowercase": self.lowercase}

    @classmethod
    def of_plain(cls, values: Mapping[str, Any]) -> Vocabulary:
        """The vocabulary of such values."""
        return cls(str(values["unit"]), list(values["tokens"]), bool(values.get("lowercase")))


def words(text: str, lowercase: bool = True) -> list[str]:
    """Words, and signs that are no part of one, in their order."""
    return _WORDS.findall(text.lower() if lowercase else text)
