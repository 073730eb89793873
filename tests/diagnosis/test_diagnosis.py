"""What is said of single runs: the easy mistakes of somebody who reads curves in a hurry."""

from __future__ import annotations

import csv
import json
import math
import random
import re
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from couloir.diagnosis import Diagnosis, diagnose
from couloir.errors import CouloirError
from couloir.record.result import summarise
from couloir.report.evidence import RunRecord

RUNS = Path(__file__).parent / "runs"
NO_AUGMENTATION = {"_target_": "torch.nn.Identity"}


def write_run(
    folder: Path,
    config: dict[str, Any] | None = None,
    status: str = "completed",
    sizes: dict[str, int] | None = None,
    test: dict[str, float] | None = None,
    **columns: list[float],
) -> Path:
    """A run folder with a metrics.csv of these columns (`train`, `val`: the losses) and numbers of the test."""
    names = {"train": "train/loss", "val": "val/loss", "norm": "gradients/norm", "ratio": "gradients/first_to_last"}
    names |= {"dead": "gradients/dead_units"}
    columns = {names.get(name, name): values for name, values in columns.items()}
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "metrics.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["epoch", "step", *columns])
        for place, cells in enumerate(zip(*columns.values(), strict=True)):
            writer.writerow([place + 1, 10 * place + 10, *("" if cell is None else cell for cell in cells)])
    (folder / "status.json").write_text(f'{{"status": "{status}"}}')
    (folder / "provenance.json").write_text(json.dumps({"data": {"sizes": sizes or {}}}))
    (folder / "result.json").write_text(json.dumps({f"test/{name}": value for name, value in (test or {}).items()}))
    if config is not None:
        base = {"model": {}, "data": {"task": "classification", "num_classes": 10}, "trainer": {"max_epochs": 20}}
        loss = {"_target_": "couloir.loss.classification.CrossEntropy"}
        whole = OmegaConf.merge({**base, "loss": loss, "augmentation": NO_AUGMENTATION}, config)
        OmegaConf.save(whole, folder / "config.yaml")
    return folder


def decay(n: int, top: float, bottom: float, constants: float = 6.0) -> list[float]:
    return [bottom + (top - bottom) * math.exp(-constants * place / (n - 1)) for place in range(n)]


def cases(diagnosis: Diagnosis) -> list[str]:
    return [finding.case for finding in diagnosis.findings]


QUOTED = re.compile(r"(-?[\d.]+(?:e[+-]?\d+)?|nan|-?inf)(%?) (?:[^\d,]*in epoch |\(epoch )(\d+)\)?")
"""A value and the epoch that it is said to be of."""
LISTED = re.compile(r"[Ee]poch (?:by \S+ )?\((\d+)\)[^:]*: (.*?)\.(?= |$)")
"""What is said of the last epoch and of the best one."""
STATED = re.compile(r"(?:[Gg]uessing gives|measured on) -?[\d.]+|layers .*?\)|\d+ of \d+ hidden|the last layer, \S+")
"""Numbers that are no measurement of an epoch, and say what they are."""


def test_every_number_that_is_said_stands_in_metrics_csv_at_the_epoch_named() -> None:
    runs = [folder for folder in RUNS.iterdir() if (folder / "metrics.csv").is_file()]
    counted = 0
    for run in runs:
        rows = {row["epoch"]: row for row in csv.DictReader((run / "metrics.csv").open())}
        found = diagnose(run)
        sentences = [found.summary, *(finding.sentence for finding in found.findings)]
        evidence = [text for name, text in found.evidence if name in ("training loss", "validation loss")]
        for said in [*sentences, *evidence]:
            left = said
            for epoch, listed in LISTED.findall(said):
                shown = {f"{float(cell):.4g}" for cell in rows[epoch].values() if cell}
                values = re.findall(r"-?[\d.]+(?:e[+-]?\d+)?(?=,|$)", listed)
                assert values, f"{run.name}: {said}"
                assert set(values) <= shown, f"{run.name}: {said}"
                left, counted = left.replace(listed, "").replace(f"({epoch})", ""), counted + len(values)
            for value, share, epoch in QUOTED.findall(left):
                cells = [float(cell) for cell in rows[epoch].values() if cell]
                shown = {f"{cell:.0%}" if share else f"{cell:.4g}" for cell in cells}
                assert value + share in shown, f"{run.name}: {said}"
                counted += 1
            left = STATED.sub("", QUOTED.sub("", left))
            if "in the middle of all measurements" not in said:
                assert not re.search(r"\d\.?\d*", left.replace("R²", "")), f"{run.name}: {left}"
    assert counted > 3 * len(runs)


