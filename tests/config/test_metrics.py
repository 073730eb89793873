"""The one table of metrics: whoever reads it knows a metric's direction, name and value of guessing."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

import couloir
from couloir.config.compose import compose_sweep
from couloir.config.finished import amend
from couloir.config.metrics import BUILT_IN, facts, leading, measured, mode, ordered, task_of
from couloir.errors import CouloirError
from couloir.sweep.settings import Settings
from couloir.sweep.space import Space


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("val/loss", "min"), ("val/accuracy", "max"), ("train/top5_accuracy", "max"), ("best/mae", "min"),
        ("test/rmse", "min"), ("val/r2", "max"), ("parameters", "min"), ("best/epoch", "min"),
        ("train/samples_per_second", "max"), ("val/auroc", "max"), ("val/calibration", "min"),
        ("val/unheard_of", "min"),
    ],
)  # fmt: skip
def test_the_direction_of_a_number_needs_no_word_of_the_user(column: str, expected: str) -> None:
    chosen = couloir.compose(["metric=[auroc,calibration]"]).cfg.metric
    assert mode(column, chosen) == expected
    assert mode(column, OmegaConf.to_container(chosen)) == expected, "as a run's config.yaml has it"


def test_guessing_is_worth_what_it_is_worth() -> None:
    chosen = couloir.compose(["metric=[average_precision,auroc,kappa]"]).cfg.metric
    guesses = {name: facts(name, chosen).guessed(10) for name in (*BUILT_IN, *chosen)}
    assert guesses["accuracy"] == guesses["average_precision"] == 0.1
    assert guesses["top5_accuracy"] == guesses["auroc"] == 0.5
    assert guesses["r2"] == guesses["kappa"] == 0
    assert guesses["loss"] is None
    assert BUILT_IN["accuracy"].guessed(None) is None
    assert BUILT_IN["accuracy"].unexplained(0.55, 10) == pytest.approx(0.5)
    assert BUILT_IN["r2"].unexplained(0.75, None) == pytest.approx(0.25)
    assert BUILT_IN["loss"].unexplained(0.75, 10) is None


def test_a_run_measures_what_its_task_and_the_user_name() -> None:
    cfg = couloir.compose(["data=blobs", "metric=[auroc,f1]"]).cfg
    assert measured(cfg) == ["val/loss", "val/accuracy", "val/auroc", "val/f1"], "four classes have no top five"
    assert measured(cfg, "train") == ["train/loss", "train/accuracy", "train/f1"]
    assert measured(couloir.compose(["data=line"]).cfg, "best") == ["best/loss", "best/mae", "best/rmse", "best/r2"]
    assert leading(["val/loss", "val/r2"]) == "r2"
    assert leading(["val/loss", "val/f1"]) is None
    assert ordered(["f1", "accuracy", "loss", "accuracy"]) == ["loss", "accuracy", "f1"]


def test_nothing_is_promised_that_a_run_does_not_measure() -> None:
    def columns(*words: str) -> list[str]:
        return [column.removeprefix("val/") for column in measured(couloir.compose([*words]).cfg)]

    assert columns("data=iris", "task=reconstruction") == ["loss", "mse"], "a row has no pixels"
    clean = ["loss", "mse", "psnr", "ssim"]
    assert columns("data=digits", "task=reconstruction") == clean
    assert columns("data=digits", "task=reconstruction", "task.corruption=masking") == [*clean, "input_psnr"]
    words = ["data=digits", "task=vae", "callbacks.checkpoint.monitor=val/neg_iwae"]
    with pytest.raises(CouloirError, match=r"state task\.importance_samples"):
        couloir.compose(words)
    assert "neg_iwae" in columns(*words, "task.importance_samples=5")


def test_each_class_of_a_segmentation_has_a_column_of_its_own_name() -> None:
    task = {"_target_": "couloir.task.segmentation.Segmentation", "metrics": ["loss", "mean_iou", "boundary_f1"]}
    classes = ["person", "traffic light", "a-b", "a b", "a_b_2", "?"]
    cfg = OmegaConf.create({"task": task, "data": {"num_classes": 6, "classes": classes}})
    assert task_of(cfg) == "segmentation"
    names = ["iou_person", "iou_traffic_light", "iou_a_b_2", "iou_a_b_3", "iou_a_b_2_4", "iou_5"]
    assert measured(cfg) == [f"val/{name}" for name in ("loss", "mean_iou", "boundary_f1", *names)]
    assert "train/boundary_f1" not in measured(cfg, "train"), "it is measured where it is looked at"
    cfg.data = {"num_classes": 2, "classes": None}
    assert measured(cfg)[-2:] == ["val/iou_0", "val/iou_1"]
    words = ["data=digits_on_photographs", "model=unet"]
    assert measured(couloir.compose([*words, "data.by_digit=false"]).cfg)[-2:] == [
        "val/iou_background",
        "val/iou_digit",
    ]
    person = facts("val/iou_traffic_light")
    assert (person.label, person.mode, person.low, person.high) == ("IoU of traffic light", "max", 0, 1)
    assert leading(["val/iou_person", "val/mean_iou"]) == "mean_iou"


@pytest.mark.parametrize(
    ("words", "modes"),
    [
        ([], ["min", "min", "min"]),
        (["callbacks.checkpoint.monitor=val/accuracy"], ["max", "max", "min"]),
        (["callbacks.checkpoint.monitor=val/accuracy", "callbacks.checkpoint.mode=min"], ["min", "min", "min"]),
        (["callbacks.early_stopping.monitor=val/accuracy"], ["min", "max", "min"]),
        (["callbacks.stop_at.monitor=train/accuracy"], ["min", "min", "max"]),
        (["metric=f1", "callbacks.checkpoint.monitor=val/f1"], ["max", "max", "min"]),
    ],
)
def test_a_monitor_knows_its_mode_and_a_stated_one_is_obeyed(words: list[str], modes: list[str]) -> None:
    callbacks = couloir.compose(words).cfg.callbacks
    assert [callbacks[name].mode for name in ("checkpoint", "early_stopping", "stop_at")] == modes


def test_a_plateau_knows_its_mode() -> None:
    words = ["scheduler=plateau", "scheduler.monitor=val/accuracy"]
    assert couloir.compose(words).cfg.scheduler.mode == "max"
    assert couloir.compose([*words, "scheduler.mode=min"]).cfg.scheduler.mode == "min"


def test_a_run_that_goes_on_with_another_monitor_takes_its_mode() -> None:
    from couloir.compare.resume import OPENED

    before = couloir.compose(["callbacks.early_stopping.patience=3"]).cfg
    assert before.callbacks.early_stopping.mode == "min"
    after = amend(before, ["callbacks.early_stopping.monitor=val/accuracy"], OPENED)
    assert after.callbacks.early_stopping.mode == "max"
    stated = ["callbacks.early_stopping.monitor=val/accuracy", "callbacks.early_stopping.mode=min"]
    assert amend(before, stated, OPENED).callbacks.early_stopping.mode == "min"
    assert amend(before, ["trainer.max_epochs=9"], OPENED).callbacks.early_stopping.mode == "min"


@pytest.mark.parametrize(
    ("words", "objective", "direction", "monitor"),
    [
        (["metric=auroc"], "best/auroc", "maximize", ("val/auroc", "max")),
        (["metric=calibration"], "test/calibration", "minimize", ("val/calibration", "min")),
        (["metric=f1", "callbacks.checkpoint.monitor=val/f1"], "null", "maximize", ("val/f1", "max")),
        (["metric=f1", "callbacks.checkpoint.monitor=val/f1"], "parameters", "minimize", ("val/f1", "max")),
        ([], "train/samples_per_second", "maximize", ("val/loss", "min")),
    ],
)
def test_a_sweep_knows_the_direction_of_its_objective(
    words: list[str], objective: str, direction: str, monitor: tuple[str, str]
) -> None:
    settings = Settings.read(
        compose_sweep([f"sweep.objective={objective}"]), Space(words, []), {}, couloir.compose(words)
    )
    assert settings.ranking.objectives[0].direction == direction
    assert (settings.ranking.monitor, settings.ranking.mode) == monitor


def test_a_sweep_for_a_metric_that_is_not_measured_says_what_measures_it() -> None:
    with pytest.raises(CouloirError) as error:
        Settings.read(compose_sweep(["sweep.objective=best/auroc"]), Space([], []), {}, couloir.compose())
    assert "add metric=auroc" in str(error.value.next_step)
