"""A run that was stopped goes on as if it had never stopped."""

from __future__ import annotations

import csv
import json
import os
import signal
from pathlib import Path

import pytest
import torch

import couloir
from couloir.cli.main import run as couloir_main
from couloir.errors import CouloirError
from couloir.record.folder import RunFolder
from faults import places
from interruption import assert_same, rows, stopped
from repeats import few
from victims import Victims

WORDS = ["data.subset=120", "data.batch_size=16", "trainer.max_epochs=3", "trainer.threads=1"]
STEPS = 7
"""Of an epoch: 102 samples."""


def resume(run: Path, *overrides: str) -> int:
    """`couloir resume RUN OVERRIDES`."""
    return couloir_main(["resume", str(run), *overrides])


PLACES = {
    "trainer.val_check_interval=3 trainer.max_steps=17 scheduler=plateau scheduler.patience=0": [
        ("val", 2),
        ("train", 9),
    ],
    "augmentation=mixup averaging=ema scheduler=plateau scheduler.patience=1 data.sampler=balanced "
    "loss.class_weights=balanced": [("train", 10), ("val", 2)],
    "averaging=swa scheduler=one_cycle optimizer=sgd": [("train", STEPS), ("val", 3)],
    "optimizer=sdlm callbacks.checkpoint.every_n_steps=3": [("train", 4), ("test", 2)],
    "optimizer=nesterov momentum_schedule=linear averaging=polyak trainer.short_steps=false": [("train", 11)],
    "trainer.accumulate_grad_batches=3 trainer.check_val_every_n_epoch=2 callbacks.early_stopping.patience=1": [
        ("train", 4),
        ("val", 1),
    ],
    "trainer.limit_train_batches=5 callbacks.signals.every_n_epochs=1 augmentation=shift": [("train", 5), ("train", 6)],
    "callbacks.stop_at.monitor=train/loss callbacks.stop_at.threshold=9": [("test", 1)],
    "data=moons data.workers=2": [("train", 9)],
}
"""Words, and the batches in which a signal strikes."""


