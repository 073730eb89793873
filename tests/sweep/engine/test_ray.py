"""Sweeps on Ray: a local cluster of two workers."""

from __future__ import annotations

import csv
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from couloir.cli.main import run
from couloir.errors import CouloirError
from couloir.sweep.job import Job

pytestmark = pytest.mark.slow  # a cluster of its own takes ten seconds to start and to end
pytest.importorskip("ray", reason="Ray is not installed: pip install 'couloir[ray]'")

TINY = ["data=moons", "model=mlp", "data.subset=40", "trainer.max_epochs=1", "logger=csv"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a cluster with two CPUs."""
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    yield made.address
    ray.shutdown()
    made.shutdown()


def test_a_sweep_goes_over_the_workers_of_a_cluster(
    cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["hydra/launcher=ray", f"hydra.launcher.address='{cluster}'", *TINY, "optimizer.lr=0.1,0.01"]
    assert run(["train", "-m", *words]) == 0
    with next(tmp_path.glob("outputs/sweep/*/sweep.csv")).open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["state"], row["optimizer.lr"]) for row in rows] == [("completed", "0.1"), ("completed", "0.01")]
    told = capfd.readouterr()
    assert "ray" not in (told.out + told.err).lower().replace("hydra/launcher=ray", "").replace(str(tmp_path), "")


def job(folder: Path, number: int, words: list[str]) -> Job:
    return Job(number, 0, words, str(folder / str(number)), str(folder), ["train", "-m"])


def test_a_stopped_run_saves_its_state_and_a_killed_worker_is_known(cluster: str, tmp_path: Path) -> None:
    from couloir.sweep.engine.ray import Cluster

    engine = Cluster(None, cluster, 1, 0)
    try:
        assert engine.free == 2
        words = ["data=moons", "model=mlp", "data.subset=40", "logger=csv", "trainer.max_epochs=100000"]
        jobs = [job(tmp_path, 0, words), job(tmp_path, 1, words)]
        engine.start(jobs)
        assert engine.free == 0
        deadline = time.monotonic() + 900
        while not all((todo.path / "checkpoints/last.ckpt").exists() for todo in jobs):
            assert engine.ended(0.1) == []
            assert time.monotonic() < deadline
        os.kill(worker_of(jobs[1]), signal.SIGKILL)
        assert until(engine) == {1: None}
        engine.stop(signal.SIGINT)
        assert until(engine) == {0: 130}
        assert json.loads((jobs[0].path / "status.json").read_text())["status"] == "interrupted"
    finally:
        engine.close()


def worker_of(todo: Job) -> int:
    """The process that waits for the process of a run."""
    trial = json.loads((todo.path / "run.lock").read_text())["pid"]
    fields = Path(f"/proc/{trial}/stat").read_text().rpartition(")")[2].split()
    return int(fields[1])


def until(engine: object) -> dict[int, int | None]:
    deadline = time.monotonic() + 900
    while not (ended := engine.ended(0.5)):  # type: ignore[attr-defined]
        assert time.monotonic() < deadline
    return {todo.number: code for todo, code in ended}


@pytest.mark.parametrize(
    ("cpus", "gpus", "fact"), [(64, 0, "too few"), (1, 1, "too few"), (0, 0, "num_cpus"), (1, -1, "num_gpus")]
)
def test_a_cluster_that_is_too_small_for_a_run_is_a_sentence(cluster: str, cpus: int, gpus: int, fact: str) -> None:
    from couloir.sweep.engine.ray import Cluster

    with pytest.raises(CouloirError, match=fact):
        Cluster(None, cluster, cpus, gpus)
