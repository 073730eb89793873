"""The process of a trial: what is done in it, from the sentence to the last file. This module imports torch.

Importing it is what takes a fresh `train` its first seconds, so that one process imports it and is forked for each
trial; it has trained nothing by then and has no threads, and its children are what a fresh interpreter would be.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path

import hydra.utils
import pytorch_lightning.loggers  # noqa: F401  this and what follows is used in every run, and imported late there
import sklearn.datasets  # noqa: F401
import torch.utils.tensorboard  # noqa: F401
from optuna import Trial, load_study
from optuna.samplers import RandomSampler
from pytorch_lightning import Callback

import couloir.data.images
import couloir.data.table
import couloir.inference.evaluation
import couloir.run.conclusion  # noqa: F401
from couloir.callbacks.pruning import Pruning
from couloir.compare.resume import go_on, unfinished
from couloir.config.check import checked
from couloir.config.compose import prepare_hydra
from couloir.data.worker_processes import lost_worker
from couloir.errors import CouloirError, Interrupted, Pruned, is_shortage, out_of_memory
from couloir.machine import hear_no_terminal, leave, signal_this_process
from couloir.record.folder import RunFolder
from couloir.record.lock import is_alive
from couloir.record.provenance import packages
from couloir.run.train import train_sentence
from couloir.sweep.job import CONSOLE, Job, Report, asked_to_stop
from couloir.sweep.storage import open_storage

packages()  # once, for all trials
OVER = ("completed", "pruned", "diverged")
"""States of a run that there is nothing left to do for."""
PATIENCE = 600.0
"""Seconds that a run waits for the process that was at work on it before."""
LOOKS, LOCAL_LOOKS = 0.5, 0.02
"""Seconds between two looks at whether the run is asked to stop: on a shared disk, and beside the sweep."""


def serve(connection: Connection, once: bool) -> None:
    """The life of a process that the sweep has started: take folders of jobs, and send back each one's exit code.

    Args:
        connection: the sweep's end is closed when the sweep is over, or killed.
        once: leave after the first job, by its code.
    """
    hear_no_terminal()  # the sweep does, and tells its trials
    parent = parent_process()
    assert parent is not None
    _stop_after(partial(wait, [parent.sentinel]))
    while True:
        try:
            folder = Path(connection.recv())
        except (EOFError, ConnectionResetError):
            return
        if once:
            sys.exit(run(folder, LOCAL_LOOKS))
        connection.send(run(folder, LOCAL_LOOKS))


def _stop_after(starter: Callable[[], object]) -> None:
    """Stop this process, in good order, when a function returns: whoever started it is gone."""

    def watch() -> None:
        starter()
        signal_this_process(signal.SIGTERM)

    threading.Thread(target=watch, daemon=True, name="watch the sweep").start()


@contextmanager
def _stopped_where_asked(folder: Path, looks: float) -> Iterator[None]:
    """Send this process the signals that the run of a folder is asked to end by, as they come."""
    over = threading.Event()

    def watch() -> None:
        sent = 0
        while not over.wait(looks):
            for number in asked_to_stop(folder)[sent:]:
                sent += 1
                signal_this_process(number)

    watcher = threading.Thread(target=watch, daemon=True, name="watch the job")
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def run(folder: Path, looks: float = LOOKS) -> int:
    """Train the job of a folder, or what remains of it; its output goes into the folder.

    Returns:
        the exit code that `train` would have had; 0 also where it was pruned.
    """
    job = Job.read(folder)
    with _output_in(folder / CONSOLE):
        try:
            with _stopped_where_asked(folder, looks):
                _train(job)
        except Pruned:
            return Pruned.exit_code
        except Interrupted as interruption:
            return interruption.exit_code
        except KeyboardInterrupt:
            return 128 + signal.SIGINT
        except CouloirError as error:
            return _failed(job, error, error)
        except Exception as error:  # noqa: BLE001  the process boundary
            traceback.print_exc()
            known = lost_worker(error) or (out_of_memory(error) if is_shortage(error) else None)
            return _failed(job, error, known)
    return 0


def _failed(job: Job, error: Exception, known: CouloirError | None) -> int:
    """Write down why, where the run has not done so itself: its sentence was wrong, say."""
    print(f"error: {known or error}", file=sys.stderr)  # noqa: T201
    folder = RunFolder(job.path)
    if folder.status().get("status", "running") == "running" and not is_alive(job.path):
        folder.write_status("failed", error=f"{type(error).__name__}: {known or error}")
    return 1 if known is None else known.exit_code


def _train(job: Job) -> None:
    os.chdir(job.directory)
    os.environ.update(job.environment)
    if job.directory not in sys.path:
        sys.path.insert(0, job.directory)  # the user's own modules
    prepare_hydra()
    also: list[Callback] = [] if job.report is None else [_pruning(job.report)]
    _wait_for_the_last(job.path)
    if RunFolder(job.path).status().get("status") in OVER:
        return  # its sweep was killed before it heard of it
    if (job.path / "config.yaml").exists():
        allowed = [word for word in job.overrides if word.lstrip("+").startswith("allow_targets=")]
        rest = unfinished(job.path, allowed)
        if rest is not None:
            go_on(rest, job.command, also)
        return
    # What a process that was killed before it wrote anything else has left.
    RunFolder(job.path).status_file.unlink(missing_ok=True)
    sentence = checked(job.overrides)
    train_sentence(sentence, RunFolder.create(job.path, Path(sentence.cfg.output_dir)), job.command, also=also)


def _wait_for_the_last(run: Path) -> None:
    """The process of a sweep that was killed may still be ending its step."""
    until = time.monotonic() + PATIENCE
    while is_alive(run) and time.monotonic() < until:
        time.sleep(0.1)


def _pruning(report: Report) -> Pruning:
    study = load_study(
        study_name=report.study,
        storage=open_storage(report.storage),
        sampler=RandomSampler(),  # nothing is proposed here
        pruner=hydra.utils.instantiate(report.pruner, _convert_="all"),
    )
    return Pruning(report.monitor, partial(_report, Trial(study, report.trial_id)))


def _report(trial: Trial, epoch: int, value: float) -> bool:
    trial.report(value, epoch)
    return trial.should_prune()


@contextmanager
def _output_in(file: Path) -> Iterator[None]:
    """Send what this process and its children print to the end of a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    for output in (sys.stdout, sys.stderr):
        if isinstance(output, io.TextIOWrapper):
            output.reconfigure(encoding="utf-8")  # the file's, whatever a terminal's is here
    kept = os.dup(1), os.dup(2)
    with file.open("ab") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, handle in enumerate(kept, 1):
            os.dup2(handle, number)
            os.close(handle)


def main() -> None:
    """`python -m couloir.sweep.trial FOLDER`: the job of a folder, for a launcher; it ends with its standard input."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # a worker of Ray's blocks some, and its children inherit that

    # sys.stdin would be locked when the interpreter ends.
    _stop_after(lambda: all(iter(partial(os.read, 0, 1024), b"")))
    leave(run(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
