"""`predictions.csv`, written while a test runs: what the network says of each sample, beside the truth."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from couloir.config.fields import SAMPLE, SHARE
from couloir.data.batches import Batch
from couloir.data.sequence.dated import DatedWindows
from couloir.data.shards.source import ShardSource
from couloir.data.skipped import legible
from couloir.distributed import everyones
from couloir.log import say
from couloir.ragged import length
from couloir.record.folder import RunFolder
from couloir.record.predictions import FILE, INDEX, AddRows, predictions_file
from couloir.task.task import Column, Task

ORIGIN_FILE = "file"
"""The column that says which file a sample was read from."""
MOST = 100
"""Classes that have a column each; of more than that, the most probable ones have."""
TOP = 5
BATCHES = 64
"""Batches whose answers are kept before they are written: a test does not wait for each of them."""
CODE = "code"
"""The columns of a sample's code."""
Parts = dict[str, NDArray[Any]]


@contextmanager
def predictions_recorded(task: Task, data: Any, folder: RunFolder | None) -> Iterator[Predictions]:
    """Write `predictions.csv` of the test that the block runs; nothing is left of it where the block ends in an error.

    Args:
        task: what is tested; it tells of each batch.
        data: the data, set up.
        folder: the folder of the run; None in all processes of a run but the first.
    """
    with ExitStack() as stack:
        open_file = None if folder is None else lambda: stack.enter_context(predictions_file(folder))
        predictions = Predictions(data, task.classes, open_file)
        task.told = predictions.add
        try:
            yield predictions
            predictions.flush()
        finally:
            task.told = None
    if predictions.refused and folder is not None:
        say.info("no %s: the answers of %s are not a row of numbers for each sample", FILE, type(task).__name__)


class Predictions:
    """The rows of the table, in the order of the split, whatever the number of processes.

    Args:
        data: the data.
        classes: the names of the classes.
        open_file: begins the file, and returns what adds rows to it; None: another process writes it.
    """

    def __init__(self, data: Any, classes: Sequence[str], open_file: Callable[[], AddRows] | None) -> None:
        self.data, self.classes = data, list(classes)
        self.refused = False
        self._open_file = open_file
        self._add_rows: AddRows | None = None
        self._kept: list[dict[str, Column]] = []
        self._batches = self._seen = 0
        self._origin = origin(data) if open_file is not None else None

    def add(self, batch: Batch, columns: Mapping[str, Column]) -> None:
        """Take in a batch.

        Args:
            batch: as it was tested; without samples of this process that count, it is only counted.
            columns: of `Task.tabled`; none where a table cannot hold the answers.
        """
        self._batches += 1
        share = batch.get(SHARE)
        if not columns:
            self.refused = True
        elif share is None or share.own > 0:
            count = length(batch)
            numbers = batch[SAMPLE] if SAMPLE in batch else torch.arange(self._seen, self._seen + count)
            self._seen += count
            self._kept.append({SAMPLE: numbers, **narrowed(columns)})
        if self._batches % BATCHES == 0:  # of all batches, so that all processes come to it together
            self.flush()

    def flush(self) -> None:
        """Write what has been taken in."""
        kept, self._kept = self._kept, []
        own = {name: joined([columns[name] for columns in kept]) for name in kept[0]} if kept else {}
        parts: list[Parts] = [part for part in everyones(own) if part]
        if self._open_file is None or not parts:
            return
        rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        if len(parts) > 1:
            order = rows[SAMPLE].argsort(kind="stable")
            rows = {name: values[order] for name, values in rows.items()}
        table = self._cells(rows)
        if self._add_rows is None:
            self._add_rows = self._open_file()
            self._add_rows([list(table)])
        self._add_rows(zip(*table.values(), strict=True))

    def _cells(self, rows: Parts) -> dict[str, list[str]]:
        """The text of each column by its name."""
        numbers = rows.pop(SAMPLE)
        table = {SAMPLE: [str(number) for number in numbers.tolist()]}
        if getattr(self.data, "folds", None) is not None and getattr(self.data, "splits", None):
            table[INDEX] = [str(number) for number in self.data.splits["test"].indices[numbers].tolist()]
        if self._origin is not None:
            name, find = self._origin
            table[name] = find(numbers)
        self._take_stated_values(rows, numbers)
        kind, values = str(getattr(self.data, "kind", "")), names_of_values(self.data)
        return table | Columns(kind, self.classes, values).cells(rows)

    def _take_stated_values(self, rows: Parts, numbers: NDArray[Any]) -> None:
        """The true values as the data states them: scaled and scaled back, they would be rounded."""
        if getattr(self.data, "kind", "") != "value" or not getattr(self.data, "splits", None) or "truth" not in rows:
            return
        stated = self.data.splits["test"].targets[numbers]
        rows["truth"] = stated.reshape(len(stated), -1)


