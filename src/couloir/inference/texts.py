"""Texts that a finished run is asked about: one a line of a file, or the cells of a column.

Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from couloir.data.cells import read_cells
from couloir.data.sequence.vocabulary import Vocabulary
from couloir.data.skipped import Skipped
from couloir.errors import CouloirError, did_you_mean

PLAIN = ".txt"
"""How a file is called whose lines are texts."""


@dataclass
class Texts:
    """Texts of one file, in order.

    Attributes:
        file: where they are.
        texts: as they stand there, without spaces around them.
        lines: the line of each.
        skipped: lines that have none.
    """

    file: Path
    texts: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    def add(self, text: str, line: int) -> None:
        """Take in a line."""
        if text.strip():
            self.texts.append(text.strip())
            self.lines.append(line)
        else:
            self.skipped.append(Skipped("", str(self.file), line, "", "is empty"))

    def encoded(self, vocabulary: Vocabulary) -> list[list[int]]:
        """Their tokens.

        Raises:
            CouloirError: a text has one that the vocabulary lacks.
        """
        found = []
        for text, line in zip(self.texts, self.lines, strict=True):
            try:
                found.append(vocabulary.encode(text))
            except KeyError as error:
                raise CouloirError(
                    f"{self.file.name} has {error.args[0]!r}, which the run does not know.",
                    place=f"{self.file}, line {line}",
                    next_step=f"leave the line out, or write it with what the run knows: {known(vocabulary)}",
                ) from error
        return found


def known(vocabulary: Vocabulary) -> str:
    """The tokens that a text may be made of, as far as a message has room for them."""
    tokens = [token for token in vocabulary.tokens if not (token.startswith("<") and len(token) > 1)]
    shown = ("" if vocabulary.unit == "character" else " ").join(tokens[:80])
    return shown + (" ..." if len(tokens) > 80 else "")


def read_texts(file: Path, columns: Sequence[str]) -> Texts:
    """The texts of a file: each line of a `.txt`, else the cells of a column.

    Args:
        file: the file.
        columns: what the column may be called, the likeliest first; a table of one column has it whatever its name.

    Raises:
        CouloirError: the file cannot be read, or has no such column, or no text.
    """
    found = Texts(file)
    if file.suffix.lower() == PLAIN:
        for number, line in enumerate(_lines(file), start=1):
            found.add(line, number)
    else:
        cells = read_cells(str(file), as_text=list(columns))
        names = list(cells.names)
        name = next((name for name in columns if name in names), names[0] if len(names) == 1 else None)
        if name is None:
            raise CouloirError(
                f"{file.name} has no column {columns[0]}.",
                place=f"columns: {', '.join(names[:20])}",
                next_step=did_you_mean(columns[0], names, form=f"rename {{}} to {columns[0]}")
                or f"call the column of the texts {columns[0]}, or save one text a line as {PLAIN}",
            )
        column = next(each for each in cells.columns if each.name == name)
        for row, line in enumerate(cells.lines.tolist()):
            found.add(column.cell(row), int(line))
    if not found.texts:
        raise CouloirError(f"{file.name} has no text.", place=str(file), next_step="one text a line")
    return found


def _lines(file: Path) -> list[str]:
    try:
        raw = file.read_bytes()
        return raw.decode("utf-8-sig").splitlines()
    except OSError as error:
        raise CouloirError(
            f"{file.name} cannot be read: {error.strerror or error}.", place=str(file),
            next_step="look at its name and permissions",
        ) from error  # fmt: skip
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise CouloirError(
            f"Byte {error.start:,} of {file.name} is no UTF-8.",
            place=f"{file}, line {line}",
            next_step="save it as UTF-8",
        ) from error
