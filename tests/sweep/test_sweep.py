from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

import couloir
from couloir.record.find import find_run
from couloir.sweep.engine.local import Slot
from couloir.sweep.job import Job
from sweep.conftest import QUICK, Swept

Sweep = Callable[..., Swept]


def test_every_combination_is_a_run_of_its_own_whose_numbers_are_those_of_train_and_of_one_process_for_all(
    sweep: Sweep, project: Path
) -> None:
    words = ["loss=strange", "loss.what=leaks", "optimizer=sgd,adam", "optimizer.lr=0.1,0.01"]
    swept = sweep(*words)
    assert swept.code == 0, swept.console
    settings = [(row["optimizer"], row["optimizer.lr"]) for row in swept.rows]
    assert settings == [("sgd", "0.1"), ("sgd", "0.01"), ("adam", "0.1"), ("adam", "0.01")]
    assert swept.states == ["completed"] * 4
    leaks = list(project.glob("leaks_*"))
    assert len(leaks) == 4  # a process each
    assert {file.read_text() for file in leaks} == {""}
    alone = couloir.train(couloir.compose([*QUICK, "loss=strange", "optimizer=adam", "optimizer.lr=0.1"]))
    assert (alone.dir / "metrics.csv").read_text().rsplit(",", 2)[0] == (
        swept.folder / "2" / "metrics.csv"
    ).read_text().rsplit(",", 2)[0]
    together = sweep(*words, "sweep.isolation=none")
    assert [together.metrics(run) for run in "0123"] == [swept.metrics(run) for run in "0123"]
    assert len(list(project.glob("leaks_*"))) == 4 + 1  # a process each, and one for all
    content = json.loads((together.folder / "0" / "trial.json").read_text())
    assert content["folder"] == str(together.folder / "0")
    assert json.loads((together.folder / "0" / "ended.json").read_text()) == {"code": 0}


@pytest.mark.parametrize("isolation", ["process", pytest.param("none", marks=pytest.mark.slow)])
def test_a_trial_that_is_killed_or_fails_is_recorded_and_the_others_go_on(sweep: Sweep, isolation: str) -> None:
    swept = sweep("loss=strange", "loss.what=nothing,kill,memory,exit,nonsense,calm", f"sweep.isolation={isolation}")
    assert swept.code == 7
    assert swept.states == ["completed", "failed", "failed", "failed", "failed", "completed"]
    errors = [row["error"] for row in swept.rows]
    assert "SIGKILL" in errors[1]
    assert "Unable to allocate" in errors[2]
    assert "exit code 7" in errors[3]
    assert "_nonsense" in errors[4]
    for run in "1234":
        assert swept.status(run)["status"] == "failed"
        assert swept.status(run)["error"]
        assert f"trial {run}" in swept.console
    assert "AttributeError" in (swept.folder / "4" / "console.log").read_text()


