"""How a run ended that did not complete: its status, and what can be done about it."""

from __future__ import annotations

import os

from couloir.errors import Diverged, Interrupted
from couloir.log import note, say
from couloir.run.folder import RunFolder


def write_ending(folder: RunFolder, signal_number: int | None, error: BaseException) -> None:
    """Write the truth about a run that did not complete, and say how it goes on.

    Args:
        folder: the run's folder.
        signal_number: the signal that asked it to stop, if one did.
        error: what ended it.
    """
    if isinstance(error, Interrupted | KeyboardInterrupt) or signal_number is not None:
        folder.write_status("interrupted", signal=signal_number)
        say.info("stopped; go on with: couloir resume %s", shown(folder))
        return
    folder.write_status(
        "diverged" if isinstance(error, Diverged) else "failed", error=f"{type(error).__name__}: {error}"
    )
    note.info("%s", f"{type(error).__name__}: {error}", exc_info=error)


def shown(folder: RunFolder) -> str:
    """The folder as it would be typed here."""
    relative = os.path.relpath(folder.path)
    return str(folder.path) if relative.startswith("..") else relative