@pytest.mark.parametrize(("monitor", "mode"), [("val/loss", "min"), ("val/accuracy", "max")])
def test_diagnosis_table_and_report_name_the_same_best_epoch(tmp_path: Path, monitor: str, mode: str) -> None:
    run = write_run(
        tmp_path, {"callbacks": {"checkpoint": {"monitor": monitor, "mode": mode}}}, train=decay(6, 1.0, 0.1),
        val=[0.9, 0.5, 0.2, 0.21, 0.22, 0.22], **{"val/accuracy": [0.3, 0.6, 0.8, 0.9, 0.97, 0.95]},
    )  # fmt: skip
    record = RunRecord.read(run)
    numbers = summarise(record.rows, record.best)
    best = 3 if monitor == "val/loss" else 5
    assert numbers["best/epoch"] == best
    found = diagnose(run)
    assert f"Best epoch by {monitor} ({best}): " in found.in_words()
    assert f"validation accuracy {numbers['best/accuracy']:.4g}." in found.in_words()
    assert dict(found.evidence)["best epoch"] == f"{best}, {monitor} {numbers[f'best/{monitor[4:]}']:.4g}"


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_a_run_of_three_epochs_is_no_cause_for_alarm(tmp_path: Path, epochs: int) -> None:
    found = diagnose(write_run(tmp_path, train=[2.0, 1.0, 2.5][:epochs], val=[1.0, 3.0, 9.0][:epochs]))
    assert found.findings == ()
    assert not found.healthy
    assert "too few" in found.in_words()


def test_epochs_without_validation_are_not_counted_as_validations(tmp_path: Path) -> None:
    val: list[Any] = [None, 1.0, None, 1.2, None, 0.9]
    found = diagnose(write_run(tmp_path, train=[2.0, 1.5, 1.2, 1.0, 0.9, 0.8], val=val))
    assert "3 validations are too few to say anything; four are needed." in found.in_words()


def test_rules_compare_whole_epochs_and_the_best_of_all_rows_is_named(tmp_path: Path) -> None:
    falling = decay(8, 2.0, 0.2)
    run = write_run(tmp_path, {}, train=falling, val=[value + 0.02 for value in falling])
    whole = diagnose(run)
    head, *lines = (run / "metrics.csv").read_text().splitlines()
    within = [f"{place + 0.5},{10 * place + 5},,{3.0 if place != 6 else 0.01}" for place in range(8)]
    rows = [line for pair in zip(within, lines, strict=True) for line in pair]
    (run / "metrics.csv").write_text("\n".join([head, *rows, "8.25,82,0.19,"]) + "\n")
    found = diagnose(run)
    assert cases(found) == cases(whole)
    assert dict(found.evidence)["best epoch"] == "6.5, val/loss 0.01"
    assert dict(found.evidence)["epochs"] == "8"


def test_a_network_that_grows_is_judged_once_it_is_whole(tmp_path: Path) -> None:
    train = [0.074, 0.025, 0.014, 0.058, 0.026, 0.019, 0.067, 0.038, 0.029, 0.075, 0.056, 0.045, *decay(7, 0.04, 0.021)]
    val = [0.033, 0.017, 0.011, 0.032, 0.021, 0.017, 0.046, 0.031, 0.026, 0.061, 0.048, 0.04, *decay(7, 0.035, 0.02)]
    layers = [float(number) for number, epochs in enumerate((3, 3, 3, 10), 1) for _ in range(epochs)]
    config = {"trainer": {"max_epochs": 19}, "task": {"_target_": "couloir.task.reconstruction.Reconstruction"}}
    jumping = diagnose(write_run(tmp_path / "jumping", config, train=train, val=val))
    growing = diagnose(write_run(tmp_path / "growing", config, train=train, val=val, layers=layers))
    assert "rate_too_large" in cases(jumping)
    assert cases(growing) == []


