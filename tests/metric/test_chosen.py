"""Chosen metrics: against scikit-learn, SciPy or NumPy, in a run's files, through a stop, and from one's own YAML."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from scipy import special, stats
from sklearn import metrics as reference
from sklearn.preprocessing import label_binarize

import couloir
from couloir.cli.main import run as couloir_main
from couloir.config import tree
from couloir.config.compose import compose_sentence, compose_sweep
from couloir.errors import CouloirError
from couloir.inference.predictor import Predictor
from couloir.metric.chosen import build_metrics, number
from couloir.metric.classification import ClassificationMetrics
from couloir.metric.gathered import BATCHES, Gathered
from couloir.metric.regression import RegressionMetrics
from couloir.report.run import write_report
from couloir.sweep.settings import Settings
from couloir.sweep.space import Space
from interruption import assert_same, rows, stopped

Array = np.ndarray[Any, np.dtype[Any]]
CLASSES = 4
SIZES = [5, 1, 13, 7, 64, 2]


def calibration_error(share: Array, label: Array, bins: int = 15) -> float:
    """Naeini et al., 2015: the mean over the bins of |accuracy - confidence|, weighted by their samples."""
    confidence, right = share.max(axis=1), share.argmax(axis=1) == label
    place = np.clip(np.ceil(confidence * bins) - 1, 0, bins - 1)
    inside = [place == number for number in range(bins)]
    return sum(abs(right[them].mean() - confidence[them].mean()) * them.mean() for them in inside if them.any())


def one_for_each(share: Array, label: Array) -> tuple[Array, Array]:
    return label_binarize(label, classes=range(CLASSES)), share


def f1(average: str) -> Callable[[Array, Array], float]:
    return lambda share, label: reference.f1_score(label, share.argmax(axis=1), average=average)


EXPECTED: dict[str, Callable[[Array, Array], float]] = {
    "f1": f1("macro"),
    "weighted_f1": f1("weighted"),
    "precision": lambda share, label: reference.precision_score(label, share.argmax(axis=1), average="macro"),
    "recall": lambda share, label: reference.recall_score(label, share.argmax(axis=1), average="macro"),
    "balanced_accuracy": lambda share, label: reference.balanced_accuracy_score(label, share.argmax(axis=1)),
    "auroc": lambda share, label: reference.roc_auc_score(label, share, multi_class="ovr", average="macro"),
    "average_precision": lambda share, label: reference.average_precision_score(*one_for_each(share, label)),
    "calibration": calibration_error,
    "kappa": lambda share, label: reference.cohen_kappa_score(label, share.argmax(axis=1)),
    "matthews": lambda share, label: reference.matthews_corrcoef(label, share.argmax(axis=1)),
    "mape": lambda value, target: float(np.mean(np.abs((value - target) / target))),
    "explained_variance": lambda value, target: reference.explained_variance_score(target, value),
    "spearman": lambda value, target: stats.spearmanr(value[:, 0], target[:, 0]).statistic,
    "pearson": lambda value, target: stats.pearsonr(value[:, 0], target[:, 0]).statistic,
}
OF_VALUES = ("mape", "explained_variance", "spearman", "pearson")


OF_LABELS: dict[str, Callable[[Array, Array], float]] = {
    "label_f1": lambda share, labels: reference.f1_score(labels, share > 0.5, average="macro"),
    "label_auroc": lambda share, labels: reference.roc_auc_score(labels, share, average="macro"),
    "label_average_precision": lambda share, labels: reference.average_precision_score(labels, share, average="macro"),
}


def test_every_choice_has_its_reference_here() -> None:
    of_made_samples = "samples"  # theirs are in test_samples.py
    assert {*EXPECTED, *OF_LABELS, "none", "macro", of_made_samples} == set(tree.choices("metric"))


def predictions() -> tuple[Array, Array]:
    """Logits (N, C) that know something of their labels (N,), some classes rarer than others."""
    draw = np.random.default_rng(0)
    label = draw.choice(CLASSES, p=[0.5, 0.3, 0.15, 0.05], size=sum(SIZES))
    return (draw.normal(size=(len(label), CLASSES)) + 1.5 * np.eye(CLASSES)[label]).astype(np.float32), label


def gathered(names: list[str], task: str) -> Gathered:
    data = "data=blobs" if task == "classification" else "data=line"
    cfg = couloir.compose([data, f"metric=[{','.join(names)}]"]).cfg
    if task == "classification":
        assert cfg.data.num_classes == CLASSES
        own = {"accuracy": ClassificationMetrics(CLASSES)}
        return Gathered(("loss",), own, build_metrics(cfg), lambda parts: (torch.softmax(parts[0], 1), parts[1]))
    return Gathered(("loss",), {"values": RegressionMetrics()}, build_metrics(cfg))


def taken_in(together: Gathered, prediction: Array, target: Array) -> dict[str, float]:
    """The numbers, after batches of unequal sizes."""
    parts = zip(torch.tensor(prediction).split(SIZES), torch.tensor(target).split(SIZES), strict=True)
    for part, its_target in parts:
        together.add(len(part), (torch.tensor(1.0),), (part, its_target))
    return {name: float(value) for name, value in together.compute().items()}


def test_metrics_of_classes_are_scikit_learns_whatever_the_batches() -> None:
    names = [name for name in EXPECTED if name not in OF_VALUES]
    logits, label = predictions()
    got = taken_in(gathered(names, "classification"), logits, label)
    share = special.softmax(logits, axis=1)
    share /= share.sum(axis=1, keepdims=True)
    for name in names:
        assert got[name] == pytest.approx(EXPECTED[name](share, label), abs=2e-6), name
    assert got["accuracy"] == (share.argmax(axis=1) == label).mean()


def test_metrics_of_values_are_in_the_units_of_the_data_and_exact_far_from_zero() -> None:
    draw = np.random.default_rng(1)
    target = 2000 + draw.normal(size=(sum(SIZES), 1))
    value = target + 0.3 * draw.normal(size=target.shape) + 0.2
    got = taken_in(gathered(list(OF_VALUES), "regression"), value, target)
    for name in OF_VALUES:
        tolerance = 1e-6 if name == "spearman" else 1e-9  # TorchMetrics ranks in float32
        assert got[name] == pytest.approx(EXPECTED[name](value, target), abs=tolerance), name


def test_metrics_of_several_labels_are_scikit_learns_whatever_the_batches() -> None:
    cfg = compose_sentence([f"metric=[{','.join(OF_LABELS)}]", "task=multi_label", "data.num_classes=3"]).cfg
    draw = np.random.default_rng(3)
    labels = draw.integers(2, size=(sum(SIZES), 3))
    logits = draw.normal(size=labels.shape) + 0.8 * labels
    metrics = build_metrics(cfg)
    for part, of in zip(torch.tensor(logits).split(SIZES), torch.tensor(labels).split(SIZES), strict=True):
        for metric in metrics.values():
            metric.update(torch.sigmoid(part), of)
    for name, expected in OF_LABELS.items():
        assert float(number(metrics[name])) == pytest.approx(expected(special.expit(logits), labels), abs=1e-6), name


def test_several_outputs_count_as_their_mean() -> None:
    cfg = couloir.compose(["data=line", "metric=[pearson,spearman]", "data.num_classes=2"]).cfg
    draw = np.random.default_rng(2)
    target = draw.normal(size=(40, 2))
    value = target + draw.normal(size=(40, 2)) * [0.1, 2.0]
    for name, of in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr)):
        metric = build_metrics(cfg)[name]
        metric.update(torch.tensor(value), torch.tensor(target))
        expected = np.mean([of(value[:, column], target[:, column]).statistic for column in (0, 1)])
        assert float(number(metric)) == pytest.approx(expected, abs=1e-6)


def test_a_state_of_sums_and_lists_goes_on_and_a_batch_can_be_taken_back() -> None:
    names = ["f1", "auroc", "calibration"]
    logits, label = predictions()
    whole, first, second = (gathered(names, "classification") for _ in range(3))
    expected = taken_in(whole, logits, label)
    batches = list(zip(torch.tensor(logits).split(1), torch.tensor(label).split(1), strict=True))
    assert len(batches) > BATCHES + 3, "so that some are in the metrics' own states, and others are kept"
    for batch in batches[: BATCHES + 3]:
        first.add(1, (torch.tensor(1.0),), batch)
        first.add(1, (torch.tensor(torch.nan),), (torch.zeros(1, CLASSES), torch.zeros(1, dtype=torch.long)))
        first.take_back()
    state = first.state_dict()
    assert isinstance(state["states"]["chosen_auroc"]["sums"]["preds"], list)
    second.load_state_dict(state)
    for batch in batches[BATCHES + 3 :]:
        second.add(1, (torch.tensor(1.0),), batch)
    got = {name: float(value) for name, value in second.compute().items()}
    assert got == pytest.approx(expected, abs=1e-12)
    second.reset()
    assert second.state_dict()["states"]["chosen_auroc"]["sums"]["preds"] == []


def test_the_training_split_has_the_metrics_that_keep_sums_alone() -> None:
    cfg = couloir.compose(["metric=[macro,auroc,average_precision,calibration,kappa,matthews,weighted_f1]"]).cfg
    assert list(build_metrics(cfg)) == list(cfg.metric)
    kept = build_metrics(cfg, "train")
    for name, metric in build_metrics(cfg).items():
        lists = any(isinstance(state, list) for state in metric.metric_state.values())
        assert (name in kept) == (not lists), name


QUICK = ["data.subset=300", "trainer.accelerator=cpu", "trainer.threads=1", "callbacks.gradients.every_n_epochs=null"]


def answers(cfg: DictConfig, run: Path) -> tuple[Array, Array]:
    """Probabilities (N, C) and labels (N,) of a run's test split."""
    predictor = Predictor(cfg, run)
    found = [(predictor.answer(batch), batch[predictor.task.target]) for batch in predictor.batches()]
    share, label = (torch.cat(parts) for parts in zip(*found, strict=True))
    return share.double().numpy(), label.numpy()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> couloir.RunResult:
    folder = tmp_path_factory.mktemp("trained")
    words = ["data=digits", "metric=[f1,auroc]", "callbacks.checkpoint.monitor=val/f1", "trainer.max_epochs=3"]
    return couloir.train(couloir.compose([*QUICK, *words, f"output_dir={folder}"]))


