"""The folder of a run as the sweep and the process that trains it speak through it, on whatever engine and machine:
`trial.json` says what to train, `.stop` by which signals to end, `ended.json` with which exit code the process has
ended, `console.log` what it printed.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from couloir.record.files import as_json, read_json, write_atomically
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
        place: of its seed and fold among those of the trial.
        overrides: its sentence.
        folder: its run folder.
        directory: the working directory of the sweep, whose modules and `./conf` it needs.
        command: the sweep's command line, for the record.
        report: where it tells its metric; None without a pruner.
        environment: variables that it gets besides.
        sweep_lock: a folder of this machine that the sweep locks as long as it lives: a launcher's worker ends the run
            when the lock is gone; None: the run outlives the sweep, or is told by its engine.
        slots: for each of the runs that go on at a time on that lock, the variables that only one of them may have.
    """

    number: int
    place: int
    overrides: list[str]
    folder: str
    directory: str
    command: list[str]
    report: Report | None = None
    environment: dict[str, str] = field(default_factory=dict)
    sweep_lock: str | None = None
    slots: list[dict[str, str]] = field(default_factory=list)

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
    with suppress(OSError):  # a full disk: the run counts as one whose end nobody knows
        write_atomically(folder / ENDED, as_json({"code": code}, indent=None))


def read_ended(folder: Path) -> int | None:
    """The code with which a job's process has ended; None as long as nobody has said so."""
    code = read_json(folder / ENDED, strict=False).get("code")
    return code if isinstance(code, int) else None


def ask_to_stop(folder: Path, number: int) -> None:
    """Have the run of a folder save its state and end; asked twice, it gets the signal twice.

    Args:
        folder: of the run.
        number: the signal that its process sends itself.
    """
    with (folder / STOP).open("a", encoding="ascii") as stream:
        stream.write(f"{int(number)}\n")


def asked_to_stop(folder: Path) -> list[int]:
    """The signals that a run has been asked to send itself since its job was written."""
    try:
        return [int(line) for line in (folder / STOP).read_text(encoding="ascii").split("\n")[:-1]]
    except (OSError, ValueError):
        return []