def test_overfitting_names_its_best_epoch_and_an_override(tmp_path: Path) -> None:
    val = [1.5, 1.0, 0.7, 0.5, 0.41, 0.45, 0.5, 0.55, 0.6, 0.63]
    config = {"model": {"dropout": 0.0}, "optimizer": {"lr": 0.01}}
    found = diagnose(write_run(tmp_path, config, train=decay(10, 1.6, 0.01), val=val))
    assert cases(found) == ["overfitting"]
    assert "lowest at 0.41 (epoch 5) and has risen to 0.63 (epoch 10)" in found.in_words()
    assert found.in_words().endswith("Try model.dropout=0.5.")
    assert dict(found.findings[0].evidence)["best epoch"] == "5, val/loss 0.41"


def test_a_run_that_early_stopping_ended_in_time_is_not_called_overfitted(tmp_path: Path) -> None:
    val = [1.5, 1.0, 0.7, 0.4, 0.25, 0.35, 0.45, 0.55, 0.65]
    stopping = {"callbacks": {"early_stopping": {"patience": 4}}}
    assert diagnose(write_run(tmp_path / "stopped", stopping, train=decay(9, 1.6, 0.01), val=val)).healthy
    assert cases(diagnose(write_run(tmp_path / "on", {}, train=decay(9, 1.6, 0.01), val=val))) == ["overfitting"]


@pytest.mark.parametrize(
    "why",
    [
        {"model": {"dropout": 0.5}},
        {"augmentation": {"_target_": "couloir.augmentation.mixing.Mixup"}},
        {"averaging": {"_target_": "couloir.averaging.running.ema"}},
    ],
)
def test_what_makes_training_harder_is_not_suspected_to_be_a_leak(tmp_path: Path, why: dict[str, Any]) -> None:
    curves = {"train": decay(20, 2.0, 0.9), "val": decay(20, 1.5, 0.1)}
    assert cases(diagnose(write_run(tmp_path / "leak", {}, **curves))) == ["leak_suspected"]
    assert diagnose(write_run(tmp_path / "explained", why, **curves)).healthy


def test_a_loss_near_zero_that_doubles_is_still_healthy(tmp_path: Path) -> None:
    val = [*decay(15, 0.5, 0.001, 15), 0.0012, 0.0016, 0.002, 0.002, 0.002]
    assert diagnose(write_run(tmp_path, train=decay(20, 1.5, 0.0005, 15), val=val)).healthy


@pytest.mark.parametrize(("scale", "shift"), [(1e-4, 0.0), (1.0, 0.0), (1e5, 0.0), (1.0, -3.0)])
def test_losses_of_any_size_and_sign_are_read_alike(tmp_path: Path, scale: float, shift: float) -> None:
    n = 30
    rising = [0.6 - 0.03 * place if place < 10 else 0.3 + 0.03 * (place - 10) for place in range(n)]
    shapes = {
        "overfitting": (decay(n, 1.0, 0.02), rising),
        "halted_early": (decay(n, 1.0, 0.1, 0.8), decay(n, 0.98, 0.12, 0.8)),
        "": (decay(n, 1.0, 0.05, 9), decay(n, 0.9, 0.07, 9)),
    }
    for case, curves in shapes.items():
        train, val = ([scale * value + shift for value in curve] for curve in curves)
        found = diagnose(write_run(tmp_path / f"{case}_", train=train, val=val))
        assert cases(found) == [case] * bool(case)


def test_one_cycle_whose_loss_rises_with_the_rate_ends_well(tmp_path: Path) -> None:
    n = 20
    rates = [0.01 + 0.01 * place if place < 6 else 0.07 - 0.005 * (place - 6) for place in range(n)]
    bump = [0.3 * math.exp(-((place - 6) ** 2) / 3) for place in range(n)]
    train, val = ([value + more for value, more in zip(decay(n, top, 0.1), bump, strict=True)] for top in (2.0, 1.5))
    assert diagnose(write_run(tmp_path, lr=rates, train=train, val=val)).healthy


def test_validation_every_other_epoch_is_read_by_its_own_epochs(tmp_path: Path) -> None:
    every = [1.5, 0.9, 0.5, 0.42, 0.5, 0.6, 0.7, 0.8]
    val = [value for pair in ((None, value) for value in every) for value in pair]
    found = diagnose(write_run(tmp_path, train=decay(16, 1.6, 0.01), val=val))
    assert cases(found) == ["overfitting"]
    assert "lowest at 0.42 (epoch 8)" in found.in_words()


