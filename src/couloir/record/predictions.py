"""`predictions.csv`: what a run says of each sample that it was tested on. Nothing here imports torch."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from couloir.record.files import unreadable, written_whole
from couloir.record.folder import RunFolder

FILE = "predictions.csv"
INDEX = "index"
"""The column that has the number of a sample in the data, where the test split is a fold of it."""
AddRows = Callable[[Iterable[Sequence[str]]], None]


@contextmanager
def predictions_file(folder: RunFolder) -> Iterator[AddRows]:
    """The file while it grows, its head first; it has its name once the block ends without an error."""
    with written_whole(folder.path / FILE) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="")
        writer = csv.writer(text, lineterminator="\n")
        try:
            yield writer.writerows
        finally:
            text.detach()


def read_predictions(run: Path) -> Iterator[dict[str, str]]:
    """The rows by column, one after the other, so that memory does not grow with the split; none without such a file.

    Raises:
        CouloirError: the file cannot be read, or a line has more or fewer cells than the head.
    """
    try:
        with (run / FILE).open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
            lines = csv.reader(stream, strict=True)
            head = next(lines, [])
            for line in lines:
                yield dict(zip(head, line, strict=True))
    except FileNotFoundError:
        return
    except (OSError, ValueError, csv.Error) as error:
        raise unreadable(run / FILE, error) from error
