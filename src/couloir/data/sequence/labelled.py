"""Texts with a class each: words or characters become tokens, by a vocabulary of the training split alone.

Nothing here imports torch at the top: the check before a run makes the same splits and the same vocabulary as the run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from couloir.data.division import Division
from couloir.data.sequence.vocabulary import UNKNOWN, Vocabulary, words
from couloir.data.skipped import Skipped
from couloir.errors import CouloirError

if TYPE_CHECKING:
    from couloir.data.source import Loaded

Parts = list[str] | str
"""The words of a text, or its characters."""


@dataclass(frozen=True)
class Manner:
    """How texts become tokens.

    Attributes:
        tokens: `word` or `character`.
        lowercase: whether small and large letters are the same.
        min_count: how often a token must be there in the training split.
        max_words: tokens of the vocabulary at most, `UNKNOWN` among them; None: any number.
        length: tokens that a text is cut to; None: none is cut.
    """

    tokens: str = "word"
    lowercase: bool = True
    min_count: int = 1
    max_words: int | None = None
    length: int | None = None

    @classmethod
    def of(cls, keys: Mapping[str, Any]) -> Manner:
        """What the keys of a data node say."""
        return cls(
            str(keys.get("tokens") or "word"), bool(keys.get("lowercase", True)), int(keys.get("min_count") or 1),
            keys.get("max_words"), keys.get("length"),
        )  # fmt: skip

    def parts(self, text: str) -> Parts:
        """The tokens of a text, as texts."""
        if self.tokens == "word":
            return words(text, self.lowercase)
        return text.lower() if self.lowercase else text

    def vocabulary(self, texts: Sequence[Parts]) -> Vocabulary:
        """That of the training split's texts: the most frequent tokens first, behind `UNKNOWN`."""
        counted = Counter(part for text in texts for part in text[: self.length])
        found = Vocabulary.of_counts(counted, self.min_count, self.max_words, self.lowercase)
        return Vocabulary(self.tokens, found.tokens, self.lowercase)


@dataclass(frozen=True)
class Labelled:
    """Texts, each with a class.

    Attributes:
        place: what messages call the file.
        texts: as they were found, N of them.
        labels: the classes' numbers, (N,).
        classes: their names.
        splits: where the texts of `train`, `val` and `test` are, where files say so; else empty.
        paths: the file of each; empty where there are none.
        skipped: rows that were left out.
        notes: what the console says of the files.
        columns: of a table, the names of the columns of the texts and of the classes.
    """

    place: str
    texts: list[str]
    labels: NDArray[np.int64]
    classes: list[str]
    splits: dict[str, slice] = field(default_factory=dict)
    paths: list[Path] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    columns: tuple[str, str] = ("", "")
    remembered: dict[tuple[str, bool], list[Parts]] = field(default_factory=dict, repr=False, compare=False)

    def parts(self, manner: Manner) -> list[Parts]:
        """The tokens of each text, as texts; they are made once."""
        key = manner.tokens, manner.lowercase
        if key not in self.remembered:
            self.remembered[key] = [manner.parts(text) for text in self.texts]
        return self.remembered[key]

    def of_split(self, name: str) -> slice | None:
        """The texts of a split that files name; of `train` all where they name none."""
        return self.splits.get(name, None if self.splits or name != "train" else slice(None))

    def training(self, keys: Mapping[str, Any]) -> NDArray[np.int64]:
        """The numbers of the texts that a run trains on.

        Args:
            keys: of the data node: what the splits follow from. A fold that is not chosen is the first.
        """
        targets = {name: self.labels[part] for name in ("train", "val", "test") if (part := self.of_split(name))}
        loaded = SimpleNamespace(
            **{name: SimpleNamespace(targets=targets[name]) if name in targets else None for name in ("val", "test")},
            train=SimpleNamespace(targets=targets["train"]), groups=None, held_out=None, by_number=False,
        )  # fmt: skip
        fold = keys.get("fold")
        division = Division(
            chosen=False, stratify=True, seed=int(keys.get("seed") or 0),
            val_fraction=float(keys["val_fraction"]), test_fraction=float(keys["test_fraction"]),
            subset=keys.get("subset"), folds=keys.get("folds"), fold=0 if fold is None else fold,
        )  # fmt: skip
        splits, _ = division.splits(cast("Loaded", loaded))
        begin = (self.of_split("train") or slice(None)).start or 0
        return splits["train"].indices + begin

    def vocabulary(self, keys: Mapping[str, Any]) -> Vocabulary:
        """The vocabulary of the training split."""
        manner, parts = Manner.of(keys), self.parts(Manner.of(keys))
        return manner.vocabulary([parts[number] for number in self.training(keys)])

    def facts(self, keys: Mapping[str, Any]) -> dict[str, Any]:
        """What `inspect` says: sizes, and the classes."""
        longest = max(map(len, self.parts(Manner.of(keys))))
        return {
            "vocabulary_size": len(self.vocabulary(keys)), "num_classes": len(self.classes), "classes": self.classes,
            "length": longest,
        }  # fmt: skip