def test_a_diverged_run_is_told_by_its_status_and_by_its_numbers(tmp_path: Path) -> None:
    config = {"optimizer": {"lr": 0.5}, "scheduler": None}
    broken = diagnose(write_run(tmp_path / "nan", config, train=[2.0, 3.0, math.nan], val=[2.0, 3.0, math.nan]))
    assert cases(broken) == ["rate_too_large"]
    assert "Try optimizer.lr=0.05." in broken.in_words()
    run = write_run(tmp_path / "status", config, status="diverged", train=[], val=[])
    assert cases(diagnose(run)) == ["rate_too_large"]


def test_values_that_are_nan_in_the_data_are_not_blamed_on_the_rate(tmp_path: Path) -> None:
    run = write_run(tmp_path, {}, train=decay(6, 2.0, 0.1), val=decay(6, 2.0, 0.2))
    error = "The loss became nan at step 3: 4 of the 64 inputs of this batch are NaN or infinite."
    (run / "status.json").write_text(f'{{"status": "diverged", "error": "{error}"}}')
    found = diagnose(run)
    assert found.findings == ()
    assert "data" in found.in_words()
    assert not found.healthy


def test_an_interrupted_run_is_not_called_halted_but_resumed(tmp_path: Path) -> None:
    curves = {"train": decay(10, 2.0, 0.1, 0.8), "val": decay(10, 2.0, 0.1, 0.8)}
    assert cases(diagnose(write_run(tmp_path / "done", {}, **curves))) == ["halted_early"]
    found = diagnose(write_run(tmp_path / "cut", {}, status="interrupted", **curves))
    assert found.findings == ()
    assert "10 of 20 epochs" in found.in_words()
    assert "couloir resume cut" in found.in_words()


def test_a_run_without_validation_is_not_called_healthy(tmp_path: Path) -> None:
    found = diagnose(write_run(tmp_path, train=decay(10, 2.0, 0.1)))
    assert not found.healthy
    assert "no validation loss" in found.in_words()


def test_a_folder_without_epochs_says_so(tmp_path: Path) -> None:
    found = diagnose(write_run(tmp_path, {}, status="running", train=[], val=[]))
    assert not found.findings
    assert "has not trained a step" in found.in_words()


def test_gradients_explain_only_what_does_not_learn(tmp_path: Path) -> None:
    flat, n = [2.3] * 12, 12
    for name, columns in {
        "vanishing_gradients": {"ratio": [1e-7] * n},
        "dead_units": {"dead": [0.95] * n, "ratio": [0.0] * n},
        "exploding_gradients": {"norm": [1e6] * n},
    }.items():
        assert cases(diagnose(write_run(tmp_path / name, {}, train=flat, val=flat, **columns))) == [name]
        sound = diagnose(
            write_run(tmp_path / f"{name}_sound", {}, train=decay(n, 2.0, 0.1), val=decay(n, 1.8, 0.15), **columns)
        )
        assert sound.healthy, "whoever learns well may have what gradients he likes"


def test_waiting_is_found_beside_the_curves_and_short_waits_are_not(tmp_path: Path) -> None:
    curves = {"train": decay(12, 2.0, 0.1), "val": decay(12, 1.8, 0.15), "waiting": [0.6] * 12}
    found = diagnose(write_run(tmp_path / "long", {"data": {"workers": 0}}, **curves, seconds=[30.0] * 12))
    assert cases(found) == ["waiting_for_data"]
    assert "60%" in found.in_words()
    assert "data.workers=2" in found.in_words()
    assert diagnose(write_run(tmp_path / "short", {}, **curves, seconds=[0.1] * 12)).healthy


def test_a_torn_signals_file_is_a_sentence(tmp_path: Path) -> None:
    run = write_run(tmp_path, train=[2.0] * 5, val=[2.0] * 5)
    (run / "signals.csv").write_text("epoch,layer\n1,\n2")
    with pytest.raises(CouloirError, match="signals"):
        diagnose(run)


TWO = {"data": {"task": "classification", "num_classes": 2}, "optimizer": {"_target_": "couloir.optimizer.adam"}}
"""Two classes, whose loss of guessing is 0.693."""


def first_remedy(diagnosis: Diagnosis) -> str:
    return diagnosis.findings[0].remedies[0].words


