"""What the headers of photographs say: formats, modes, sizes, orientations, and which files are none. No torch here."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from couloir.config.image_size import ImageSize, size_of
from couloir.data.doubles import length
from couloir.data.headers import START, UNREADABLE, Header, header_in, read_header, recognised, refuse_format
from couloir.errors import CouloirError
from couloir.machine import cores

Contents = Callable[[str, int], bytes]
"""A split and the number of a sample there -> the bytes of its photograph."""
AT_A_TIME = 256
"""Files that a thread reads one after the other."""


@dataclass(frozen=True)
class Headers:
    """The headers of the photographs of all splits.

    Attributes:
        read: of each split the headers in the order of its samples; None where there is none to be read.
        reasons: why not, by split and the sample's number there.
        bytes: of each split the sizes of its files; -1 where there is no file any more.
    """

    read: dict[str, list[Header | None]]
    reasons: dict[tuple[str, int], str]
    bytes: dict[str, list[int]]

    @classmethod
    def of(cls, paths: Mapping[str, Sequence[Path]]) -> Headers:
        """Read them, by threads: nothing is decoded.

        Args:
            paths: the files of each split.
        """
        parts = [
            (split, at, files[at : at + AT_A_TIME])
            for split, files in paths.items()
            for at in range(0, len(files), AT_A_TIME)
        ]
        read: dict[str, list[Header | None]] = {split: [] for split in paths}
        reasons: dict[tuple[str, int], str] = {}
        sizes: dict[str, list[int]] = {split: [] for split in paths}
        with ThreadPoolExecutor(cores()) as pool:
            for (split, at, _), answers in zip(parts, pool.map(lambda part: _read(part[2]), parts), strict=True):
                for number, (header, told, size) in enumerate(answers, at):
                    read[split].append(header)
                    sizes[split].append(size)
                    if header is None:
                        reasons[split, number] = told
        return cls(read, reasons, sizes)

    @classmethod
    def within(cls, contents: Mapping[str, Sequence[int]], content: Contents) -> Headers:
        """Read those of photographs that are no files of their own.

        Args:
            contents: the numbers of some samples of each split.
            content: the bytes of a split's sample.
        """
        reasons: dict[tuple[str, int], str] = {}
        read: dict[str, list[Header | None]] = {}
        sizes: dict[str, list[int]] = {}
        for split, numbers in contents.items():
            read[split], sizes[split] = [], []
            for number in numbers:
                header, told, size = _read_in(partial(content, split, number))
                read[split].append(header)
                sizes[split].append(size)
                if header is None:
                    reasons[split, number] = told
        return cls(read, reasons, sizes)

    def sizes(self) -> NDArray[np.int64]:
        """Width and height of each photograph that has a header, upright, (N, 2)."""
        found = [(header.width, header.height) for each in self.read.values() for header in each if header is not None]
        return np.array(found, dtype=np.int64).reshape(-1, 2)

    def facts(self, covered: ImageSize) -> dict[str, Any]:
        """The photographs in numbers.

        Args:
            covered: what they cover once they are scaled: pixels of both sides, or height and width.
        """
        height, width = size_of(covered)
        found = [header for each in self.read.values() for header in each if header is not None]
        sides = self.sizes()
        return {
            "files": sum(len(each) for each in self.read.values()),
            "bytes": sum(max(0, size) for sizes in self.bytes.values() for size in sizes),
            "formats": _counted(header.format for header in found),
            "modes": _counted(header.mode for header in found),
            "orientations": _counted(str(header.orientation) for header in found),
            "width": _measured(sides[:, 0]),
            "height": _measured(sides[:, 1]),
            "covers": [height, width],
            "enlarged": int(((sides[:, 0] < width) | (sides[:, 1] < height)).sum()),
        }


def _read(files: Sequence[Path]) -> list[tuple[Header | None, str, int]]:
    answers: list[tuple[Header | None, str, int]] = []
    for file in files:
        size = -1
        try:
            size = length(file)
            answers.append((read_header(file), "", size))
        except UNREADABLE as error:
            answers.append((None, _reason(file, error), size))
    return answers


def _read_in(content: Callable[[], bytes]) -> tuple[Header | None, str, int]:
    try:
        found = content()
    except CouloirError as error:
        return None, error.fact.rstrip("."), -1
    try:
        return header_in(io.BytesIO(found)), "", len(found)
    except UNREADABLE:
        try:
            refuse_format(Path("it"), recognised(found[:START]))
        except CouloirError as refusal:
            return None, refusal.fact.removeprefix("it is ").rstrip("."), len(found)
        return None, "it is empty or not an image", len(found)


def _reason(file: Path, error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    try:
        with file.open("rb") as stream:
            refuse_format(file, recognised(stream.read(START)))
    except CouloirError as refusal:
        return refusal.fact.removeprefix(f"{file.name} is ").rstrip(".")
    except OSError:
        pass
    return "it is empty or not an image"


def _counted(values: Any) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _measured(values: NDArray[np.int64]) -> dict[str, float | int | None]:
    if not len(values):
        return {"min": None, "median": None, "max": None}
    return {"min": int(values.min()), "median": float(np.median(values)), "max": int(values.max())}
