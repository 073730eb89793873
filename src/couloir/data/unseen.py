"""Samples that a finished run has never seen, batch by batch: photographs, rows of a table, arrays.

They are read as the run's own data was, by the same code, and come as a `Source` has them: raw, with a target where
there is one. Memory does not grow with their number, except that a table is read whole.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from couloir.config.image_size import ImageSize, size_of
from couloir.data import targets
from couloir.data.cells import Cells, read_cells
from couloir.data.columns import Decision, is_infinite
from couloir.data.decode import Pixels, Reading, scaled
from couloir.data.features import Feature, decided_before, encode, texts_needed
from couloir.data.folder import FileSource, cut_middle
from couloir.data.frames import Frames
from couloir.data.npy import opened_array
from couloir.data.skipped import Skipped
from couloir.data.source import resized
from couloir.data.table import Table, Wanted, unknown_categories, usable
from couloir.data.targets import Target
from couloir.data.workers import Cutting
from couloir.errors import CouloirError
from couloir.machine import cores


class Raw(NamedTuple):
    """Some samples.

    Attributes:
        x: as `Trained.prepare` takes them, (B, ...), or `Padded` where their lengths differ.
        failed: what could not be read, by the place in the batch; there `x` holds zeros.
        size: height and width of the photographs that whole images were scaled from; None: they are as they were.
        pixels: these photographs, uint8 (B, H, W, C); None: they are what `x` holds.
    """

    x: Any
    failed: Mapping[int, CouloirError] = {}
    size: tuple[int, int] | None = None
    pixels: NDArray[np.uint8] | None = None


class Unseen(Protocol):
    """Samples in their order.

    Attributes:
        targets: (N, ...), as the run's data would have them; None: they have none.
        known: (N,) which of the targets are there.
        skipped: what was left out before there were samples.
    """

    targets: NDArray[Any] | None
    known: NDArray[np.bool_]
    skipped: list[Skipped]

    def __len__(self) -> int: ...

    def batches(self, batch_size: int) -> Generator[Raw]:
        """All samples, in order."""


class Photographs:
    """Photographs out of files; their middles are cut as validation cuts them.

    Args:
        paths: the files.
        labels: (N,), -1 where the class is not known; None: of none it is known.
        reading: how pixels are made of them.
        image_size: of the samples.
        resize: what a photograph is scaled to cover before; None: `image_size`.
        squares: 1, the middle of each, or 3, both ends of its longer side as well.
        workers: processes that decode; 0: this one; None: as many as there are cores.
    """

    def __init__(
        self,
        paths: list[Path],
        labels: NDArray[np.int64] | None,
        reading: Reading,
        image_size: ImageSize,
        resize: ImageSize | None = None,
        squares: int = 1,
        workers: int | None = None,
    ) -> None:
        self.source = FileSource([], image_size, reading.channels, Frames(paths, resize or image_size, reading))
        self.source.squares = squares
        self.paths, self.workers = paths, cores() if workers is None else workers
        self.targets = labels
        self.known = np.zeros(len(paths), dtype=bool) if labels is None else labels >= 0
        self.skipped: list[Skipped] = []

    def __len__(self) -> int:
        return len(self.paths)

    def batches(self, batch_size: int) -> Generator[Raw]:
        """Decoded by the workers, ahead of whoever asks."""
        places = torch.split(torch.arange(len(self.paths)), batch_size)
        workers = self.workers if len(places) > 1 else 0  # a process that cuts one batch would not pay
        numbers, nothing = np.arange(len(self.paths)), torch.zeros(len(self.paths))
        cutting = Cutting(self.source, numbers, nothing, batch_size, None, workers, tolerant=True)
        try:
            for x, _ in cutting(places, [0] * len(places)):
                yield Raw(x, cutting.failed)
        finally:
            cutting.close()


class InMemory:
    """Samples that are in memory.

    Args:
        x: as `Trained.prepare` takes them, (N, ...).
        targets: (N, ...), as the data states them; None: there are none.
        known: (N,) which of them are there; None: all.
        skipped: what was left out before.
        lines: of a table, (N,) where its rows stand in their file; empty where they stand on none.
        size: of whole images, as `Raw` has it.
    """

    def __init__(
        self,
        x: Tensor,
        targets: NDArray[Any] | None = None,
        known: NDArray[np.bool_] | None = None,
        skipped: Sequence[Skipped] = (),
        lines: NDArray[np.int64] | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        self.size = size
        self.x, self.targets, self.skipped = x, targets, list(skipped)
        self.known = np.full(len(x), targets is not None) if known is None else known
        self.lines = np.empty(0, dtype=np.int64) if lines is None else lines

    def __len__(self) -> int:
        return len(self.x)

    def batches(self, batch_size: int) -> Generator[Raw]:
        """Parts of the tensor."""
        yield from (Raw(part, size=self.size) for part in torch.split(self.x, batch_size))


class Arrays:
    """A stack of samples in a `.npy` file, of which a batch at a time is in memory.

    Args:
        file: the file.
        form: of `array_form`.
        load_size: what images are scaled to, each side by its own factor, as a set in memory is; None: they stay.
        offsets: what is taken off the columns of a table, (F,); None: nothing.
    """

    def __init__(
        self, file: Path, form: str, load_size: ImageSize | None = None, offsets: NDArray[np.float64] | None = None
    ) -> None:
        self.array = opened_array(file)
        self.file, self.form, self.load_size, self.offsets = file, form, load_size, offsets
        self.targets: NDArray[Any] | None = None
        self.known = np.zeros(len(self.array), dtype=bool)
        self.skipped: list[Skipped] = []

    def __len__(self) -> int:
        return len(self.array)

    @property
    def shown_size(self) -> tuple[int, int]:
        """Height and width of images."""
        shape = self.array.shape
        height, width = shape[1:3] if self.form == IMAGES_LAST or len(shape) == 3 else shape[2:4]
        return int(height), int(width)

    def batches(self, batch_size: int) -> Generator[Raw]:
        """Parts of the file.

        Raises:
            CouloirError: an image has values outside of [0, 1].
        """
        for start in range(0, len(self.array), batch_size):
            part = native(np.array(self.array[start : start + batch_size]))
            if self.form in (IMAGES, IMAGES_LAST):
                yield Raw(images_of(part, self.form, f"{self.file}, from sample {start} on", self.load_size))
            elif self.form == ROWS:
                yield Raw(numbers_of(part, self.offsets, str(self.file), start))
            else:
                yield Raw(torch.from_numpy(part.astype(np.float32) if part.dtype.kind == "f" else part))


def numbers_of(values: NDArray[Any], offsets: NDArray[np.float64] | None, place: str, start: int = 0) -> Tensor:
    """Rows of numbers as a run takes them, float32 (B, F).

    Args:
        values: (B, F).
        offsets: what is taken off the columns of a table, (F,), where NaN is a gap; None: the run's data was no table.
        place: where they are, for a message.
        start: how many rows stand before them.

    Raises:
        CouloirError: a number is infinite, or missing where the run fills no gaps.
    """
    with np.errstate(over="ignore"):
        rows = (values if offsets is None else values - offsets).astype(np.float32)
    wrong = ~np.isfinite(rows) if offsets is None else np.isinf(rows)
    if wrong.any():
        row, column = (int(found[0]) for found in np.nonzero(wrong))
        raise CouloirError(
            f"Sample {start + row} has {values[row, column]:g} in column {column}, "
            f"{'and this run fills no gaps' if np.isnan(rows[row, column]) else 'which is infinite in 32 bits'}.",
            place=place,
            next_step="correct it, or leave such rows out: array[np.isfinite(array.astype(np.float32)).all(1)]",
        )
    return torch.from_numpy(rows)


def native(values: NDArray[Any]) -> NDArray[Any]:
    """The same values in this machine's order of bytes, the only one that torch takes."""
    return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))


