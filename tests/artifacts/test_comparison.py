"""What a sweep leaves beside its runs, and the two studies of `conf/experiment` in short."""

from __future__ import annotations

import csv
import json
import sys
from contextlib import chdir
from pathlib import Path

import pytest
import yaml

from couloir.artifacts import comparison
from couloir.artifacts.comparison import draw_comparison
from couloir.cli.main import run as command
from couloir.config.check import check
from couloir.config.compose import compose_sentence
from couloir.sweep.report import draw
from couloir.sweep.trials import Objective, SweepRecord, TrialRecord

PNG = b"\x89PNG\r\n"


def sweep(words: list[str], directory: Path, code: int = 0) -> Path:
    """`train -m WORDS` in a directory of its own; the sweep's folder."""
    with chdir(directory), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train"])
        assert command(["train", "-m", *words]) == code
    (folder,) = directory.glob("outputs/sweep/*")
    return folder


def made_up_run(folder: Path, words: list[str], rows: list[dict[str, float]], status: str = "completed") -> Path:
    folder.mkdir(parents=True)
    (folder / "status.json").write_text(json.dumps({"status": status}))
    (folder / "overrides.yaml").write_text(yaml.safe_dump(words))
    (folder / "config.yaml").write_text("callbacks: {}\n")
    with (folder / "metrics.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def losses(*values: float) -> list[dict[str, float]]:
    return [{"epoch": epoch, "train/loss": value, "val/loss": value} for epoch, value in enumerate(values, 1)]


@pytest.mark.slow
def test_a_sweep_leaves_its_runs_in_one_picture_although_one_diverges(tmp_path: Path) -> None:
    folder = sweep(["data=line", "optimizer=sgd", "optimizer.lr=0.01,1e9", "trainer.max_epochs=2"], tmp_path, code=3)
    assert (folder / "comparison.png").read_bytes().startswith(PNG)
    assert not (folder / "signals.png").exists()


def test_a_run_is_named_by_what_it_does_not_share(tmp_path: Path) -> None:
    folders = [
        made_up_run(tmp_path / str(n), ["data=line", f"optimizer.lr={lr}"], losses(3, 2)) for n, lr in enumerate((1, 2))
    ]
    assert [run.label for run in comparison._completed(folders)] == ["optimizer.lr=1", "optimizer.lr=2"]
    assert comparison._completed(folders[:1])[0].label == "0"


def test_colours_and_markers_tell_two_keys_apart(tmp_path: Path) -> None:
    folders = [
        made_up_run(tmp_path / f"{a}{b}", [f"a={a}", f"b={b}"], losses(1)) for a in "xyz" for b in "uv"
    ]  # fmt: skip
    runs = comparison._completed(folders)
    styles = comparison._styles(runs)
    assert len(set(styles.values())) == 6
    assert styles[folders[0]][0] == styles[folders[1]][0] != styles[folders[2]][0]
    assert styles[folders[0]][1] == styles[folders[2]][1] != styles[folders[1]][1]
    names = [line.get_label() for line in comparison._legend(runs, styles)]
    assert names == ["a=x", "a=y", "a=z", "b=u", "b=v"]


@pytest.mark.parametrize("values", [(3.0, float("nan")), (1e9, 1e-9), (0.0, 0.0), (-1.0, 2.0)])
def test_numbers_that_no_axis_likes_are_drawn(values: tuple[float, float], tmp_path: Path) -> None:
    folder = made_up_run(tmp_path / "0", [], losses(*values))
    assert draw_comparison(tmp_path, [folder], "loss", 1) == [tmp_path / "comparison.png"]


def test_a_hundred_runs_are_drawn_as_the_best_of_them(tmp_path: Path) -> None:
    folders = [made_up_run(tmp_path / str(n), [f"seed={n}"], losses(2, n)) for n in range(100)]
    draw_comparison(tmp_path, folders[: comparison.SHOWN], "loss", len(folders))
    from PIL import Image

    with Image.open(tmp_path / "comparison.png") as picture:
        assert picture.height < 1200


@pytest.mark.parametrize(
    ("metric", "axis", "first"), [("accuracy", "error, 1 − accuracy", 0.75), ("loss", "loss", 2.0), ("r2", "R²", 0.5)]
)
def test_the_picture_draws_what_the_table_ranks_and_names_it(
    metric: str, axis: str, first: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"epoch": 1.0, "train/loss": 2.0, "train/accuracy": 0.25, "train/r2": 0.5}]
    drawn = []
    monkeypatch.setattr(comparison, "_finish", lambda figure, axes, *_: drawn.append(axes[0]))
    draw_comparison(tmp_path, [made_up_run(tmp_path / "0", [], rows)], metric, 1)
    assert drawn[0].get_ylabel() == axis
    assert drawn[0].lines[0].get_ydata()[0] == first


