"""`train` from the prompt to the run folder: one run for each task, and each way a run can end."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from contextlib import chdir
from datetime import datetime
from pathlib import Path

import pytest
import torch
import yaml

import couloir
from couloir.cli.main import run
from couloir.errors import Diverged
from faults import places
from pairs import pair
from victims import Victims
from waiting import LONGEST

TRAIN = str(Path(sys.executable).with_name("train"))


def train(words: list[str], directory: Path, code: int = 0) -> Path:
    """`train WORDS` in a directory of its own; its run folder."""
    with chdir(directory):
        assert run(["train", *words]) == code
    return (directory / "outputs/latest").resolve()


def train_in_another_process(words: list[str], directory: Path, victims: Victims) -> Path:
    """The same in a process of its own."""
    ended = victims.run(["train", *words], directory)
    assert ended.code == 0, ended.output
    return (directory / "outputs/latest").resolve()


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of the default sentence, by the installed script."""
    directory = tmp_path_factory.mktemp("default")
    done = subprocess.run([TRAIN], cwd=directory, capture_output=True, text=True, timeout=LONGEST)
    assert done.returncode == 0, done.stdout + done.stderr
    return (directory / "outputs/latest").resolve()


def result(run: Path) -> dict[str, float]:
    numbers: dict[str, float] = json.loads((run / "result.json").read_text())
    return numbers


def test_the_default_sentence_reads_digits_and_leaves_a_complete_folder(default: Path) -> None:
    run = default
    numbers = result(run)
    assert numbers["test/accuracy"] >= 0.97
    assert numbers["parameters"] == 61_706

    expected = {
        "config.yaml", "overrides.yaml", "provenance.json", "status.json", "metrics.csv", "tensorboard", "curves.png",
        "checkpoints", "result.json", "train.log", "confusion.csv",
    }  # fmt: skip
    assert expected <= {path.name for path in run.iterdir()}
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"last.ckpt", "previous.ckpt", "best.ckpt"}
    assert run.parent.name == "train"

    rows = list(csv.DictReader((run / "metrics.csv").open()))
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert len(rows) == config["trainer"]["max_epochs"]
    assert {"epoch", "step", "lr", "train/loss", "val/loss", "train/accuracy", "val/accuracy", "seconds"} <= rows[
        0
    ].keys()
    assert numbers["val/loss"] == float(rows[-1]["val/loss"])
    best = min(rows, key=lambda row: float(row["val/loss"]))
    assert (numbers["best/epoch"], numbers["best/loss"]) == (float(best["epoch"]), float(best["val/loss"]))
    assert numbers["train/samples_per_second"] > 0

    status = json.loads((run / "status.json").read_text())
    assert status["status"] == "completed"
    assert status["step"] == int(rows[-1]["step"])
    began, ended = (datetime.fromisoformat(status[name]) for name in ("started", "ended"))
    assert status["seconds"] == numbers["seconds"] == pytest.approx((ended - began).total_seconds(), abs=0.2)
    assert f"({numbers['seconds']:.1f} s, " in (run / "train.log").read_text(), "the same seconds everywhere"
    provenance = json.loads((run / "provenance.json").read_text())
    assert provenance["packages"]["torch"]
    assert provenance["data"]["fingerprint"].startswith("sha256:")
    assert len(provenance["data"]["mean"]) == 1
    assert sum(provenance["data"]["sizes"].values()) == 1797
    matrix = list(csv.reader((run / "confusion.csv").open()))
    total = sum(int(cell) for row in matrix[1:] for cell in row[1:])
    assert total == provenance["data"]["sizes"]["test"]
    assert "epoch 1/" in (run / "train.log").read_text()


