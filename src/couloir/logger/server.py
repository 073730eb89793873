"""TensorBoard, served on the folder of one run or of many."""

from __future__ import annotations

import io
import logging
import signal
import socket
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import redirect_stderr, suppress
from pathlib import Path
from types import FrameType

from couloir.errors import CouloirError
from couloir.record.find import find_run, find_sweep

PORTS = 100
"""How many ports are tried."""
LONGEST = 60.0
"""Seconds until it must answer."""
LOOK = 2.0
"""Seconds between two looks for new folders."""


def find_events(word: str | None, outputs: str) -> Path:
    """The folder that a word names: any folder with event files below it, a sweep, or a run; without a word, `outputs`.

    Raises:
        CouloirError: there is no such folder, or nothing in it.
    """
    if word is None:
        folder = Path(outputs)
    elif word != "latest" and Path(word).is_dir():
        folder = Path(word)
    else:
        folder = find_sweep(word, outputs) or find_run(word, outputs)
    if next(folder.rglob("events.out.tfevents.*"), None) is None:
        raise CouloirError(
            f"There is no run for TensorBoard in {folder}.",
            next_step="`train` makes one; runs with logger=csv have nothing for TensorBoard",
        )
    return folder.resolve()


def serve(folder: Path, host: str, port: int) -> int:
    """Serve until Ctrl-C, or until the process is asked to end.

    Args:
        folder: where the event files are.
        host: the address to listen at.
        port: the first port that is tried.

    Returns:
        0 after Ctrl-C, 143 after SIGTERM.

    Raises:
        CouloirError: no port is free, or there is no such host.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a script ignores for what it starts with `&`
    signal.signal(signal.SIGTERM, _leave)
    try:
        with tempfile.TemporaryDirectory(prefix="couloir-board-") as links:
            shown = Path(links) if _link(folder, Path(links)) else folder
            url = _start(shown, host, port)
            print(f"TensorBoard on {folder}: {url}  (Ctrl-C ends it)", flush=True)  # noqa: T201
            while True:
                time.sleep(LOOK)
                if shown != folder:
                    _link(folder, shown)
    except KeyboardInterrupt:
        return 0


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(143)


def _link(folder: Path, links: Path) -> bool:
    """Make a link to each part of a folder but those that are links themselves: `latest` would show a run twice.

    Returns:
        whether there are such; without them, the folder itself can be shown.
    """
    parts = [part for part in folder.iterdir() if part.is_dir()]
    if not any(part.is_symlink() for part in parts):
        return False
    for part in parts:
        if not part.is_symlink() and not (links / part.name).exists():
            (links / part.name).symlink_to(part, target_is_directory=True)
    return True


def _start(folder: Path, host: str, port: int) -> str:
    """Start TensorBoard's server in a thread of its own; its address, once it answers."""
    ports = _free_ports(host, port)
    from tensorboard import default, program

    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    for number in ports:
        board = program.TensorBoard(default.get_plugins())
        board.configure(logdir=str(folder), host=host, port=number)
        try:
            with redirect_stderr(io.StringIO()):  # a note on how it reads files
                url: str = board.launch()
        except program.TensorBoardPortInUseError:
            continue  # taken since
        except program.TensorBoardServerException as error:
            raise CouloirError(f"TensorBoard cannot be served: {error}", next_step="--host localhost") from error
        _await_answer(url)
        return url
    raise _none_free(port)


def _free_ports(host: str, first: int) -> list[int]:
    """The ports that nobody listens at."""
    try:
        family, kind, _, _, _ = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise CouloirError(f"The address '{host}' cannot be used: {error}", next_step="--host localhost") from error
    free = []
    for port in range(first, min(first + PORTS, 65536)):
        with socket.socket(family, kind) as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            free.append(port)
    if not free:
        raise _none_free(first)
    return free


def _none_free(first: int) -> CouloirError:
    return CouloirError(
        f"The {PORTS} ports from {first} on are all in use.", next_step="--port N names the first that is tried"
    )


def _await_answer(url: str) -> None:
    deadline = time.monotonic() + LONGEST
    while True:
        try:
            with urllib.request.urlopen(url, timeout=LONGEST):
                return
        except urllib.error.HTTPError:
            return  # an answer as well
        except OSError as error:
            if time.monotonic() > deadline:
                raise CouloirError(f"TensorBoard at {url} does not answer: {error}") from error
            time.sleep(0.1)
