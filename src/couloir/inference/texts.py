"""Texts that a finished run is asked about: one a line of a file, or the cells of a column.

Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from couloir.data.cells import read_cells
from couloir.data.sequence.vocabulary import Vocabulary
from couloir.data.skipped import Skipped
from couloir.data.targets import by_value
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
        labels: the class of each, empty where it is not known.
        skipped: lines that have none.
    """

    file: Path
    texts: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    def add(self, text: str, line: int, label: str = "") -> None:
        """Take in a line."""
        if text.strip():
            self.texts.append(text.strip())
            self.lines.append(line)
            self.labels.append(label)
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

    def targets(self, classes: Sequence[str], column: str) -> NDArray[np.int64] | None:
        """The label of each text, (N,), -1 where its class is not known; None: of none it is known.

        Args:
            classes: the run's.
            column: of the classes.

        Raises:
            CouloirError: the run does not know a class.
        """
        numbers = {name: label for label, name in enumerate(classes)}
        for label, line in zip(self.labels, self.lines, strict=True):
            if label and label not in numbers:
                raise CouloirError(
                    f"The class '{label}' is none of the run's: {', '.join(classes[:12])}.",
                    place=f"{self.file}, line {line}",
                    next_step=f"correct the cell, or leave the column '{column}' out: then nothing is compared",
                )
        found = np.array([numbers.get(label, -1) for label in self.labels], np.int64)
        return found if (found >= 0).any() else None


def known(vocabulary: Vocabulary) -> str:
    """The tokens that a text may be made of, as far as a message has room for them."""
    tokens = [token for token in vocabulary.tokens if not (token.startswith("<") and len(token) > 1)]
    shown = ("" if vocabulary.unit == "character" else " ").join(tokens[:80])
    return shown + (" ..." if len(tokens) > 80 else "")


def read_texts(
    file: Path, columns: Sequence[str], target: str | None = None, reading: Mapping[str, Any] = MappingProxyType({})
) -> Texts:
    """The texts of a file: each line of a `.txt`, else the cells of a column.

    Args:
        file: the file.
        columns: what the column may be called, the likeliest first; a table of one column has it whatever its name.
        target: the column of the classes, which may lack; None: there are none.
        reading: how a table is read, arguments of `read_cells`.

    Raises:
        CouloirError: the file cannot be read, or has no such column, or no text.
    """
    found = Texts(file)
    if file.suffix.lower() == PLAIN:
        for number, line in enumerate(_lines(file), start=1):
            found.add(line, number)
    else:
        cells = read_cells(str(file), as_text=sorted({*columns, *([] if target is None else [target])}), **reading)
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
        classes = next((each for each in cells.columns if each.name == target), None)
        for row, line in enumerate(cells.lines.tolist()):
            label = "" if classes is None or classes.missing[row] else by_value(classes.cell(row))
            found.add(column.cell(row), int(line), label)
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
