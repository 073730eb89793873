"""`python -m couloir.run.rank`: a process of a run other than the first, which starts it and tells it what to train."""

from __future__ import annotations

import os
import signal
import sys
import threading

from couloir.lazy_imports import defer
from couloir.machine import STOPS, leave


def main() -> int:
    """Train along; the first process decides when to stop, and its end is this one's.

    Returns:
        0, or the exit code that the error would have had in the first process.
    """
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_first, daemon=True).start()

    defer()
    from couloir.errors import CouloirError, Interrupted
    from couloir.run.train import train_along

    try:
        train_along()
    except Interrupted:
        return 0
    except CouloirError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201  the first process quotes it
        return error.exit_code
    return 0


def _end_with_the_first() -> None:
    """The pipe from the first process is closed when that one is gone, killed or not."""
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    leave(main())