class LabelledTexts:
    """Reads labelled texts, when it is called.

    Args:
        read: gives the texts; called with the classes of a run, or None.
        keys: of the data node.
        size: different tokens that the network is made for.
    """

    def __init__(self, read: Callable[[], Labelled], keys: Mapping[str, Any], size: int | None) -> None:
        self.read, self.keys, self.size = read, dict(keys), size
        self.before: Vocabulary | None = None

    def as_before(self, statistics: Mapping[str, Any]) -> None:
        """Take the tokens that a run has taken.

        Args:
            statistics: of a checkpoint of the run.
        """
        if "vocabulary" in statistics:
            self.before = Vocabulary.of_plain(statistics["vocabulary"])

    def __call__(self) -> Loaded:
        """The texts of the splits that there are."""
        from couloir.data.sequence.stretches import Stretch, Stretches
        from couloir.data.source import Loaded

        found, manner = self.read(), Manner.of(self.keys)
        vocabulary = found.vocabulary(self.keys) if self.before is None else self.before
        if self.size is not None and len(vocabulary) != self.size:
            raise CouloirError(
                f"The training split has {len(vocabulary):,} different tokens, not {self.size:,}.",
                place=found.place,
                next_step="leave data.vocabulary_size out: Couloir counts them; data.max_words=N keeps the most "
                "frequent",
            )
        encoded = [np.array(vocabulary.of_parts(each[: manner.length]), np.int32) for each in found.parts(manner)]
        sources = {}
        for name in ("train", "val", "test"):
            part = found.of_split(name)
            if part is not None:
                stretch = Stretch.of(encoded[part])
                sources[name] = Stretches({"text": stretch}, found.labels[part])
        return Loaded(
            sources["train"], sources.get("val"), sources.get("test"), classes=found.classes, skipped=found.skipped,
            vocabulary=vocabulary, notes=[*found.notes, *_in_words(found, manner, vocabulary, encoded)],
        )  # fmt: skip


def _in_words(
    found: Labelled, manner: Manner, vocabulary: Vocabulary, encoded: Sequence[NDArray[np.int32]]
) -> Iterator[str]:
    """What the console says of the tokens."""
    lengths = np.array([len(each) for each in encoded])
    unit = {"word": "words", "character": "characters"}[manner.tokens]
    number = vocabulary.numbers.get(UNKNOWN)
    unknown = 0 if number is None else sum(int((each == number).sum()) for each in encoded)
    yield (
        f"  texts of {lengths.min():,} to {lengths.max():,} {unit}, half of them at most {int(np.median(lengths)):,}; "
        f"{len(vocabulary):,} different ones in the training split, {unknown / lengths.sum():.1%} are {UNKNOWN}"
    )
    cut = sum(len(each) > (manner.length or len(each)) for each in found.parts(manner))
    if cut:
        yield f"  {cut:,} of {len(encoded):,} texts are cut to their first {manner.length:,} {unit} (data.length)"
