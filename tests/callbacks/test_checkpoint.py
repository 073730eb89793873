"""Checkpoints: the names mean what they say, and a failure in the middle of writing leaves the previous one."""

from __future__ import annotations

import csv
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer

import couloir
from couloir.callbacks.checkpoint import Checkpoint
from couloir.callbacks.early_stopping import early_stopping
from couloir.callbacks.progress import shown_number
from couloir.callbacks.stop_on_signal import StopOnSignal
from couloir.cli.main import run as command
from couloir.errors import Interrupted
from couloir.record.files import rename
from interruption import assert_same, differences, result, rows, state, stopped
from waiting import LONGEST


def load(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(path, weights_only=True)
    return content


def test_last_is_the_last_epoch_and_best_the_best(tmp_path: Path) -> None:
    words = [
        "data=moons",
        "model.hidden=[64,64]",
        "optimizer.lr=0.1",
        "trainer.max_epochs=12",
        f"output_dir={tmp_path}",
    ]
    result = couloir.train(couloir.compose(words))
    rows = list(csv.DictReader((result.dir / "metrics.csv").open()))
    best = min(rows, key=lambda row: float(row["val/loss"]))
    assert load(result.dir / "checkpoints/last.ckpt")["epoch"] == 12
    assert load(result.dir / "checkpoints/best.ckpt")["epoch"] == int(best["epoch"])
    assert load(result.dir / "checkpoints/previous.ckpt")["epoch"] == 11
    assert result.metrics["best/epoch"] == int(best["epoch"])


def test_a_checkpoint_holds_what_is_needed_to_use_it_without_the_run(tmp_path: Path) -> None:
    result = couloir.train(couloir.compose(["trainer=debug", f"output_dir={tmp_path}"]))
    content = load(result.dir / "checkpoints/best.ckpt")
    assert content["hyper_parameters"]["model"]["_target_"] == "couloir.model.lenet.lenet5"
    assert content["Samples"]["mean"] == couloir_mean(result.dir)


def couloir_mean(run: Path) -> list[float]:
    import json

    mean: list[float] = json.loads((run / "provenance.json").read_text())["data"]["mean"]
    return mean


class FakeTrainer:
    """As much of a trainer as the checkpoint asks for; writing fails on demand."""

    lightning_module = None
    is_global_zero = True

    def __init__(self, folder: Path) -> None:
        self.default_root_dir = str(folder)
        self.global_step = 0
        self.fail = False
        self.fit_loop = SimpleNamespace(epoch_loop=None)  # between two epochs
        self.strategy = SimpleNamespace(checkpoint_io=None)
        (folder / "checkpoints").mkdir()

    def save_checkpoint(self, path: Path) -> None:
        path.write_text(f"torn at {self.global_step}" if self.fail else f"state at {self.global_step}")
        if self.fail:
            raise OSError("No space left on device")

    def saved(self) -> list[str]:
        """What the last checkpoint, and the one before, hold."""
        files = [Path(self.default_root_dir) / "checkpoints" / f"{name}.ckpt" for name in ("last", "previous")]
        return [file.read_text().removeprefix("state at ") if file.exists() else "" for file in files]


def test_a_write_that_fails_leaves_the_previous_checkpoint(tmp_path: Path) -> None:
    trainer: Any = FakeTrainer(tmp_path)
    checkpoint = Checkpoint()
    checkpoint.save(trainer)
    trainer.global_step, trainer.fail = 7, True
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(trainer)
    checkpoint.wait()
    assert trainer.saved() == ["0", ""]


def test_a_checkpoint_has_its_name_only_once_it_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free, begun = threading.Event(), threading.Event()

    def slow_disk(_handle: int) -> None:
        begun.set()
        assert free.wait(LONGEST)

    monkeypatch.setattr(os, "fsync", slow_disk)
    trainer: Any = FakeTrainer(tmp_path)
    checkpoint = Checkpoint()
    checkpoint.save(trainer)
    assert begun.wait(LONGEST)
    assert trainer.saved() == ["", ""], "the training goes on while the disk writes"
    free.set()
    checkpoint.wait()
    assert trainer.saved() == ["0", ""]
    trainer.global_step = 1
    checkpoint.save(trainer)
    trainer.global_step = 2
    checkpoint.save(trainer)
    checkpoint.on_train_end(trainer, LightningModule())
    assert trainer.saved() == ["2", "1"], "one after the other"


def test_a_disk_that_fails_behind_the_training_ends_it_with_the_next_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_handle: int) -> None:
        raise OSError("No space left on device")

    trainer: Any = FakeTrainer(tmp_path)
    checkpoint = Checkpoint()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        checkpoint.save(trainer)
        with pytest.raises(OSError, match="No space"):
            checkpoint.save(trainer)
        checkpoint.save(trainer)
        checkpoint.on_exception(trainer, LightningModule(), ValueError("something else"))
    assert "the last checkpoint could not be written: No space" in caplog.text
    assert list((tmp_path / "checkpoints").iterdir()) == [], "nothing that may not be whole has a name"
    checkpoint.save(trainer)
    checkpoint.wait()
    assert trainer.saved() == ["0", ""]