def test_a_run_has_its_chosen_metrics_in_every_epoch_and_at_the_end(trained: couloir.RunResult) -> None:
    epochs = rows(trained.dir)
    assert all({"train/f1", "val/f1", "val/auroc"} <= set(row) for row in epochs)
    assert "train/auroc" not in epochs[0]
    shares = [float(row["val/f1"]) for row in epochs]
    best = int(np.argmax(shares))
    numbers = json.loads((trained.dir / "result.json").read_text())
    assert numbers["best/epoch"] == best + 1, "more F1 is better, and nobody had to say so"
    assert numbers["best/f1"] == max(shares) > shares[0]
    assert numbers["val/auroc"] == float(epochs[-1]["val/auroc"])
    assert {"test/f1", "test/auroc"} <= set(numbers)


def test_the_numbers_of_the_test_split_are_those_of_its_predictions(trained: couloir.RunResult) -> None:
    cfg = couloir.compose([*QUICK, "metric=[f1,auroc]"]).cfg
    share, label = answers(cfg, trained.dir)
    share /= share.sum(axis=1, keepdims=True)
    assert trained.metrics["test/f1"] == pytest.approx(EXPECTED["f1"](share, label), abs=1e-6)
    assert trained.metrics["test/auroc"] == pytest.approx(EXPECTED["auroc"](share, label), abs=1e-6)


