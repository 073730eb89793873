"""How answers leave `couloir predict`: as CSV, JSON lines, a table on a terminal, or a file for each sample."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from rich.text import Text

from couloir.artifacts.prediction_table import Columns, Parts, joined, narrowed
from couloir.config.fields import SAMPLE
from couloir.data.sequence.unseen_videos import UnseenVideos
from couloir.data.skipped import legible
from couloir.data.unseen import Arrays, InMemory, Photographs
from couloir.data.unseen_sequences import UnseenSequences
from couloir.data.unseen_texts import UnseenTexts
from couloir.data.whole_photographs import WholePhotographs
from couloir.errors import CouloirError
from couloir.inference.asking import Answered, sample_of
from couloir.record.files import as_json, written_whole
from couloir.task.task import Column, Task

ROWS = 4096
"""Answers that are kept before they are written: nothing waits for each batch, and memory does not grow."""
CSV, LINES = ".csv", ".jsonl"
TEXT = "text"
"""The column that has a text which was asked about."""
INDEX = "answers.csv"
"""In a folder of answers, which file belongs to which input."""


@dataclass(frozen=True)
class Block:
    """Some answers.

    Attributes:
        origin: where the samples come from, by the name of the column.
        rows: of `Task.columns`, perhaps narrowed, and `truth`; as NumPy has them.
        known: (N,) of which samples the truth is known.
    """

    origin: dict[str, list[str]]
    rows: Parts
    known: NDArray[np.bool_]

    def cells(self, columns: Columns) -> dict[str, list[str]]:
        """All columns as text, as `predictions.csv` has them; empty where the truth is not known."""
        found = columns.cells(self.rows)
        for name in found if not self.known.all() else ():
            if name == "truth" or name.startswith("truth("):
                found[name] = [cell if there else "" for cell, there in zip(found[name], self.known, strict=True)]
        return {**self.origin, **found}

    def records(self, columns: Columns) -> Iterator[dict[str, Any]]:
        """The same as a JSON object for each sample."""
        for place in range(len(self.known)):
            origin = {name: cells[place] for name, cells in self.origin.items()}
            numbers = {name: int(cell) for name, cell in origin.items() if name in ("line", SAMPLE)}
            rows = {name: values[place] for name, values in self.rows.items()}
            if not self.known[place]:
                rows.pop("truth", None)
            yield {**origin, **numbers, **spoken(rows, columns)}


def spoken(row: Mapping[str, Any], columns: Columns) -> dict[str, Any]:
    """What is said of one sample, in plain values, by names that speak for themselves.

    Args:
        row: a row of each of `Task.columns`.
        columns: how they are called.
    """
    said: dict[str, Any] = {}
    truth, prediction, p = row.get("truth"), row.get("prediction"), row.get("p")
    if columns.kind == "label" and prediction is not None:
        names = columns.names(len(columns.classes))
        if truth is not None:
            said["truth"] = names[int(truth)]
        said["label"] = names[int(prediction)]
        if p is not None:
            said["probability"] = plain(p[int(prediction)])
    elif columns.kind == "labels" and prediction is not None:
        names = columns.names(len(prediction))
        if truth is not None:
            said["truth"] = [name for name, there in zip(names, truth, strict=True) if there]
        said["labels"] = [name for name, there in zip(names, prediction, strict=True) if there]
    elif columns.kind == "value" and prediction is not None:
        names = columns.names(len(prediction))
        for name, values in (("truth", truth), ("values", prediction)):
            if values is not None:
                said[name] = {each: plain(value) for each, value in zip(names, values, strict=True)}
        if len(prediction) == 1:
            said |= {name: next(iter(said[name].values())) for name in ("truth",) if name in said}
            said["value"] = plain(prediction[0])
            del said["values"]
    else:
        said |= {name: _plain_values(value) for name, value in row.items()}
        return said
    if p is not None:
        said["probabilities"] = dict(zip(columns.names(len(p)), map(plain, p), strict=True))
    if "top" in row:
        names = columns.names(len(columns.classes))
        said["top"] = [
            {"label": names[int(label)], "probability": plain(value)}
            for label, value in zip(row["top"], row["p_top"], strict=True)
        ]
        if columns.kind == "label" and "label" in said:
            said.setdefault("probability", said["top"][0]["probability"])
    return said


def plain(value: Any) -> float | int:
    """A number of NumPy as Python's: the shortest that is this number in its own precision."""
    return float(str(value)) if isinstance(value, np.floating) else int(value)


