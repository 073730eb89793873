"""The errors that a user can cause, the exits that they lead to, and the nearest valid word."""

from __future__ import annotations

import difflib
import os
import re
import shlex
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

LONGEST = 1200
"""Characters of a message's line."""
SHORTAGES = ("can't allocate memory", "out of memory", "Unable to allocate", "Storage size calculation overflowed")
"""What NumPy and torch say."""


class CouloirError(Exception):
    """A mistake that the user can mend: the fact, the place, and the next step.

    Args:
        fact: what is wrong, one sentence.
        place: where: a file and line, a key, a folder; left out when the fact already names it.
        next_step: what to do about it, one sentence.
    """

    exit_code = 2

    def __init__(self, fact: str, place: str | None = None, next_step: str | None = None) -> None:
        super().__init__(fact, place, next_step)
        self.fact = fact
        self.place = place
        self.next_step = next_step

    def __str__(self) -> str:
        lines = [_shortened(self.fact)]
        if self.place:
            lines.append(f"  where: {_shortened(self.place)}")
        if self.next_step:
            lines.append(f"  next:  {_shortened(self.next_step)}")
        return "\n".join(lines)


def _shortened(text: str) -> str:
    """A text that quotes something without end, such as a value of a thousand words, without its middle."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 4 :]}"


class Diverged(CouloirError):
    """The loss became NaN or infinite: exit 3."""

    exit_code = 3


class ProcessLost(CouloirError):
    """One of the processes that trained together ended before its time: exit 1."""

    exit_code = 1


class FolderLost(CouloirError):
    """The run folder cannot be written any more, the disk being full, say: exit 1."""

    exit_code = 1


class ExportDiffers(CouloirError):
    """An exported file does not answer as its run does: exit 1."""

    exit_code = 1


class LauncherFailed(CouloirError):
    """What brings the runs of a sweep to their machines does not do so: exit 1."""

    exit_code = 1


class Pruned(Exception):
    """A trial of a sweep was ended after an epoch, because others were better by then: exit 0.

    Args:
        epoch: the epoch, counted from one.
    """

    exit_code = 0

    def __init__(self, epoch: int) -> None:
        super().__init__(f"others were better after epoch {epoch}")
        self.epoch = epoch


class Interrupted(BaseException):
    """A signal asked the run to stop: exit 130 after Ctrl-C, 143 after SIGTERM.

    It derives from BaseException, as KeyboardInterrupt does, so that nothing on the way up swallows it.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number

    @property
    def exit_code(self) -> int:
        """The shell's convention: 128 plus the number of the signal."""
        return 128 + self.signal_number


def is_shortage(error: BaseException) -> bool:
    """Whether an exception, or one behind it, says that there is not enough memory: Python's, NumPy's or torch's."""
    return any(
        isinstance(cause, MemoryError) or any(sign in str(cause) for sign in SHORTAGES) for cause in causes(error)
    )


def out_of_memory(error: BaseException) -> CouloirError:
    """The sentence for what asks for more memory than there is."""
    return CouloirError(
        f"This does not fit into memory: {' '.join(str(error).split()) or type(error).__name__}",
        next_step="a smaller network, smaller images, fewer samples, or a smaller data.batch_size; "
        "`couloir summary` with the same words counts the weights",
    )


def missing_module(error: ModuleNotFoundError, importer: str = "What this sentence needs") -> CouloirError:
    """The sentence for a module that is not installed.

    Args:
        error: what Python says.
        importer: what imports it.
    """
    if error.name is None:
        return CouloirError(f"{importer} needs a package that is not installed: {error}")
    package = error.name.partition(".")[0]
    return CouloirError(
        f"{importer} imports the module {error.name}, which is not installed.",
        next_step=f"pip install {package}, or the package that the module {package} belongs to",
    )


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what it came of, and so on; each once, since `raise first from second` can close a ring."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def nearest(word: str, words: Iterable[str], count: int = 3) -> list[str]:
    """The words most like `word`, best first; case and look-alikes are ignored, and a shared beginning counts."""
    by_folded = {_folded(candidate): candidate for candidate in words}
    folded = _folded(word)
    close = difflib.get_close_matches(folded, by_folded, n=count, cutoff=0.55)
    if len(folded) >= 3:
        close += [name for name in by_folded if name.startswith(folded[:4]) and name not in close]
    return [by_folded[name] for name in close[:count]]


def _folded(word: str) -> str:
    """A letter O is often a zero, and an l a one."""
    return word.casefold().translate(str.maketrans("ol", "01"))


def did_you_mean(word: str, words: Iterable[str], form: str = "{}") -> str | None:
    """`did you mean model=resnet50?`, or None where nothing is near."""
    before, _, after = form.partition("{}")  # no `format`: what the user typed may hold braces of its own
    return asked(f"{before}{name}{after}" for name in nearest(word, words))


def asked(words: Iterable[str]) -> str | None:
    """`did you mean model=resnet50, model=resnet56?`, or None where there are no words."""
    found = ", ".join(words)
    return f"did you mean {found}?" if found else None


def as_typed(words: Iterable[str]) -> str:
    """Words as a person types them at the prompt of this system, in quotes where its shell would change them."""
    if os.name != "nt":
        return shlex.join(words)
    return " ".join(
        f'"{word}"' if set(word) & set("&|<>^()%,;=") and not set(word) & set('" ') else subprocess.list2cmdline([word])
        for word in words
    )


def in_quotes(value: str) -> str:
    """A text as a value of an override, in quotes, which Hydra reads as it stands.

    A backslash counts as one, but before a quote and at the end, where it is written twice.
    """
    quote = "'" if '"' in value or os.name == "nt" else '"'
    inner = re.sub(rf"(\\*)({quote}|$)", lambda found: found[1] * 2 + (f"\\{quote}" if found[2] else ""), value)
    return f"{quote}{inner}{quote}"


def display(path: Path) -> str:
    """A path as a person would type it: relative where it lies below the working directory."""
    here = Path.cwd().resolve()
    for form in (Path(os.path.abspath(path)), path.resolve()):  # noqa: PTH100  a link has a name of its own
        if form.is_relative_to(here):
            return str(form.relative_to(here))
    return str(path)
