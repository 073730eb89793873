"""Shards on servers, through fsspec: parts of them are asked for, and asked for again where the answer breaks off.

fsspec and aiohttp are imported when the first byte is read, in each process anew. Nothing here imports torch.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import urlsplit

from couloir.data.shards.index import Stamp
from couloir.data.shards.naming import name_of
from couloir.errors import CouloirError, causes

T = TypeVar("T")

TRIES = 6
WAIT, LONGEST_WAIT = 0.5, 30.0
"""Seconds before the second try, twice as many before each further one, and how many at most."""
SILENCE = 60.0
"""Seconds without a byte after which an answer is taken for broken off."""
AT_ONCE = 8
"""Requests that a process has open."""
STEP = 8 << 20
"""Bytes that are asked for at a time where a shard is read through."""
PASSING = {408, 425, 429, 500, 502, 503, 504}
"""What servers answer when they may answer otherwise later."""
VERSIONS = ("ETag", "etag", "Last-Modified", "LastModified", "mtime", "md5Hash", "updated", "last_modified", "created")
"""What file systems call the version of a file; the first that is there counts."""
NO_SIZE = "The server does not say how many bytes {name} has."


class Remote:
    """Shards on servers.

    Args:
        tries: how often a server is asked before it is given up.
    """

    step = STEP
    remote = True

    def __init__(self, tries: int = TRIES) -> None:
        self.tries = tries
        self._sizes: dict[str, int] = {}
        self._systems: dict[str, Any] = {}
        self._process = -1

    def __getstate__(self) -> dict[str, Any]:
        return {"tries": self.tries}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["tries"])  # type: ignore[misc]

    def stamps(self, places: Sequence[str]) -> list[Stamp]:
        """Which version of each shard there is.

        Raises:
            CouloirError: a shard is not there, or the server cannot be reached or says no size.
        """
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(self._stamp, places))

    def _stamp(self, place: str) -> Stamp:
        facts = self._asked(place, lambda: self._system(place).info(place))
        if facts.get("size") is None:
            raise CouloirError(
                NO_SIZE.format(name=name_of(place)), place=place, next_step="use a server of files that are whole"
            )
        self._sizes[place] = int(facts["size"])
        return Stamp(int(facts["size"]), str(next((facts[key] for key in VERSIONS if facts.get(key)), "")))

    def read(self, place: str, offset: int, count: int) -> bytes:
        """Bytes of a shard, fewer at its end.

        Raises:
            CouloirError: the server does not answer, or with something else, as often as it is asked.
        """
        return self._asked(place, lambda: self._part(place, offset, count))

    def _part(self, place: str, offset: int, count: int) -> bytes:
        content: bytes = self._system(place).cat_file(place, start=offset, end=offset + count)
        if len(content) > min(count, self._sizes.get(place, offset + count) - offset):
            raise CouloirError(
                f"The server of {name_of(place)} sends all of it where a part is asked for.",
                place=place,
                next_step="use a server that answers requests for ranges of bytes, or copy the shards",
            )
        return content

    def whole(self, place: str, offset: int, count: int) -> bytes:
        """Bytes of a shard, all that are asked for.

        Raises:
            CouloirError: as `read`.
        """

        def all_of_it() -> bytes:
            content = self._part(place, offset, count)
            if len(content) < count:
                raise EOFError(f"{len(content):,} bytes instead of {count:,}")
            return content

        return self._asked(place, all_of_it)

    def beside(self, place: str) -> bytes | None:
        """A whole small file; None where there is none, or the server does not give it away.

        Raises:
            CouloirError: the server does not answer.
        """
        try:
            return self._asked(place, lambda: bytes(self._system(place).cat_file(place)))
        except NotThere:
            return None

    def _system(self, place: str) -> Any:
        """fsspec's file system for a URL, of this process: it does not live through a fork."""
        protocol = place.partition("://")[0]
        if self._process != os.getpid():
            self._systems, self._process = {}, os.getpid()
        if protocol not in self._systems:
            self._systems[protocol] = _file_system(protocol, place)
        return self._systems[protocol]

    def _asked(self, place: str, question: Callable[[], T]) -> T:
        """An answer, after some tries.

        Raises:
            NotThere: the server says so, or does not give it away.
            CouloirError: no answer came, as often as it was asked for.
        """
        self._system(place)  # or a sentence about what is not installed
        from aiohttp import ClientError

        for number in range(1, self.tries + 1):
            try:
                return question()
            except CouloirError:
                raise
            except (OSError, EOFError, TimeoutError, ClientError) as error:
                statuses = [getattr(each, "status", None) for each in causes(error)]
                status = next((each for each in statuses if isinstance(each, int)), 0)
                # fsspec says of a server that cannot be reached that there is no file: its cause tells them apart.
                unreached = any(isinstance(each, ClientError | TimeoutError) for each in causes(error))
                refused = isinstance(error, FileNotFoundError | PermissionError) and not unreached
                if status not in PASSING and (status >= 400 or refused):
                    raise NotThere(place, status) from error
                if number == self.tries:
                    raise CouloirError(
                        f"{name_of(place)} could not be read from its server: {_reason(error, status)}, after "
                        f"{number} tries.",
                        place=place,
                        next_step="try again later: couloir resume goes on from the last checkpoint; data.tries=12 "
                        "waits longer",
                    ) from error
                time.sleep(min(LONGEST_WAIT, WAIT * 2 ** (number - 1)))
        raise AssertionError("the last try returns or raises")


class NotThere(CouloirError):
    """A server has no such file."""

    def __init__(self, place: str, status: int) -> None:
        told = f" (it answers {status})" if status not in (0, 404) else ""
        super().__init__(
            f"There is no {name_of(place)} on the server, or it may not be read{told}.",
            place=place,
            next_step="correct the URL; braces count, as in train-{000000..000146}.tar",
        )


def _reason(error: BaseException, status: int) -> str:
    if status:
        return f"it answers {status}"
    last = next((each for each in causes(error) if str(each) and not isinstance(each, FileNotFoundError)), error)
    return " ".join(str(last).split()) or type(last).__name__


def _file_system(protocol: str, place: str) -> Any:
    try:
        import fsspec
        from aiohttp import ClientTimeout
    except ModuleNotFoundError as error:
        raise CouloirError(
            f"Shards on a server need fsspec and aiohttp, and {error.name} is not installed.",
            place=place,
            next_step="pip install 'couloir[remote]'",
        ) from error
    keys: dict[str, Any] = {}
    if protocol in ("http", "https"):  # names and passwords, and proxies, as other programs find them
        timeout = ClientTimeout(total=None, sock_connect=SILENCE, sock_read=SILENCE)
        keys = {"client_kwargs": {"timeout": timeout, "trust_env": True}}
    try:
        return fsspec.filesystem(protocol, skip_instance_cache=True, use_listings_cache=False, **keys)
    except (ImportError, ValueError) as error:
        raise CouloirError(
            f"{protocol}:// cannot be read: {' '.join(str(error).split())}",
            place=place,
            next_step="install what fsspec needs for it (s3://: s3fs, gs://: gcsfs), or use http",
        ) from error


def check_url(place: str) -> None:
    """Refuse a URL with a password: the files of a run keep what is typed.

    Raises:
        CouloirError: it has one.
    """
    parts = urlsplit(place)
    if parts.password is not None:
        raise CouloirError(
            f"The URL of {name_of(place)} holds a password, and the files of the run keep what you type.",
            place=f"{parts.scheme}://{parts.username}:...@{parts.hostname}",
            next_step="leave it out, and write it into ~/.netrc: machine HOST login NAME password PASSWORD",
        )
