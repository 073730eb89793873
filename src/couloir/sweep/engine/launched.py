"""Runs that a launcher of Hydra's, such as joblib's or submitit's, or Ray brings to where they are trained."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from couloir.record.lock import is_alive
from couloir.sweep.engine.leash import place, pulled
from couloir.sweep.job import FILE, Job, asked_to_stop, write_ended

LOOKS = 0.5
"""Seconds between two looks at whether a run is to end."""


def run_alone(folder: Path, overrides: list[str]) -> int:
    """Train a run in a process of its own, and wait for it; called in a launcher's worker, on whatever machine.

    Where this process is told to end, by SLURM before a requeue say, the run saves its state, and nothing says that it
    has ended: it goes on here or elsewhere.

    Args:
        folder: of the run; a job that the sweep has written there is what is done.
        overrides: its sentence, where there is no such job.

    Returns:
        the exit code of that process: minus the signal that killed it.
    """
    if not (folder / FILE).is_file():
        Job(0, 0, overrides, str(folder), os.getcwd(), ["train", "-m"]).write()  # noqa: PTH109
    job = Job.read(folder)
    leash = None if job.leash is None else Path(job.leash)
    if leash is not None and threading.current_thread() is threading.main_thread():
        # Ctrl-C in a terminal is the sweep's to hear. An ignored signal would be ignored by the run as well.
        signal.signal(signal.SIGINT, lambda *_: None)
    while is_alive(folder) and not _told(
        folder, leash
    ):  # it was handed over twice: the sweep was stopped, and taken up again
        time.sleep(LOOKS)
    code = _code_of(folder, leash)
    write_ended(folder, code)
    return code


def _code_of(folder: Path, leash: Path | None) -> int:
    told = _told(folder, leash)
    if told is not None:
        return 128 + told
    with place(leash) as environment:
        # Its standard input ends with this process, and so does the run. A terminal's signals do not reach its group.
        trial = subprocess.Popen(
            [sys.executable, "-m", "couloir.sweep.trial", str(folder)],
            stdin=subprocess.PIPE,
            env={**os.environ, **environment},
            process_group=0,
        )
        with trial:
            try:
                while True:
                    try:
                        code = trial.wait(LOOKS)
                        break
                    except subprocess.TimeoutExpired:
                        if told is None and (told := _told(folder, leash)) is not None:
                            trial.send_signal(told)
            except BaseException:
                trial.send_signal(signal.SIGTERM)
                trial.wait()
                raise
    return 128 + told if told is not None and code == -told else code


def _told(folder: Path, leash: Path | None) -> int | None:
    return asked_to_stop(folder) if leash is None else pulled(leash)
