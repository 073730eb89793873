"""How a run ended: its status, what can be done about it, the table of its numbers, and what its curves say."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.table import Table

from couloir.callbacks.progress import shown_number
from couloir.diagnosis import diagnose
from couloir.errors import CouloirError, Diverged, FolderLost, Interrupted, Pruned, as_typed, causes
from couloir.log import note, rendered, say
from couloir.record.checkpoint import BEST
from couloir.record.folder import RunFolder
from couloir.record.forecast import KINDS
from couloir.record.status import Status

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from couloir.artifacts.tested import Tested
    from couloir.callbacks.epoch_record import Record
    from couloir.task.task import Task


class Trained(NamedTuple):
    """What the training leaves for the record."""

    module: Task
    parameters: int
    seen: Tested | None
    data: Any
    record: Record


def is_tested(cfg: DictConfig) -> bool:
    """Whether a run is tested at its end; runs of older versions, which do not say, were."""
    return bool(cfg.get("test", True))


def write_ending(folder: RunFolder, signal_number: int | None, error: BaseException) -> None:
    """Write the truth about a run that did not complete, and say how it goes on.

    A run that was to go on, and was refused before it did, is still what it was.

    Args:
        folder: the run's folder.
        signal_number: the signal that asked it to stop, if one did.
        error: what ended it.
    """
    begun = folder.status().get("status", "running") == "running"
    if isinstance(error, Interrupted | KeyboardInterrupt) or signal_number is not None:
        if begun:
            folder.write_status("interrupted", signal=signal_number)
        say.info("stopped; continue with: couloir resume %s", as_typed([shown(folder)]))
        return
    if isinstance(error, Pruned):
        folder.write_status("pruned")
        say.info("pruned: %s", error)
        return
    if begun:
        if isinstance(error, Diverged):
            folder.trained()  # as far as it could
        word: Status = "diverged" if isinstance(error, Diverged) else "failed"
        folder.write_status(word, error=f"{type(error).__name__}: {error}")
    note.info("%s", f"{type(error).__name__}: {error}", exc_info=error)


DISK = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota is used up",
    errno.EFBIG: "the file is larger than the disk or a limit (`ulimit -f`) allows",
    errno.EROFS: "the disk cannot be written to",
    errno.EACCES: "there is no permission to write",
    errno.EPERM: "there is no permission to write",
    errno.EIO: "the disk does not answer",
    errno.ESTALE: "the disk is gone",
}
"""What a failing write says of the disk."""


def as_lost_folder(error: BaseException, folder: RunFolder) -> FolderLost | None:
    """The sentence for an error that comes from the run folder's disk; None for any other.

    Args:
        error: what ended the run.
        folder: the run's folder.
    """
    named = False  # whether a sentence says already what could not be written, and where
    for cause in causes(error):
        named = named or isinstance(cause, CouloirError)
        if isinstance(cause, OSError) and cause.errno in DISK:
            unknown = cause.filename is None or cause.errno == errno.ENOSPC
            inside = str(folder.path) in os.path.abspath(str(cause.filename))  # noqa: PTH100
            if inside or (unknown and not named):
                return FolderLost(
                    f"The run cannot be recorded: {DISK[cause.errno]}.",
                    place=str(cause.filename or folder.path),
                    next_step=f"free space or repair the disk, then: couloir resume {as_typed([shown(folder)])}",
                )
    return None


def shown(folder: RunFolder) -> str:
    """The folder, by the shorter of its names here."""
    relative = os.path.relpath(folder.path)
    return str(folder.path) if relative.startswith("..") else relative


def closing_table(numbers: dict[str, float], folder: RunFolder) -> str:
    """The test metrics beside those of the best epoch, the run folder, and where the curves are; of a run that was not
    tested, how to test it.
    """
    tested = [name.removeprefix("test/") for name in numbers if name.startswith("test/")]
    last = [name.removeprefix("val/") for name in numbers if name.startswith("val/")]
    names = tested or last
    views = any(name.startswith("tta/") for name in numbers)
    best = (folder.checkpoints / BEST).is_file()
    heads = {"test": "test" if best else "test, last weights"} if tested else {}
    heads |= {"tta": "test, views"} if views else {}
    heads |= {kind: KINDS[kind] for kind in KINDS if any(name.startswith(f"{kind}/") for name in numbers)}
    if "best/epoch" in numbers:
        heads["best"] = f"best epoch ({numbers['best/epoch']:g})"
    if any(name.startswith("val/") for name in numbers):
        validated = numbers.get("validated_epoch")
        heads["val"] = "last epoch" if validated is None else f"last validation (epoch {validated:g})"
    table = Table("metric", *heads.values())
    for name in names:
        columns = tuple(heads)
        cells = [numbers.get(f"{column}/{name}") for column in columns]
        table.add_row(name, *("" if cell is None else shown_number(cell) for cell in cells))
    shown = _short(folder.path)
    typed = as_typed([shown])
    rate = numbers.get("train/samples_per_second")
    speed = f", {rate:,.0f} samples/s" if rate is not None else ""
    return (
        f"{rendered(table)}\n"
        f"run:    {shown}  ({numbers['seconds']:.1f} s{speed})\n"
        f"curves: {shown}/curves.png; a page with all of it: couloir report {typed}"
        + ("" if tested else f"\ntest:   none, as test=false says; this makes one: couloir evaluate {typed}")
    )


def closing_diagnosis(folder: RunFolder) -> str:
    """What the run's curves say, in one or two sentences; "" where there is nothing to say."""
    try:
        return diagnose(folder.path).in_words()
    except Exception as error:  # noqa: BLE001  a sentence about a run is no reason to end it
        note.info("no diagnosis: %s: %s", type(error).__name__, error)
        return ""


def _short(path: Path) -> str:
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