IMAGES, IMAGES_LAST, ROWS, AS_IT_IS = "images", "images, channels last", "rows", "as it is"
"""What an array may be: (N, C, H, W), (N, H, W, C), (N, F), or whatever a user's own data module makes batches of."""


def images_of(values: NDArray[Any], form: str, place: str, load_size: ImageSize | None = None) -> Tensor:
    """Images as a `Source` has them, uint8 or float32 in [0, 1] (B, C, H, W).

    Args:
        values: uint8 or floats in [0, 1], (B, C, H, W), (B, H, W, C) or, of one channel, (B, H, W).
        form: `IMAGES` or `IMAGES_LAST`.
        place: where they are, for a message.
        load_size: what they are scaled to; None: they stay.

    Raises:
        CouloirError: values outside of [0, 1].
    """
    if values.ndim == 3:
        values = values[:, None]
    elif form == IMAGES_LAST:
        values = np.moveaxis(values, -1, 1)
    if values.dtype != np.uint8:
        low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
        if not (low >= 0 and high <= 1):
            raise CouloirError(
                f"The images have values from {low:g} to {high:g}; floats must lie in [0, 1].",
                place=place,
                next_step="divide by the largest value that there may be, or save bytes: array.astype(np.uint8); "
                "Couloir subtracts the mean itself",
            )
    x = torch.from_numpy(np.ascontiguousarray(values))
    x = x if x.dtype == torch.uint8 else x.float()
    if load_size is None or x.shape[-2:] == size_of(load_size):
        return x
    if x.dtype == torch.uint8:
        return resized(x, load_size)
    return F.interpolate(x, size_of(load_size), mode="bilinear", antialias=True).clamp_(0, 1)