@pytest.fixture
def small_room(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A control group whose processes may take 64 MiB, after which the kernel ends them."""
    version_1 = Path("/sys/fs/cgroup/memory")
    root, name = (version_1, "memory.limit_in_bytes") if version_1.is_dir() else (Path("/sys/fs/cgroup"), "memory.max")
    room = root / f"couloir-{os.getpid()}"
    try:
        room.mkdir()
        (room / name).write_text(str(64 << 20))
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    monkeypatch.setenv("SMALL_ROOM", str(room))
    yield room
    room.rmdir()


def test_a_trial_that_the_system_ends_for_lack_of_memory_is_told_as_that(sweep: Sweep, small_room: Path) -> None:
    swept = sweep("loss=strange", "loss.what=hog,calm", f"+hydra.job.env_set.SMALL_ROOM={small_room}")
    assert swept.states == ["failed", "completed"]
    assert "SIGKILL (the system may be out of memory)" in swept.rows[0]["error"]


def test_a_diverging_trial_is_one_and_the_code_says_so(sweep: Sweep) -> None:
    swept = sweep("data=line", "loss=mse", "optimizer=sgd", "optimizer.lr=0.01,1e30")
    assert swept.code == 3
    assert swept.states == ["completed", "diverged"]
    assert swept.status("1")["status"] == "diverged"


@pytest.mark.slow
def test_a_killed_trial_goes_on_when_the_sweep_is_taken_up_and_the_others_stay(sweep: Sweep, project: Path) -> None:
    swept = sweep("loss=strange", "loss.what=kill,nothing")
    assert swept.states == ["failed", "completed"]
    before = (swept.folder / "1" / "result.json").read_bytes()
    (project / "strange_losses.py").write_text(
        (project / "strange_losses.py").read_text().replace("os.kill(os.getpid(), signal.SIGKILL)", "pass")
    )
    again = sweep("latest", verb=("resume",))
    assert again.code == 0
    assert again.states == ["completed", "completed"]
    assert (swept.folder / "1" / "result.json").read_bytes() == before


def test_a_signal_while_a_run_is_being_started_reaches_it(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    start = Slot.start

    def struck(slot: Slot, job: Job) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        start(slot, job)

    monkeypatch.setattr(Slot, "start", struck)
    swept = sweep("trainer.max_epochs=100000", "optimizer.lr=0.1,0.2")
    assert swept.code == 130
    assert swept.states == ["interrupted"]


@pytest.mark.slow
def test_more_trials_can_be_asked_for_later(sweep: Sweep) -> None:
    first = sweep("sweep=random", "sweep.n_trials=2", "optimizer.lr=tag(log,interval(1e-4,1e-1))")
    rates = [row["optimizer.lr"] for row in first.rows]
    more = sweep("latest", "sweep.n_trials=3", verb=("resume",))
    assert [row["optimizer.lr"] for row in more.rows][:2] == rates
    assert more.states == ["completed"] * 3


@pytest.mark.slow
def test_the_same_words_go_on_by_themselves_where_they_are_told_to(sweep: Sweep) -> None:
    words = ["loss=strange", "loss.what=nothing,memory,calm", "auto_resume=true"]
    first = sweep(*words, "sweep.max_failures=1")
    assert first.states == ["completed", "failed"]
    again = sweep(*words, "sweep.max_failures=1")
    assert again.folder == first.folder
    other = sweep(*words)
    assert other.folder != first.folder
    assert other.states == ["completed", "failed", "completed"]
    assert sweep(*words).folder != other.folder  # there is nothing left of that one


@pytest.mark.slow
def test_too_many_failures_end_a_sweep_where_it_was_told_to_go_and_it_can_be_finished_there(
    sweep: Sweep, project: Path
) -> None:
    where = [
        "hydra.sweep.dir=elsewhere/mine",
        "+hydra.job.env_set.MARK=kept",
        "sweep.name=other",
        "sweep.max_failures=1",
    ]
    folder = project / "elsewhere" / "mine"
    first = sweep("loss=strange", "loss.what=marks,memory,exit,calm", *where)
    assert first.code == 2  # as for a run that asks for too much memory
    assert Swept(0, folder, "").states == ["completed", "failed"]
    assert (project / "mark").read_text() == "kept"
    assert not (folder / "2").exists()
    (project / "mark").unlink()
    sweep(str(folder), "sweep.n_trials=4", "sweep.max_failures=3", verb=("resume",))
    assert Swept(0, folder, "").states == ["completed", "failed", "failed", "completed"]
    assert not list(project.glob("outputs/sweep/*"))


@pytest.mark.slow
def test_each_setting_with_several_seeds_counts_by_its_mean(sweep: Sweep) -> None:
    swept = sweep("optimizer.lr=0.01,0.1", "sweep.seeds=2", "sweep.objective=best/accuracy")
    results = [
        [json.loads((swept.folder / trial / run / "result.json").read_text())["best/accuracy"] for run in "01"]
        for trial in "01"
    ]
    assert [float(row["best/accuracy"]) for row in swept.rows] == pytest.approx([sum(pair) / 2 for pair in results])
    assert [yaml.safe_load((swept.folder / "0" / run / "config.yaml").read_text())["seed"] for run in "01"] == [0, 1]
    assert results[0][0] != results[0][1]
    assert find_run(str(swept.folder / "1" / "0"))


@pytest.mark.slow
def test_two_objectives_give_a_front(sweep: Sweep) -> None:
    swept = sweep(
        "model=mlp", "model.hidden=[4],[64]", "sweep.objective=[best/accuracy,parameters]", "trainer.max_epochs=3"
    )
    assert [float(row["parameters"]) for row in swept.rows] == [4 * 64 + 4 + 4 * 10 + 10, 64 * 64 + 64 + 64 * 10 + 10]
    assert "Pareto" in swept.console


@pytest.mark.slow
def test_two_workers_share_the_cores_and_say_so_in_the_record(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("couloir.sweep.engine.choice.cores", lambda: 6)
    swept = sweep("optimizer.lr=0.1,0.01,0.001", "sweep.workers=2")
    assert swept.states == ["completed"] * 3
    config = yaml.safe_load((swept.folder / "2" / "config.yaml").read_text())
    assert config["trainer"]["threads"] == 3


def test_the_best_setting_is_a_sentence_and_a_recipe(sweep: Sweep, project: Path) -> None:
    swept = sweep("optimizer=sgd,adam", "optimizer.lr=1e-05,0.1", "sweep.isolation=none")
    best = min(swept.rows, key=lambda row: float(row["best/loss"]))
    (project / "conf" / "experiment").mkdir()
    (project / "conf" / "experiment" / "best.yaml").write_text((swept.folder / "best.yaml").read_text())
    cfg = couloir.compose(["experiment=best"]).cfg
    assert cfg.optimizer.lr == float(best["optimizer.lr"])
    run = swept.folder / best["number"] / "config.yaml"
    assert yaml.safe_load(run.read_text())["optimizer"] == couloir.compose(["experiment=best"]).cfg.optimizer
    assert f"optimizer.lr={best['optimizer.lr']}" in swept.console
    assert (swept.folder / "report.html").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["optimizer.lr=interval(0,1)"], ["a grid needs values", "sweep=tpe"]),
        (["sweep=tpe"], ["no keys to search"]),
        (["sweep=tpee"], ["no sweep called 'tpee'", "sweep=tpe"]),
        (["sweep=tpe", "sweep.n_trial=3"], ["no key 'n_trial'", "n_trials"]),
        (["sweep.n_trials=0"], ["sweep.n_trials takes an integer >= 1"]),
        (["sweep.isolation=thread"], ["one of process, none"]),
        (["sweep.objective=best/acuracy"], ["not a number of result.json", "best/accuracy"]),
        (["sweep.objective=parameters", "pruner=asha"], ["measured every epoch"]),
        (["sweep.objective=test/accuracy", "pruner=asha"], ["measured every epoch; test/accuracy is not"]),
        (["sweep.objective=[best/loss,parameters]", "pruner=median"], ["compares trials by one number"]),
        (["sweep.direction=up"], ["maximize or minimize"]),
        (["optimizer.lr=-1,-2"], ["optimizer.lr takes"]),
        (["optimizer=sgd,sgdd"], ["no optimizer called 'sgdd'"]),
        (["seed=0,1", "sweep.seeds=2"], ["leave one of them out"]),
        (["data.folds=3,5"], ["data.folds cannot be swept"]),
        (["data.folds=3", "data.fold=0,1"], ["data.fold cannot be swept"]),
        (["data.folds=3", "test=false"], ["test=false leaves out the test"]),
        (['optimizer.lr=tag("optimizer",choice(1,2))'], ["not log and not a condition"]),
        (["optimizer.lr=0.1,0.2", "optimizer.lr=0.3,0.4"], ["swept twice"]),
        (["optimizer.lr=tag(log,interval(0,1))"], ["start above 0"]),
        (["sweep.storage=postgresql://nobody@127.0.0.1:9/none"], ["sweep.storage"]),
    ],
)
def test_a_mistake_is_explained_before_anything_begins(
    words: list[str], said: list[str], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from couloir.cli.main import run

    assert run(["train", "-m", *QUICK, *words]) == 2
    message = capsys.readouterr().err
    assert all(part in message for part in said), message
    assert "Traceback" not in message
    assert not list(project.glob("outputs/sweep/*/*/config.yaml"))


def test_a_sweeps_word_without_a_sweep_is_explained(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from couloir.cli.main import run

    assert run(["train", *QUICK, "sweep=tpe"]) == 2
    assert "train -m" in capsys.readouterr().err