def test_evaluate_and_the_report_show_them(trained: couloir.RunResult, tmp_path: Path) -> None:
    assert couloir_main(["evaluate", str(trained.dir), f"output_dir={tmp_path}"]) == 0
    evaluated = json.loads(next(tmp_path.glob("evaluate/*/result.json")).read_text())
    assert evaluated["test/f1"] == pytest.approx(trained.metrics["test/f1"], abs=1e-6)
    assert evaluated["test/auroc"] == pytest.approx(trained.metrics["test/auroc"], abs=1e-6)
    words = [
        str(trained.dir),
        "metric=[kappa,auroc]",
        "metric.auroc.thresholds=500",
        f"output_dir={tmp_path / 'other'}",
    ]
    assert couloir_main(["evaluate", *words]) == 0
    other = json.loads(next(tmp_path.glob("other/evaluate/*/result.json")).read_text())
    assert {"test/f1", "test/kappa"} & set(other) == {"test/kappa"}
    assert other["test/auroc"] != evaluated["test/auroc"]
    assert other["test/auroc"] == pytest.approx(evaluated["test/auroc"], abs=0.01), "in bins"
    assert couloir_main(["evaluate", str(trained.dir), "metric=mape"]) == 2
    page = write_report([trained.dir], tmp_path / "report.html").read_text()
    assert "macro F1" in page
    assert "AUROC" in page


def test_a_run_with_metrics_that_keep_lists_goes_on_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["data.subset=120", "data.batch_size=1", "trainer.max_epochs=1", "trainer.threads=1", "model=linear"]
    words += ["metric=[f1,auroc]", "metric.auroc.facts.on_train=true", f"output_dir={tmp_path}"]
    whole = couloir.train(couloir.compose(words)).dir
    assert "train/auroc" in rows(whole)[0]
    run = stopped(words, "train", BATCHES + 6, monkeypatch)
    saved = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["resumption"]["processes"][0]["metrics"]
    assert sum(len(part) for part in saved["states"]["chosen_auroc"]["sums"]["preds"]) == BATCHES
    assert couloir_main(["resume", str(run)]) == 0
    assert_same(run, whole)


