"""What the console says, and the same in `train.log`."""

from __future__ import annotations

import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from rich import get_console
from rich.console import Console

say = logging.getLogger("couloir")
"""Lines for the console and the file."""

note = logging.getLogger("couloir.file")
"""Lines for the file alone, such as epochs while a progress bar shows them on the terminal."""

QUIET = (
    # Facts about Lightning's own loaders and loggers that do not hold for ours.
    ".*does not have many workers.*",
    ".*The number of training batches.*is smaller than the logging interval.*",
    ".*isinstance.treespec, LeafSpec.*",
    ".*LeafSpec.*is deprecated.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*you defined a `validation_step` but have no.*",
    ".*sync_dist=True.*",  # what is logged is reduced over all processes already
)


class _ConsoleHandler(logging.Handler):
    """Prints above a running progress bar, on standard output."""

    def emit(self, record: logging.LogRecord) -> None:
        get_console().print(self.format(record), markup=False, highlight=False, soft_wrap=True)


class _FileHandler(logging.FileHandler):
    """Says nothing where the file cannot be written any more: the files that matter will, and end the run."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's own name
        """Python's own prints a traceback."""

    def close(self) -> None:
        """Close it, whatever of it is lost."""
        with suppress(OSError):
            super().close()


def _note_thread(failure: threading.ExceptHookArgs) -> None:
    """A thread that fails, as TensorBoard's when the disk is full, is heard of where it is waited for."""
    if failure.exc_value is not None:
        note.info("a thread ended: %s: %s", failure.exc_type.__name__, failure.exc_value)


@contextmanager
def run_log(file: Path) -> Iterator[None]:
    """Send `say` to the console and to `file`, `note` and Python's warnings to `file`, for the length of a run."""
    to_file = _FileHandler(file, encoding="utf-8")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    to_console = _ConsoleHandler()
    warning_log = logging.getLogger("py.warnings")
    lightning_levels = {name: logging.getLogger(name).level for name in ("pytorch_lightning", "lightning_fabric")}
    say.setLevel(logging.INFO)
    say.propagate = note.propagate = warning_log.propagate = False
    handlers: list[tuple[logging.Logger, logging.Handler]] = [
        (say, to_file), (say, to_console), (note, to_file), (warning_log, to_file),
    ]  # fmt: skip
    for logger, handler in handlers:
        logger.addHandler(handler)
    note.setLevel(logging.INFO)
    for name in lightning_levels:
        logging.getLogger(name).setLevel(logging.WARNING)  # Lightning's greetings are not news
    of_threads, threading.excepthook = threading.excepthook, _note_thread
    with warnings.catch_warnings():
        for pattern in QUIET:
            warnings.filterwarnings("ignore", message=pattern)
        logging.captureWarnings(True)
        try:
            yield
        finally:
            threading.excepthook = of_threads
            logging.captureWarnings(False)
            for logger, handler in handlers:
                logger.removeHandler(handler)
            to_file.close()
            for name, level in lightning_levels.items():
                logging.getLogger(name).setLevel(level)


@contextmanager
def silence() -> Iterator[None]:
    """Let neither `say` nor `note` nor a warning be heard: one process of several speaks for all."""
    mute = logging.NullHandler()
    for logger in (say, note):
        logger.propagate = False
        logger.addHandler(mute)
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            for logger in (say, note):
                logger.removeHandler(mute)


@contextmanager
def warnings_told() -> Iterator[None]:
    """Send the warnings of `say` to standard error, and nothing else of it anywhere."""
    warned = logging.StreamHandler(sys.stderr)
    warned.setLevel(logging.WARNING)
    say.addHandler(warned)
    try:
        yield
    finally:
        say.removeHandler(warned)


@contextmanager
def quiet() -> Iterator[None]:
    """Print nothing of what is said in words: standard output stays empty, warnings of `say` go to standard error.

    Files such as `train.log` get what they always get.
    """
    with (
        warnings_told(),
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        redirect_stdout(nowhere),
    ):
        yield


def rendered(renderable: Any, width: int = 100) -> str:
    """A rich table or text as plain characters, the same on the console and in the file."""
    console = Console(width=width, color_system=None, force_terminal=False, legacy_windows=False)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get().rstrip("\n")


def on_a_terminal() -> bool:
    """Whether a person watches: a progress bar makes sense."""
    return sys.stdout.isatty() and get_console().is_terminal
