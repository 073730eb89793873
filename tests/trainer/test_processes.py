"""Several processes train as one does: the same numbers, one folder, and an end to all of them, however it comes."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from pytorch_lightning import LightningModule, Trainer

import couloir
from couloir.callbacks.stop_on_signal import StopOnSignal
from couloir.cli.main import run as couloir_run
from couloir.config.check import check
from couloir.config.compose import compose_sentence
from couloir.config.world import World, launched
from couloir.errors import CouloirError, Diverged, Interrupted, ProcessLost
from couloir.record.folder import RunFolder
from couloir.record.metrics import TIMES
from couloir.record.predictions import read_predictions
from couloir.record.result import RunResult
from couloir.task.task import Task
from couloir.trainer import processes
from waiting import LONGEST, wait_until

TORCHRUN = str(Path(sys.executable).with_name("torchrun"))
SHARED_ON_CPU = Path(__file__).with_name("shared_on_cpu.py")
TWO = ["trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu"]
ODD = "data.subset=201"
"""Training and test splits of odd size: two processes have uneven parts of their last batches."""


def trained(directory: Path, *words: str) -> RunResult:
    return couloir.train(couloir.compose([*words, f"output_dir={directory}", "trainer.max_epochs=2"]))


def numbers(run: Path) -> list[dict[str, float]]:
    rows = list(csv.DictReader((run / "metrics.csv").open()))
    return [{name: float(value) for name, value in row.items() if name not in TIMES} for row in rows]


def weights(run: Path, name: str = "last") -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(run / f"checkpoints/{name}.ckpt", weights_only=True)["state_dict"]
    return state


def assert_same_training(one: Path, other: Path) -> None:
    assert len(numbers(one)) == len(numbers(other)) == 2
    for row, expected in zip(numbers(one), numbers(other), strict=True):
        # Gradients of weights that are cut into shares are not looked at.
        left_out = {name for name in expected if name not in row}
        assert left_out in (set(), {name for name in expected if name.startswith("gradients/")})
        assert row == pytest.approx({name: expected[name] for name in row}, abs=1e-5, rel=1e-4)
    for name in ("last", "best"):
        state, expected_state = weights(one, name), weights(other, name)
        assert state.keys() == expected_state.keys()
        for key, value in state.items():
            torch.testing.assert_close(value, expected_state[key], atol=1e-5, rtol=0)
    results = [json.loads((run / "result.json").read_text()) for run in (one, other)]
    for clock in ("seconds", "train/samples_per_second"):
        assert all(result.pop(clock) > 0 for result in results)
    assert results[0] == pytest.approx(results[1], abs=1e-5)
    assert (one / "confusion.csv").read_text() == (other / "confusion.csv").read_text()
    predictions = [list(read_predictions(run)) for run in (one, other)]
    for row, expected in zip(*predictions, strict=True):
        text = {name for name in expected if not name.startswith("p(")}
        assert {name: row[name] for name in text} == {name: expected[name] for name in text}
        for name in row.keys() - text:
            assert float(row[name]) == pytest.approx(float(expected[name]), abs=1e-4)
    assert [int(row["sample"]) for row in predictions[0]] == list(range(len(predictions[0])))


def test_two_processes_train_as_one_with_twice_the_batch_and_write_one_folder(tmp_path: Path) -> None:
    words = ["model=convnet", "model.batch_norm=true", "optimizer=momentum", ODD, "averaging=ema", "tta=mirror",
             "trainer.accumulate_grad_batches=2", "trainer.sync_batchnorm=true", "scheduler=one_cycle",
             "data.sampler=balanced", "loss.class_weights=[0.2,1,2,0.5,4,1,1,0.1,3,1]"]  # fmt: skip
    before = dict(os.environ)
    two = trained(tmp_path / "two", *words, "data.batch_size=32", *TWO)
    left = {name for name in World(0, 2, 0, 2).environment("", 0) if os.environ.get(name) != before.get(name)}
    assert not left, "a later run of this process must not think it is a child"
    assert not torch.distributed.is_initialized()
    one = trained(tmp_path / "one", *words, "data.batch_size=64", "trainer=cpu")

    sizes = json.loads((one.dir / "provenance.json").read_text())["data"]["sizes"]
    assert sizes["train"] % 2 == sizes["test"] % 2 == 1, "no last batch would be uneven"
    assert_same_training(two.dir, one.dir)
    assert {path.name for path in two.dir.iterdir()} == {path.name for path in one.dir.iterdir()}
    assert len(list((tmp_path / "two/train").iterdir())) == 1
    assert len(list((two.dir / "tensorboard").iterdir())) == len(list((one.dir / "tensorboard").iterdir()))
    log = (two.dir / "train.log").read_text()
    assert log.count("epoch 1/2") == 1
    assert "in 2 processes, batches of 2 x 32" in log
    assert json.loads((two.dir / "status.json").read_text())["status"] == "completed"


@pytest.mark.slow
def test_torchrun_with_shared_weights_gives_the_same_training_in_one_folder(tmp_path: Path) -> None:
    words = ["model=convnet", "optimizer=momentum", ODD]
    fsdp = ["trainer=fsdp", "trainer.accelerator=cpu", "trainer.min_shard_parameters=1000", "trainer.max_epochs=2"]
    done = subprocess.run(
        [TORCHRUN, "--nproc_per_node=2", str(SHARED_ON_CPU), *words, "data.batch_size=32", *fsdp],
        cwd=tmp_path, capture_output=True, text=True, timeout=LONGEST,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("epoch 1/2") == 1, "one process speaks for all"
    (run,) = (tmp_path / "outputs/train").iterdir()
    one = trained(tmp_path / "one", *words, "data.batch_size=64", "trainer=cpu")
    assert_same_training(run, one.dir)


def test_torchrun_can_start_the_package() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "couloir", "--version"], capture_output=True, text=True, timeout=LONGEST
    )
    assert (done.returncode, done.stdout) == (0, f"couloir {couloir.__version__}\n"), done.stderr


def own_children() -> set[str]:
    """The processes that this one has started and that are there."""
    found = set[str]()
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # a thread that has just ended
            found.update((task / "children").read_text().split())
    return found


@pytest.mark.slow
def test_sigterm_stops_all_processes_after_the_step_with_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    latest = tmp_path / "latest"
    others, children, steps = own_children(), set[str](), []
    step = Task.training_step

    def struck(self: Task, *arguments: Any, **keys: Any) -> Any:
        steps.append(self.global_step)
        if len(steps) == 3:
            children.update(own_children() - others)
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, *arguments, **keys)

    monkeypatch.setattr(Task, "training_step", struck)
    cfg = couloir.compose([*TWO, "model=mlp", ODD, "trainer.max_epochs=2", f"output_dir={tmp_path}"]).cfg
    with pytest.raises(Interrupted) as caught:
        couloir.train(cfg)
    assert steps == [0, 1, 2]
    assert torch.load(latest / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 3
    assert caught.value.exit_code == 143
    status = json.loads((latest / "status.json").read_text())
    assert (status["status"], status["signal"]) == ("interrupted", signal.SIGTERM)
    assert children
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)


def test_a_signal_that_comes_while_the_processes_agree_stops_them_after_the_next_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stop, trainer = StopOnSignal(), Trainer(logger=False, accelerator="cpu")
    stop.on_train_start(trainer, LightningModule())

    def spoken(_mine: int) -> int:
        stop._receive(signal.SIGTERM, None)
        return 0

    monkeypatch.setattr("couloir.callbacks.stop_on_signal.highest", spoken)
    stop.between_steps(trainer, epoch_over=False)
    monkeypatch.setattr("couloir.callbacks.stop_on_signal.highest", lambda mine: mine)
    with pytest.raises(Interrupted):
        stop.between_steps(trainer, epoch_over=False)


def with_loss(directory: Path, name: str) -> DictConfig:
    words = [*TWO, "model=mlp", ODD, "data.batch_size=32", f"output_dir={directory}", "trainer.max_epochs=2"]
    cfg = couloir.compose(words).cfg
    cfg.loss = {"_target_": f"on_one_process.{name}"}
    return cfg


@pytest.mark.slow
def test_all_leave_out_a_step_that_goes_wrong_in_one_and_a_killed_process_ends_the_run_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    cfg = with_loss(tmp_path, "NotANumberThenKilled")
    cfg.on_nan = "skip"
    with pytest.raises(ProcessLost) as caught:
        couloir.train(cfg)
    (first,) = numbers(tmp_path / "latest")
    assert first["train/skipped_steps"] == 1
    assert math.isfinite(first["train/loss"])
    assert all(value.isfinite().all() for value in weights(tmp_path / "latest").values())

    assert "Process 1 of 2 was ended by SIGKILL" in caught.value.fact
    assert "the second process has had enough" in str(caught.value.place)
    status = json.loads((tmp_path / "latest/status.json").read_text())
    assert status["status"] == "failed"
    assert "SIGKILL" in status["error"]
    assert not torch.distributed.is_initialized()


@pytest.mark.slow
def test_a_loss_that_diverges_in_one_process_ends_them_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    with pytest.raises(Diverged, match="became nan at step 3"):
        couloir.train(with_loss(tmp_path, "NotANumber"))
    assert json.loads((tmp_path / "latest/status.json").read_text())["status"] == "diverged"


def test_a_child_ends_when_the_first_process_is_gone() -> None:
    child = subprocess.Popen([sys.executable, "-m", "couloir.run.rank"], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(LONGEST) == 1


def test_a_process_that_waits_in_vain_for_a_lost_one_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    folder = RunFolder.create(tmp_path / "run", tmp_path)
    dies = (sys.executable, "-c", "raise SystemExit('out of memory')")
    children = processes.Children(folder, World(0, 2, 0, 2), port=1, command=dies, patience=0.1)
    children.start()
    wait_until(lambda: ended)
    children.end()
    assert ended[0] == 1
    said = capsys.readouterr().err
    assert "Process 1 of 2 ended with exit code 1" in said
    assert "out of memory" in said
    assert folder.status()["status"] == "failed"


def test_only_the_first_process_of_torchrun_names_a_mistake(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    for rank in (0, 1):
        as_rank(monkeypatch, rank=rank, size=2)
        assert couloir_run(["train", "model=lenet6"]) == 2
        assert "lenet6" in capsys.readouterr().err
        assert bool(slept) == (rank == 1), "torchrun ends it while it waits"


def as_rank(monkeypatch: pytest.MonkeyPatch, rank: int, size: int) -> None:
    for name, value in World(rank, size, rank, size).environment("127.0.0.1", 1).items():
        monkeypatch.setenv(name, value)


def place(*words: str) -> World:
    return processes.place(couloir.compose([*words, "trainer.accelerator=cpu"]).cfg)


def test_the_place_of_a_process_is_what_its_launcher_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert launched() is None
    assert (place().size, place("trainer=ddp", "trainer.devices=3").size, place("trainer.devices=2").size) == (1, 3, 2)
    as_rank(monkeypatch, rank=1, size=2)
    found = place("trainer=ddp")
    assert (found.rank, found.size, found.local_rank, found.leads) == (1, 2, 1, False)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert launched() is None


@pytest.mark.parametrize(
    ("words", "fact", "step"),
    [
        (["trainer=ddp"], "no GPUs for several processes", "trainer.devices=2"),
        (
            ["trainer=ddp", "trainer.devices=2", "trainer.num_nodes=3"],
            "needs torchrun",
            "--nnodes=3 --nproc_per_node=2",
        ),
        (["trainer=ddp", "trainer.devices=two"], "not two", "trainer.devices=2"),
        (["trainer=ddp", "trainer.devices=0"], "not 0", "trainer.devices=2"),
        (["trainer=ddp", "trainer.devices=[]"], "no device", "trainer.devices=1"),
    ],
)
def test_processes_that_cannot_be_are_answered(words: list[str], fact: str, step: str) -> None:
    with pytest.raises(CouloirError) as caught:
        place(*words)
    assert fact in caught.value.fact
    assert step in str(caught.value.next_step)


def test_torchrun_with_a_sentence_for_one_process_says_what_to_add(monkeypatch: pytest.MonkeyPatch) -> None:
    as_rank(monkeypatch, rank=0, size=2)
    with pytest.raises(CouloirError, match="started 2 processes") as caught:
        place()
    assert "trainer=ddp" in str(caught.value.next_step)


def test_a_multirun_under_torchrun_says_how_to_start_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    as_rank(monkeypatch, rank=0, size=2)
    assert couloir_run(["train", "-m", "optimizer=sgd,adam"]) == 2
    assert "without torchrun" in capsys.readouterr().err


def test_more_processes_than_gpus_are_refused_before_any_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "on_gpu", lambda accelerator: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(CouloirError, match="there are 1 GPUs"):
        processes.place(couloir.compose(["trainer=ddp", "trainer.devices=2"]).cfg)
    assert processes.place(couloir.compose(["trainer=ddp"]).cfg).size == 1


@pytest.mark.parametrize(
    "words",
    [
        ["trainer.accelerator=cpu"],
        ["averaging=ema"],
        ["callbacks.signals.every_n_epochs=1"],
        ["optimizer=adamw"],
        ["trainer.gradient_clip_val=1.0"],
    ],
)
def test_shared_weights_and_what_needs_them_whole_do_not_go_together(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("couloir.config.check._check_accelerator", lambda cfg: None)
    sentence = compose_sentence(["trainer=fsdp", *words])
    with pytest.raises(CouloirError, match="fsdp"):
        check(sentence)