def test_who_stops_a_run_waits_for_its_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda handle: (time.sleep(0.05), flushed.append(handle)))
    trainer: Any = FakeTrainer(tmp_path)
    stop = StopOnSignal()
    stop.checkpoint, stop.received = Checkpoint(), signal.SIGTERM
    for epoch_over in (False, True):
        flushed.clear()
        if epoch_over:
            stop.checkpoint.between_steps(trainer, epoch_over)
        with pytest.raises(Interrupted):
            stop.between_steps(trainer, epoch_over)
        assert len(flushed) == 2, "the file, and the folder with its names"
        trainer.global_step += 1
    assert trainer.saved() == ["1", "0"]


def test_steps_within_an_epoch_are_saved_where_asked_and_the_last_two_are_kept(tmp_path: Path) -> None:
    trainer: Any = FakeTrainer(tmp_path)
    checkpoint = Checkpoint(every_n_steps=3)
    seen = []
    for step in range(1, 8):
        trainer.global_step = step
        checkpoint.between_steps(trainer, epoch_over=False)
        checkpoint.wait()
        seen.append(trainer.saved())
    assert seen == [["", ""]] * 2 + [["3", ""]] * 3 + [["6", "3"]] * 2


def test_minutes_within_an_epoch_are_saved_where_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr("couloir.callbacks.checkpoint.time.monotonic", lambda: clock[0])
    trainer: Any = FakeTrainer(tmp_path)
    checkpoint = Checkpoint(every_n_minutes=0.5)
    seen = []
    for step in range(1, 6):
        trainer.global_step, clock[0] = step, clock[0] + 20
        checkpoint.between_steps(trainer, epoch_over=False)
        checkpoint.wait()
        seen.append(trainer.saved()[0])
    assert seen == ["", "2", "2", "4", "4"]


@pytest.mark.parametrize(
    ("mode", "values", "best"), [("min", [3.0, 1.0, float("nan"), 2.0], 1), ("max", [3.0, 4.0, 4.0, 2.0], 1)]
)
def test_the_best_is_kept_by_value_and_nan_never_wins(
    mode: str, values: list[float], best: int, tmp_path: Path
) -> None:
    trainer: Any = FakeTrainer(tmp_path)
    checkpoint = Checkpoint(monitor="val/x", mode=mode)
    for epoch, value in enumerate(values):
        trainer.current_epoch = trainer.global_step = epoch
        trainer.callback_metrics = {"val/x": torch.tensor(value)}
        checkpoint.on_train_epoch_end(trainer, LightningModule())
        checkpoint.between_steps(trainer, epoch_over=True)
    checkpoint.wait()
    assert (tmp_path / "checkpoints/best.ckpt").read_text() == f"state at {best}"
    assert (tmp_path / "checkpoints/last.ckpt").read_text() == f"state at {len(values) - 1}"
    resumed = Checkpoint(monitor="val/x", mode=mode)
    resumed.load_state_dict(checkpoint.state_dict())
    assert resumed.best_value == checkpoint.best_value


def test_early_stopping_is_off_without_patience() -> None:
    assert early_stopping() is None
    stopping = early_stopping(patience=4)
    assert stopping is not None
    assert stopping.patience == 4


def test_numbers_are_short() -> None:
    assert shown_number(0.12345) == "0.1235"
    assert shown_number(-64210334931191600.0) == "-6.421e+16"
    assert shown_number(float("nan")) == "nan"


def test_the_trainer_says_what_it_cannot_do() -> None:
    from couloir.errors import CouloirError
    from couloir.trainer.build import trainer

    with pytest.raises(CouloirError, match="trainer cannot be built"):
        trainer(precision="float13")
    built = trainer(accelerator="cpu", logger=False)
    assert isinstance(built, Trainer)
    assert built.precision == "32-true"


