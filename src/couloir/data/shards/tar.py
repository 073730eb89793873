"""The members of a tar archive: names, and where their bytes are. Nothing here imports torch.

Read are the formats that writers of shards use: POSIX ustar, its extended headers (pax), and GNU's long names. The
bytes come from a function, so that a file and a server's answers are read alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

BLOCK = 512
REGULAR = (b"0", b"\0", b"7")
LONG_NAME, LONG_LINK, EXTENDED, GLOBAL, SPARSE = b"L", b"K", b"x", b"g", b"S"
LONGEST_HEADER = 1 << 20
"""Bytes of an extended header beyond which it is taken for damage."""
PADDING = 20 * BLOCK
"""Zeros that writers fill an archive up with."""
Read = Callable[[int, int], bytes]
"""Offset and count -> the bytes there, fewer at the end of the archive."""


class BadTar(Exception):
    """What is wrong with an archive, to follow its name in a sentence."""


class Member(NamedTuple):
    """A file in an archive.

    Attributes:
        name: with its folders, as stored.
        offset: where its bytes begin.
        size: how many there are.
        regular: whether it is a file with bytes, and no folder, link or device.
    """

    name: str
    offset: int
    size: int
    regular: bool


def members(read: Read, size: int) -> Iterator[Member]:
    """The members of an archive, in order.

    Args:
        read: its bytes.
        size: how many it has.

    Raises:
        BadTar: it is no archive, damaged, or cut off.
    """
    place, name, long_size, count = 0, "", None, 0
    while True:
        header = read(place, BLOCK)
        if len(header) < BLOCK:
            if not size:
                raise BadTar("is empty")
            if not count:
                raise BadTar("is not a tar archive")
            raise BadTar(f"is cut off after {size:,} bytes: the mark of its end is missing")
        if header.count(0) == BLOCK:
            _check_end(read, place, size)
            return
        _check_header(header, place, count)
        stored, kind = _number(header[124:136], place), header[156:157]
        if kind == SPARSE:
            raise BadTar(f"has a sparse file at byte {place:,}, which is not read")
        start = place + BLOCK
        place = start + -(-stored // BLOCK) * BLOCK
        if start + stored > size:
            raise BadTar(f"is cut off after {size:,} bytes, within {_name(header) or 'a member'}")
        if kind in (LONG_NAME, LONG_LINK, EXTENDED, GLOBAL):
            if stored > LONGEST_HEADER:
                raise BadTar(f"is damaged: a header at byte {start:,} has {stored:,} bytes")
            content = read(start, stored)
            if kind == LONG_NAME:
                name = content.rstrip(b"\0").decode(errors="surrogateescape")
            elif kind == EXTENDED:
                told = _extended(content, start)
                name = told.get("path", name)
                long_size = int(told["size"]) if told.get("size", "").isdigit() else None
            continue
        if long_size is not None:
            stored = long_size
            place = start + -(-stored // BLOCK) * BLOCK
            if start + stored > size:
                raise BadTar(f"is cut off after {size:,} bytes, within {name or _name(header)}")
        count += 1
        yield Member(name or _name(header), start, stored if kind in REGULAR else 0, kind in REGULAR)
        name, long_size = "", None


def _check_header(header: bytes, place: int, count: int) -> None:
    try:
        stated = int(header[148:156].strip(b"\0 ") or b"-1", 8)
    except ValueError:
        stated = -1
    if sum(header) - sum(header[148:156]) + 8 * 32 != stated:
        if not count and place == 0:
            begins = header[:4].hex(" ")
            raise BadTar(f"is not a tar archive: its first bytes are {begins}")
        raise BadTar(f"is damaged: there is no header at byte {place:,}")


def _check_end(read: Read, place: int, size: int) -> None:
    """After the first block of zeros there may be more of them, and nothing else."""
    rest = read(place, PADDING)
    if rest.count(0) != len(rest):
        raise BadTar(f"has more behind its end at byte {place:,}, as archives have that were put together")
    if size - place > PADDING:
        tail = read(size - BLOCK, BLOCK)
        if tail.count(0) != len(tail):
            raise BadTar(f"has more behind its end at byte {place:,}, as archives have that were put together")


def _number(field: bytes, place: int) -> int:
    """A size: octal digits, or GNU's binary form for what has more than eleven of them."""
    if field[0] & 0x80:
        return int.from_bytes(field[1:])
    try:
        return int(field.strip(b"\0 ") or b"0", 8)
    except ValueError as error:
        raise BadTar(f"is damaged: there is no size at byte {place + 124:,}") from error


def _name(header: bytes) -> str:
    name = header[:100].partition(b"\0")[0]
    prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return (prefix + b"/" + name if prefix else name).decode(errors="surrogateescape")


def _extended(content: bytes, place: int) -> dict[str, str]:
    """The records of an extended header: `LENGTH KEY=VALUE` and a line's end each."""
    found, at = {}, 0
    while at < len(content) and content[at]:
        digits = content[at : at + 20].partition(b" ")[0]
        length = int(digits) if digits.isdigit() else 0
        key, equals, value = content[at + len(digits) + 1 : at + length - 1].partition(b"=")
        if length < len(digits) + 3 or not equals:
            raise BadTar(f"is damaged: its extended header at byte {place:,} makes no sense")
        found[key.decode(errors="surrogateescape")] = value.decode(errors="surrogateescape")
        at += length
    return found
