"""A worker process that is gone is said to be gone, and takes nobody with it."""

from __future__ import annotations

import atexit
import json
import multiprocessing
import os
import re
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from torch.utils.data._utils import worker as torch_worker

import couloir
from couloir.config.build import build
from couloir.data.worker_processes import lost_worker, tell_where_it_can_be_told, workers_ended
from couloir.errors import CouloirError, ProcessLost
from photographs import make_photographs, photograph_samples
from victims import alive
from waiting import LONGEST, wait_until


# torch tells of a killed worker by raising wherever the process is just then. Where Python cannot raise (in what it
# calls when an object goes, say) it warns instead, and the run goes on to the next one killed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("data", ["photographs", "digits"])
def test_a_killed_worker_ends_the_run_with_one_sentence_and_leaves_no_process(data: str, tmp_path: Path) -> None:
    words = ["data=digits", "data.subset=200"]
    if data == "photographs":
        root = make_photographs(tmp_path / "photos")
        words = ["data=image_folder", f"data.root={root}", "data.image_size=32", "data.memory_budget=0"]
    words += ["data.workers=2", "data.batch_size=4", "trainer.max_epochs=300", "logger=csv", f"output_dir={tmp_path}"]
    before = {worker.pid for worker in multiprocessing.active_children()}
    killed: list[int] = []

    def kill() -> None:
        last = tmp_path / "latest/checkpoints/last.ckpt"
        while not last.exists() and not over.wait(0.05):
            pass
        # One that has done its part is not missed: workers in memory are new each epoch.
        while not over.wait(0.3):
            for worker in [worker for worker in multiprocessing.active_children() if worker.pid not in before][:1]:
                killed.append(worker.pid or 0)
                os.kill(worker.pid or 0, signal.SIGKILL)

    over = threading.Event()
    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with pytest.raises(ProcessLost) as caught:
            couloir.train(couloir.compose(words))
    finally:
        over.set()
        killer.join()
    assert caught.value.exit_code == 1
    told = re.fullmatch(r"Worker process(?:es)? ([\d, ]+), which reads? the data, .*", caught.value.fact)
    assert told is not None
    assert {int(pid) for pid in told[1].split(", ")} & set(killed), "on a busy machine two are gone before it is told"
    assert "data.workers" in str(caught.value.next_step)
    assert f"couloir resume {(tmp_path / 'latest').resolve()}" in str(caught.value.next_step)
    status = json.loads((tmp_path / "latest/status.json").read_text())
    assert status["status"] == "failed"
    assert status["error"].startswith("ProcessLost: Worker process")
    assert {worker.pid for worker in multiprocessing.active_children()} <= before


def test_a_loss_is_not_told_while_another_worker_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def tell(_number: int, _frame: object) -> None:
        raise RuntimeError("a worker is lost")

    def fork() -> int:
        signal.raise_signal(signal.SIGCHLD)
        return forked()

    forked, before = os.fork, signal.signal(signal.SIGCHLD, tell)
    try:
        tell_where_it_can_be_told()
        handler = signal.getsignal(signal.SIGCHLD)
        tell_where_it_can_be_told()
        assert signal.getsignal(signal.SIGCHLD) is handler, "one is enough"
        with monkeypatch.context() as patch:
            patch.setattr(os, "fork", fork)
            process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(3600,))
            process.start()
        with pytest.raises(RuntimeError, match="a worker is lost"):
            signal.raise_signal(signal.SIGCHLD)
    finally:
        signal.signal(signal.SIGCHLD, before)
        process.kill()
        process.join()


def sentence(said: str) -> ProcessLost:
    lost = lost_worker(RuntimeError(said))
    assert lost is not None
    return lost


