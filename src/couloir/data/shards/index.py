"""The index of one shard: where the image of each sample is, and its label. Nothing here imports torch.

It stands in a file beside the shard, or where that cannot be written in the folder of the caches, and says which shard
it is of: size and time of change, or a server's word for the version. A shard that has changed is read again.
"""

from __future__ import annotations

import hashlib
import json
import re
from array import array
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from couloir.data.listing import ENDINGS
from couloir.data.shards.arrays import NotWhole, read_arrays, write_arrays
from couloir.data.shards.naming import name_of
from couloir.data.shards.tar import BadTar, Member, Read, members
from couloir.errors import CouloirError

FORMAT = 1
"""Raised where an older Couloir would read an index wrongly, or this one an older index."""
ROW = np.dtype([("offset", "<u8"), ("mark", "<u8"), ("size", "<u4"), ("label", "<i4"), ("name", "<u4")])
"""Of a sample: where its image begins in the shard, a hash over some of its bytes, how many it has, its label, and
where its name begins among the names of the shard.
"""
ENDING = ".index"
START, TAIL = 4096, 1024
"""Bytes from both ends of an image that its mark is made of, together with its size."""
NAMED = 100
"""Members of a shard that are named where they cannot be used; all are counted."""
LONGEST_LABEL = 1 << 20
NUMBER = re.compile(r"[+-]?\d+")
FOLDERS_OF_SYSTEMS = ("__MACOSX/",)


class Stamp(NamedTuple):
    """Which version of a shard there is.

    Attributes:
        size: its bytes.
        version: its time of change, or what a server says: an ETag, a date.
    """

    size: int
    version: str


@dataclass
class Index:
    """What a shard holds.

    Attributes:
        stamp: of which version.
        rows: one a sample, of type `ROW`.
        names: the names of the images in the archive, each with a line's end, as bytes (uint8).
        classes: the names that labels are numbers in; None: labels are numbers of the shards themselves.
        faults: members that cannot be used, at most `NAMED`, and why.
        faulty: how many there are.
        others: members that belong to no image, by their ending: how many, and one of them.
    """

    stamp: Stamp
    rows: NDArray[Any]
    names: NDArray[np.uint8]
    classes: list[str] | None = None
    faults: list[tuple[str, str]] = field(default_factory=list)
    faulty: int = 0
    others: dict[str, tuple[int, str]] = field(default_factory=dict)
    file: Path | None = None
    """Where it stands; None: nowhere but in memory."""

    def write(self, file: Path) -> None:
        """Write it whole, or not at all.

        Raises:
            OSError: it cannot be written.
        """
        facts = {
            "format": FORMAT, "stamp": list(self.stamp), "classes": self.classes, "faults": self.faults,
            "faulty": self.faulty, "others": self.others,
        }  # fmt: skip
        write_arrays(file, facts, {
            "rows": (ROW, len(self.rows), [self.rows]), "names": (np.uint8, len(self.names), [self.names]),
        })  # fmt: skip
        self.file = file

    @classmethod
    def read(cls, file: Path) -> Index:
        """Read one, its rows in a memory map.

        Raises:
            NotWhole: there is none, or none of this version.
        """
        facts, arrays, _ = read_arrays(file)
        if facts.get("format") != FORMAT:
            raise NotWhole(str(file))
        return cls(
            Stamp(*facts["stamp"]), arrays["rows"], arrays["names"], facts["classes"],
            [(name, reason) for name, reason in facts["faults"]], facts["faulty"],
            {kind: (number, example) for kind, (number, example) in facts["others"].items()}, file,
        )  # fmt: skip


def index_of(place: str, stamp: Stamp, files: Iterable[Path], read: Read, step: int) -> Index:
    """The index of a shard: out of a file that has it of this version, or read from the shard and written into one.

    Args:
        place: the shard.
        stamp: its version.
        files: where its index may be, the better place first; it is written where that can be done.
        read: its bytes.
        step: bytes that are read at least at a time.

    Raises:
        CouloirError: it is no archive, damaged, or cut off.
    """
    files = list(files)
    for file in files:
        with suppress(NotWhole):
            found = Index.read(file)
            if found.stamp == stamp:
                return found
    made = scanned(place, stamp, _Window(read, step).read)
    for file in files:
        with suppress(OSError):
            made.write(file)
            break
    return made


def mark_of(content: bytes) -> int:
    """The hash that an index has of an image's bytes."""
    rest = min(TAIL, max(0, len(content) - START))
    return _mark(content[:START], content[-rest:] if rest else b"")


def _mark(begin: bytes, tail: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(begin + tail, digest_size=8).digest(), "little")


class _Window:
    """Reads larger pieces than it is asked for, one after the other."""

    def __init__(self, read: Read, step: int) -> None:
        self._read, self._step = read, step
        self._start, self._held = 0, b""

    def read(self, offset: int, count: int) -> bytes:
        at = offset - self._start
        if at < 0 or at + count > len(self._held):
            self._start, self._held = offset, self._read(offset, max(count, self._step))
            at = 0
        return self._held[at : at + count]


def scanned(place: str, stamp: Stamp, read: Read) -> Index:
    """Read through the headers of a shard, its labels, and both ends of its images.

    Raises:
        CouloirError: it is no archive, damaged, or cut off.
    """
    scan = _Scan(read)
    try:
        for member in members(read, stamp.size):
            scan.add(member)
        found = scan.index(stamp)
    except BadTar as error:
        raise CouloirError(
            f"{name_of(place)} {error}.", place=place, next_step="copy or write the shard again, or leave it out"
        ) from error
    if scan.named and scan.numbered:
        raise mixed(place, scan.numbered, place, scan.named)
    return found