def test_four_validation_samples_are_too_few_to_call_it_overfitting(tmp_path: Path) -> None:
    val = [0.5, 0.2, 0.1, 0.05, 0.03, 0.02, 0.06, 0.1, 0.11, 0.12, 0.11, 0.12]
    config = {"data": {"task": "regression", "num_classes": 1, "val_fraction": 0.15, "subset": None}}
    columns = {"train": decay(12, 140.0, 0.3), "val": val}
    found = diagnose(write_run(tmp_path / "few", config, sizes={"train": 22, "val": 4, "test": 4}, **columns))
    assert cases(found) == ["unrepresentative_validation"]
    assert "4 samples, which are too few to tell" in found.in_words()
    assert first_remedy(found) == "data.val_fraction=0.3"
    many = diagnose(write_run(tmp_path / "many", config, sizes={"val": 400}, **columns))
    assert "overfitting" not in cases(many), "a training loss above validation all along is not overfitted"


def test_a_spike_that_ends_at_guessing_is_never_told_to_take_longer_steps(tmp_path: Path) -> None:
    train = [2.1, 13.0, 2.31, 2.304, 2.3033, 2.303, 2.3029, 2.3028, 2.3028, 2.3028]
    config = {"optimizer": {"_target_": "couloir.optimizer.momentum", "lr": 0.1, "momentum": 0.9}, "scheduler": None}
    for name, columns in {
        "alone": {},
        "dead": {"dead": [0.1, 0.7] + [1.0] * 8, "norm": [1.0, 9.0] + [0.0] * 8},
    }.items():
        found = diagnose(write_run(tmp_path / name, config, train=train, val=train, **columns))
        assert cases(found)[0] in ("rate_too_large", "dead_units")
        assert first_remedy(found) == "optimizer.lr=0.01"
        rates = [float(word[13:]) for remedy in found.findings[0].remedies for word in remedy.words.split()
                 if word.startswith("optimizer.lr=") and "adam" not in remedy.words]  # fmt: skip
        assert max(rates) < 0.1


def test_a_test_loss_far_above_training_is_said_though_validation_does_not_show_it(tmp_path: Path) -> None:
    curves = {"train": decay(30, 2.2, 8e-5, 12), "val": decay(30, 2.2, 0.02, 12)}
    config = {"data": {"task": "classification", "num_classes": 10, "subset": 200}}
    for name, val in (("thirty", 30), ("fifteen", 15)):
        sizes = {"train": 170, "val": val, "test": 200}
        found = diagnose(write_run(tmp_path / name, config, sizes=sizes, test={"loss": 0.5032}, **curves))
        assert cases(found) == ["unrepresentative_training"]
        assert f"the test loss of its weights 0.5032. The {val} validation samples do not show it." in found.in_words()
        assert first_remedy(found) == "data.subset=null"
    assert diagnose(
        write_run(tmp_path / "alike", config, sizes=sizes | {"val": 30}, test={"loss": 0.03}, **curves)
    ).healthy


def test_losses_that_fall_in_a_straight_line_on_the_axis_of_their_picture_were_halted_early(tmp_path: Path) -> None:
    straight = {"train": decay(20, 1.0, 0.0, 7.0), "val": decay(20, 1.1, 0.0, 6.5)}
    assert cases(diagnose(write_run(tmp_path / "straight", {}, **straight))) == ["halted_early"]
    level = {"train": decay(20, 1.0, 0.004, 14.0), "val": decay(20, 1.1, 0.005, 14.0)}
    assert diagnose(write_run(tmp_path / "level", {}, **level)).healthy
    for share in (1.0, 0.93):
        same = {"val/accuracy": [0.9] * 9 + [share] * 11}
        found = diagnose(write_run(tmp_path / f"settled_{share}", TWO, **straight, **same))
        assert found.healthy, "no more answers become right: a smaller loss is worth nothing"


@pytest.mark.parametrize("model", ["linear.linear", "linear.Perceptron", "linear.polynomial"])
def test_a_network_that_draws_straight_lines_underfits_at_losses_far_below_guessing(tmp_path: Path, model: str) -> None:
    config = {**TWO, "model": {"_target_": f"couloir.model.{model}", **({"degree": 1} if "poly" in model else {})}}
    share = [0.6, 0.8, 0.87, *([0.885] * 13)]
    columns = {"train": decay(16, 0.69, 0.28, 12), "val": decay(16, 0.68, 0.27, 12)}
    columns |= {"train/accuracy": share, "val/accuracy": share}
    found = diagnose(write_run(tmp_path, config, **columns))
    assert cases(found) == ["underfitting"]
    assert first_remedy(found) == ("model.degree=3" if "poly" in model else "model=mlp")
    large = {**TWO, "model": {"_target_": "couloir.model.mlp.mlp", "hidden": [64, 64]}}
    assert diagnose(write_run(tmp_path / "mlp", large, **columns)).healthy, "noise may leave as much"


