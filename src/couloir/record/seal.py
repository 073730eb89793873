"""A checksum that a checkpoint carries within itself, so that it can neither be lost nor belong to another file.

A file of `torch.save` is a zip archive, and a zip archive may end in a comment, which every reader skips. The comment
holds the SHA-256 of all that stands before it. torch itself reads an archive with a flipped bit without a word.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

MARK = b"couloir sha256 "
LENGTH = len(MARK) + hashlib.sha256().digest_size * 2
EMPTY = b"\0\0"
"""The last field of an archive, the length of its comment, when there is none."""
BLOCK = 1 << 22


class _Hashed:
    """A stream that hashes what it writes.

    Attributes:
        failure: why the disk did not take it; torch, which writes through this, reports something else then.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream, self.digest = stream, hashlib.sha256()
        self.failure: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write all of it."""
        self.digest.update(data)
        try:
            return self.stream.write(data)
        except OSError as error:
            self.failure = error
            raise

    def flush(self) -> None:
        """Hand on what is buffered."""
        self.stream.flush()


def write_sealed(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a zip archive, seal it, and see it onto the disk; a write that fails leaves no file.

    Args:
        path: a temporary name, to be renamed by the caller.
        write: writes the archive into the stream that it is given, from beginning to end.
    """
    try:
        with path.open("wb") as stream:
            hashed = _Hashed(stream)
            try:
                write(cast(IO[bytes], hashed))  # as much of a stream as torch.save asks for
            except RuntimeError:
                if hashed.failure is not None:
                    raise hashed.failure from None  # torch's error has come of it
                raise
            comment = MARK + hashed.digest.hexdigest().encode()
            stream.seek(-len(EMPTY), os.SEEK_END)
            stream.write(struct.pack("<H", len(comment)) + comment)
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def is_sealed(path: Path) -> bool | None:
    """Whether a file is, to the bit, what was sealed; None where it carries no seal, as other programs' files.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        rest = stream.seek(0, os.SEEK_END) - LENGTH - len(EMPTY)
        if rest <= 0:
            return None
        stream.seek(rest + len(EMPTY))
        comment = stream.read()
        if not comment.startswith(MARK):
            return None
        stream.seek(0)
        while rest > 0 and (block := stream.read(min(BLOCK, rest))):
            digest.update(block)
            rest -= len(block)
    digest.update(EMPTY)
    return comment == MARK + digest.hexdigest().encode()