def mixed(place: str, number: str, other: str, name: str) -> CouloirError:
    """What is said of labels of two kinds."""
    return CouloirError(
        f"The label of {number} is an integer, and that of {name} a name.",
        place=place if place == other else f"{place} and {other}",
        next_step="write all labels as names of classes, or all as integers from 0",
    )


class _Scan:
    """Makes samples of members that lie beside each other."""

    def __init__(self, read: Read) -> None:
        self.read = read
        self.rows = array("B")
        self.count = 0
        self.names = bytearray()
        self.labels: dict[str, int] = {}
        self.named: str | None = None
        self.numbered: str | None = None
        self.faults: list[tuple[str, str]] = []
        self.faulty = 0
        self.others: dict[str, tuple[int, str]] = {}
        self._seen: set[bytes] = set()
        self._key: str | None = None
        self._images: list[Member] = []
        self._label: int | str | None = None
        self._told: str | None = None
        self._from: str = ""
        self._parts: set[str] = set()
        self._last = ""

    def add(self, member: Member) -> None:
        """Take the next member of the archive."""
        folders, slash, base = member.name.rpartition("/")
        if not member.regular or base.startswith(".") or member.name.startswith(FOLDERS_OF_SYSTEMS):
            if member.name.rstrip("/") and member.regular:
                self._other("hidden or made by the system", member.name)
            elif not member.name.endswith("/") and not member.regular:
                self._other("a link or a folder", member.name)
            return
        stem, dot, ending = base.partition(".")
        ending = f".{ending.lower()}" if dot else ""
        is_image = ending in ENDINGS
        if not is_image and ending not in (".cls", ".json"):
            self._other(ending or "no suffix", member.name)
            return
        key = f"{folders}{slash}{stem}"
        if key != self._key:
            self._finish()
            self._key, self._last = key, member.name
        if ending in self._parts:
            self._told = self._told or f"has {ending} twice"
        self._parts.add(ending)
        if is_image:
            self._images.append(member)
        elif ending == ".cls" or self._from != ".cls":
            self._read_label(member, ending)

    def _other(self, kind: str, name: str) -> None:
        number, example = self.others.get(kind, (0, name))
        self.others[kind] = (number + 1, example)

    def _read_label(self, member: Member, ending: str) -> None:
        if member.size > LONGEST_LABEL:
            self._told = self._told or f"has a label of {member.size:,} bytes"
            return
        content = self.read(member.offset, member.size)
        try:
            text = content.decode().strip()
            value: Any = json.loads(text) if ending == ".json" else text
        except ValueError:
            self._told = self._told or f"has a label that cannot be read, {member.name.rpartition('/')[2]}"
            return
        if ending == ".json":
            value = value.get("label") if isinstance(value, dict) else None
            if value is None:
                return  # facts of another kind
        if isinstance(value, str):
            value = value.strip()
            value = int(value) if NUMBER.fullmatch(value) else value
        if isinstance(value, bool) or not isinstance(value, int | str) or value == "" or "\n" in str(value):
            self._told = self._told or f"has a label that is no integer and no name, {str(value)[:40]!r}"
        elif isinstance(value, int) and not 0 <= value < 2**31:
            self._told = self._told or f"has the label {value}"
        else:
            self._label, self._from = value, ending

    def _finish(self) -> None:
        """The sample is complete: keep it, or say what is wrong with it."""
        if self._key is None:
            return
        images, reason = self._images, self._told
        if not images:
            reason = reason or "has a label and no image"
        elif len(images) > 1:
            reason = reason or f"has {len(images)} images"
        elif self._label is None:
            reason = reason or "has no label"
        elif images[0].size >= 2**32:
            reason = reason or f"has an image of {images[0].size:,} bytes"
        elif "\n" in images[0].name:
            reason = reason or "has a line's end in its name"
        name = images[0].name if images else self._last
        digest = hashlib.blake2b(self._key.encode(errors="surrogateescape"), digest_size=8).digest()
        if digest in self._seen:
            reason = f"has the key {self._key} of a sample before it, which does not lie beside it"
        self._seen.add(digest)
        if reason is not None:
            self._fault(name, reason)
        else:
            self._keep(images[0])
        self._key, self._images, self._label, self._told, self._from, self._parts = None, [], None, None, "", set()

    def _fault(self, name: str, reason: str) -> None:
        self.faulty += 1
        if len(self.faults) < NAMED:
            self.faults.append((name, reason))

    def _keep(self, image: Member) -> None:
        label = self._label
        if isinstance(label, str):
            self.named = self.named or image.name
            label = self.labels.setdefault(label, len(self.labels))
        else:
            self.numbered = self.numbered or image.name
        begin = self.read(image.offset, min(image.size, START))
        rest = min(TAIL, image.size - len(begin))
        tail = self.read(image.offset + image.size - rest, rest) if rest else b""
        row = np.array((image.offset, _mark(begin, tail), image.size, label, len(self.names)), ROW)
        self.rows.frombytes(row.tobytes())
        self.names += image.name.encode(errors="surrogateescape") + b"\n"
        self.count += 1

    def index(self, stamp: Stamp) -> Index:
        """What was found."""
        self._finish()
        return Index(
            stamp, np.frombuffer(self.rows.tobytes(), ROW), np.frombuffer(bytes(self.names), np.uint8),
            list(self.labels) if self.named else None, self.faults, self.faulty, self.others,
        )  # fmt: skip
