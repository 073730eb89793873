"""Sentences that come with installed packages; their class is the text that they are from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from couloir.data.sequence.labelled import Labelled, LabelledTexts
from couloir.data.sequence.text import embedded_texts

if TYPE_CHECKING:
    from couloir.data.sequence.sequences import Sequences

TITLES = {
    "description_sentences": ("breast_cancer", "kddcup99", "lfw", "rcv1", "twenty_newsgroups"),
    "reference_sentences": ("compound", "debugger", "formatstrings", "specialnames", "string-methods", "typesmapping"),
}
"""Set -> the texts that it takes its sentences from; the larger ones."""
FROM = {"description_sentences": "descriptions", "reference_sentences": "python_reference"}
LEAST, MOST = 5, 60
"""Words of a sentence, and what stands between spaces: what is shorter or longer is a heading, a table or a program."""
_PARAGRAPH, _END = re.compile(r"\n\s*\n"), re.compile(r"(?<=[.!?:])\s+(?=[A-Z\"'(`*])")
_WORD = re.compile(r"[^\W\d_]{2,}")


def description_sentences(vocabulary_size: int | None, image_size: None = None, **keys: Any) -> Sequences:
    """Sentences of descriptions of data sets; `keys` are those of `Manner` and of `Sequences`."""
    return _sequences("description_sentences", vocabulary_size, keys)


def reference_sentences(vocabulary_size: int | None, image_size: None = None, **keys: Any) -> Sequences:
    """Sentences of what `help()` says of Python's language; `keys` are those of `Manner` and of `Sequences`."""
    return _sequences("reference_sentences", vocabulary_size, keys)


def _sequences(name: str, size: int | None, keys: Mapping[str, Any]) -> Sequences:
    from couloir.data.sequence.sequences import Sequences

    own = ("tokens", "lowercase", "min_count", "max_words", "length")
    others = {key: value for key, value in keys.items() if key not in own}
    return Sequences(LabelledTexts(lambda: sentences(name), keys, size), **others)


def inspect(target: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """How many different tokens the training split has, and which classes there are."""
    return sentences(target).facts(keys)


def count(keys: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """How many sentences folds are made of; the keys do not say which set it is, and both have enough."""
    return None, None


@lru_cache(maxsize=2)
def sentences(name: str) -> Labelled:
    """The sentences of a set, a key of `TITLES`; what stands in several of its texts is left out."""
    content = embedded_texts(FROM[name])
    labels: dict[str, set[int]] = {}
    for label, title in enumerate(TITLES[name]):
        for sentence in sentences_of(content[title]):
            labels.setdefault(sentence, set()).add(label)
    kept = {sentence: min(found) for sentence, found in labels.items() if len(found) == 1}
    return Labelled(f"data={name}", list(kept), np.array(list(kept.values()), np.int64), list(TITLES[name]))


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, `LEAST` to `MOST` words each, and none over the end of a paragraph."""
    return [
        sentence
        for paragraph in _PARAGRAPH.split(text)
        for sentence in _END.split(" ".join(paragraph.split()))
        if len(_WORD.findall(sentence)) >= LEAST and len(sentence.split()) <= MOST
    ]