def test_what_torch_says_becomes_a_sentence_with_the_likely_cause() -> None:
    lost = sentence("DataLoader worker (pid 71) is killed by signal: Killed. ")
    assert lost.fact == "Worker process 71, which reads the data, was ended by SIGKILL."
    assert "memory" in str(lost.next_step)
    lost = sentence(
        "DataLoader worker (pid 71) is killed by signal: Bus error. It is possible that dataloader's workers are out "
        "of shared memory. Please try to raise your shared memory limit."
    )
    assert "SIGBUS" in lost.fact
    assert "/dev/shm" in str(lost.next_step)
    lost = sentence("DataLoader worker (pid(s) 71, 72) exited unexpectedly")
    assert lost.fact == "Worker processes 71, 72, which read the data, ended unexpectedly."
    lost = sentence("DataLoader worker (pid 71) exited unexpectedly with exit code 1. Details are lost due to ...")
    assert lost.fact == "Worker process 71, which reads the data, ended with exit code 1."
    lost = sentence("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")
    assert "in shared memory" in lost.fact


def test_a_loss_behind_another_error_is_found_and_others_are_left_alone() -> None:
    behind = CouloirError("The file cannot be read.")
    behind.__context__ = RuntimeError("DataLoader worker (pid 71) is killed by signal: Killed. ")
    assert lost_worker(behind) is not None


def test_a_worker_that_dies_while_it_hands_a_batch_over_is_named() -> None:
    class Data:
        ended: bool | None = None

        def worker_processes(self) -> list[Any]:
            return [process]

        def end_workers(self, at_once: bool) -> None:
            self.ended = at_once

    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(3600,))
    process.start()
    process.kill()
    data = Data()
    with pytest.raises(ConnectionResetError) as caught, workers_ended(data):
        raise ConnectionResetError(104, "Connection reset by peer")
    assert str(getattr(lost_worker(caught.value), "fact", "")).startswith(f"Worker process {process.pid}, which reads")
    assert data.ended is True
    assert lost_worker(RuntimeError("out of luck")) is None


ENDS: dict[str, Callable[[], object]] = {
    "the end of a script": atexit._run_exitfuncs,
    "the end of a process that multiprocessing started": lambda: None,
    "os._exit": lambda: os._exit(0),
    **{name: lambda: time.sleep(LONGEST) for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGKILL")},
}


def read_with_workers(photographs: Path | None, ready: Connection, end: str) -> None:
    os.setsid()
    torch_worker.MP_STATUS_CHECK_INTERVAL = 2 * LONGEST  # torch's own look at the parent would come too late
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    if photographs is None:
        samples = build(couloir.compose(["data=digits", "data.workers=2", "data.batch_size=8"]).cfg, "data")
        samples.setup()
    else:
        samples = photograph_samples(photographs, workers=2, batch_size=2)
    batches = iter(samples.train_dataloader())
    kept = [next(batches), next(batches)]  # one of each worker: both are up
    ready.send(len(kept))
    ENDS[end]()


@pytest.fixture(scope="module")
def few_photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photographs(tmp_path_factory.mktemp("photos"), train=16)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize(
    ("end", "photographs"), [*((end, True) for end in ENDS), ("SIGKILL", False), ("the end of a script", False)]
)
def test_workers_end_with_the_process_that_reads_however_it_ends(
    end: str, photographs: bool, few_photographs: Path
) -> None:
    forks = multiprocessing.get_context("fork")
    ready, theirs = forks.Pipe(duplex=False)
    reader = forks.Process(target=read_with_workers, args=(few_photographs if photographs else None, theirs, end))
    reader.start()
    theirs.close()
    assert reader.pid is not None
    ready.recv()
    if end.startswith("SIG"):
        assert len(alive([reader.pid])) >= 3, "it has two workers"
        os.kill(reader.pid, getattr(signal, end))
    reader.join()
    wait_until(lambda: not alive([reader.pid]))
    assert not list(Path("/dev/shm").glob(f"*_{reader.pid}_*"))


@pytest.mark.parametrize("number", ["SIGUSR1", "SIGUSR2"])
def test_workers_leave_it_to_the_run_what_the_warning_of_a_cluster_means(number: str, few_photographs: Path) -> None:
    if not hasattr(signal, number):
        pytest.skip("no such signal")
    samples = photograph_samples(few_photographs, workers=1, batch_size=2)
    batches = iter(samples.train_dataloader())
    seen = [next(batches)]
    for worker in samples.worker_processes():
        os.kill(worker.pid, getattr(signal, number))
    seen += list(batches)
    assert len(seen) == 8
    samples.teardown("fit")