class Epochs(FakeTrainer):
    """A trainer whose checkpoints hold the state of the callback; the run may be killed at any change of a file."""

    def __init__(self, folder: Path, **keys: Any) -> None:
        super().__init__(folder)
        self.keys = keys
        self.callback: Checkpoint

    def save_checkpoint(self, path: Path) -> None:
        path.write_text(json.dumps([self.current_epoch + 1, self.callback.state_dict()]))

    def train(self, values: Sequence[float], source: str = "last") -> None:
        """Go on from a checkpoint, or begin, and train one epoch for each value that has not been measured."""
        self.callback = Checkpoint(monitor="val/x", **self.keys)
        file = Path(self.default_root_dir) / f"checkpoints/{source}.ckpt"
        done = 0
        if file.exists():
            done, state = json.loads(file.read_text())
            state["kept"] = {int(epoch): value for epoch, value in state["kept"].items()}
            self.callback.load_state_dict(state)
        trainer: Any = self
        self.callback.on_fit_start(trainer, LightningModule())
        for epoch in range(done, len(values)):
            self.current_epoch = self.global_step = epoch
            self.callback_metrics = {"val/x": torch.tensor(values[epoch])}
            self.callback.on_train_epoch_end(trainer, LightningModule())
            self.callback.between_steps(trainer, epoch_over=True)
        self.callback.on_train_end(trainer, LightningModule())

    def files(self) -> dict[str, int]:
        """The checkpoints, and the epoch that each holds."""
        folder = Path(self.default_root_dir) / "checkpoints"
        return {file.name: json.loads(file.read_text())[0] for file in folder.iterdir()}


VALUES = [5.0, 3.0, 4.0, float("nan"), 3.0, 2.0, 6.0]
ALWAYS = {"last.ckpt": 7, "previous.ckpt": 6}
KEPT: dict[str, tuple[dict[str, Any], list[int], bool]] = {
    "best": ({"keep": "best"}, [], True),
    "last": ({"keep": "last"}, [], False),
    "top_k": ({"keep": "top_k"}, [2, 5, 6], True),
    "top_k, the larger the better": ({"keep": "top_k", "k": 2, "mode": "max"}, [1, 7], True),
    "every_n": ({"keep": "every_n", "every_n_epochs": 2}, [2, 4, 6], True),
}


def expected(way: str) -> dict[str, int]:
    keys, epochs, best = KEPT[way]
    of_best = {"best.ckpt": 7 if keys.get("mode") == "max" else 6} if best else {}
    return ALWAYS | of_best | {f"epoch_{epoch:04d}.ckpt": epoch for epoch in epochs}


@pytest.mark.parametrize("way", KEPT)
def test_the_epochs_that_were_asked_for_are_kept_and_no_others(way: str, tmp_path: Path) -> None:
    trainer = Epochs(tmp_path, **KEPT[way][0])
    trainer.train(VALUES)
    assert trainer.files() == expected(way)


class Killed(BaseException):
    """A process that ends without a word."""