def test_a_flat_training_loss_of_which_half_is_left_is_underfitting(tmp_path: Path) -> None:
    share = [0.7] * 12
    found = diagnose(
        write_run(
            tmp_path, TWO, train=decay(12, 0.6, 0.39, 12), val=decay(12, 0.6, 0.36, 12),
            **{"train/accuracy": share, "val/accuracy": share},
        )
    )  # fmt: skip
    assert cases(found) == ["underfitting"]


@pytest.mark.parametrize("samples", [40, 400])
def test_an_oscillating_validation_loss_has_two_readings_and_the_courses_comes_first(
    tmp_path: Path, samples: int
) -> None:
    val = [0.9 - 0.02 * place + 0.15 * (-1) ** place for place in range(16)]
    config = {"data": {"task": "classification", "num_classes": 10, "val_fraction": 0.1}, "optimizer": {"lr": 0.01}}
    accuracy = [0.7 + 0.1 * (-1) ** place for place in range(16)]
    columns = {"train": decay(16, 2.0, 0.3), "val": val, "val/accuracy": accuracy}
    found = diagnose(write_run(tmp_path / "smooth", config, sizes={"val": samples}, **columns))
    assert cases(found) == ["unrepresentative_validation"]
    assert "More samples would tell. Or the weights jump" in found.in_words()
    assert first_remedy(found) == ("data.val_fraction=0.2" if samples == 40 else "optimizer.lr=0.003")


def test_a_last_layer_that_died_wants_a_smaller_rate(tmp_path: Path) -> None:
    config = {**TWO, "optimizer": {"_target_": "couloir.optimizer.adaptive.adam", "lr": 0.01}}
    n = 8
    columns = {"train": [2.44, 0.89, 0.7] + [0.6931] * 5, "val": [0.6931] * n, "norm": [0.0, 108.0] + [0.0] * 6}
    found = diagnose(write_run(tmp_path, config, **columns, ratio=[None, 3.3e-8, *[None] * 6]))
    assert cases(found) == ["dead_units"]
    assert "no weight gets a gradient any more" in found.in_words()
    assert first_remedy(found) == "optimizer.lr=0.001"


def test_a_loss_that_is_high_and_falls_slowly_is_not_healthy(tmp_path: Path) -> None:
    model = {"_target_": "couloir.model.mlp.mlp", "hidden": [32, 32, 32, 32], "activation": "sigmoid"}
    train = [2.3 - 0.0018 * place**1.7 for place in range(30)]
    found = diagnose(write_run(tmp_path, {"model": model}, train=train, val=train[:26] + [train[25]] * 4))
    assert cases(found) == ["underfitting"]
    assert "falls slowly, and both losses are high" in found.in_words()
    assert first_remedy(found) == "model.activation=relu"


@pytest.mark.parametrize(
    ("rate", "train", "case", "remedy"),
    [
        (1e-5, [1.05, 1.06, 1.04, 1.05, 1.06, 1.05, 1.05, 1.04], "underfitting", "optimizer.lr=0.002"),
        (0.3, [0.69, 0.6, 0.62, 0.58, 0.55, 0.5, 0.48, 0.47], "memorisation", "optimizer.lr=0.002"),
    ],
)
def test_a_rate_far_from_the_usual_one_is_the_cause_beside_a_high_loss(
    tmp_path: Path, rate: float, train: list[float], case: str, remedy: str
) -> None:
    config = {**TWO, "optimizer": {"_target_": "couloir.optimizer.adaptive.adam", "lr": rate}}
    val = train if case == "underfitting" else [0.6, 0.4, 0.62, 0.63, 0.64, 0.64, 0.65, 0.65]
    found = diagnose(write_run(tmp_path, config, train=train, val=val))
    assert cases(found) in ([case], ["overfitting"])
    assert first_remedy(found) == remedy


def test_weights_that_are_far_too_large_are_the_cause_of_a_loss_far_above_guessing(tmp_path: Path) -> None:
    config = {"initializer": {"_target_": "couloir.initializer.spread.uniform"}, "model": {"hidden": [32, 32]}}
    train = [3000 * 0.74**place + 100 for place in range(10)]
    found = diagnose(write_run(tmp_path, config, train=train, val=[*train[:8], train[7], train[7]]))
    assert first_remedy(found) == "initializer=he_normal"