def test_a_checkpoint_loads_without_running_code_and_holds_the_best_weights(default: Path) -> None:
    run = default
    for name in ("best", "last"):
        checkpoint = torch.load(run / f"checkpoints/{name}.ckpt", weights_only=True)
        assert checkpoint["hyper_parameters"]["optimizer"]["lr"] > 0
    cfg = couloir.compose(["trainer.max_epochs=3"]).cfg
    from hydra.utils import instantiate

    net = instantiate(cfg.model)
    best = torch.load(run / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
    net.load_state_dict({name.removeprefix("net."): value for name, value in best.items() if name.startswith("net.")})
    data = instantiate(cfg.data, _convert_="all")
    data.setup()
    correct = sum(int((net.eval()(x).argmax(1) == y).sum()) for x, y in map(pair, data.test_dataloader()))
    assert correct / data.sizes()["test"] == pytest.approx(result(run)["test/accuracy"])


@pytest.mark.parametrize(
    ("words", "metric", "least"),
    [
        (["data=moons", "trainer.max_epochs=30"], "test/accuracy", 0.9),
        (["data=line", "optimizer.lr=0.05"], "test/r2", 0.95),
        (["data=polynomial", "optimizer.lr=0.05", "trainer.max_epochs=40"], "test/r2", 0.5),
        (["experiment=toy_mlp"], "test/accuracy", 0.95),
    ],
    ids=["toy classification", "line", "polynomial", "recipe"],
)
def test_each_task_learns(words: list[str], metric: str, least: float, tmp_path: Path) -> None:
    assert result(train([*words, "logger=csv"], tmp_path))[metric] >= least


def test_a_table_is_learned_in_its_own_units(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(400, 2, generator=generator)
    y = 200_000 + 50_000 * x[:, 0] - 30_000 * x[:, 1]
    rows = [f"{a:.6f},{b:.6f},{value:.3f}" for (a, b), value in zip(x.tolist(), y.tolist(), strict=True)]
    (tmp_path / "houses.csv").write_text("size,age,price\n" + "\n".join(rows))
    words = [
        "data=csv",
        "data.path=houses.csv",
        "data.target=price",
        "trainer.max_epochs=60",
        "optimizer.lr=0.01",
        "logger=csv",
    ]
    numbers = result(train(words, tmp_path))
    assert numbers["test/r2"] > 0.9
    assert 0 < numbers["test/rmse"] < 8_000, "errors are in the target's unit"


def test_photographs_in_folders_are_learned_from_memory_and_from_files(couloir_data: Path, tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(couloir_data / "hymenoptera/hymenoptera.zip") as archive:
        photographs = [name for name in archive.namelist() if name.lower().endswith(".jpg")]
        archive.extractall(tmp_path, photographs[::8])
    root = next(tmp_path.rglob("train")).parent
    words = ["data=image_folder", f"data.root={root}", "data.image_size=32", "model=mlp", "trainer.max_epochs=1"]
    in_memory = result(train(words, tmp_path))
    from_files = result(train([*words, "data.memory_budget=0", "data.workers=1"], tmp_path))
    assert in_memory["val/loss"] == pytest.approx(from_files["val/loss"], rel=1e-5)


@pytest.mark.parametrize("data", ["mnist", "cifar10"])
def test_the_real_sets_train_from_the_shared_folder(data: str, couloir_data: Path, tmp_path: Path) -> None:
    words = [f"data={data}", f"data.root={couloir_data / data}", "data.subset=1000", "trainer.max_epochs=2"]
    numbers = result(train(words, tmp_path))
    assert numbers["test/accuracy"] > 0.12


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(tmp_path: Path, victims: Victims) -> None:
    words = ["trainer.max_epochs=2", "augmentation=shift", "data.workers=0", "data.subset=300", "logger=csv"]

    def last_row(run: Path) -> str:
        return (run / "metrics.csv").read_text().splitlines()[-1].rsplit(",", 2)[0]  # the clock's columns are the last

    first, workers, other = (
        last_row(train([*words, *extra], tmp_path)) for extra in ([], ["data.workers=2"], ["seed=1"])
    )
    assert first == last_row(train_in_another_process(words, tmp_path, victims)), "in another process"
    assert first == workers, "worker processes do not change the run"
    assert first != other


def test_a_run_that_is_not_tested_says_so_and_is_tested_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["data=moons", "data.subset=60", "model=mlp", "model.hidden=[4]", "trainer.max_epochs=2", "logger=none"]
    tested = train(words, tmp_path)
    assert "test=false" not in capsys.readouterr().out
    untested = train([*words, "test=false"], tmp_path)
    assert "test=false says" in capsys.readouterr().out
    numbers = result(untested)
    assert not [name for name in numbers if name.startswith("test/")]
    assert numbers["best/loss"] == result(tested)["best/loss"]
    assert (untested / "layers.json").read_text() == (tested / "layers.json").read_text()
    assert not (untested / "confusion.csv").exists()
    assert not (untested / "tensorboard").exists()
    monkeypatch.chdir(tmp_path)
    for words in (["report", str(untested)], ["diagnose", str(untested)], ["evaluate", str(untested)]):
        assert run(words) == 0
    found = json.loads(next((tmp_path / "outputs/evaluate").glob("*/result.json")).read_text())
    assert found["test/loss"] == pytest.approx(result(tested)["test/loss"])


def test_a_sanity_check_on_ten_samples_reaches_zero_loss(tmp_path: Path) -> None:
    run = train(["trainer=overfit", "model=mlp", "logger=csv"], tmp_path)
    numbers = result(run)
    assert numbers["train/loss"] < 0.01
    assert numbers["train/accuracy"] == numbers["test/accuracy"] == 1.0
    assert json.loads((run / "provenance.json").read_text())["data"]["sizes"] == {"train": 10, "val": 10, "test": 10}


def test_the_debug_trainer_goes_through_one_batch_of_each(tmp_path: Path) -> None:
    run = train(["trainer=debug"], tmp_path)
    assert json.loads((run / "status.json").read_text())["step"] == 1


def test_a_run_that_diverges_ends_with_exit_3_and_says_what_to_try(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(["data=line", "optimizer=sgd", "optimizer.lr=1e6"], tmp_path, code=3)
    message = capsys.readouterr().err
    assert "optimizer.lr=" in message
    assert "Traceback" not in message
    status = json.loads((run / "status.json").read_text())
    assert status["status"] == "diverged"


def test_a_signal_ends_the_run_with_its_code_and_a_checkpoint(tmp_path: Path, victims: Victims) -> None:
    victim = victims.start(["train"], tmp_path, places.STEP, 20)
    ended = victim.finish(signal.SIGINT)
    assert ended.code == 130, ended.output  # tests/compare/test_resume.py and tests/faults send SIGTERM
    run = (tmp_path / "outputs/latest").resolve()
    assert json.loads((run / "status.json").read_text())["status"] == "interrupted"
    torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    assert f"couloir resume {os.path.relpath(run, tmp_path)}" in ended.output
    assert "Traceback" not in ended.output


def test_a_failure_that_is_nobodys_mistake_is_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "conf/loss").mkdir(parents=True)
    (tmp_path / "conf/loss/broken.yaml").write_text("# Broken.\n# Needs: label\n_target_: broken.Loss\n")
    (tmp_path / "broken.py").write_text(
        "from torch import nn\n\n\nclass Loss(nn.Module):\n    def forward(self, prediction, target):\n"
        "        raise RuntimeError('out of luck')\n"
    )
    train(["loss=broken"], tmp_path, code=1)
    (run,) = (tmp_path / "outputs/train").iterdir()
    message = capsys.readouterr().err
    assert "out of luck" in message
    assert "Traceback" not in message
    assert json.loads((run / "status.json").read_text())["status"] == "failed"
    assert "broken.py" in (run / "train.log").read_text(), "the traceback is in the log"


def test_a_users_own_network_trains_from_two_files(tmp_path: Path, victims: Victims) -> None:
    (tmp_path / "conf/model").mkdir(parents=True)
    (tmp_path / "conf/model/mynet.yaml").write_text(
        "# My own.\n_target_: mynet.MyNet\nnum_classes: ${data.num_classes}\nwidth: 32  # int >= 1; hidden units\n"
    )
    (tmp_path / "mynet.py").write_text(
        "from torch import nn\n\n\nclass MyNet(nn.Sequential):\n    def __init__(self, num_classes, width):\n"
        "        super().__init__(nn.Flatten(), nn.LazyLinear(width), nn.ReLU(), nn.Linear(width, num_classes))\n"
    )
    run = train_in_another_process(["model=mynet", "trainer.max_epochs=5"], tmp_path, victims)
    assert result(run)["test/accuracy"] > 0.5


@pytest.mark.slow  # tests/sweep has the same within one process a trial
def test_a_multirun_trains_each_combination_and_survives_a_failing_one(tmp_path: Path, victims: Victims) -> None:
    words = ["-m", "optimizer=sgd,adam", "optimizer.lr=0.01,1e9", "trainer.max_epochs=1", "data=line"]
    ended = victims.run(["train", *words], tmp_path)
    runs = sorted(tmp_path.glob("outputs/sweep/*/[0-9]"))
    statuses = [json.loads((run / "status.json").read_text())["status"] for run in runs]
    assert len(runs) == 4
    assert statuses[0] == statuses[2] == "completed"
    assert "diverged" in statuses
    assert ended.code == 3, ended.output


def test_the_python_interface_trains_and_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = couloir.train(couloir.compose(["trainer.max_epochs=1"]))
    assert outcome.status == "completed"
    assert outcome.metrics["test/accuracy"] == result(outcome.dir)["test/accuracy"]
    with pytest.raises(Diverged):
        couloir.train(couloir.compose(["data=line", "optimizer=sgd", "optimizer.lr=1e9"]))
    assert os.environ.get("PL_GLOBAL_SEED") is not None
