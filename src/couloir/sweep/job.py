"""One run of a trial, as it is handed from the sweep to the process that trains it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from couloir.record.files import write_atomically
from couloir.record.find import TRIAL_FILE

FILE = TRIAL_FILE
ENDED = "ended.json"
STOP = ".stop"
CONSOLE = "console.log"
"""What the process of a run prints, from its first word on."""


@dataclass(frozen=True)
class Report:
    """Where a run tells its metric after each epoch, and who decides whether it goes on.

    Attributes:
        storage: as `couloir.sweep.storage.open_storage` takes it.
        study: the study's name.
        trial_id: the trial's number in the storage.
        monitor: the column that is told, such as `val/accuracy`.
        pruner: the node of the configuration.
    """

    storage: str
    study: str
    trial_id: int
    monitor: str
    pruner: dict[str, Any]


@dataclass(frozen=True)
class Job:
    """A run that is to be trained.

    Attributes:
        number: of its trial.
        place: of its seed among those of the trial.
        overrides: its sentence.
        folder: its run folder.
        directory: the working directory of the sweep, whose modules and `./conf` it needs.
        command: the sweep's command line, for the record.
        report: where it tells its metric; None without a pruner.
        environment: variables that it gets besides.
        leash: the folder of `couloir.sweep.engine.leash`, where the run ends with the sweep; None: it outlives it.
    """

    number: int
    place: int
    overrides: list[str]
    folder: str
    directory: str
    command: list[str]
    report: Report | None = None
    environment: dict[str, str] = field(default_factory=dict)
    leash: str | None = None

    @property
    def path(self) -> Path:
        """Its run folder."""
        return Path(self.folder)

    def write(self) -> Path:
        """Write it into its folder, from where a process on any machine that shares the disk can read it."""
        self.path.mkdir(parents=True, exist_ok=True)
        for name in (ENDED, STOP):
            (self.path / name).unlink(missing_ok=True)
        write_atomically(self.path / FILE, json.dumps(asdict(self), indent=2) + "\n")
        return self.path / FILE

    @classmethod
    def read(cls, folder: Path) -> Job:
        """The job of a folder."""
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        report = content.pop("report")
        return cls(**content, report=None if report is None else Report(**report))


def write_ended(folder: Path, code: int) -> None:
    """Say that the process of a job has ended, and with which code (minus the signal that killed it)."""
    write_atomically(folder / ENDED, json.dumps({"code": code}) + "\n")


def read_ended(folder: Path) -> int | None:
    """The code with which a job's process has ended; None as long as nobody has said so."""
    try:
        return int(json.loads((folder / ENDED).read_text(encoding="utf-8"))["code"])
    except (FileNotFoundError, ValueError, KeyError):
        return None


def ask_to_stop(folder: Path, number: int) -> None:
    """Have the run of a folder, on whatever machine that shares the disk, save its state and end.

    Args:
        folder: of the run.
        number: the signal that it is sent there.
    """
    write_atomically(folder / STOP, f"{number}\n")


def asked_to_stop(folder: Path) -> int | None:
    """The signal that a run is to be sent; None as long as nobody has asked."""
    try:
        return int((folder / STOP).read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return None