@pytest.mark.parametrize("links", [True, False], ids=["links", "copies"])
@pytest.mark.parametrize("way", ["top_k", "every_n"])
def test_a_run_that_is_killed_at_any_change_of_a_file_ends_with_the_same_checkpoints(
    way: str, links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before and after each link, rename and removal; what it leaves is whole, and the rest follows."""

    def struck(real: Callable[..., Any], count: list[int]) -> Callable[..., Any]:
        def change(*arguments: Any, **keys: Any) -> Any:
            count[0] -= 1
            if count[0] == 0:
                raise Killed
            done = real(*arguments, **keys)
            count[0] -= 1
            if count[0] == 0:
                raise Killed
            return done

        return change

    def no_links(*_: Any) -> None:
        raise OSError("no hard links")

    moments = 0
    while True:
        moments += 1
        (tmp_path / str(moments)).mkdir()
        trainer, count = Epochs(tmp_path / str(moments), **KEPT[way][0]), [moments]
        with monkeypatch.context() as patch:
            patch.setattr("couloir.callbacks.checkpoint.os.link", struck(os.link, count) if links else no_links)
            patch.setattr("couloir.callbacks.checkpoint.rename", struck(rename, count))
            patch.setattr(Path, "unlink", struck(Path.unlink, count))
            try:
                trainer.train(VALUES)
            except Killed:
                pass
            else:
                break
        visible = {name: epoch for name, epoch in trainer.files().items() if name.startswith("epoch_")}
        assert all(name == f"epoch_{epoch:04d}.ckpt" for name, epoch in visible.items())
        trainer.train(VALUES)
        assert {name: epoch for name, epoch in trainer.files().items() if name[0] != "."} == expected(way)
    assert moments > 50


def test_a_run_that_goes_on_from_the_checkpoint_before_keeps_the_same_epochs(tmp_path: Path) -> None:
    trainer = Epochs(tmp_path, keep="top_k")
    trainer.train(VALUES[:6])
    assert "epoch_0003.ckpt" not in trainer.files(), "the sixth epoch takes its place, and previous.ckpt still names it"
    trainer.train(VALUES, source="previous")
    assert trainer.files() == expected("top_k")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("k=2", "k=2 belongs to callbacks.checkpoint.keep=top_k, and callbacks.checkpoint.keep is best"),
        ("keep=every_n k=2", "k=2 belongs to"),
        ("keep=top_k every_n_epochs=2", "every_n_epochs=2 belongs to callbacks.checkpoint.keep=every_n"),
        ("keep=every_n", "does not say which epochs are kept"),
        ("keep=all", "takes one of best, last, top_k, every_n, not all"),
        ("keep=top_k k=0", "takes an integer >= 1 or null, not 0"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(
    words: str, said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    keys = [f"callbacks.checkpoint.{word}" for word in words.split()]
    assert command(["train", "data=moons", f"output_dir={tmp_path}", *keys]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not any(tmp_path.iterdir())


POINTS = ["data=moons", "data.subset=80", "data.batch_size=16", "model.hidden=[8]", "logger=none", "seed=4"]


def test_kept_epochs_survive_a_stop_and_serve_evaluation_weights_and_rerun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*POINTS, "trainer.max_epochs=5", "callbacks.checkpoint.keep=top_k", "callbacks.checkpoint.k=2"]
    whole = couloir.train(couloir.compose([*words, f"output_dir={tmp_path}/whole"])).dir
    cut = stopped([*words, f"output_dir={tmp_path}/cut"], "train", 13, monkeypatch)
    assert command(["resume", str(cut)]) == 0
    assert_same(whole, cut)
    ranked = sorted(rows(whole), key=lambda row: (float(row["val/loss"]), int(row["epoch"])))
    names = sorted(f"epoch_{int(row['epoch']):04d}" for row in ranked[:2])
    assert sorted(file.stem for file in (whole / "checkpoints").glob("epoch_*")) == names
    best = f"epoch_{int(ranked[0]['epoch']):04d}"
    assert differences(state(whole, best), state(whole, "best")) == []

    other = whole / f"checkpoints/{next(name for name in names if name != best)}.ckpt"
    outputs = f"output_dir={tmp_path}/whole"
    capsys.readouterr()
    assert command(["evaluate", str(other), "--json", outputs]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["runs"] == [str(other)]
    weights = load(other)["state_dict"]
    assert told["test/loss"] != result(whole)["test/loss"]
    assert command(["evaluate", str(other.with_name("epoch_0099.ckpt")), outputs]) == 2
    assert "has no checkpoint epoch_0099.ckpt" in capsys.readouterr().err
    debug = [*POINTS, "trainer.max_epochs=1", "optimizer.lr=1e-30", f"model.weights={other}", "initializer=default"]
    begun = couloir.train(couloir.compose([*debug, f"output_dir={tmp_path}/begun"])).dir
    later = load(begun / "checkpoints/last.ckpt")["state_dict"]
    assert all(torch.equal(value, later[name]) for name, value in weights.items() if name.startswith("net."))

    assert command(["rerun", str(whole), outputs]) == 0
    assert f"tensors of checkpoints/{other.name}" in capsys.readouterr().out
    assert command(["resume", str(whole), "trainer.max_epochs=9", "callbacks.checkpoint.k=3"]) == 2


def test_a_run_that_keeps_the_last_weights_alone_tests_them_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*POINTS, "trainer.max_epochs=4", "optimizer.lr=2", f"output_dir={tmp_path}"]
    best = couloir.train(couloir.compose(words))
    capsys.readouterr()
    last = couloir.train(couloir.compose([*words, "callbacks.checkpoint.keep=last"]))
    assert "test, last weights" in " ".join(capsys.readouterr().out.split())
    assert rows(best.dir) == rows(last.dir)
    assert best.metrics["best/epoch"] < 4
    assert best.metrics["test/loss"] != last.metrics["test/loss"]
    assert {file.name for file in (last.dir / "checkpoints").iterdir()} == {"last.ckpt", "previous.ckpt"}
    capsys.readouterr()
    assert command(["evaluate", str(last.dir), f"output_dir={tmp_path}", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["test/loss"] == pytest.approx(last.metrics["test/loss"], rel=1e-5)
    assert command(["diagnose", str(last.dir), "--json"]) == 0
    assert "with the weights of the last epoch" in capsys.readouterr().out
