"""The step: each loss is handed the form of the prediction that it takes, and each of them learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import special
from torch import nn

import couloir
from couloir.config import tree
from couloir.config.needs import fitting
from couloir.errors import CouloirError
from couloir.task.forms import converted
from repeats import few

LOGITS = torch.tensor([[1.5, -0.5, 0.25], [-2.0, 0.0, 3.0]])


class Wants(nn.Module):
    def __init__(self, expects: str) -> None:
        super().__init__()
        self.expects = expects


class Gives(nn.Module):
    def __init__(self, output: str) -> None:
        super().__init__()
        self.output = output


@pytest.mark.parametrize(
    ("wanted", "formula"),
    [
        ("logits", lambda z: z),
        ("values", lambda z: z),
        ("log_probabilities", lambda z: special.log_softmax(z, axis=1)),
        ("probabilities", special.expit),
        ("distribution", lambda z: special.softmax(z, axis=1)),
    ],
)
def test_logits_become_what_the_loss_takes(wanted: str, formula: object) -> None:
    got = converted(LOGITS, Gives("logits"), Wants(wanted))
    np.testing.assert_allclose(got.numpy(), formula(LOGITS.numpy()), rtol=1e-5)  # type: ignore[operator]


def test_probabilities_of_a_perceptron_are_not_squashed_twice() -> None:
    probabilities = torch.sigmoid(LOGITS)
    perceptron = Gives("probabilities")
    assert torch.equal(converted(probabilities, perceptron, Wants("probabilities")), probabilities)
    assert torch.allclose(converted(probabilities, perceptron, Wants("logits")), LOGITS, atol=1e-5)
    shares = converted(probabilities, perceptron, Wants("distribution"))
    assert torch.allclose(shares, probabilities / probabilities.sum(dim=1, keepdim=True))


def test_a_saturated_perceptron_keeps_a_finite_loss() -> None:
    saturated = torch.tensor([[1.0, 0.0]], requires_grad=True)
    out = converted(saturated, Gives("probabilities"), Wants("logits"))
    assert torch.isfinite(out).all()


def quick(words: list[str], folder: Path) -> dict[str, float]:
    extra = [f"output_dir={folder}", "trainer.accelerator=cpu", "logger=csv"]
    return couloir.train(couloir.compose([*words, *extra])).metrics


CLASSIFICATION = fitting("loss", {"fields": {"label": "label"}})
REGRESSION = fitting("loss", {"fields": {"value": "value"}})


@pytest.mark.parametrize("loss", CLASSIFICATION)
@pytest.mark.parametrize("model", few(["mlp", "perceptron"], 1))
def test_every_classification_loss_learns_with_and_without_probabilities(loss: str, model: str, tmp_path: Path) -> None:
    words = ["data=blobs", f"model={model}", f"loss={loss}", "trainer.max_epochs=4", "optimizer.lr=0.05"]
    assert quick(words, tmp_path)["test/accuracy"] > 0.8, "the clouds overlap a little; chance is 0.25"


@pytest.mark.parametrize("loss", few(CLASSIFICATION, 2))
def test_every_classification_loss_takes_mixed_targets(loss: str, tmp_path: Path) -> None:
    words = ["data=blobs", "augmentation=mixup", f"loss={loss}", "trainer.max_epochs=4", "optimizer.lr=0.05"]
    assert quick(words, tmp_path)["test/accuracy"] > 0.85


@pytest.mark.parametrize("loss", REGRESSION)
def test_every_regression_loss_learns_a_line(loss: str, tmp_path: Path) -> None:
    positive = ["data.intercept=5"] if loss == "msle" else ["data.target_scaling=unit"]
    rate = 0.2 if loss == "msle" else 0.05  # its gradient is smaller by the targets' size
    words = ["data=line", *positive, f"loss={loss}", "trainer.max_epochs=10", f"optimizer.lr={rate}"]
    assert quick(words, tmp_path)["test/r2"] > 0.8


def test_a_loss_that_is_not_defined_for_the_targets_is_explained(tmp_path: Path) -> None:
    with pytest.raises(CouloirError, match="is defined for targets in"):
        quick(["data=line", "loss=mlnet"], tmp_path)


@pytest.mark.parametrize("scheduler", few(tree.choices("scheduler"), 5))
def test_every_schedule_runs_to_the_end_of_a_run(scheduler: str, tmp_path: Path) -> None:
    words = ["data=moons", f"scheduler={scheduler}", "trainer.max_epochs=3", "optimizer=momentum"]
    assert quick(words, tmp_path)["epochs"] == 3


def test_a_schedule_by_step_spans_the_run(tmp_path: Path) -> None:
    import csv

    words = ["data=moons", "scheduler=polynomial", "trainer.max_epochs=4", "optimizer=sgd", "optimizer.lr=0.4"]
    result = couloir.train(couloir.compose([*words, f"output_dir={tmp_path}"]))
    rates = [float(row["lr"]) for row in csv.DictReader((result.dir / "metrics.csv").open())]
    assert rates == pytest.approx([0.4, 0.3, 0.2, 0.1])


@pytest.mark.parametrize(
    "initializer", [name for name in tree.choices("initializer") if name not in ("custom", "from_run")]
)
def test_every_initializer_runs_in_a_sentence(initializer: str, tmp_path: Path) -> None:
    assert quick(["trainer=debug", f"initializer={initializer}"], tmp_path)["epochs"] == 1


@pytest.mark.parametrize("augmentation", list(tree.choices("augmentation")))
def test_every_augmentation_runs_in_a_sentence(augmentation: str, tmp_path: Path) -> None:
    words = ["trainer=debug", "data=synthetic", "data.samples=60", f"augmentation={augmentation}"]
    assert quick(words, tmp_path)["epochs"] == 1


@pytest.mark.parametrize(
    "words",
    [
        ["deterministic=true"],
        ["trainer.precision=bf16-mixed"],
        ["trainer.accumulate_grad_batches=2", "scheduler=one_cycle"],
        ["trainer.gradient_clip_val=0.5"],
        ["trainer.check_val_every_n_epoch=2", "trainer.max_epochs=4"],
        ["callbacks.early_stopping.patience=1", "callbacks.early_stopping.min_delta=1.0", "trainer.max_epochs=50"],
        ["callbacks.checkpoint.every_n_steps=5"],
        ["callbacks.checkpoint.monitor=val/accuracy", "callbacks.checkpoint.mode=max"],
        ["~callbacks.lr_monitor"],
        ["data.batch_size=1000"],
        ["data.batch_size=1", "data.subset=20"],
        ["model.batch_norm=true", "data.batch_size=8"],
    ],
    ids=" ".join,
)
def test_the_keys_of_the_loop_work(words: list[str], tmp_path: Path) -> None:
    numbers = quick(["data=moons", "trainer.max_epochs=2", *words], tmp_path)
    assert "test/accuracy" in numbers
    if "patience" in words[0]:
        assert numbers["epochs"] < 50
