"""The outputs that the pages quote: read from a page, run again, compared with the page, and written into it.

    python docs/build_outputs.py             # runs every quoted sentence, and writes what has changed
    python docs/build_outputs.py data=line   # only those with these words in them, those with a date as well

A quoted output is a block of code. Its first line is `$`, a space and the sentence. A comment before the block says
which lines of the output it shows, as regular expressions or as names of `NAMED`; "..." stands for lines left out:

    <!-- shows: table; diagnosis -->

`<!-- shows, slow: ... -->` is left to `make faults`. Behind the sentence may stand

    # one thread        with several threads the numbers differ
    # measured on DATE  too expensive to be run again

Seconds, speeds and names of runs may differ between the page and a run; all other characters are the same.
"""

from __future__ import annotations

import contextlib
import datetime
import io
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from couloir.cli.main import run

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/curriculum.md")
BLOCK = re.compile(
    r"^<!-- shows(?P<slow>, slow)?: (?P<shows>.*) -->\n"
    r"```\n\$ (?P<sentence>[^#\n]*?)(?:  # (?P<note>.*))?\n(?P<body>(?:(?!```).*\n)*)```$",
    re.MULTILINE,
)
NAMED = {"table": "^[┏┃┡│├└]", "head": "^┃", "diagnosis": r"\A(?!.*(run|curves|picture): )[^┏┃┡│├└].*\Z"}
"""Lines by name; of those that `diagnosis` finds, the last counts: a run ends with it."""
VOLATILE = (
    (re.compile(r"\d[\d,.]* (s\b|samples/s)"), r"N \1"),
    (re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_\w{6}"), "RUN"),
)
THREADS = (1, 2)
ONE_THREAD = "one thread"
DIVERGED = 3  # the exit code
MEASURED = re.compile(r"measured on (\d{4}-\d\d-\d\d)")
# With these the numbers of the pages were made; others round differently.
TORCH, PROCESSOR = "2.13.0", "AVX512"


@dataclass(frozen=True)
class Quote:
    """A quoted output: the sentence, which lines of its output are shown, the note behind it, and what the page has."""

    sentence: str
    shows: str
    note: str
    slow: bool
    body: str

    @property
    def date(self) -> str | None:
        """When it was measured, of those that are not run again."""
        match = MEASURED.search(self.note)
        return match[1] if match else None

    @property
    def trains(self) -> bool:
        """Whether its numbers come from training, and not from counting."""
        return "summary" not in self.sentence

    @property
    def threads(self) -> tuple[int, ...]:
        """With how many threads the output holds."""
        return THREADS[:1] if ONE_THREAD in self.note or not self.trains else THREADS


def quotes(text: str) -> list[Quote]:
    """The quoted outputs of a page, in their order."""
    return [_quote(match) for match in BLOCK.finditer(text)]


def _quote(match: re.Match[str]) -> Quote:
    return Quote(match["sentence"], match["shows"], match["note"] or "", match["slow"] is not None, match["body"])


def masked(text: str) -> str:
    """A text without what differs from run to run: seconds, speeds, names of runs."""
    for pattern, stand_in in VOLATILE:
        text = pattern.sub(stand_in, text)
    return text


def same_numbers_here() -> bool:
    """Whether this machine computes as the one that made the pages."""
    return torch.__version__.partition("+")[0] == TORCH and torch.backends.cpu.get_cpu_capability() == PROCESSOR


def output(sentence: str, threads: int) -> str:
    """What a sentence prints, run within this process, in an empty folder.

    Raises:
        RuntimeError: it ends otherwise than done or diverged.
    """
    words = shlex.split(sentence)
    printed, complaints = io.StringIO(), io.StringIO()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            _inside(Path(folder)),
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(complaints),
        ):
            code = run(words if words[0] == "train" else words[1:])
    finally:
        torch.set_num_threads(before)
    if code not in (0, DIVERGED):
        raise RuntimeError(f"`{sentence}` ends with {code}: {complaints.getvalue()}")
    return printed.getvalue() + (complaints.getvalue() if code else "")


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def shown(text: str, shows: str) -> str:
    """The lines of an output that a page shows, "..." where lines are left out.

    Raises:
        ValueError: nothing is found for one of the parts.
    """
    lines = text.rstrip("\n").split("\n")
    chosen: set[int] = set()
    for part in shows.split("; "):
        found = [number for number, line in enumerate(lines) if re.search(NAMED.get(part, part), line)]
        if not found:
            raise ValueError(f"No line of the output fits '{part}':\n{text}")
        chosen.update(found[-1:] if part == "diagnosis" else found)
    kept: list[str] = []
    last = -1
    for number in sorted(chosen):
        kept += ["..."] if any(map(_has_text, lines[last + 1 : number])) else []
        kept.append(lines[number].rstrip())
        last = number
    return "\n".join([*kept, *(["..."] if any(map(_has_text, lines[last + 1 :])) else [])]) + "\n"


def _has_text(line: str) -> bool:
    """Whether a line is more than the frame of a table."""
    return any(character.isalnum() for character in line)


def refreshed(quote: Quote) -> str:
    """A quoted output as it is today: the block, with its comment.

    Raises:
        RuntimeError: the sentence fails.
        ValueError: no line of the output is one of those that the page shows.
    """
    body = shown(output(quote.sentence, THREADS[0]), quote.shows)
    notes = [ONE_THREAD] if quote.trains and not all(_holds(quote, body, number) for number in THREADS[1:]) else []
    notes += [f"measured on {datetime.date.today()}"] if quote.date else []
    body = quote.body if masked(body) == masked(quote.body) else body
    slow, behind = ", slow" * quote.slow, f"  # {', '.join(notes)}" * bool(notes)
    return f"<!-- shows{slow}: {quote.shows} -->\n```\n$ {quote.sentence}{behind}\n{body}```"


def _holds(quote: Quote, body: str, threads: int) -> bool:
    """Whether a sentence prints the same with so many threads."""
    try:
        return masked(shown(output(quote.sentence, threads), quote.shows)) == masked(body)
    except ValueError:  # it ends in another way
        return False


def build(words: str = "") -> None:
    """Write what has changed into the pages, block by block.

    Args:
        words: only sentences with these words in them are run, and then those with a date as well.

    Raises:
        SystemExit: some outputs could not be made; they are as they were.
    """
    failed: list[str] = []
    for file in (ROOT / page for page in PAGES):
        for match in BLOCK.finditer(file.read_text(encoding="utf-8")):
            quote = _quote(match)
            if words not in quote.sentence or (quote.date and not words):
                continue
            print(quote.sentence, flush=True)  # noqa: T201
            try:
                block = refreshed(quote)
            except (RuntimeError, ValueError) as error:
                failed.append(f"{quote.sentence}\n  {error}")
                continue
            if block != match[0]:
                file.write_text(file.read_text(encoding="utf-8").replace(match[0], block), encoding="utf-8")
    if failed:
        raise SystemExit("\n".join(["These outputs could not be made:", *failed]))


if __name__ == "__main__":
    build(" ".join(sys.argv[1:]))
