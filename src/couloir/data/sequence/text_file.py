"""A text whose next token is predicted: a file of your own, or one that comes with installed packages."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from couloir.config.world import ALONE, World
from couloir.data.sequence.text import FIRST_SIZE, Text, Tokens, tokens_of
from couloir.data.sequence.vocabulary import Vocabulary
from couloir.data.sequence.windows import streams, windows
from couloir.errors import CouloirError

if TYPE_CHECKING:
    from couloir.data.sequence.sequences import Sequences
    from couloir.data.source import Loaded

EMBEDDED = ("descriptions", "python_reference")


def text_file(
    path: str,
    tokens: str = "character",
    encoding: str = "utf-8",
    length: int = 128,
    vocabulary_size: int | None = None,
    val_fraction: float = 0.05,
    test_fraction: float = 0.05,
    subset: int | None = None,
    *,
    batch_size: int,
    carry_state: bool = False,
    image_size: None = None,
    embedded: str = "",
    world: World = ALONE,
    **keys: Any,
) -> Sequences:
    """The windows of a text, in order; `keys` are those of `couloir.data.sequence.sequences.Sequences`.

    Args:
        path: the file.
        tokens: `character`, `byte`, `bpe` or `word`.
        encoding: of the file.
        length: tokens of a window.
        vocabulary_size: different tokens; of `bpe` and words at most so many.
        val_fraction: share of the text that is for validation.
        test_fraction: share that is for the test, behind it.
        subset: windows of each part at most, the first ones.
        batch_size: windows a step; with `carry_state` also the streams that each part is cut into.
        carry_state: whether each batch goes on where the one before ended.
        embedded: the text that comes with an installed package instead of a file, one of `EMBEDDED`.
        world: processes that share every batch.
    """
    text = Text(path, embedded, encoding, tokens, vocabulary_size, val_fraction, test_fraction)
    return _sequences(text, length, subset, vocabulary_size, batch_size, carry_state, world, keys)


def descriptions(**keys: Any) -> Sequences:
    """The windows of the descriptions of scikit-learn's data sets; the keys are those of `text_file` without `path`."""
    return text_file("", embedded="descriptions", **keys)


def python_reference(**keys: Any) -> Sequences:
    """The windows of what `help()` says of Python's language; the keys are those of `text_file` without `path`."""
    return text_file("", embedded="python_reference", **keys)


def inspect(target: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Read the text and say how many different tokens it has.

    Raises:
        CouloirError: as `couloir.data.sequence.text.tokens_of`; or the text is shorter than a window.
    """
    text = text_of(target, keys)
    found = tokens_of(text)
    count = int(keys["batch_size"]) if keys.get("carry_state") else None
    check_length(text, found, int(keys["length"]), count)
    size = len(found.vocabulary)
    return {"vocabulary_size": size, "num_classes": size, "classes": []}


def text_of(target: str, keys: Mapping[str, Any]) -> Text:
    """The text that the keys of a data node name."""
    return Text(
        path="" if target in EMBEDDED else str(keys["path"]),
        embedded=target if target in EMBEDDED else "",
        encoding=str(keys.get("encoding") or "utf-8"),
        tokens=str(keys.get("tokens", "character")),
        most=keys.get("vocabulary_size"),
        val_fraction=float(keys["val_fraction"]),
        test_fraction=float(keys["test_fraction"]),
    )


def check_length(text: Text, found: Tokens, length: int, count: int | None) -> None:
    """The training part has a whole window, and one in each of its streams.

    Args:
        text: where the tokens come from.
        found: the tokens.
        length: of a window.
        count: streams; None: there are none.

    Raises:
        CouloirError: it is shorter.
    """
    steps = len(found.parts["train"]) - 1
    if steps < length * (count or 1):
        each = "" if count is None else f" and data.carry_state=true cuts it into data.batch_size={count} streams,"
        most = steps // (count or 1)
        fewer = "" if count is None else " or a smaller data.batch_size"
        raise CouloirError(
            f"The training part of the text has {steps + 1:,} tokens,{each} shorter than a window of "
            f"data.length={length}{'' if count is None else ' each'}.",
            place=text.place,
            next_step=f"data.length={most}{fewer}, or a longer text" if most else f"a longer text{fewer}",
        )


def _sequences(
    text: Text,
    length: int,
    subset: int | None,
    vocabulary_size: int | None,
    batch_size: int,
    carry_state: bool,
    world: World,
    keys: Mapping[str, Any],
) -> Sequences:
    from couloir.data.sequence.sequences import Sequences

    load = _Load(text, length, subset, vocabulary_size, batch_size * world.size if carry_state else None)
    return Sequences(load, batch_size=batch_size, carry_state=carry_state, world=world, **keys)


class _Load:
    """Reads the text, when it is called.

    Args:
        text: which.
        length: tokens of a window.
        subset: windows of each part at most; None: all.
        size: different tokens that the network is made for; None: as many as there are.
        streams: pieces that each part is cut into, whose windows follow each other; None: there are none.
    """

    def __init__(self, text: Text, length: int, subset: int | None, size: int | None, streams: int | None) -> None:
        self.text, self.length, self.subset, self.size, self.streams = text, length, subset, size, streams
        self.before: Vocabulary | None = None

    def as_before(self, statistics: Mapping[str, Any]) -> None:
        """Take the tokens that a run has taken.

        Args:
            statistics: of a checkpoint of the run.
        """
        if "vocabulary" in statistics:
            self.before = Vocabulary.of_plain(statistics["vocabulary"])

    def __call__(self) -> Loaded:
        """The windows of the three parts."""
        from couloir.data.source import Loaded

        found = tokens_of(self.text, self.before)
        size = len(found.vocabulary)
        if self.size is not None and size != self.size:
            raise CouloirError(
                f"The training part of the text has {size:,} different tokens, not {self.size:,}.",
                place=self.text.place,
                next_step="leave data.vocabulary_size out: Couloir counts them"
                + (f" ({FIRST_SIZE} byte pairs at most)" if self.text.tokens == "bpe" else ""),
            )
        check_length(self.text, found, self.length, self.streams)
        source = partial(_windows, length=self.length, subset=self.subset, streams_=self.streams)
        parts = {name: source(part, drawn=name == "train") for name, part in found.parts.items()}
        return Loaded(
            parts["train"], parts["val"], parts["test"], vocabulary=found.vocabulary,
            notes=list(found.in_words(self.text)),
        )  # fmt: skip


def _windows(part: Any, length: int, subset: int | None, streams_: int | None, drawn: bool) -> Any:
    """The windows of one part of a text.

    Args:
        part: its tokens, (T,).
        length: tokens of a window.
        subset: windows at most.
        streams_: streams; None: windows stand for themselves.
        drawn: whether each epoch cuts elsewhere, and leaves out what is no whole window.
    """
    from couloir.data.sequence.stretches import Stretch, Stretches

    steps = len(part) - 1 if subset is None else min(len(part) - 1, subset * length)
    starts, lengths = windows(steps, length, drawn) if streams_ is None else streams(steps, length, streams_)
    fields = {
        "text": Stretch(part[:steps], starts, lengths),
        "next": Stretch(part[1 : steps + 1], starts, lengths),
    }
    return Stretches(fields, slack=length if drawn and streams_ is None else 1)
