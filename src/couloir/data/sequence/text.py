"""A long text as tokens, cut in order into training, validation and test. Nothing here imports torch.

The vocabulary is that of the training part alone. Characters or words of the other parts that it lacks become one
token, `<unknown>`.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from couloir.data.sequence import byte_pairs
from couloir.data.sequence.vocabulary import UNKNOWN, Vocabulary, words
from couloir.errors import CouloirError

SPLITS = ("train", "val", "test")
FIRST_SIZE = 512
"""Tokens of a byte-pair vocabulary where nobody says how many."""


@dataclass(frozen=True)
class Text:
    """Where a text comes from, and how it is read.

    Attributes:
        path: the file; empty: the text that `embedded` names.
        embedded: `descriptions` or `python_reference`.
        encoding: of the file.
        tokens: `character`, `byte`, `bpe` or `word`.
        most: tokens of the vocabulary at most, of `bpe` and of words; None: 512, or all words.
        val_fraction: share of the text that is for validation.
        test_fraction: share that is for the test, behind it.
    """

    path: str
    embedded: str = ""
    encoding: str = "utf-8"
    tokens: str = "character"
    most: int | None = None
    val_fraction: float = 0.05
    test_fraction: float = 0.05

    @property
    def place(self) -> str:
        """What messages call it."""
        return self.path or f"data={self.embedded}"


@dataclass(frozen=True)
class Tokens:
    """A text that was read.

    Attributes:
        vocabulary: what the numbers stand for.
        parts: the numbers of each of `SPLITS`, (T,).
        unknown: how many tokens of each part the vocabulary lacks.
    """

    vocabulary: Vocabulary
    parts: dict[str, NDArray[np.int32]]
    unknown: dict[str, int]

    def in_words(self, text: Text) -> Iterator[str]:
        """What the console says of it."""
        name = Path(text.path).name if text.path else text.embedded
        counts = ", ".join(f"{name} {len(part):,}" for name, part in self.parts.items())
        units = {"character": "characters", "byte": "bytes", "bpe": "byte pairs", "word": "words"}
        yield (
            f"{name}: {sum(map(len, self.parts.values())):,} tokens in order ({counts}); {len(self.vocabulary):,} "
            + (f"different ones, {units[self.vocabulary.unit]}")
        )
        lacking = {name: count for name, count in self.unknown.items() if count}
        if lacking:
            told = ", ".join(f"{name} {count:,}" for name, count in lacking.items())
            yield f"  tokens that the vocabulary of the training part lacks, each {UNKNOWN}: {told}"


def tokens_of(text: Text, before: Vocabulary | None = None) -> Tokens:
    """Read a text; the same file is read once, however often it is asked for.

    Args:
        text: which, and how.
        before: a run's vocabulary; None: that of the training part.

    Raises:
        CouloirError: the file is missing, empty, not of its encoding, or too short to be cut; there is no such
            vocabulary, or the package that makes it is not installed.
    """
    stamp = (0, 0)
    if text.path:
        try:
            found = Path(text.path).stat()
        except OSError as error:
            raise CouloirError(
                f"There is no file {text.path}.", place="data.path", next_step="data.path=FILE, a text file"
            ) from error
        if Path(text.path).is_dir():
            raise CouloirError(
                f"{text.path} is a folder.", place="data.path", next_step="data.path=FILE, one text file"
            )
        stamp = (found.st_mtime_ns, found.st_size)
    if before is None:
        return _tokens_of(text, stamp)
    return _encoded(before, _cut(_content(text), text), text)


@lru_cache(maxsize=4)
def _tokens_of(text: Text, stamp: tuple[int, int]) -> Tokens:
    parts = _cut(_content(text), text)
    return _encoded(_vocabulary(text, parts), parts, text)


def _content(text: Text) -> str | bytes:
    """The characters of the text, or its bytes where these are the tokens.

    Raises:
        CouloirError: it is empty, cannot be read, or is not of its encoding.
    """
    if not text.path:
        content = "\n\n".join(embedded_texts(text.embedded).values())
        return content.encode() if text.tokens == "byte" else content
    try:
        raw = Path(text.path).read_bytes()
        content = raw.decode("utf-8-sig" if text.encoding.lower() in ("utf-8", "utf8") else text.encoding)
    except OSError as error:
        raise CouloirError(
            f"The file cannot be read: {error.strerror or error}.", place=text.path, next_step="look at its permissions"
        ) from error
    except LookupError as error:
        raise CouloirError(
            f"There is no encoding {text.encoding}.", place="data.encoding", next_step="data.encoding=utf-8 or cp1252"
        ) from error
    except UnicodeDecodeError as error:
        if text.tokens == "byte":
            return raw
        line = raw.count(b"\n", 0, error.start) + 1
        raise CouloirError(
            f"Byte {error.start:,} of the text is no {text.encoding} ({error.reason}).",
            place=f"{text.path}, line {line:,}",
            next_step="name its encoding, such as data.encoding=cp1252; or data.tokens=byte, which takes any file",
        ) from error
    if not content.strip():
        raise CouloirError("The text is empty.", place=text.path, next_step="data.path=FILE with a text")
    return raw if text.tokens == "byte" else content.replace("\r\n", "\n").replace("\r", "\n")


def _cut(content: str | bytes, text: Text) -> dict[str, str | bytes | list[str]]:
    """Training, validation and test, one behind the other; words are not cut.

    Raises:
        CouloirError: a part would be empty.
    """
    whole = words(content, lowercase=False) if text.tokens == "word" and isinstance(content, str) else content
    val, test = (round(len(whole) * share) for share in (text.val_fraction, text.test_fraction))
    train = len(whole) - val - test
    if min(train, val, test) < 2:
        sizes = ", ".join(f"{name} {size}" for name, size in zip(SPLITS, (train, val, test), strict=True))
        raise CouloirError(
            f"A text of {len(whole):,} {'words' if text.tokens == 'word' else 'characters'} is too short to train, "
            f"validate and test on: {sizes}.",
            place=text.place,
            next_step="a longer text, or other shares: data.val_fraction=0.2 data.test_fraction=0.2",
        )
    return {"train": whole[:train], "val": whole[train : train + val], "test": whole[train + val :]}


def _vocabulary(text: Text, parts: dict[str, str | bytes | list[str]]) -> Vocabulary:
    """That of the training part.

    Raises:
        CouloirError: it cannot have as few tokens as are asked for, or the text has one token only.
    """
    train = parts["train"]
    if len(set(train)) == 1:
        only = f"byte {train[0]}" if isinstance(train, bytes) else repr(train[0])
        raise CouloirError(
            f"The training part of the text is {only} again and again: there is nothing to predict.",
            place=text.place,
            next_step="data.path=FILE with another text",
        )
    if isinstance(train, bytes):
        return Vocabulary.of_bytes()
    if text.tokens == "bpe":
        most = text.most or FIRST_SIZE
        if most < byte_pairs.LEAST:
            raise CouloirError(
                f"data.vocabulary_size={most} is less than the {byte_pairs.LEAST} bytes that byte pairs begin with.",
                next_step=f"data.vocabulary_size={FIRST_SIZE}",
            )
        return Vocabulary.of_byte_pairs(str(train), most)
    if text.tokens == "word":
        return Vocabulary.of_counts(Counter(train), at_most=text.most, lowercase=False)
    lacking = set(parts["val"]) | set(parts["test"])
    return Vocabulary.of_characters(str(train), [UNKNOWN] if lacking - set(train) else [])


def _encoded(vocabulary: Vocabulary, parts: dict[str, str | bytes | list[str]], text: Text) -> Tokens:
    found: dict[str, NDArray[np.int32]] = {}
    for name, part in parts.items():
        if isinstance(part, bytes):
            found[name] = np.frombuffer(part, np.uint8).astype(np.int32)
            continue
        try:
            found[name] = (
                vocabulary.encoded(part) if isinstance(part, str) else np.array(vocabulary.of_parts(part), np.int32)
            )
        except KeyError as error:
            raise CouloirError(
                f"The text has {error.args[0]!r}, which the run's vocabulary of {len(vocabulary)} tokens lacks.",
                place=text.place,
                next_step="a text of the same characters; or train on this one",
            ) from error
    number = vocabulary.numbers.get(UNKNOWN)
    unknown = {name: 0 if number is None else int((part == number).sum()) for name, part in found.items()}
    return Tokens(vocabulary, found, unknown)


def embedded_texts(name: str) -> dict[str, str]:
    """The texts that come with installed packages, by title, in the order of the titles.

    `descriptions` are those of scikit-learn's data sets, `python_reference` the topics of Python's `help()`. They are
    the same wherever these packages have the same version.
    """
    if name == "python_reference":
        from pydoc_data.topics import topics

        return {title: topics[title].strip() for title in sorted(topics)}
    package = importlib.util.find_spec("sklearn")
    assert package is not None, "Couloir needs scikit-learn"
    assert package.origin is not None
    folder = Path(package.origin).parent / "datasets/descr"
    return {file.stem: file.read_text(encoding="utf-8").strip() for file in sorted(folder.glob("*.rst"))}
