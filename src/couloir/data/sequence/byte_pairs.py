"""Byte-pair vocabularies: bytes that often stand beside each other become one token. Nothing here imports torch.

Sennrich, Haddow and Birch, 2016, Neural Machine Translation of Rare Words with Subword Units, over bytes as in Radford
et al., 2019, section 2.2. The package `tokenizers` trains and encodes; tokens are decoded without it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from couloir.errors import CouloirError

LEAST = 256
"""Tokens of the smallest vocabulary: each byte is one, so that no text has an unknown token."""


def trained(text: str, most: int) -> tuple[list[str], list[str]]:
    """The tokens of a text, each character of which stands for a byte (`_letters`), and the pairs that were joined.

    Args:
        text: of the training split.
        most: tokens at most, at least `LEAST`.

    Returns:
        tokens by number, and `LEFT RIGHT` for each pair in the order in which they are joined.

    Raises:
        CouloirError: the package `tokenizers` is not installed.
    """
    package = _package()
    tokenizer = _bare(package, package.models.BPE())
    trainer = package.trainers.BpeTrainer(
        vocab_size=most, show_progress=False, initial_alphabet=package.pre_tokenizers.ByteLevel.alphabet()
    )
    # Whole lines are handed over, so that words at the end of one piece are not cut.
    tokenizer.train_from_iterator(text.splitlines(keepends=True), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    return tokens, merges


def encoded(tokens: Sequence[str], merges: Sequence[str], text: str) -> list[int]:
    """The numbers of a text's tokens.

    Raises:
        CouloirError: the package `tokenizers` is not installed.
    """
    numbers: list[int] = _tokenizer(tuple(tokens), tuple(merges)).encode(text).ids
    return numbers


def decoded(tokens: Iterable[str]) -> str:
    """The text of some tokens; bytes that are no character become the replacement character."""
    return b"".join(map(bytes_of, tokens)).decode("utf-8", errors="replace")


def bytes_of(token: str) -> bytes:
    """The bytes that a token stands for."""
    numbers = _numbers()
    return bytes(numbers[letter] for letter in token)


@lru_cache(maxsize=4)
def _tokenizer(tokens: tuple[str, ...], merges: tuple[str, ...]) -> Any:
    package = _package()
    pairs = [tuple(pair.split(" ")) for pair in merges]
    return _bare(package, package.models.BPE({token: number for number, token in enumerate(tokens)}, pairs))


def _bare(package: Any, model: Any) -> Any:
    """A tokenizer of a model, whose tokens do not cross the borders of words."""
    tokenizer = package.Tokenizer(model)
    tokenizer.pre_tokenizer = package.pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


def _package() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise CouloirError(
            "data.tokens=bpe needs the package tokenizers.",
            next_step="pip install 'couloir[text]'; or data.tokens=character",
        ) from error
    return tokenizers


@lru_cache(maxsize=1)
def _numbers() -> dict[str, int]:
    """The byte that each letter of a token stands for: printable ones for themselves, others from 256 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}