@dataclass(frozen=True)
class Columns:
    """How what a task says of samples becomes columns of text.

    Attributes:
        kind: of what is learned, such as `label`.
        classes: the names of the classes.
        values: the names of the values of a regression.
    """

    kind: str
    classes: Sequence[str]
    values: Sequence[str] = ()

    def cells(self, rows: Parts) -> dict[str, list[str]]:
        """The text of each column by its name.

        Args:
            rows: of `Task.tabled` or `Task.columns`, (N,) or (N, K) by name, perhaps `narrowed`.
        """
        table: dict[str, list[str]] = {}
        wide = {name: values for name, values in rows.items() if values.ndim == 2}
        for name, values in rows.items():
            if values.ndim == 1:
                table[name] = self._text(name, values)
        if "top" in wide:
            for place in range(wide["top"].shape[1]):
                table[f"top{place + 1}"] = self._text("top", wide["top"][:, place])
                table[f"p{place + 1}"] = self._text("p", wide["p_top"][:, place])
            return table
        for place in range(max((values.shape[1] for values in wide.values()), default=0)):
            for name, values in wide.items():
                if place < values.shape[1]:
                    table[self._named(name, place, values.shape[1])] = self._text(name, values[:, place])
        return table

    def names(self, count: int) -> list[str]:
        """What the columns of one of `count` are called: the classes, or the values; else their numbers."""
        known = next((names for names in (self.classes, self.values) if len(names) == count), None)
        return [str(place) if known is None else legible(known[place]) for place in range(count)]

    def _named(self, name: str, place: int, count: int) -> str:
        """The name of a column of several: `p(cat)`, and `code_0`, whose numbers have no names."""
        if name == CODE:
            return f"{name}_{place}"
        return name if count == 1 else f"{name}({self.names(count)[place]})"

    def _text(self, name: str, values: NDArray[Any]) -> list[str]:
        if values.dtype.kind == "U":
            return [legible(text) for text in values.tolist()]
        if values.dtype.kind != "f":
            labels = name in ("top", "class") or (name in ("truth", "prediction") and self.kind == "label")
            named = self.classes if labels else ()
            return [legible(named[label]) if named else str(label) for label in values.tolist()]
        if name == "p" or name.startswith("p_"):
            return [f"{value:.9g}" for value in values.tolist()]  # nine digits are enough for any number of 32 bits
        text: list[str] = values.astype(str).tolist()  # the shortest text that is this number
        if self.kind == "map":  # a class that an image does not have has no number there
            text = ["" if cell == "nan" else cell for cell in text]
        return [cell.removesuffix(".0") for cell in text]


def narrowed(columns: Mapping[str, Column], top: int | None = None) -> dict[str, Column]:
    """Of the probabilities of many classes, those of the most probable ones and of the true one.

    Args:
        columns: of `Task.tabled` or `Task.columns`.
        top: so many of them; None: all, or `TOP` where there are more than `MOST` classes, one of which a sample has.
    """
    p, truth = columns.get("p"), columns.get("truth")
    said = columns.get("prediction") if truth is None else truth
    if not isinstance(p, Tensor) or isinstance(said, list) or isinstance(truth, list):
        return dict(columns)
    if top is None and (said is None or said.ndim != 1 or p.shape[1] <= MOST):
        return dict(columns)
    values, places = p.topk(min(top or TOP, p.shape[1]), dim=1)
    rest = {name: column for name, column in columns.items() if name != "p"}
    if truth is not None and truth.ndim == 1:
        rest["p_truth"] = p.gather(1, truth[:, None])[:, 0]
    return {**rest, "top": places, "p_top": values}


def joined(parts: Sequence[Column]) -> NDArray[Any]:
    """A column of several batches as NumPy has it."""
    tensors = [part for part in parts if isinstance(part, Tensor)]
    if tensors:
        return as_array(torch.cat(tensors))
    return np.array([text for part in parts for text in part], dtype=np.str_)


def as_array(values: Tensor) -> NDArray[Any]:
    """A column as NumPy has it: numbers of 32 or 64 bits."""
    if values.is_floating_point() and values.dtype not in (torch.float32, torch.float64):
        values = values.float()
    array: NDArray[Any] = values.detach().cpu().numpy()
    return array.astype(np.int64) if array.dtype == np.bool_ else array


def names_of_values(data: Any) -> list[str]:
    """The names of the values that are predicted; of a forecast each with the number of its step, `price+1`."""
    names = [str(name) for name in getattr(data, "targets", ())]
    if getattr(data, "kind", "") != "future":
        return names
    return [f"{name}+{step + 1}" for step in range(int(data.horizon or 0)) for name in names]


def origin(data: Any, name: str = "test") -> tuple[str, Callable[[NDArray[Any]], list[str]]] | None:
    """The name of the column that says where samples of a split come from, and what it says of some of them.

    That is the file, below the folder that all files of the set are in, the line of a table, or the date or the number
    of the first step that is forecast.
    """
    splits = getattr(data, "splits", None)
    if not splits:
        return None
    split = splits[name]
    paths, lines = split.source.paths, getattr(split.source, "lines", ())
    if paths:
        folders = {os.path.dirname(path) for each in splits.values() for path in each.source.paths}  # noqa: PTH120
        root = Path(os.path.commonpath(folders))
        return ORIGIN_FILE, lambda numbers: [
            legible(paths[index].relative_to(root).as_posix()) for index in split.indices[numbers].tolist()
        ]
    if isinstance(split.source, ShardSource):
        shards = split.source
        return ORIGIN_FILE, lambda numbers: [legible(shards.name(at)) for at in split.indices[numbers].tolist()]
    if isinstance(split.source, DatedWindows):
        words = split.source.words
        return split.source.first_step, lambda numbers: [legible(text) for text in words(split.indices[numbers])]
    if len(lines):
        return "line", lambda numbers: [str(line) for line in lines[split.indices[numbers]].tolist()]
    return None