OWN = """# Specificity: the share of the samples of other classes that are not taken for a class, and its mean.
# Source: Yerushalmy, 1947.
specificity:
  _target_: torchmetrics.classification.MulticlassSpecificity
  num_classes: ${data.num_classes}
  facts:
    label: mean specificity
    higher_is_better: true
    bounds: [0, 1]
    tasks: [classification]
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a metric of its own."""
    file = tmp_path / "conf/metric/specificity.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(OWN)
    monkeypatch.chdir(tmp_path)
    return file


def test_a_users_own_metric_is_one_yaml_file(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert couloir_main(["list", "metric"]) == 0
    assert "(your own)" in capsys.readouterr().out
    words = [*QUICK, "metric=[specificity,f1]", "callbacks.checkpoint.monitor=val/specificity", "model=linear"]
    trial = couloir.compose([*words, "trainer.max_epochs=2"])
    assert trial.cfg.callbacks.checkpoint.mode == "max"
    (goal,) = Settings.read(
        compose_sweep(["sweep.objective=best/specificity"]), Space(words, []), {}, trial
    ).ranking.objectives
    assert goal.direction == "maximize"
    result = couloir.train(trial)
    share, label = answers(trial.cfg, result.dir)
    matrix = reference.confusion_matrix(label, share.argmax(axis=1), labels=range(10))
    others = len(label) - matrix.sum(axis=1)
    false = matrix.sum(axis=0) - matrix.diagonal()
    assert result.metrics["test/specificity"] == pytest.approx(np.mean(1 - false / others), abs=1e-6)
    assert result.metrics["best/specificity"] == max(float(row["val/specificity"]) for row in rows(result.dir))
    page = write_report([result.dir], Path("report.html")).read_text()
    assert "mean specificity" in page


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("higher_is_better: true", "higher_is_beter: true", "did you mean metric.specificity.facts.higher_is_better"),
        ("    higher_is_better: true\n", "", "does not say whether more is better"),
        ("[0, 1]", "[0]", "bounds takes the least and the largest value"),
        ("[0, 1]", "[0, 1]\n    guess: chance", "guess takes a number, K/num_classes"),
        ("[classification]", "[clasification]", "did you mean tasks: [classification]"),
        ("specificity:\n", "accuracy:\n", "is the name of a metric that tasks already have"),
        ("specificity:\n", "my-metric:\n", "is not a name of letters and digits"),
        ("  facts:\n", "  fact:\n", "did you mean metric.specificity.facts?"),
        ("torchmetrics.classification.Multi", "os.path.Multi", "which a configuration never calls"),
    ],
)
def test_what_is_wrong_in_it_is_said_before_torch_is_needed(
    own: Path, old: str, new: str, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    own.write_text(OWN.replace(old, new))
    assert couloir_main(["train", "metric=specificity"]) == 2
    assert said in " ".join(capfd.readouterr().err.split())


@pytest.mark.parametrize(
    ("node", "said"),
    [
        ("MulticlassSpecificity\n  num_classes: 3", "cannot measure a classification"),
        ("MulticlassROC\n  num_classes: 10", "not a number"),
        ("MulticlassSpecificty\n  num_classes: 10", "cannot be imported"),
        ("MulticlassSpecificity\n  classes: 10", "did you mean metric.specificity.num_classes"),
    ],
)
def test_a_metric_that_cannot_measure_says_so_before_training(own: Path, node: str, said: str) -> None:
    own.write_text(OWN.replace("MulticlassSpecificity\n  num_classes: ${data.num_classes}", node))
    with pytest.raises(CouloirError, match=said):
        build_metrics(couloir.compose(["metric=specificity"]).cfg)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data=line", "metric=f1"], "take one of: explained_variance, mape, pearson, spearman"),
        (["metric=[f1,mape]"], "metric=mape does not fit the task of the data: classification"),
        (["metric=[f1,aurok]"], "did you mean metric=auroc"),
        (["metric=[f1,auroc]", "metric.f1.averge=micro"], "did you mean metric.f1.average=micro"),
        (["metric=f1", "metric.f1.average=macr"], "takes one of macro, weighted, micro, not macr"),
        (["callbacks.checkpoint.monitor=val/f1"], "add metric=f1, which measures it"),
        (["metric=auroc", "callbacks.checkpoint.monitor=train/auroc"], "is not a metric of a classification"),
    ],
)
def test_wrong_words_are_answered_with_the_nearest_right_ones(
    words: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert couloir_main(["train", *words]) == 2
    assert said in " ".join(capfd.readouterr().err.split())
