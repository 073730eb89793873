"""Sweeps through Hydra's launchers: joblib, and submitit on its local executor, which goes the way of SLURM."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from couloir.cli.main import run
from couloir.config.tree import packaged_conf
from couloir.errors import LauncherFailed
from couloir.sweep.engine import launcher as launching
from couloir.sweep.engine.choice import JOBLIB, MANY, RAY, SLURM, SUBMITIT_LOCAL, at_a_time, batch_size, threads_each
from couloir.sweep.engine.launcher import Launched, SweepLock, run_alone
from couloir.sweep.job import Job, ask_to_stop, write_ended

TINY = ["data=moons", "data.subset=40", "trainer.max_epochs=1", "logger=csv"]


def rows(folder: Path) -> list[dict[str, str]]:
    with next(folder.glob("outputs/sweep/*/sweep.csv")).open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's own folder, with a model that only it knows."""
    (tmp_path / "conf/model").mkdir(parents=True)
    (tmp_path / "conf/model/mynet.yaml").write_text("# Mine.\n_target_: mymodule.MyNet\nwidth: 4\n")
    (tmp_path / "mymodule.py").write_text(
        "from torch import nn\n\ndef MyNet(width):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(2, width), nn.ReLU(), nn.Linear(width, 2))\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "module"),
    [("joblib", "hydra_plugins.hydra_joblib_launcher"), ("submitit_local", "hydra_plugins.hydra_submitit_launcher")],
)
def test_a_sweep_goes_through_a_launcher_with_the_users_own_parts(
    launcher: str, module: str, project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip(module, reason=f"the package for hydra/launcher={launcher} is not installed")
    words = [f"hydra/launcher={launcher}", "sweep.workers=2", "model=mynet", *TINY, "model.width=4,frog"]
    assert run(["train", "-m", *words]) == 2, "the code of the run that failed"
    good, bad = rows(project)
    assert (good["state"], good["model.width"], bad["state"]) == ("completed", "4", "failed")
    assert float(good["best/loss"]) > 0
    folder = next(project.glob("outputs/sweep/*"))
    assert OmegaConf.load(folder / "0/config.yaml").trainer.threads == max(1, len(os.sched_getaffinity(0)) // 2)
    told = capfd.readouterr()
    assert "Traceback" not in told.out + told.err
    if launcher == "joblib":
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor().shutdown()  # joblib keeps its workers for the next call


def job(folder: Path, number: int, **more: object) -> Job:
    return Job(number, 0, [], str(folder / str(number)), str(folder), ["train", "-m"], **more)  # type: ignore[arg-type]


class Scripted:
    """A launcher whose runs do what they are told.

    Args:
        act: called with the folders of a batch.
    """

    def __init__(self, act: object) -> None:
        self.act = act
        self.batches: list[list[Path]] = []

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> None:
        folders = []
        for words in job_overrides:
            named = dict(word.split("=", 1) for word in words)
            folders.append(Path(named["hydra.sweep.dir"].strip("'\"")) / named["hydra.sweep.subdir"].strip("'\""))
        assert initial_job_idx == sum(map(len, self.batches))
        self.batches.append(folders)
        self.act(folders)  # type: ignore[operator]


def begin(folder: Path) -> None:
    (folder / "console.log").write_text("torch\n")


def until(engine: Launched, number: int) -> dict[int, int | None]:
    ended: dict[int, int | None] = {}
    deadline = time.monotonic() + 900
    while len(ended) < number:
        assert time.monotonic() < deadline
        ended.update({done.number: code for done, code in engine.ended(0.1)})
    return ended


def test_a_run_is_known_to_be_over_before_its_batch_is(tmp_path: Path) -> None:
    go_on = tmp_path / "go"

    def act(folders: list[Path]) -> None:
        begin(folders[0])
        write_ended(folders[0], 0)
        while not go_on.exists():
            time.sleep(0.01)
        write_ended(folders[1], 3)

    engine = Launched(Scripted(act), tmp_path, 5, None)
    assert engine.free == 5
    engine.start([job(tmp_path, 0), job(tmp_path, 1)])
    assert until(engine, 1) == {0: 0}
    assert engine.free == 0, "the launcher is still at work"
    go_on.touch()
    assert until(engine, 1) == {1: 3}
    assert engine.ended(0) == []
    assert engine.free == 5


def test_a_launcher_that_begins_nothing_ends_the_sweep_with_a_sentence(tmp_path: Path) -> None:
    def act(folders: list[Path]) -> None:
        raise RuntimeError("Could not detect srun\nare you on a cluster?")

    engine = Launched(Scripted(act), tmp_path, 5, None)
    engine.start([job(tmp_path, 0)])
    with pytest.raises(LauncherFailed, match=r"(?s)Could not detect srun.*couloir resume") as failed:
        until(engine, 1)
    assert failed.value.exit_code == 1
    assert Job.read(tmp_path / "0") == job(tmp_path, 0), "what was to be done is still there"


def test_a_worker_that_dies_takes_only_its_own_run_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "LONG", 0.2)

    def act(folders: list[Path]) -> None:
        if len(folders) == 3:
            begin(folders[0])
            begin(folders[1])
            write_ended(folders[0], 0)
            raise RuntimeError("a worker was killed")
        begin(folders[0])
        write_ended(folders[0], 0)

    launcher = Scripted(act)
    engine = Launched(launcher, tmp_path, 5, None)
    engine.start([job(tmp_path, number) for number in range(3)])
    assert until(engine, 3) == {0: 0, 1: None, 2: 0}
    assert launcher.batches[1] == [tmp_path / "2"], "what had not begun was handed over again"


def test_what_waits_in_a_queue_is_left_there_when_the_sweep_is_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    go_on = tmp_path / "go"

    def act(folders: list[Path]) -> None:
        while not go_on.exists():
            time.sleep(0.01)

    engine = Launched(Scripted(act), tmp_path, 5, None)
    engine.start([job(tmp_path, 0)])
    engine.stop(signal.SIGINT)
    assert until(engine, 1) == {0: 130}
    engine.close()
    go_on.touch()
    assert "scancel" in capsys.readouterr().out


def test_no_two_runs_have_the_same_gpu_and_all_end_with_the_sweep(tmp_path: Path) -> None:
    lock = SweepLock([{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"}])
    todo = [job(tmp_path, number, sweep_lock=str(lock.folder), slots=lock.slots) for number in range(3)]
    for each in todo:
        each.write()
    program = (
        "import sys, pathlib; from couloir.sweep.job import Job\n"
        "from couloir.sweep.engine.launcher import _asked, _slot\n"
        "job = Job.read(pathlib.Path(sys.argv[1]))\n"
        "with _slot(job) as mine:\n"
        "    print(mine.get('CUDA_VISIBLE_DEVICES'), _asked(job), flush=True); sys.stdin.read()\n"
        "    print(_asked(job), flush=True)\n"
    )
    holders = [
        subprocess.Popen([sys.executable, "-c", program, each.folder], stdin=-1, stdout=-1, text=True)
        for each in todo[:2]
    ]
    assert sorted(str(holder.stdout and holder.stdout.readline()) for holder in holders) == ["0 []\n", "1 []\n"]
    ask_to_stop(todo[0].path, signal.SIGINT)
    assert holders[0].communicate()[0] == f"[{int(signal.SIGINT)}]\n"
    lock.release()
    assert holders[1].communicate()[0] == f"[{int(signal.SIGTERM)}]\n", "also where the sweep was killed"
    handler = signal.getsignal(signal.SIGINT)
    try:
        assert run_alone(todo[2].path, []) == 143, "a run that has not begun does not begin"
    finally:
        signal.signal(signal.SIGINT, handler)
    assert json.loads((todo[2].path / "ended.json").read_text()) == {"code": 143}
    assert not (todo[2].path / "console.log").exists()


@pytest.mark.slow
def test_ctrl_c_saves_the_runs_of_joblib_and_says_how_to_go_on(project: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="the package for joblib is not installed")
    words = [
        "hydra/launcher=joblib", "sweep.workers=2", "model=mynet", *TINY, "trainer.max_epochs=100000",
        "optimizer.lr=0.1,0.2,0.3",
    ]  # fmt: skip
    sweep = subprocess.Popen(
        [str(Path(sys.executable).with_name("train")), "-m", *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 900
        while len(list(project.glob("outputs/sweep/*/[01]/checkpoints/last.ckpt"))) < 2:
            assert sweep.poll() is None, sweep.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        os.killpg(sweep.pid, signal.SIGINT)  # as a terminal does
        told = sweep.communicate(timeout=900)[0]
    finally:
        if sweep.poll() is None:
            os.killpg(sweep.pid, signal.SIGKILL)
    assert sweep.returncode == 130, told
    assert "couloir resume" in told
    assert "Traceback" not in told
    folder = next(project.glob("outputs/sweep/*"))
    for number in range(2):
        assert json.loads((folder / f"{number}/status.json").read_text())["status"] == "interrupted"
    assert not (folder / "2/config.yaml").exists()


def test_threads_are_shared_among_the_runs_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("couloir.sweep.engine.choice.cores", lambda: 8)

    def node(target: str, **more: object) -> object:
        return OmegaConf.create({"_target_": target, **more})

    assert at_a_time(node(JOBLIB, n_jobs=-1), None) == 8
    assert at_a_time(node(JOBLIB, n_jobs=-2), None) == 7
    assert at_a_time(node(JOBLIB, n_jobs=4), 2) == 2
    assert threads_each(node(JOBLIB, n_jobs=4), None) == 2
    assert threads_each(node(SUBMITIT_LOCAL, cpus_per_task=4), None) == 4
    assert threads_each(node(SLURM, cpus_per_task=4), 8) is None, "SLURM binds a run to its cores"
    assert threads_each(node(RAY, num_cpus=3), None) == 3


@pytest.mark.parametrize(
    ("sampler", "target", "max_failures", "size"),
    [
        ("grid", SLURM, None, MANY), ("random", SLURM, None, MANY), ("random", JOBLIB, None, MANY),
        ("random", SLURM, 3, 10), ("tpe", SLURM, None, 10), ("random", SUBMITIT_LOCAL, None, 8),
    ],
)  # fmt: skip
def test_what_learns_nothing_is_handed_over_at_once(
    sampler: str, target: str, max_failures: int | None, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("couloir.sweep.engine.choice.cores", lambda: 8)
    node = OmegaConf.load(packaged_conf() / f"sweep/{sampler}.yaml").sampler
    settings = SimpleNamespace(sampler=OmegaConf.to_container(node), max_failures=max_failures, workers=None)
    launcher = OmegaConf.create({"_target_": target, "n_jobs": -1})
    assert batch_size(launcher, settings) == size  # type: ignore[arg-type]