def _plain_values(value: Any) -> Any:
    if isinstance(value, str):
        return str(value)
    return [plain(each) for each in value] if np.ndim(value) else plain(np.asarray(value)[()])


class Writer(Protocol):
    """Takes blocks of answers."""

    def __call__(self, block: Block) -> None: ...


class CsvWriter:
    """Rows below their head, as `predictions.csv` has them."""

    def __init__(self, columns: Columns, stream: TextIO) -> None:
        self.columns, self.stream = columns, stream
        self._writer = csv.writer(stream, lineterminator="\n")
        self._head: list[str] | None = None

    def __call__(self, block: Block) -> None:
        """Add the rows of a block."""
        cells = block.cells(self.columns)
        if self._head is None:
            self._head = list(cells)
            self._writer.writerow(self._head)
        self._writer.writerows(zip(*cells.values(), strict=True))
        self.stream.flush()


class LinesWriter:
    """A JSON object a line."""

    def __init__(self, columns: Columns, stream: TextIO) -> None:
        self.columns, self.stream = columns, stream

    def __call__(self, block: Block) -> None:
        """Add the rows of a block."""
        self.stream.writelines(as_json(record, indent=None) for record in block.records(self.columns))
        self.stream.flush()


class TerminalWriter:
    """Tables for a person: of many classes the one that is predicted."""

    def __init__(self, columns: Columns, console: Console) -> None:
        self.columns, self.console = columns, console

    def __call__(self, block: Block) -> None:
        """Print a block."""
        shown: dict[str, list[str]] = dict(block.origin)
        cells, records = block.cells(self.columns), list(block.records(self.columns))
        if "truth" in cells:
            shown["truth"] = cells["truth"]
        if "top" in block.rows:
            shown |= {name: cells[name] for name in cells if name.startswith(("top", "p")) and name[-1].isdigit()}
        elif self.columns.kind == "label":
            shown["prediction"] = [str(record["label"]) for record in records]
            shown["probability"] = [f"{record['probability']:.4f}" for record in records]
        elif self.columns.kind == "labels":
            for name in ("truth", "labels"):
                if any(name in record for record in records):
                    shown[name] = [", ".join(record.get(name, ())) or "none" for record in records]
            shown |= {name: cells[name] for name in cells if name.startswith("p(")}
        else:
            shown |= {name: cells[name] for name in cells if name not in shown}
        table = Table()
        for name in shown:
            table.add_column(Text(name), overflow="fold")
        told = {*block.origin, *(name for name, values in block.rows.items() if values.dtype.kind == "U")}
        for row in zip(*shown.values(), strict=True):
            texts = [Text(cell if name in told else _rounded(cell)) for name, cell in zip(shown, row, strict=True)]
            table.add_row(*texts)  # as text, since a name may look like markup
        self.console.print(table)


def _rounded(cell: str) -> str:
    """A number with digits that a person reads."""
    try:
        return f"{float(cell):.6g}" if "." in cell else cell
    except ValueError:
        return cell


@contextmanager
def into(output: Path | None, as_lines: bool, columns: Columns) -> Iterator[Writer]:
    """What takes the answers: a file, which has its name once the block ends without an error, or standard output.

    Args:
        output: a file that ends in `.csv` or `.jsonl`; None: standard output.
        as_lines: JSON lines instead of CSV on standard output.
        columns: how the columns are called.

    Raises:
        CouloirError: standard output is closed.
    """
    if output is not None:
        with written_whole(output) as stream:
            text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
            try:
                yield (LinesWriter if output.suffix.lower() == LINES else CsvWriter)(columns, text)
            finally:
                text.detach()
    elif sys.stdout is None:  # Python's own sign that it is closed
        raise CouloirError("Standard output is closed.", next_step="--output answers.csv")
    elif as_lines:
        yield LinesWriter(columns, sys.stdout)
    elif sys.stdout.isatty():
        yield TerminalWriter(columns, Console(highlight=False))
    else:
        yield CsvWriter(columns, sys.stdout)


Kept = list[tuple[dict[str, list[str]], dict[str, Column], Answered]]
"""Of each batch where its samples come from, its columns, and all that is known of it."""