def test_units_that_were_dead_from_the_start_want_other_weights_or_another_activation(tmp_path: Path) -> None:
    flat = {"train": [2.303] * 8, "val": [2.303] * 8, "dead": [1.0] * 8}
    usual = {"optimizer": {"_target_": "couloir.optimizer.adaptive.adam", "lr": 0.001}, "model": {"activation": "relu"}}
    assert first_remedy(diagnose(write_run(tmp_path / "relu", usual, **flat))) == "model.activation=leaky_relu"
    fixed = usual | {"initializer": {"_target_": "couloir.initializer.fixed.constant"}}
    assert first_remedy(diagnose(write_run(tmp_path / "fixed", fixed, **flat))) == "initializer=he_normal"


def test_validation_that_answers_far_better_than_training_hints_at_wrong_labels(tmp_path: Path) -> None:
    columns = {"train": decay(20, 2.0, 1.05), "val": decay(20, 1.2, 0.75)}
    columns |= {"train/accuracy": [0.6] * 20, "val/accuracy": [0.88] * 20}
    config = {"model": {"dropout": 0.0}}
    found = diagnose(write_run(tmp_path / "wrong", config, sizes={"val": 300}, **columns))
    assert cases(found) == ["leak_suspected"]
    assert "training labels may be wrong" in found.in_words()
    assert first_remedy(found) == "model.dropout=0.5"
    assert "leak_suspected" not in cases(diagnose(write_run(tmp_path / "few", config, sizes={"val": 12}, **columns)))


def test_training_and_validating_on_the_same_samples_is_no_healthy_run(tmp_path: Path) -> None:
    found = diagnose(write_run(tmp_path, {"overfit": 60}, train=decay(12, 2.3, 0.05), val=decay(12, 2.2, 0.04)))
    assert cases(found) == ["leak_suspected"]
    assert first_remedy(found) == "overfit=null"


def test_errors_with_long_tails_want_a_loss_that_does_not_square_them(tmp_path: Path) -> None:
    n = 12
    config = {
        "data": {"task": "regression", "num_classes": 1},
        "loss": {"_target_": "couloir.loss.regression.MeanSquaredError"},
    }
    columns = {"train": decay(n, 1.0, 0.03), "val": [0.9, 0.6, 0.55, *(0.6 + 0.02 * place for place in range(n - 3))]}
    tails = {"val/mae": [8.0] * n, "val/rmse": [17.0] * n}
    assert first_remedy(diagnose(write_run(tmp_path / "tails", config, **columns, **tails))) == "loss=mae"
    normal = {"val/mae": [8.0] * n, "val/rmse": [10.0] * n}
    assert "loss=mae" not in diagnose(write_run(tmp_path / "normal", config, **columns, **normal)).in_words()


@pytest.mark.parametrize("key", ["optimizer.weight_decay", "model.dropout"])
def test_much_decay_or_dropout_is_the_cause_before_any_symptom(tmp_path: Path, key: str) -> None:
    group, _, name = key.partition(".")
    config = {group: {"_target_": "couloir.optimizer.momentum", "lr": 0.05, name: 0.9}}
    flat = {"train": [2.303] * 10, "val": [2.303] * 10, "ratio": [1e-9] * 10, "dead": [0.0] * 10}
    assert first_remedy(diagnose(write_run(tmp_path / "flat", config, **flat))).startswith(f"{key}=0.")
    rises = {"train": [2.3, 2.1, 2.0, 1.9, 1.8, 1.9, 2.0, 2.1, 2.2, 2.2], "val": [2.2] * 10}
    found = diagnose(write_run(tmp_path / "rises", config, **rises))
    assert cases(found) == ["rate_too_large"]
    assert first_remedy(found).startswith(f"{key}=0.")


def test_what_an_earlier_run_has_tried_is_not_proposed_again(tmp_path: Path) -> None:
    falling = {"train": decay(12, 2.3, 2.0, 1.0), "val": decay(12, 2.3, 2.0, 1.0)}

    def run(folder: Path, rate: float) -> Diagnosis:
        config = {"optimizer": {"_target_": "couloir.optimizer.momentum", "lr": rate, "momentum": 0.9}}
        write_run(folder, config, **falling)
        (folder / "overrides.yaml").write_text(f"- optimizer=momentum\n- optimizer.lr={rate}\n")
        return diagnose(folder)

    alone = run(tmp_path / "alone/2026-01-01_00-00-02_b", 0.0005)
    assert first_remedy(alone) == "optimizer.lr=0.05"
    run(tmp_path / "2026-01-01_00-00-01_a", 0.05)
    after = run(tmp_path / "2026-01-01_00-00-02_b", 0.0005)
    assert first_remedy(after) == "trainer.max_epochs=40"
    assert "optimizer.lr=0.05" not in [remedy.words for remedy in after.findings[0].remedies]


