"""Downloads that can be trusted: mirrors in turn, resumed where they broke off, checked before they are used."""

from __future__ import annotations

import hashlib
import http.client
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from couloir.errors import CouloirError

BLOCK = 1 << 20
TIMEOUT = 30
"""Seconds without an answer after which the next mirror is asked."""
Kind = Literal["md5", "sha256"]


@dataclass(frozen=True)
class Remote:
    """A file that can be downloaded.

    Attributes:
        name: its name.
        checksum: what its publisher states, in hexadecimal; of a SHA-256 its beginning is enough.
        mirrors: addresses of folders that hold it, the preferred one first.
        kind: of the checksum.
    """

    name: str
    checksum: str
    mirrors: tuple[str, ...]
    kind: Kind = "md5"

    def is_whole(self, file: Path) -> bool:
        """Whether a file's bytes are those that the publisher has."""
        return checksum(file, self.kind).startswith(self.checksum)


def download(remote: Remote, folder: Path, otherwise: str = "data.root=FOLDER") -> Path:
    """Fetch a file into a folder, unless it is there; a broken-off download is resumed.

    The bytes arrive under `NAME.part` and get their name once the checksum is right, so a file with the right name is
    a whole one. Of several processes one downloads, and the others wait for it.

    Args:
        remote: which.
        folder: where it goes.
        otherwise: the word that names another place of the file.

    Raises:
        CouloirError: no mirror had the file with the right checksum, or the folder cannot be written.
    """
    target = folder / remote.name
    if target.exists():
        return target
    failures: list[str] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(target):
            if target.exists() or _fetched(remote, target, failures):
                return target
    except OSError as error:
        raise CouloirError(
            f"{remote.name} cannot be written: {error.strerror or error}.",
            place=str(folder),
            next_step=f"name a folder that can be written, or that holds the file: {otherwise}",
        ) from error
    raise CouloirError(
        f"{remote.name} is not in {folder}, and could not be downloaded.",
        place="; ".join(failures),
        next_step=f"try again (the downloaded part is kept), or put the file at {target}, or {otherwise}",
    )


def _fetched(remote: Remote, target: Path, failures: list[str]) -> bool:
    """Whether a mirror had the whole file; what went wrong with each is added to `failures`."""
    part = target.with_name(f"{remote.name}.part")
    for mirror in remote.mirrors:
        address = f"{mirror.rstrip('/')}/{remote.name}"
        if not address.startswith(("https://", "http://")):
            raise CouloirError(f"{address} is not an http address.", next_step="correct the list of mirrors")
        for _ in range(2 if part.exists() else 1):  # what was begun earlier may be of another file
            try:
                _fetch(address, part)
            except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
                failures.append(f"{address}: {getattr(error, 'reason', error)}")
                break
            if remote.is_whole(part):
                part.replace(target)
                return True
            part.unlink()
            failures.append(f"{address}: the checksum is wrong")
    return False


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Let no other process download the same file meanwhile; where the disk has no locks, each may."""
    lock = FileLock(target.with_name(f"{target.name}.lock"))
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"waiting for another process that downloads {target.name}", file=sys.stderr)  # noqa: T201
            lock.acquire()
    except NotImplementedError:
        yield
        return
    try:
        yield
    finally:
        with suppress(OSError):  # who waits for it finds the file, or the part
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _fetch(address: str, part: Path) -> None:
    """Append what is missing of a file to `part`; a server that ignores the range starts it over."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(address, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is missing any more; the checksum decides
            return
        raise
    with answer:
        resumed = have > 0 and answer.status == 206
        total = int(answer.headers.get("Content-Length") or 0) + (have if resumed else 0)
        print(f"downloading {address} ({total / 2**20:.1f} MiB)", file=sys.stderr)  # noqa: T201
        received = have if resumed else 0
        with part.open("ab" if resumed else "wb") as stream:
            while block := answer.read(BLOCK):
                stream.write(block)
                received += len(block)
    if total and received < total:
        raise http.client.IncompleteRead(b"", total - received)


def checksum(file: Path, kind: Kind) -> str:
    """A checksum of a file's bytes, in hexadecimal. An MD5 is a check against accidents, not against malice."""
    digest = hashlib.new(kind, usedforsecurity=kind != "md5")
    with file.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
