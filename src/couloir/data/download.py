"""Downloads that can be trusted: mirrors in turn, resumed where they broke off, checked before they are used."""

from __future__ import annotations

import hashlib
import http.client
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from couloir.errors import CouloirError

BLOCK = 1 << 20
TIMEOUT = 30
"""Seconds without an answer after which the next mirror is asked."""


@dataclass(frozen=True)
class Remote:
    """A file that can be downloaded.

    Attributes:
        name: its name.
        md5: the checksum that its publisher states.
        mirrors: addresses of folders that hold it, the preferred one first.
    """

    name: str
    md5: str
    mirrors: tuple[str, ...]


def download(remote: Remote, folder: Path) -> Path:
    """Fetch a file into a folder, unless it is there; a broken-off download is resumed.

    The bytes arrive under `NAME.part` and get their name once the checksum is right, so a file with the right name is
    a whole one.

    Raises:
        CouloirError: no mirror had the file with the right checksum, or the folder cannot be written.
    """
    target = folder / remote.name
    if target.exists():
        return target
    part = folder / f"{remote.name}.part"
    failures = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for mirror in remote.mirrors:
            address = f"{mirror.rstrip('/')}/{remote.name}"
            if not address.startswith(("https://", "http://")):
                raise CouloirError(f"{address} is not an http address.", next_step="correct the list of mirrors")
            try:
                _fetch(address, part)
            except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
                failures.append(f"{address}: {getattr(error, 'reason', error)}")
                continue
            if md5(part) == remote.md5:
                part.replace(target)
                return target
            part.unlink()
            failures.append(f"{address}: the checksum is wrong")
    except OSError as error:
        raise CouloirError(
            f"{remote.name} cannot be written: {error.strerror or error}.",
            place=str(folder),
            next_step="name a folder that can be written, or that holds the files: data.root=FOLDER",
        ) from error
    raise CouloirError(
        f"{remote.name} could not be downloaded.",
        place="; ".join(failures),
        next_step=f"try again (the downloaded part is kept), or put the file into {folder}, or data.root=FOLDER",
    )


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


def md5(file: Path) -> str:
    """The MD5 of a file's bytes, as the data sets' publishers state it; a check against accidents, not against
    malice.
    """
    digest = hashlib.md5(usedforsecurity=False)
    with file.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
