"""The run folder: where it is, what it holds, and how its files are written. Nothing here imports torch."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from couloir.errors import CouloirError
from couloir.record.background import Background
from couloir.record.checkpoint import FOLDER as CHECKPOINTS
from couloir.record.files import as_json, rename, write_atomically
from couloir.record.lock import RunLock
from couloir.record.status import FILE, FORMAT, Status, has_trained, read_status, refuse_newer
from couloir.record.sweep import FILE as SWEEP_FILE

LATEST = "latest"
"""The name of what points to the newest run or sweep of a folder."""
POINTS = "# The newest run or sweep. Couloir writes this file where the system allows no links."


@dataclass(frozen=True)
class RunFolder:
    """One run's folder; every file in it is written to a temporary name and renamed.

    Attributes:
        path: where it is.
        locks: this process's lock on it, in the process that owns the run.
        outputs: the folder whose `latest` will be this run, or the sweep that it belongs to, once it has trained; None:
            `latest` stays where it is.
        background: writes what nobody waits for; every other write of a record waits for it.
    """

    path: Path
    locks: list[RunLock] = field(default_factory=list, compare=False)
    outputs: Path | None = None
    background: Background = field(default_factory=Background, compare=False, repr=False)

    @classmethod
    def create(cls, path: Path, outputs: Path | None, latest: bool = True) -> RunFolder:
        """Make the folder; where it lies below `outputs`, `outputs/latest` will be it once it has trained.

        Args:
            path: the folder.
            outputs: the folder that collects the runs; None: `latest` stays where it is.
            latest: whether this is a run that later commands would go on with.

        Raises:
            CouloirError: it cannot be written, or it already holds a run.
        """
        path = Path(os.path.abspath(path))  # noqa: PTH100  resolve() would follow a user's links
        folder = cls(path, outputs=_collecting(path, outputs) if latest else None)
        if folder.status_file.exists():
            raise CouloirError(
                f"The folder {path} already holds a run.",
                next_step="leave hydra.run.dir out (each run then gets its own folder), or name a new folder",
            )
        try:
            (folder.checkpoints if latest else folder.path).mkdir(parents=True, exist_ok=True)
            if latest:
                folder.locks.append(RunLock(folder.path))
            folder.write_status("running", started=_now(), pid=os.getpid())
        except OSError as error:
            raise _cannot_be_written(path, error) from error
        return folder

    @classmethod
    def reopen(cls, path: Path, outputs: Path | None = None) -> RunFolder:
        """The folder of a run that is to go on; it belongs to this process from now on.

        Args:
            path: the folder.
            outputs: the folder that collects the runs: `latest` there will be this run, if it has not trained yet.

        Raises:
            CouloirError: the run is still alive, it was made by a newer Couloir, or its folder cannot be written.
        """
        refuse_newer(path)
        trained = has_trained(read_status(path, strict=False))
        folder = cls(path, outputs=None if trained else _collecting(path, outputs))
        try:
            folder.locks.append(RunLock(path))
            for torn in (*path.glob(".*"), *folder.checkpoints.glob(".*")):  # what a killed process was writing
                if torn.is_file():
                    torn.unlink()
        except OSError as error:
            folder.release()
            raise _cannot_be_written(path, error) from error
        return folder

    def trained(self) -> None:
        """A training step is over: `latest` is this run from now on, or the sweep that it belongs to."""
        if not has_trained(self.status()):
            self.write_status("running", first_step=_now())
        if self.outputs is not None:
            sweep = next((folder for folder in self.path.parents if (folder / SWEEP_FILE).is_file()), None)
            with suppress(OSError):  # a link that cannot be made is no reason to end a run
                point_latest_to(sweep or self.path, self.outputs)

    def release(self) -> None:
        """Let others have the folder: the run is over."""
        self.background.close()
        while self.locks:
            self.locks.pop().release()

    @property
    def checkpoints(self) -> Path:
        """The folder of `last.ckpt` and `best.ckpt`."""
        return self.path / CHECKPOINTS

    @property
    def status_file(self) -> Path:
        """`status.json`."""
        return self.path / FILE

    def begin(self) -> None:
        """Start the clock of a new run: `started` is when its seconds begin, after torch is imported."""
        self.write_status("running", started=_now())

    def write_text(self, name: str, text: str) -> None:
        """Write a file so that a reader sees the old text or the new one, never a part."""
        self.background.wait()
        write_atomically(self.path / name, text)

    def write_json(self, name: str, value: Any) -> None:
        """Write a value as JSON; NaN and infinity become null, since JSON has no word for them."""
        self.write_text(name, as_json(value))

    def status(self) -> dict[str, Any]:
        """The content of `status.json`; empty before it exists, and where a full disk has torn it."""
        return read_status(self.path, strict=False)

    def write_status(self, status: Status, **facts: Any) -> None:
        """Replace the status and add facts (epoch, step, error, ...) to those that stand there."""
        self.background.wait()
        merged = {"format": FORMAT, **self.status(), "status": status, "updated": _now(), **facts}
        if status != "running":
            merged["ended"] = merged["updated"]
        try:
            self.write_json(FILE, merged)
        except OSError:  # no room for a second file: it is better torn for a moment than wrong for good
            with suppress(OSError), self.status_file.open("r+b") as stream:  # "wb" would give its place on the disk up
                stream.write(as_json(merged, indent=None).encode())
                stream.truncate()
            if status == "running":
                raise


def _collecting(path: Path, outputs: Path | None) -> Path | None:
    """The folder that collects the runs, where a run lies below it."""
    return outputs if outputs is not None and path.is_relative_to(os.path.abspath(outputs)) else None  # noqa: PTH100


def point_latest_to(folder: Path, outputs: Path) -> None:
    """`outputs/latest` -> the folder of a run or sweep, by a relative path, so that `outputs` can be moved as a whole.

    It is a link; where the system has none, or allows none, a text file that `follow` reads.

    Raises:
        OSError: it cannot be written.
    """
    latest = outputs / LATEST
    if not latest.is_symlink() and latest.exists() and _pointed_to(latest) is None:
        return  # a folder or file of the user's; it stays as it is
    way = os.path.relpath(folder, outputs)
    temporary = outputs / f".latest-{folder.name}"
    temporary.unlink(missing_ok=True)
    try:
        temporary.symlink_to(way, target_is_directory=True)
    except (OSError, NotImplementedError):
        write_atomically(latest, f"{Path(way).as_posix()}\n{POINTS}\n")
        return
    if os.name == "nt":  # it does not put one link to a folder in place of another
        latest.unlink(missing_ok=True)
    rename(temporary, latest)


def follow(path: Path) -> Path:
    """The path itself; where a part of it is `latest` as a text file, with the folder that it names in its place."""
    for place in (path, *path.parents):
        if place.name == LATEST and (folder := _pointed_to(place)) is not None:
            return folder / path.relative_to(place)
    return path


def _pointed_to(latest: Path) -> Path | None:
    try:
        way, said, *_ = latest.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):  # no file, or not Couloir's
        return None
    return latest.parent / way if said == POINTS else None


def _cannot_be_written(path: Path, error: OSError) -> CouloirError:
    return CouloirError(
        f"The run folder cannot be written: {error.strerror or error}.",
        place=str(error.filename or path),
        next_step="make that path writable, or write to another folder: output_dir=FOLDER",
    )


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="milliseconds")
