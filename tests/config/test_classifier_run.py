"""`metric=samples` in sentences: the classifier that is named measures, and what cannot measure is refused at once."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

import couloir
from couloir.cli.main import run as couloir_main
from couloir.config.compose import compose_sweep
from couloir.config.metrics import measured
from couloir.inference.predictor import Predictor
from couloir.metric.features import classifier
from couloir.metric.samples import Frechet
from couloir.record.differences import differences
from couloir.record.provenance import read_provenance
from couloir.report.run import write_report
from couloir.sweep.settings import Settings
from couloir.sweep.space import Space
from finished_runs import FinishedRuns
from interruption import rows

NAMES = [
    "frechet", "made_precision", "made_recall", "class_coverage", "least_share", "class_entropy", "confidence",
]  # fmt: skip
VAE = ["task=vae", "data=digits", "data.subset=64", "model.hidden=[16]", "trainer.max_epochs=2", "trainer=cpu"]


@pytest.fixture(scope="module")
def ruler(finished: FinishedRuns, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of digits, which a test may remove."""
    return shutil.copytree(finished("digits"), tmp_path_factory.mktemp("rulers") / "outputs/train/ruler")


@pytest.fixture(scope="module")
def made(ruler: Path, tmp_path_factory: pytest.TempPathFactory) -> couloir.RunResult:
    """A VAE whose samples that classifier measures."""
    words = [*VAE, "metric=samples", f"metric.features={ruler}", "callbacks.checkpoint.monitor=val/frechet"]
    return couloir.train(couloir.compose([*words, f"output_dir={tmp_path_factory.mktemp('made')}"]))


def test_a_run_chooses_its_best_epoch_by_the_distance_and_shows_it(made: couloir.RunResult, tmp_path: Path) -> None:
    distances = [float(row["val/frechet"]) for row in rows(made.dir)]
    assert made.metrics["best/frechet"] == min(distances)
    assert {f"{split}/{name}" for split in ("val", "test") for name in NAMES} <= set(made.metrics)
    assert not [name for name in rows(made.dir)[0] if name in ("train/frechet", "val/features", "val/count")]
    line = next(line for line in (made.dir / "train.log").read_text().splitlines() if "epoch 1/2" in line)
    assert [name for name in NAMES if f"val/{name} " in line] == NAMES[:4], "a line with all of them is too long"
    page = write_report([made.dir], tmp_path / "report.html").read_text()
    assert "Fréchet distance" in page
    assert "recall of samples" in page


def test_the_number_is_that_of_the_pictures_in_the_classifiers_features(made: couloir.RunResult, ruler: Path) -> None:
    predictor = Predictor(couloir.config.finished.run_config(made.dir), made.dir)
    metric = Frechet(classifier(str(ruler)))
    for batch in predictor.batches():
        metric.update(*predictor.task.compute(batch).tensors[-2:])
    assert made.metrics["test/frechet"] == pytest.approx(float(metric.compute()), rel=1e-6)


def test_a_finished_run_is_measured_by_another_classifier(made: couloir.RunResult, tmp_path: Path) -> None:
    def evaluated(name: str, *words: str) -> dict[str, float]:
        assert couloir_main(["evaluate", str(made.dir), *words, f"output_dir={tmp_path / name}"]) == 0
        found: dict[str, float] = json.loads(next(tmp_path.glob(f"{name}/evaluate/*/result.json")).read_text())
        return found

    assert evaluated("same")["test/frechet"] == pytest.approx(made.metrics["test/frechet"], rel=1e-6)
    embedded = evaluated("embedded", "metric=samples", "metric.count=50")
    assert embedded["test/frechet"] != pytest.approx(made.metrics["test/frechet"], rel=0.1)
    assert 0 < embedded["test/class_entropy"] < 2.303


def test_the_newest_run_is_named_for_good_and_one_that_is_gone_is_missed(
    made: couloir.RunResult, ruler: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ruler.parents[2])
    Path("outputs/latest").symlink_to("train/ruler")
    for word in ("latest", "ruler", "outputs/latest"):
        cfg = couloir.compose([*VAE, "metric=samples", f"metric.features={word}"]).cfg
        assert cfg.metric.features == str(ruler.resolve()), word
    then = read_provenance(made.dir)
    digest = hashlib.sha256((ruler / "checkpoints/best.ckpt").read_bytes()).hexdigest()
    assert then["classifier"]["sha256"] == f"sha256:{digest}"
    (changed,) = differences(then, then | {"classifier": {"sha256": "sha256:0"}})
    assert changed.matters, "a rerun that is measured by another classifier says so"
    assert changed.in_words().startswith("metric.features sha256:")
    moved = ruler.rename(ruler.with_name("elsewhere"))
    try:
        assert couloir_main(["rerun", str(made.dir)]) == 2
    finally:
        moved.rename(ruler)
    said = capfd.readouterr().err
    assert f"There is no run '{ruler}'" in said
    assert f"metric.features={ruler}" in said


def test_a_sweep_can_look_for_the_least_distance() -> None:
    trial = couloir.compose([*VAE, "metric=samples", "callbacks.checkpoint.monitor=val/frechet"])
    assert trial.cfg.callbacks.checkpoint.mode == "min"
    assert [name.removeprefix("val/") for name in measured(trial.cfg)][-len(NAMES) :] == NAMES
    sweep = compose_sweep(["sweep.objective=[best/frechet,best/made_recall]"])
    goals = Settings.read(sweep, Space([*VAE, "metric=samples"], []), {}, trial).ranking.objectives
    assert [goal.direction for goal in goals] == ["minimize", "maximize"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["metric.features=nosuch"], "There is no run 'nosuch'. where: metric.features=nosuch"),
        (["metric.features={points}"], "is a classification of rows, and samples are measured by a classifier of"),
        (["metric.features={several values}"], "is a regression, and samples are measured by a classifier of images"),
        (["metric.features={photographs}"], "classifies images with 3 channels, and the data has one channel"),
        (["data=cifar10", "model=conv_vae"], "knows grey images alone, and the data has 3 channels"),
        (["metric.count=3"], "metric.count takes an integer >= 4, not 3"),
        (["metric.counts=30"], "metric=samples has no key 'counts'"),
        (["+metric.ruler=run"], "Nothing reads the key 'metric.ruler'"),
        (["task=classification", "model=mlp"], "metric.frechet does not fit the task of the data: classification"),
        (["task=reconstruction", "model=autoencoder"], "metric.frechet does not fit the task of the data"),
    ],
)
def test_what_cannot_measure_is_refused_before_torch_is_needed(
    words: list[str], said: str, finished: FinishedRuns, capfd: pytest.CaptureFixture[str]
) -> None:
    given = [word.format_map(Runs(finished)) for word in words]
    assert couloir_main(["train", "task=vae", "data=digits", "metric=samples", *given]) == 2
    assert said in " ".join(capfd.readouterr().err.split())


class Runs(dict[str, Path]):
    """Finished runs by the names that words have in braces."""

    def __init__(self, finished: FinishedRuns) -> None:
        super().__init__()
        self.finished = finished

    def __missing__(self, name: str) -> Path:
        return self.finished(name)
