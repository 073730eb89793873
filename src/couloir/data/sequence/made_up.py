"""Made-up pairs for an encoder and a decoder: strings and what is to be written of them.

Every source is there once, so that no pair is in two splits.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from couloir.data.sequence.vocabulary import START, STOP, Vocabulary
from couloir.errors import CouloirError

if TYPE_CHECKING:
    from couloir.data.sequence.sequences import Sequences
    from couloir.data.source import Loaded

REVERSED, SUMS = "reversed_strings", "sums"
DIGITS, PLUS = "0123456789", "+"
MOST_DIGITS = 9
"""Digits of a number at most."""
Pairs = list[tuple[str, str]]


def reversed_strings(
    samples: int,
    symbols: str,
    shortest: int,
    length: int,
    image_size: None = None,
    vocabulary_size: int | None = None,
    **keys: Any,
) -> Sequences:
    """Strings of random symbols, each to be written from its end.

    Args:
        samples: pairs, all splits together.
        symbols: the characters that strings are made of.
        shortest: characters of a string at least.
        length: characters of a string at most.
        image_size: there is none.
        vocabulary_size: different tokens; it follows from the characters.
        keys: those of `couloir.data.sequence.sequences.Sequences`.
    """
    strings = lambda: reversed_pairs(samples, symbols, shortest, length, int(keys["seed"]))  # noqa: E731
    return _sequences(strings, vocabulary_of(REVERSED, symbols), keys)


def sums(
    samples: int,
    digits: int,
    length: int,
    image_size: None = None,
    vocabulary_size: int | None = None,
    **keys: Any,
) -> Sequences:
    """Two numbers and a plus sign, of which the sum is to be written.

    Args:
        samples: pairs, all splits together.
        digits: of a number at most.
        length: characters of a source at most.
        image_size: there is none.
        vocabulary_size: different tokens; it follows from the characters.
        keys: those of `couloir.data.sequence.sequences.Sequences`.
    """
    pairs = lambda: sum_pairs(samples, digits, int(keys["seed"]))  # noqa: E731
    return _sequences(pairs, vocabulary_of(SUMS), keys)


def _sequences(pairs: Any, vocabulary: Vocabulary, keys: dict[str, Any]) -> Sequences:
    from couloir.data.sequence.sequences import Sequences

    return Sequences(lambda: loaded(pairs(), vocabulary), vocabulary=vocabulary, **keys)


def loaded(pairs: Pairs, vocabulary: Vocabulary) -> Loaded:
    """Pairs of texts as sequences of tokens: sources as they are, targets with the stop token at their ends."""
    from couloir.data.sequence.stretches import Stretch, Stretches
    from couloir.data.source import Loaded

    stop = vocabulary.numbers[STOP]
    sources = [np.array(vocabulary.encode(source), np.int64) for source, _ in pairs]
    targets = [np.array([*vocabulary.encode(target), stop], np.int64) for _, target in pairs]
    source = Stretches({"source": Stretch.of(sources), "target": Stretch.of(targets)})
    return Loaded(source, vocabulary=vocabulary)


def vocabulary_of(target: str, symbols: str = "") -> Vocabulary:
    """The characters of both sides, behind the tokens that a target begins behind and ends with."""
    return Vocabulary.of_characters(DIGITS + PLUS if target == SUMS else symbols, special=(START, STOP))


def reversed_pairs(samples: int, symbols: str, shortest: int, length: int, seed: int) -> Pairs:
    """Different strings, of a length that is drawn first, with what they are from their ends."""
    rng = np.random.default_rng(seed)
    alphabet = sorted(set(symbols))
    if possible_strings(len(alphabet), shortest, length) <= 2 * samples:  # to draw until all differ would take long
        every = [
            "".join(each) for size in range(shortest, length + 1) for each in itertools.product(alphabet, repeat=size)
        ]
        strings = [every[place] for place in rng.permutation(len(every))[:samples]]
        return [(string, string[::-1]) for string in strings]
    found: dict[str, None] = {}
    while len(found) < samples:
        size = int(rng.integers(shortest, length + 1))
        found["".join(alphabet[place] for place in rng.integers(len(alphabet), size=size))] = None
    return [(string, string[::-1]) for string in found]


def sum_pairs(samples: int, digits: int, seed: int) -> Pairs:
    """Two numbers, of as many digits as are drawn first, and their sum; no two numbers are there in both orders."""
    rng = np.random.default_rng(seed)
    if possible_sums(digits) <= 2 * samples:
        every = list(itertools.combinations_with_replacement(range(10**digits), 2))
        chosen = [every[place] for place in rng.permutation(len(every))[:samples]]
        turned = rng.random(len(chosen)) < 0.5
        terms = [(b, a) if turn else (a, b) for (a, b), turn in zip(chosen, turned, strict=True)]
    else:
        found: dict[tuple[int, int], tuple[int, int]] = {}
        while len(found) < samples:
            a, b = (int(rng.integers(10 ** (size - 1) if size > 1 else 0, 10**size)) for size in _two(rng, digits))
            found.setdefault((min(a, b), max(a, b)), (a, b))
        terms = list(found.values())
    return [(f"{a}{PLUS}{b}", str(a + b)) for a, b in terms]


def _two(rng: np.random.Generator, digits: int) -> NDArray[np.int64]:
    return rng.integers(1, digits + 1, size=2)


def possible_strings(symbols: int, shortest: int, length: int) -> int:
    """How many different strings there are."""
    return sum(symbols**size for size in range(shortest, length + 1))


def possible_sums(digits: int) -> int:
    """How many pairs of numbers there are, whatever their order."""
    count: int = 10**digits * (10**digits + 1) // 2
    return count


def inspect(target: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """The size of the vocabulary, once it is clear that there are as many different pairs as are asked for.

    Raises:
        CouloirError: there are fewer, or a key does not go with another.
    """
    digits = int(keys.get("digits") or 0)
    if target == REVERSED:
        symbols, shortest, length = str(keys["symbols"]), int(keys["shortest"]), int(keys["length"])
        if len(set(symbols)) < 2:
            raise CouloirError(
                f"data.symbols={symbols} has fewer than two different characters.", next_step="data.symbols=abcdefghij"
            )
        if shortest > length:
            raise CouloirError(
                f"data.shortest={shortest} is more than data.length={length}.", next_step=f"data.shortest={length}"
            )
        possible, keys_for = possible_strings(len(set(symbols)), shortest, length), "a larger data.length"
    else:
        symbols = ""
        if digits > MOST_DIGITS:
            raise CouloirError(
                f"data.digits={digits} is more than {MOST_DIGITS}.", next_step=f"data.digits={MOST_DIGITS}"
            )
        possible, keys_for = possible_sums(digits), "a larger data.digits"
    if possible < int(keys["samples"]) and (target == REVERSED or digits > 0):  # of no digits the check says it
        raise CouloirError(
            f"data.samples={keys['samples']} asks for more pairs than there are: {possible:,} are different.",
            next_step=f"data.samples={possible}, or {keys_for}",
        )
    size = len(vocabulary_of(target, symbols))
    facts: dict[str, Any] = {"vocabulary_size": size, "num_classes": size}
    if target == SUMS:
        facts["length"] = 2 * digits + 1
    for name, fact in facts.items():
        if keys.get(name, fact) != fact:
            raise CouloirError(
                f"data.{name} is {fact} here, not {keys[name]}.", next_step=f"leave data.{name} out: it follows"
            )
    return {**facts, "classes": []}