def test_two_epochs_in_which_both_losses_fell_were_too_few(tmp_path: Path) -> None:
    config = {"trainer": {"max_epochs": 2}}
    found = diagnose(write_run(tmp_path / "falls", config, train=[2.2, 1.4], val=[1.7, 1.1]))
    assert cases(found) == ["halted_early"]
    assert first_remedy(found) == "trainer.max_epochs=8"
    assert "too few" in diagnose(write_run(tmp_path / "level", config, train=[2.2, 2.19], val=[1.7, 1.1])).in_words()


def test_a_large_rate_that_has_learned_is_not_what_a_straight_line_lacks(tmp_path: Path) -> None:
    config = {**TWO, "model": {"_target_": "couloir.model.linear.linear"}}
    config["optimizer"] = {"_target_": "couloir.optimizer.adaptive.adam", "lr": 0.02}
    share = [0.7, 0.8, *([0.8] * 10)]
    columns = {"train": decay(12, 0.6, 0.4, 20), "val": decay(12, 0.6, 0.4, 20)}
    found = diagnose(write_run(tmp_path, config, **columns, **{"train/accuracy": share, "val/accuracy": share}))
    assert cases(found) == ["underfitting"]
    assert first_remedy(found) == "model=mlp"


@pytest.mark.parametrize("hidden", [[32, 32], [256, 256]])
def test_a_network_without_convolutions_is_regularised_mildly_before_its_images_move(
    tmp_path: Path, hidden: list[int]
) -> None:
    model = {"_target_": "couloir.model.mlp.mlp", "hidden": hidden, "dropout": 0.0}
    config = {"model": model, "data": {"image_size": 8, "channels": 1}, "trainer": {"max_epochs": 12}}
    found = diagnose(write_run(tmp_path, config, train=decay(12, 2.3, 0.05, 9), val=decay(12, 2.3, 0.8, 9)))
    proposed = [remedy.words for remedy in found.findings[0].remedies]
    assert proposed[0] == f"model.dropout={0.2 if hidden == [32, 32] else 0.5}"
    assert proposed[-1] == "augmentation=shift augmentation.pixels=1 trainer.max_epochs=24", (
        "two pixels of eight are a quarter of the image"
    )


@pytest.mark.parametrize("seed", range(5))
def test_no_numbers_whatever_break_the_diagnosis(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    odd = [0.0, -1.0, 1e-300, 1e300, math.nan, math.inf, -math.inf]
    for number in range(40):
        n = rng.choice([1, 3, 4, 5, 9, 40])
        among = rng.choice([odd, [rng.choice(odd)], [rng.gauss(1, 0.1) for _ in range(9)]])
        columns = {
            name: [rng.choice(among) for _ in range(n)] for name in ("train", "val", "norm", "ratio", "dead", "waiting")
        }
        columns |= {"train/r2": [rng.choice([1.0, 0.5, -3.0]) for _ in range(n)], "seconds": [9.0] * n}
        config = {"optimizer": {"lr": 0.1}} if rng.random() < 0.5 else None
        assert diagnose(write_run(tmp_path / str(number), config, **columns)).in_words()


def test_a_segmentation_whose_pixels_are_all_one_class_is_not_healthy_however_low_its_loss(tmp_path: Path) -> None:
    """Most pixels are background: the loss is far below log K, and the mean IoU says that nothing was learned."""
    losses = decay(20, 2.9, 0.45)
    segmentation = {"data": {"task": "segmentation", "num_classes": 11}}
    for iou, expected in ((0.084, ["underfitting"]), (0.9, [])):
        overlap = {f"{split}/mean_iou": [iou] * 20 for split in ("train", "val")}
        keys: dict[str, Any] = {"train": losses, "val": [loss + 0.01 for loss in losses], **overlap}
        run = write_run(tmp_path / str(iou), segmentation, sizes={"train": 500, "val": 100}, **keys)
        assert cases(diagnose(RunRecord.read(run).files)) == expected