def of_pixels(pixels: Pixels, image_size: ImageSize, resize: ImageSize | None, squares: int = 1) -> Tensor:
    """A photograph that is in memory as one out of a file would be: uint8 (C, H, W), or (3, C, H, W) of three squares.

    Args:
        pixels: (H, W, C) uint8.
        image_size: of the sample.
        resize: what it is scaled to cover before; None: `image_size`.
        squares: 1 or 3.
    """
    out = torch.empty((squares, *size_of(image_size), pixels.shape[2]), dtype=torch.uint8)
    cut_middle(scaled(pixels, resize or image_size), out)
    return (out[0] if squares == 1 else out).movedim(-1, -3)


@dataclass(frozen=True)
class RowsWanted:
    """What a run asks of a table.

    Attributes:
        keys: the node `data` of its configuration.
        features: what it takes of the columns; None: as many numbers as `width` in their order.
        width: inputs.
        targets: the columns that it predicts.
        classes: the names of the classes.
        kind: of the target: `label`, `labels` or `value`.
        of_table: whether the run's own data was a table, so that the keys say how one is read.
    """

    keys: Mapping[str, Any]
    features: Sequence[Feature] | None
    width: int
    targets: Sequence[str] = ()
    classes: Sequence[str] = ()
    kind: str = ""
    of_table: bool = True


def rows_of(file: Path, wanted: RowsWanted, **reading: Any) -> tuple[InMemory, list[str]]:
    """The rows of a table as a run takes them, and sentences about what it does not know.

    The columns may stand in any order, and there may be others. The columns to predict may lack.

    Args:
        file: the table.
        wanted: what the run asks for.
        reading: how the file is read, instead of what the keys say: arguments of `read_cells`.

    Raises:
        CouloirError: a column is not there, has another unit, or a cell that is not of its kind; a class that the run
            does not know.
    """
    try:
        return _read_rows(file, wanted, reading)
    except CouloirError as error:
        if wanted.of_table or "data." not in (error.next_step or ""):
            raise
        raise CouloirError(  # the run has no keys that say how a table is read
            error.fact,
            place=error.place,
            next_step="write the names of the columns into the first line, and a number into each cell below",
        ) from error