def blocks(answers: Iterator[Answered], top: int | None, with_file: bool, with_truth: bool) -> Iterator[Block]:
    """Answers as rows, some thousands at a time, all with the same columns.

    Args:
        answers: whose columns say something.
        top: so many of the most probable classes; None: as `predictions.csv` has them.
        with_file: whether samples of one file say which; else their numbers are enough.
        with_truth: whether there is a column for the truth, empty where it is not known.
    """
    kept: Kept = []
    count = 0
    for answered in answers:
        kept.append((origin_of(answered, with_file), narrowed(answered.columns, top), answered))
        count += len(answered.places)
        if count >= ROWS:
            yield _block(kept, with_truth)
            kept, count = [], 0
    if kept:
        yield _block(kept, with_truth)


def _block(kept: Kept, with_truth: bool) -> Block:
    rows: Parts = {}
    if with_truth and "prediction" in kept[0][1]:
        rows["truth"] = np.concatenate([_truth(answered, columns) for _, columns, answered in kept])
    rows |= {name: joined([columns[name] for _, columns, _ in kept]) for name in kept[0][1]}
    origin = {name: [cell for origin, _, _ in kept for cell in origin[name]] for name in kept[0][0]}
    return Block(origin, rows, np.concatenate([answered.known for _, _, answered in kept]))


def _truth(answered: Answered, columns: Mapping[str, Column]) -> NDArray[Any]:
    """The truth of a batch, in the form of its prediction; anything where it is not known."""
    if answered.truth is not None:
        found = answered.truth
        return (
            np.where(answered.known[(..., *[None] * (found.ndim - 1))], found, 0) if found.dtype.kind != "f" else found
        )
    like = joined([columns["prediction"]])
    return np.zeros(like.shape, like.dtype)


def origin_of(answered: Answered, with_file: bool) -> dict[str, list[str]]:
    """Where samples come from: the file of each; the line of a table; the number in an array."""
    samples = answered.asked.samples[0]
    if isinstance(samples, Photographs | WholePhotographs | UnseenVideos):
        return {"file": [legible(str(samples.paths[place])) for place in answered.places]}
    named = {"file": [legible(str(answered.asked.name))] * len(answered.places)} if with_file else {}
    if isinstance(samples, InMemory) and len(samples.lines):
        return {**named, "line": [str(line) for line in samples.lines[answered.places].tolist()]}
    if isinstance(samples, UnseenSequences):
        return {**named, "line": [str(samples.lines[place]) for place in answered.places]}
    if isinstance(samples, UnseenTexts):
        lines = [str(samples.lines[place]) for place in answered.places]
        return {**named, "line": lines, TEXT: [legible(samples.texts[place]) for place in answered.places]}
    assert isinstance(samples, Arrays | InMemory)
    return {**named, SAMPLE: [str(place) for place in answered.places.tolist()]}


More = Callable[[Answered, int, Path], dict[str, str]]
"""A batch, a sample's place in it, and the path of its files without a suffix -> further cells of its row by name."""


def write_folder(
    answers: Iterator[Answered], folder: Path, task: Task, with_file: bool, more: More | None = None
) -> int:
    """Write a file for each sample, by `Task.write_answer`, and `answers.csv`, which says which is whose, last.

    Args:
        answers: the answers.
        folder: where to.
        task: writes one answer.
        with_file: whether samples of one file say which.
        more: writes further files of a sample.

    Returns:
        how many there are.

    Raises:
        CouloirError: the folder has something in it, or the answers are not one for each sample.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CouloirError(
            f"--output {folder} is there already, and is not an empty folder.", next_step="name another folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    with written_whole(folder / INDEX) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
        writer = csv.writer(text, lineterminator="\n")
        try:
            for answered in answers:
                origin = origin_of(answered, with_file)
                for place in range(len(answered.places)):
                    where = {name: cells[place] for name, cells in origin.items()}
                    name = f"{count:06}_{Path(where['file']).stem}" if list(where) == ["file"] else f"{count:06}"
                    file = task.write_answer(sample_of(answered.answer, place), folder / name)
                    cells = {} if more is None else more(answered, place, folder / name)
                    if not count:
                        writer.writerow([*origin, "answer", *map(legible, cells)])
                    writer.writerow([*where.values(), file.name, *cells.values()])
                    count += 1
        finally:
            text.detach()
    return count