def test_without_a_completed_run_there_is_nothing(tmp_path: Path) -> None:
    folder = made_up_run(tmp_path / "0", [], losses(1), status="diverged")
    assert draw_comparison(tmp_path, [folder, tmp_path / "never_begun"], "loss", 2) == []
    assert not (tmp_path / "comparison.png").exists()


def test_a_picture_that_cannot_be_drawn_does_not_fail_the_sweep(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up_run(tmp_path / "0", [], losses(1))
    monkeypatch.setattr(comparison, "_draw_curves", lambda *_: 1 / 0)
    trial = TrialRecord(0, {"seed": "1"}, "completed", [tmp_path / "0"], [[0.5]])
    goal = Objective("best/loss", "minimize")
    draw(SweepRecord(tmp_path, "s", [], ["seed"], [goal], "val/loss", ["train"], [trial], 1))
    assert "could not be drawn" in capsys.readouterr().err
    assert (tmp_path / "report.html").exists()


@pytest.mark.slow
def test_the_initialization_study_in_short(tmp_path: Path) -> None:
    words = ["experiment=initialization_study", "initializer=normal,he_normal", "model.activation=relu"]
    folder = sweep([*words, "trainer.max_epochs=1", "data.subset=300", "logger=csv"], tmp_path)
    assert (folder / "comparison.png").read_bytes().startswith(PNG)
    assert (folder / "signals.png").read_bytes().startswith(PNG)
    first, last = [], []
    for run in (folder / "0", folder / "1"):
        rows = [row for row in csv.DictReader((run / "signals.csv").open()) if row["weight_gradient_variance"]]
        assert len(rows) == 11
        first.append(float(rows[0]["activation_variance"]))
        last.append(float(rows[9]["activation_variance"]))
    assert last[0] < 1e-15 * first[0], "weights of deviation 0.01 let the signal die"
    assert 0.1 < last[1] / first[1] < 10, "He's weights keep it"


@pytest.mark.slow
def test_the_activation_study_in_short(couloir_data: Path, tmp_path: Path) -> None:
    words = ["experiment=relu_vs_tanh", f"data.root={couloir_data / 'cifar10'}", "data.subset=300", "model.widths=4"]
    folder = sweep(
        [*words, "trainer.max_epochs=2", "callbacks.stop_at.threshold=0.05", "trainer.limit_test_batches=1"], tmp_path
    )
    assert (folder / "comparison.png").read_bytes().startswith(PNG)
    configs = [yaml.safe_load((folder / f"{job}/config.yaml").read_text()) for job in (0, 1)]
    assert [config["model"]["activation"] for config in configs] == ["relu", "tanh"]
    assert [config["optimizer"]["lr"] for config in configs] == [configs[0]["rates"][name] for name in ("relu", "tanh")]
    rows = list(csv.DictReader((folder / "0/metrics.csv").open()))
    assert len(rows) == 1, "five in a hundred are right after the first epoch: the goal is reached"


@pytest.mark.parametrize("name", ["relu_vs_tanh", "initialization_study"])
def test_a_study_without_m_is_one_run(name: str, couloir_data: Path) -> None:
    root = [f"data.root={couloir_data / 'cifar10'}"] if name == "relu_vs_tanh" else []
    sentence = compose_sentence([f"experiment={name}", *root])
    check(sentence)
    assert sentence.cfg.optimizer.lr > 0
    assert "hydra" not in sentence.cfg