def _read_rows(file: Path, wanted: RowsWanted, reading: Mapping[str, Any]) -> tuple[InMemory, list[str]]:
    if wanted.of_table:
        stated = Wanted.of({**wanted.keys, "path": str(file), "val_path": None, "test_path": None})
    else:
        stated = Wanted(str(file), tuple(wanted.targets), {}, "refuse", False, False, None, None, {})
    texts = sorted({*wanted.targets, *texts_needed({}, wanted.features or ())})
    cells = read_cells(str(file), as_text=texts, skip=stated.skip, **{**stated.reading, **reading})
    features = _features(cells, wanted)
    decisions = decided_before(features, cells)
    rows, left_out = _usable(cells, stated, decisions)
    if stated.skip:
        wrong = _wrong_targets(cells, rows, wanted)
        left_out += [Skipped("", str(cells.file_of(row)), int(cells.lines[row]), "", fact) for row, (fact, _) in wrong]
        rows = rows[~np.isin(rows, [row for row, _ in wrong])]
    compact = encode(features, decisions, rows)
    found = Table(cells, rows, features, compact, Target([], "", ""), [], [])
    y, there = _targets(cells, rows, wanted)
    samples = InMemory(torch.from_numpy(compact), y, there, [*cells.skipped, *left_out], cells.lines[rows])
    return samples, list(unknown_categories(found))


def _features(cells: Cells, wanted: RowsWanted) -> list[Feature]:
    if wanted.features is not None:
        return list(wanted.features)
    names = cells.names
    if len(names) != wanted.width:
        raise CouloirError(
            f"{cells.files[0]} has {len(names)} columns, and the run takes {wanted.width} numbers, whose names it does "
            "not know.",
            place=f"columns: {', '.join(names[:20])}",
            next_step="leave the other columns out of the table",
        )
    return [Feature(name, "number") for name in names]


def _usable(cells: Cells, stated: Wanted, decisions: Sequence[Decision]) -> tuple[NDArray[np.int64], list[Skipped]]:
    try:
        return usable(cells, stated, decisions, [], None)
    except CouloirError as error:
        raise CouloirError(
            error.fact, place=error.place, next_step="correct the cell; data.on_error=skip leaves such rows out"
        ) from error


def _targets(
    cells: Cells, rows: NDArray[np.int64], wanted: RowsWanted
) -> tuple[NDArray[Any] | None, NDArray[np.bool_]]:
    """The targets of some rows, as the run's data has them, and which of them are there; None where they lack."""
    by_name = {column.name: column for column in cells.columns}
    columns = [by_name[name] for name in wanted.targets if name in by_name]
    nothing = None, np.zeros(len(rows), dtype=bool)
    if not columns or len(columns) < len(wanted.targets):
        return nothing
    there = ~np.any([column.missing[rows] for column in columns], axis=0)
    if not there.any():
        return nothing
    for row, (fact, name) in _wrong_targets(cells, rows, wanted):
        raise CouloirError(
            fact,
            place=cells.place(row),
            next_step=f"correct the cell, or leave the column '{name}' out: then nothing is compared; "
            "data.on_error=skip leaves such rows out",
        )
    mine = rows[there]
    if wanted.kind == "label":
        target = Target(columns, "classification", "", targets.class_names(columns[0], mine))
        return np.where(there, target.codes(wanted.classes, rows), -1), there
    for column in columns:
        if wanted.kind == "labels" and targets.as_zero_and_one(column) is None:
            raise targets.not_labels(column, cells, mine)
    return Target(columns, "regression" if wanted.kind == "value" else "multi_label", "").values(rows), there


def _wrong_targets(cells: Cells, rows: NDArray[np.int64], wanted: RowsWanted) -> list[tuple[int, tuple[str, str]]]:
    """The rows with a target that the run does not know, each with what is wrong and the name of the column."""
    by_name = {column.name: column for column in cells.columns}
    found: dict[int, tuple[str, str]] = {}
    for column in (by_name[name] for name in wanted.targets if name in by_name):
        mine = rows[~column.missing[rows]]
        if not len(mine):
            continue
        if wanted.kind == "label":
            target = Target([column], "classification", "", targets.class_names(column, mine))
            for row in mine[target.codes(wanted.classes, mine) < 0].tolist():
                known = ", ".join(wanted.classes[:12])
                found.setdefault(row, (f"The class '{column.cell(row)}' is none of the run's: {known}.", column.name))
        elif wanted.kind == "value":
            for row in mine[~np.isfinite(column.numbers[mine])].tolist():
                why = "infinite in 32 bits" if is_infinite(column.cell(row)) else "not a number"
                fact = f"The target '{column.name}' is {column.cell(row)!r}, which is {why}."
                found.setdefault(row, (fact, column.name))
    return sorted(found.items())
