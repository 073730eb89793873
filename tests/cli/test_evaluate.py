"""`couloir evaluate`: the same numbers as the run's own test, views, ensembles, and what is said of mistakes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import couloir
from couloir.cli.evaluate import OPENED
from couloir.cli.main import run as command
from couloir.config.finished import amend, run_config
from couloir.errors import CouloirError
from couloir.record.checkpoint import best_weights
from couloir.record.find import find_run
from couloir.record.predictions import read_predictions
from pairs import pair


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outputs")
    for seed in (0, 1):
        words = ["trainer.max_epochs=3", f"seed={seed}", "data.seed=0", "logger=csv", "trainer=cpu"]
        couloir.train(couloir.compose([*words, f"output_dir={folder}"]))
    words = ["data=line", "data.target_scaling=standardize", "trainer.max_epochs=3", "logger=csv", "trainer=cpu"]
    couloir.train(couloir.compose([*words, f"output_dir={folder}"]))
    return folder


def runs(outputs: Path) -> list[Path]:
    return sorted((outputs / "train").iterdir(), key=lambda path: path.stat().st_mtime)


def evaluated(outputs: Path) -> dict[str, float]:
    newest = max((outputs / "evaluate").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    assert json.loads((newest / "status.json").read_text())["status"] == "completed"
    numbers: dict[str, float] = json.loads((newest / "result.json").read_text())
    return numbers


@pytest.mark.parametrize("number", [0, 2], ids=["classification", "regression"])
def test_one_run_is_tested_as_at_its_end(outputs: Path, number: int) -> None:
    run = runs(outputs)[number]
    assert command(["evaluate", str(run), f"output_dir={outputs}"]) == 0
    own = json.loads((run / "result.json").read_text())
    numbers = evaluated(outputs)
    assert numbers == pytest.approx({name: value for name, value in own.items() if name.startswith("test/")}, rel=1e-5)


def test_an_evaluation_is_not_the_latest_run(outputs: Path) -> None:
    command(["evaluate", str(runs(outputs)[0]), f"output_dir={outputs}"])
    assert (outputs / "latest").resolve().parent.name == "train"
    assert find_run("latest", outputs) == runs(outputs)[-1].resolve()


def probabilities(run: Path) -> tuple[np.ndarray, np.ndarray]:
    from couloir.config.build import build

    cfg = run_config(run)
    data = build(cfg, "data")
    data.setup()
    net = build(cfg, "model").eval()
    state = torch.load(best_weights(run), weights_only=True)["state_dict"]
    net.load_state_dict({name[4:]: value for name, value in state.items() if name.startswith("net.")})
    with torch.no_grad():
        parts = [(torch.softmax(net(x), dim=1), y) for x, y in map(pair, data.test_dataloader())]
    return tuple(torch.cat(column).numpy() for column in zip(*parts, strict=True))  # type: ignore[return-value]


def test_an_ensemble_is_the_mean_of_the_probabilities(outputs: Path) -> None:
    first, second = runs(outputs)[:2]
    assert command(["evaluate", str(first), str(second), f"output_dir={outputs}"]) == 0
    (p, y), (q, _) = probabilities(first), probabilities(second)
    mean = (p + q) / 2
    numbers = evaluated(outputs)
    assert numbers["test/accuracy"] == pytest.approx((mean.argmax(axis=1) == y).mean())
    assert numbers["test/loss"] == pytest.approx(-np.log(mean[np.arange(len(y)), y]).mean(), rel=1e-4)
    newest = max((outputs / "evaluate").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    rows = list(csv.reader((newest / "confusion.csv").open()))
    assert sum(int(cell) for row in rows[1:] for cell in row[1:]) == len(y)


@pytest.mark.parametrize("choice", ["mirror", "ten_crop", "multi_crop", "dense"])
def test_every_choice_of_views_runs(outputs: Path, choice: str) -> None:
    words = [] if choice != "dense" else ["tta.margin=1.0"]  # LeNet-5 takes one size only
    assert command(["evaluate", str(runs(outputs)[0]), f"tta={choice}", *words, f"output_dir={outputs}"]) == 0
    assert 0 < evaluated(outputs)["test/accuracy"] <= 1


def test_the_last_line_of_a_recipe_with_views_has_both_numbers(tmp_path: Path) -> None:
    words = ["trainer.max_epochs=1", "tta=mirror", "logger=csv", "trainer=cpu", f"output_dir={tmp_path}"]
    result = couloir.train(couloir.compose(words))
    assert {"test/accuracy", "tta/accuracy"} <= result.metrics.keys()


def test_views_that_the_network_cannot_look_at_are_found_before_training(tmp_path: Path) -> None:
    with pytest.raises(CouloirError, match="cannot take the views of Dense"):
        couloir.train(couloir.compose(["model=mlp", "tta=dense", "logger=csv", f"output_dir={tmp_path}"]))


@pytest.mark.parametrize(("extra", "count"), [("overfit=32", 32), ("trainer.limit_test_batches=1", 64)])
def test_views_see_the_samples_that_the_test_saw(extra: str, count: int, tmp_path: Path) -> None:
    from couloir.inference.predictor import evaluate

    words = ["trainer.max_epochs=1", "tta=mirror", "logger=csv", "trainer=cpu", extra, f"output_dir={tmp_path}"]
    run = couloir.train(couloir.compose(words)).dir
    assert int(evaluate([run_config(run)], [run]).matrix.sum()) == count


def test_an_ensemble_has_no_loss_where_it_would_be_a_guess(tmp_path: Path) -> None:
    words = ["data=blobs", "loss=bce", "trainer.max_epochs=1", "logger=csv", "trainer=cpu", f"output_dir={tmp_path}"]
    run = couloir.train(couloir.compose(words)).dir
    assert command(["evaluate", str(run), str(run), f"output_dir={tmp_path}"]) == 0
    assert "test/loss" not in evaluated(tmp_path)
    assert "test/accuracy" in evaluated(tmp_path)


def test_a_regression_is_measured_on_other_data_in_the_units_of_its_training(tmp_path: Path) -> None:
    rows = [(x / 20, x / 20) for x in range(200)]
    (tmp_path / "a.csv").write_text("x,y\n" + "\n".join(f"{x},{y}" for x, y in rows))
    (tmp_path / "b.csv").write_text("x,y\n" + "\n".join(f"{x},{10 * y + 100}" for x, y in rows))
    words = ["data=csv", f"data.path={tmp_path / 'a.csv'}", "data.target=y", "model=linear", "trainer.max_epochs=30"]
    words += ["data.target_scaling=standardize", "optimizer.lr=0.05", "logger=csv", "trainer=cpu"]
    run = couloir.train(couloir.compose([*words, f"output_dir={tmp_path}"])).dir
    assert command(["evaluate", str(run), f"data.path={tmp_path / 'b.csv'}", f"output_dir={tmp_path}"]) == 0
    assert evaluated(tmp_path)["test/mae"] > 90


def test_a_torn_checkpoint_is_explained_and_the_record_says_failed(outputs: Path, tmp_path: Path) -> None:
    import shutil

    run = tmp_path / "run"
    shutil.copytree(runs(outputs)[0], run)
    whole = (run / "checkpoints/best.ckpt").read_bytes()
    (run / "checkpoints/best.ckpt").unlink()
    (run / "checkpoints/best.ckpt").write_bytes(whole[: len(whole) // 2])
    assert command(["evaluate", str(run), f"output_dir={tmp_path}"]) == 2
    folder = next((tmp_path / "evaluate").iterdir())
    assert json.loads((folder / "status.json").read_text())["status"] == "failed"


def test_runs_with_other_test_splits_are_no_ensemble(outputs: Path, tmp_path: Path, capsys: object) -> None:
    words = ["trainer.max_epochs=1", "seed=7", "logger=csv", "trainer=cpu", f"output_dir={tmp_path}"]
    other = couloir.train(couloir.compose(words)).dir
    assert command(["evaluate", str(runs(outputs)[0]), str(other), f"output_dir={outputs}"]) == 2
    assert "do not have the same test split" in capsys.readouterr().err  # type: ignore[attr-defined]


def test_two_folds_are_no_ensemble_though_their_labels_are_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data=iris", "data.folds=5", "trainer.max_epochs=1", "logger=csv", "trainer=cpu", f"output_dir={tmp_path}"]
    folds = [str(couloir.train(couloir.compose([*words, f"data.fold={fold}"])).dir) for fold in (0, 1)]
    labels = [[row["truth"] for row in read_predictions(Path(run))] for run in folds]
    assert labels[0] == labels[1], "the flowers are sorted by their species, and so is each fold"
    assert command(["evaluate", *folds, f"output_dir={tmp_path}"]) == 2
    assert "do not have the same test split" in capsys.readouterr().err
    assert command(["evaluate", folds[0], "data.fold=1", f"output_dir={tmp_path}"]) == 2
    assert "'data.fold' cannot change after training" in capsys.readouterr().err
    assert command(["evaluate", folds[1], f"output_dir={tmp_path}"]) == 0
    own = json.loads((Path(folds[1]) / "result.json").read_text())
    assert evaluated(tmp_path)["test/loss"] == pytest.approx(own["test/loss"], rel=1e-5)


def test_mistakes_are_explained(outputs: Path, tmp_path: Path) -> None:
    cfg = run_config(runs(outputs)[0])
    with pytest.raises(CouloirError, match="no tta called 'tencrop'") as error:
        amend(cfg, ["tta=tencrop"], OPENED)
    assert "did you mean tta=ten_crop" in str(error.value)
    with pytest.raises(CouloirError, match=r"no key 'data\.bath_size'") as error:
        amend(cfg, ["data.bath_size=3"], OPENED)
    assert "data.batch_size=3" in str(error.value)
    for settled in ("trainer=cpu", "data=moons", "loss=mse", "seed=3", "data.image_size=16", "scale=smoke"):
        with pytest.raises(CouloirError, match="cannot change after training"):
            amend(cfg, [settled], OPENED)
    with pytest.raises(CouloirError, match="names several values"):
        amend(cfg, ["data.batch_size=8,16"], OPENED)
    with pytest.raises(CouloirError, match="needs images"):
        amend(run_config(runs(outputs)[2]), ["tta=ten_crop"], OPENED)
    with pytest.raises(CouloirError, match="takes an integer >= 1, not 0"):
        amend(cfg, ["data.batch_size=0"], OPENED)
    with pytest.raises(CouloirError, match="There is no run 'lates'"):
        find_run("lates", outputs)
    with pytest.raises(CouloirError, match="is not a run: it has no config"):
        find_run(str(tmp_path), outputs)
    (tmp_path / "config.yaml").write_text((runs(outputs)[0] / "config.yaml").read_text())
    with pytest.raises(CouloirError, match="has no checkpoint"):
        best_weights(find_run(str(tmp_path), outputs))
    assert command(["evaluate"]) == 2


def test_a_mistake_is_found_before_torch_is_imported(tmp_path: Path) -> None:
    import subprocess
    import sys

    program = "import sys; from couloir.cli.main import run\ncode = run(sys.argv[1:])\n"
    program += "print('torch' in sys.modules)\nsys.exit(code)"
    done = subprocess.run(
        [sys.executable, "-c", program, "evaluate", "nothing"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "There is no run 'nothing'" in done.stderr
    assert "False" in done.stdout


def test_a_held_out_split_that_is_drawn_anew_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{number / 7},{'ab'[number % 2]}\n" for number in range(60)]
    table = tmp_path / "t.csv"
    table.write_text("x,y\n" + "".join(rows))
    words = [
        "data=csv", f"data.path={table}", "data.target=y", "model=linear", "trainer.max_epochs=1", "trainer=cpu",
        "logger=csv", f"output_dir={tmp_path}",
    ]  # fmt: skip
    run = couloir.train(couloir.compose(words)).dir
    said = "has changed (train 43, now 42 samples)"
    for content, more, expected in (
        (rows, [], False), (rows[1:], [], True), (rows[1:], [f"data.path={table}"], False),
    ):  # fmt: skip
        table.write_text("x,y\n" + "".join(content))
        capsys.readouterr()
        assert command(["evaluate", str(run), *more, f"output_dir={tmp_path}"]) == 0
        shown = capsys.readouterr()
        assert (said in " ".join((shown.out + shown.err).split())) == expected
