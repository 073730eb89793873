"""Files of named arrays with facts beside them, read through a memory map. Nothing here imports torch.

A file begins with a mark, a checksum and the length of its facts, which are JSON; the arrays follow in their order,
each at a multiple of 8 bytes.
"""

from __future__ import annotations

import json
import mmap
import struct
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from couloir.errors import CouloirError
from couloir.record.files import written_whole

MARK = b"couloir\1"
PRELUDE = struct.Struct("<8sIQ")
"""The mark, the CRC-32 of the facts, and how many bytes these have."""
AT_A_TIME = 1 << 20
Parts = Iterable[NDArray[Any]]


class NotWhole(Exception):
    """A file is not there, cut off, or no such file."""


def write_arrays(file: Path, facts: Mapping[str, Any], arrays: Mapping[str, tuple[DTypeLike, int, Parts]]) -> None:
    """Write a file whole, or not at all.

    Args:
        file: its name.
        facts: plain values.
        arrays: of each array the type of its entries, how many there are, and the parts that it is written in, so that
            it need not be in memory.

    Raises:
        OSError: it cannot be written.
    """
    told = json.dumps(
        {**facts, "arrays": {name: [_named(kind), count] for name, (kind, count, _) in arrays.items()}}
    ).encode()
    with written_whole(file) as stream:
        stream.write(PRELUDE.pack(MARK, zlib.crc32(told), len(told)))
        stream.write(told)
        for name, (kind, count, parts) in arrays.items():
            _pad(stream)
            written = 0
            for part in parts:
                stream.write(np.ascontiguousarray(part, dtype=kind).data)
                written += len(part)
            if written != count:
                raise ValueError(f"{name} has {written} entries, not {count}")


def read_arrays(file: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]], mmap.mmap]:
    """The facts of a file, its arrays in a memory map, and the map.

    Raises:
        NotWhole: it is not there, cut off, or no such file.
    """
    try:
        with file.open("rb") as stream:
            mark, checksum, length = PRELUDE.unpack(stream.read(PRELUDE.size))
            told = stream.read(length) if mark == MARK and length < file.stat().st_size else b""
        if mark != MARK or zlib.crc32(told) != checksum:
            raise NotWhole(str(file))
        facts: dict[str, Any] = json.loads(told)
        with file.open("rb") as stream:
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        whole = np.frombuffer(mapped, np.uint8)
    except (OSError, ValueError, struct.error) as error:
        raise NotWhole(str(file)) from error
    arrays: dict[str, NDArray[Any]] = {}
    place = PRELUDE.size + length
    for name, (described, count) in facts.pop("arrays").items():
        kind = np.dtype([tuple(entry) for entry in described] if isinstance(described, list) else described)
        place += -place % 8
        end = place + kind.itemsize * count
        if end > len(whole):
            raise NotWhole(str(file))
        arrays[name] = whole[place:end].view(kind) if count else np.empty(0, kind)
        place = end
    return facts, arrays, mapped


def _named(kind: DTypeLike) -> Any:
    """A type of entries as JSON has it."""
    described = np.dtype(kind)
    return described.str if described.names is None else [list(entry) for entry in described.descr]


def _pad(stream: BinaryIO) -> None:
    stream.write(bytes(-stream.tell() % 8))


def read_json_list(content: bytes, place: str) -> list[str]:
    """A list of names, as `classes.json` has it.

    Raises:
        CouloirError: it is none.
    """
    try:
        names = json.loads(content)
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise CouloirError(
            f"{place.rpartition('/')[2]} is no list of names.",
            place=place,
            next_step='write it as ["ant", "bee"], in the order of the labels',
        )
    if len(set(names)) < len(names):
        twice = next(name for at, name in enumerate(names) if name in names[:at])
        raise CouloirError(f"The class '{twice}' is there twice.", place=place, next_step="give each class one name")
    return list(names)
