"""What `couloir sample` does with a run that writes text: it continues a prompt, prints the text and keeps it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, open_dict

from couloir.data.sequence.vocabulary import START, STOP, UNKNOWN, Vocabulary, words
from couloir.errors import CouloirError, display
from couloir.inference.sampling.text_words import WantedText
from couloir.inference.sampling.words import TXT
from couloir.inference.trained import Trained
from couloir.log import warnings_told
from couloir.record.files import write_atomically, writing
from couloir.task.writing import Choice, continued, ended, never, numbers_for

TOGETHER = 16
"""Texts that are written together."""
BEGINNINGS = ("\n", " ", ".")
"""What stands before a text that has no prompt: the first of these that the vocabulary has."""


def write_texts(cfg: DictConfig, run: Path, wanted: WantedText) -> dict[str, Any]:
    """Write what is asked for, print it, and return the facts.

    Args:
        cfg: the run's configuration.
        run: its folder; or one of its checkpoints, where it is not the best that writes.
        wanted: what is asked for.

    Raises:
        CouloirError: the prompt has what the run does not know, or the text cannot be written.
    """
    cfg = cfg.copy()
    with open_dict(cfg):
        cfg.tta, cfg.metric = None, None  # nothing is measured
    with warnings_told():
        trained = Trained(cfg, run)
    vocabulary = vocabulary_of(trained)
    start = encoded(vocabulary, wanted.prompt) if wanted.prompt else beginning(vocabulary)
    made = [
        ended(vocabulary, wanted.prompt, start, tokens)
        for tokens in _continued(trained, wanted, start, never(vocabulary))
    ]
    files = _kept(wanted, made)
    for number, text in enumerate(made):
        print(_headed(number, text, len(made)), end="" if text.endswith("\n") else "\n")  # noqa: T201
    for file in files[:1] if wanted.form == TXT else [wanted.output]:
        print(f"{display(file)}  ({_about(wanted)})", file=sys.stderr)  # noqa: T201
    place = (
        {"files": [str(files[0].absolute())]} if wanted.form == TXT else {"folders": [str(wanted.output.absolute())]}
    )
    return {
        "run": str(trained.run), "checkpoint": trained.checkpoint.name, "texts": made, **place, "count": wanted.count,
        "prompt": wanted.prompt, "tokens": wanted.tokens, "temperature": wanted.temperature, "top_k": wanted.top_k,
        "top_p": wanted.top_p, **({"seed": wanted.seed} if wanted.temperature else {}),
    }  # fmt: skip


def vocabulary_of(trained: Trained) -> Vocabulary:
    """What the tokens of a run stand for.

    Raises:
        CouloirError: its checkpoint does not say it.
    """
    vocabulary = getattr(trained.data, "vocabulary", None)
    if not isinstance(vocabulary, Vocabulary):
        raise CouloirError(
            f"The checkpoint of {trained.run.name} has no vocabulary, so its tokens cannot be written as text.",
            place=str(trained.checkpoint), next_step="name a run of text: data=text_file",
        )  # fmt: skip
    return vocabulary


def encoded(vocabulary: Vocabulary, prompt: str) -> list[int]:
    """The tokens of a prompt, at least one.

    Raises:
        CouloirError: it has something that the vocabulary lacks, which is named.
    """
    try:
        numbers = vocabulary.encode(prompt)
    except KeyError as error:
        raise _unknown(vocabulary, str(error.args[0])) from None
    if UNKNOWN in vocabulary.numbers and vocabulary.numbers[UNKNOWN] in numbers:
        parts = words(prompt, vocabulary.lowercase) if vocabulary.unit == "word" else list(prompt)
        raise _unknown(vocabulary, parts[numbers.index(vocabulary.numbers[UNKNOWN])])
    if not numbers:
        raise CouloirError(f"The prompt {prompt!r} has no {vocabulary.unit} in it.", next_step="--prompt 'a few words'")
    return numbers


def _unknown(vocabulary: Vocabulary, part: str) -> CouloirError:
    known = " ".join(repr(token)[1:-1] for token in vocabulary.tokens[:100]) if vocabulary.unit == "character" else ""
    return CouloirError(
        f"The prompt has the {vocabulary.unit} {part!r}, and the run's vocabulary of {len(vocabulary):,} does not.",
        place=f"vocabulary: {known}" if known else None, next_step=f"write the prompt without {part!r}",
    )  # fmt: skip


def beginning(vocabulary: Vocabulary) -> list[int]:
    """The tokens behind which a text without a prompt begins."""
    for text in BEGINNINGS:
        try:
            numbers = vocabulary.encode(text)
        except KeyError:
            continue
        if numbers and vocabulary.numbers.get(UNKNOWN) not in numbers:
            return numbers
    special = {UNKNOWN, START, STOP}
    return [next(number for number, token in enumerate(vocabulary.tokens) if token not in special)]


def _continued(trained: Trained, wanted: WantedText, start: list[int], forbidden: list[int]) -> list[list[int]]:
    choice = Choice(wanted.temperature, wanted.top_k, wanted.top_p)
    length = trained.cfg.data.get("length")
    found: list[list[int]] = []
    for first in range(0, wanted.count, TOGETHER):
        texts = range(first, min(first + TOGETHER, wanted.count))
        begun = torch.tensor(start, device=trained.device).expand(len(texts), -1)
        at = numbers_for(texts, wanted.tokens, wanted.seed)
        window = None if length is None else int(length)
        found += continued(trained.net, begun, wanted.tokens, choice, at, window, forbidden).tolist()
    return found


def _headed(number: int, text: str, count: int) -> str:
    """A text; of several with a line above it that parts it from the one before."""
    return text if count == 1 else f"=== {number + 1} ===\n{text}"


def _kept(wanted: WantedText, texts: list[str]) -> list[Path]:
    """Write the texts, and return the files."""
    with writing(wanted.output):
        if wanted.form == TXT:
            parts = [_headed(number, text, len(texts)).rstrip("\n") + "\n" for number, text in enumerate(texts)]
            write_atomically(wanted.output, texts[0] if len(texts) == 1 else "".join(parts))
            return [wanted.output]
        files = [wanted.output / f"{number:06d}{TXT}" for number in range(len(texts))]
        for file, text in zip(files, texts, strict=True):
            write_atomically(file, text)
    return files


def _about(wanted: WantedText) -> str:
    texts = f"{wanted.count} text{'s' * (wanted.count > 1)} of {wanted.tokens:,} tokens"
    if wanted.temperature == 0:
        return f"{texts}, the likeliest token each time"
    among = [f"temperature {wanted.temperature:g}"]
    among += [f"top {wanted.top_k}"] if wanted.top_k is not None else []
    among += [f"nucleus {wanted.top_p:g}"] if wanted.top_p is not None else []
    return f"{texts}, {', '.join(among)}, seed {wanted.seed}"