@pytest.mark.parametrize(("words", "places"), few(PLACES.items(), 2))
def test_a_stopped_run_goes_on_to_the_bit(
    words: str, places: list[tuple[str, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sentence = [*WORDS, *words.split(), f"output_dir={tmp_path}"]
    whole = couloir.train(couloir.compose(sentence)).dir
    for where, number in places:
        run = stopped(sentence, where, number, monkeypatch)
        assert json.loads((run / "status.json").read_text())["status"] == "interrupted"
        assert resume(run) == 0
        assert_same(run, whole)
        assert json.loads((run / "status.json").read_text())["status"] == "completed"
        assert not (run / "run.lock").exists()


def test_a_finished_run_says_so_and_can_be_trained_longer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*WORDS, f"output_dir={tmp_path}"]
    run = couloir.train(couloir.compose([*words, "trainer.max_epochs=2"])).dir
    before = (run / "checkpoints/last.ckpt").stat().st_mtime_ns
    assert resume(run) == 0
    assert "is finished" in capsys.readouterr().out
    assert (run / "checkpoints/last.ckpt").stat().st_mtime_ns == before
    assert resume(run, "trainer.max_epochs=3") == 0
    assert "changed: trainer.max_epochs=3" in capsys.readouterr().out
    assert rows(run) == rows(couloir.train(couloir.compose(words)).dir)
    resumed = json.loads((run / "provenance.json").read_text())["resumed"]
    assert [entry["overrides"] for entry in resumed] == [["trainer.max_epochs=3"]]
    assert "max_epochs: 3" in (run / "config.yaml").read_text()
    assert resume(run, "trainer.max_epochs=1") == 2


def test_a_run_that_early_stopping_has_ended_goes_on_where_more_is_asked_for(tmp_path: Path) -> None:
    words = [*WORDS, "callbacks.stop_at.monitor=train/loss", "callbacks.stop_at.threshold=9"]
    run = couloir.train(couloir.compose([*words, f"output_dir={tmp_path}"])).dir
    assert len(rows(run)) == 1
    assert resume(run, "callbacks.stop_at.threshold=0.001") == 0
    assert len(rows(run)) == 3


def test_a_run_goes_on_with_another_rate_and_its_schedule_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*WORDS, f"output_dir={tmp_path}", "scheduler=step", "scheduler.step_size=2", "scheduler.gamma=0.5"]
    run = stopped([*words, "optimizer.lr=0.008"], "train", STEPS, monkeypatch)
    assert resume(run, "optimizer.lr=0.002") == 0
    rates = [float(row["lr"]) for row in csv.DictReader((run / "metrics.csv").open())]
    assert rates == pytest.approx([0.008, 0.002, 0.001])


def test_a_damaged_checkpoint_is_reported_and_the_previous_one_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*WORDS, f"output_dir={tmp_path}"]
    whole = couloir.train(couloir.compose(words)).dir
    run = stopped(words, "train", 2 * STEPS + 2, monkeypatch)
    last, previous = (run / f"checkpoints/{name}.ckpt" for name in ("last", "previous"))
    damaged = bytearray(last.read_bytes())
    damaged[len(damaged) // 3] ^= 1
    last.write_bytes(damaged)
    assert resume(run) == 0
    assert "last.ckpt is damaged" in capsys.readouterr().out
    assert_same(run, whole)

    run = stopped(words, "train", STEPS + 1, monkeypatch)
    for name in ("last", "previous"):
        file = run / f"checkpoints/{name}.ckpt"
        file.write_bytes(file.read_bytes()[:-7])
    assert resume(run) == 2
    assert "no intact checkpoint" in capsys.readouterr().err
    assert previous.exists()


@pytest.mark.slow
def test_a_run_that_saved_nothing_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [*WORDS, f"output_dir={tmp_path}"]
    run = stopped(words, "train", 3, monkeypatch)
    for file in (run / "checkpoints").iterdir():
        file.unlink()
    assert resume(run) == 0
    assert_same(run, couloir.train(couloir.compose(words)).dir)


def test_other_data_than_before_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "table.csv"
    lines = [f"{index % 7},{index % 3},{index % 2}" for index in range(60)]
    table.write_text("\n".join(["a,b,y", *lines]) + "\n")
    words = [
        "data=csv",
        f"data.path={table}",
        "data.target=y",
        "trainer.max_epochs=3",
        f"output_dir={tmp_path / 'out'}",
    ]
    run = stopped(words, "train", 1, monkeypatch)
    table.write_text("\n".join(["a,b,y", "5,2,1", *lines[1:]]) + "\n")
    assert resume(run) == 2
    assert "has changed: fingerprint" in capsys.readouterr().err
    assert json.loads((run / "status.json").read_text())["status"] == "interrupted", "it is what it was"


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped, and that no test may touch."""
    with pytest.MonkeyPatch.context() as patch:
        return stopped([*WORDS, f"output_dir={tmp_path_factory.mktemp('waiting')}"], "train", 3, patch)


@pytest.mark.parametrize(
    ("override", "fragment"),
    [
        ("model=mlp", "cannot change"),
        ("seed=3", "cannot change"),
        ("optimizer.lrr=1", "no key"),
        ("trainer.max_epochs=many", "trainer.max_epochs takes an integer"),
        ("optimizer.lr=-1", "optimizer.lr takes a number > 0"),
    ],
)
def test_changes_that_make_no_sense_are_refused_before_anything_is_touched(
    override: str, fragment: str, waiting: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {file: file.stat().st_mtime_ns for file in waiting.rglob("*") if file.is_file()}
    assert resume(waiting, override) == 2
    assert fragment in capsys.readouterr().err
    assert {file: file.stat().st_mtime_ns for file in waiting.rglob("*") if file.is_file()} == before


def test_the_same_words_go_on_by_themselves_where_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = [*WORDS, "auto_resume=true"]
    first = stopped(words, "train", 4, monkeypatch)
    other = stopped([*words, "seed=1"], "train", 4, monkeypatch)
    assert couloir_main(["train", *words]) == 0
    statuses = [json.loads((run / "status.json").read_text())["status"] for run in (first, other)]
    assert statuses == ["completed", "interrupted"]
    assert couloir_main(["train", *words]) == 0, "what is finished is not gone on with"
    assert len(list((tmp_path / "outputs/train").iterdir())) == 3


@pytest.mark.parametrize("words", [[], ["one", "two"], ["nowhere"]])
def test_one_run_is_named(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert couloir_main(["resume", *words]) == 2


def test_a_living_run_is_refused_and_a_clusters_warning_stops_it(tmp_path: Path, victims: Victims) -> None:
    victim = victims.start(["train"], tmp_path, places.STEP, 2)
    assert victim.reached
    run = (tmp_path / "outputs/latest").resolve()
    with pytest.raises(CouloirError, match=f"process {victim.group} "):
        RunFolder.reopen(run)
    ended = victim.finish(signal.SIGUSR1, held=True)
    assert ended.code == 143, "it is taken as SIGTERM"
    assert f"couloir resume {os.path.relpath(run, tmp_path)}" in ended.output
    assert torch.load(run / "checkpoints/last.ckpt", weights_only=True)["global_step"] > 0
