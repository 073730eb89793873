"""Tasks of a user's own: a map a sample, and two players without a target, through everything that surrounds a task."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from couloir.cli.main import run
from couloir.trainer.loop import ShortStep
from interruption import assert_same, rows, stopped

PIXELS = ["task=pixels", "model=pixel_net", "data=bright_spots"]
PLAYERS = ["task=two_players", "model=players", "data=ring"]
SHORT = [
    "trainer.max_epochs=3",
    "trainer.accelerator=cpu",
    "logger=csv",
    "optimizer.lr=0.02",
    "allow_targets=[small_tasks]",
]
BOTH = pytest.mark.parametrize("task", [PIXELS, PLAYERS], ids=["pixels", "two_players"])


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's project, whose modules the processes of a run find as well."""
    import small_tasks

    small_tasks.write_configuration(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def weights(folder: Path, name: str = "last") -> dict[str, Any]:
    content = torch.load(folder / f"checkpoints/{name}.ckpt", weights_only=True)["state_dict"]
    return {key: value for key, value in content.items() if key.startswith("net.")}


@BOTH
def test_all_losses_are_written_down_by_name_and_the_task_learns(task: list[str], project: Path) -> None:
    assert run(["train", *task, *SHORT, "trainer.max_epochs=8"]) == 0
    table = rows(project / "outputs/latest")
    parts = {"pixels": ["fit"], "two_players": ["maker", "judge"]}[task[0].partition("=")[2]]
    for split in ("train", "val"):
        values = {name: [float(row[f"{split}/{name}"]) for row in table] for name in ("loss", *parts)}
        if len(parts) == 2:
            sums = [maker + judge for maker, judge in zip(values["maker"], values["judge"], strict=True)]
            assert values["loss"] == pytest.approx(sums, rel=1e-6)
    numbers = json.loads((project / "outputs/latest/result.json").read_text())
    assert {f"test/{name}" for name in parts} <= set(numbers)
    assert not (project / "outputs/latest/predictions.csv").exists(), "an image a sample is no row"
    assert "no predictions.csv: the answers of " in (project / "outputs/latest/train.log").read_text()
    if task is PIXELS:
        assert float(table[-1]["val/fit"]) < 0.8 * float(table[0]["val/fit"])
        assert 0.5 < numbers["test/pixel_accuracy"] <= 1
        assert all(float(row["train/loss"]) > float(row["train/fit"]) for row in table)
        assert numbers["best/pixel_accuracy"] == max(float(row["val/pixel_accuracy"]) for row in table)
    else:
        assert {"gradients/norm_1", "gradients/norm_2"} <= set(table[0])


def test_each_optimizer_moves_its_own_weights_at_its_own_rate(project: Path) -> None:
    assert run(["train", *PLAYERS, *SHORT, "trainer.max_epochs=8", "task.maker_lr=0.0"]) == 0
    table = rows(project / "outputs/latest")
    assert float(table[-1]["val/judge"]) < 0.9 * float(table[0]["val/judge"]), (
        "it learns to judge a maker that stands still"
    )
    last, best = (weights(project / "outputs/latest", name) for name in ("last", "best"))
    assert all(torch.equal(last[name], best[name]) for name in last if name.startswith("net.maker"))


def test_the_short_way_through_a_step_is_taken_where_a_target_is_a_map(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    step = ShortStep._step
    monkeypatch.setattr(ShortStep, "_step", lambda loop, batch, index: taken.append(index) or step(loop, batch, index))
    assert run(["train", *PIXELS, *SHORT, "trainer.max_epochs=1"]) == 0
    assert len(taken) == 4  # five batches of 38 samples; the last step of an epoch is Lightning's own


@BOTH
@pytest.mark.parametrize("where", [("train", 7), ("val", 3)], ids=["train", "val"])
def test_a_run_that_was_stopped_goes_on_to_the_bit(
    task: list[str], where: tuple[str, int], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*task, *SHORT, "averaging=ema", "scheduler=step", "scheduler.step_size=1"]
    folder = stopped([*words, "output_dir=stopped"], *where, monkeypatch)
    assert run(["resume", str(folder), SHORT[-1]]) == 0
    assert run(["train", *words, "output_dir=whole"]) == 0
    assert_same(folder, (project / "whole/latest").resolve())


def test_the_schedules_of_several_optimizers_go_by_epochs(project: Path) -> None:
    assert run(["train", *PLAYERS, *SHORT, "scheduler=step", "scheduler.step_size=1", "scheduler.gamma=0.5"]) == 0
    states = torch.load(project / "outputs/latest/checkpoints/last.ckpt", weights_only=True)["optimizer_states"]
    rates = [state["param_groups"][0]["lr"] for state in states]
    assert rates == [pytest.approx(0.02 / 8), pytest.approx(0.02 / 8)]


@BOTH
def test_a_loss_that_is_no_number_ends_the_run_with_exit_3(
    task: list[str], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = ["optimizer=sgd", "optimizer.lr=1e38", "task.maker_lr=1e38"][: 2 if task is PIXELS else 3]
    assert run(["train", *task, *SHORT, *broken]) == 3
    assert json.loads((project / "outputs/latest/status.json").read_text())["status"] == "diverged"
    assert "step" in capsys.readouterr().err


def test_steps_of_several_optimizers_cannot_be_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", *PLAYERS, *SHORT, "on_nan=skip"]) == 2
    assert "TwoPlayers takes several within one" in capsys.readouterr().err
    for key in ("gradient_clip_val=1.0", "accumulate_grad_batches=2"):
        assert run(["train", *PLAYERS, *SHORT, f"trainer.{key}"]) == 2
        assert f"trainer.{key.partition('=')[0]} applies to the step of one optimizer" in capsys.readouterr().err


@BOTH
def test_the_range_test_takes_a_step_of_all_optimizers_at_each_rate(task: list[str], project: Path) -> None:
    code = run(["find-lr", "--steps", "15", *task, *SHORT])
    folder = next((project / "outputs/find-lr").iterdir())
    table = list(csv.DictReader((folder / "find_lr.csv").open()))
    assert code in (0, 2)  # a game of two need not have a rate at which a loss falls
    assert 5 <= len(table) <= 15
    assert [float(row["lr"]) for row in table] == sorted(float(row["lr"]) for row in table)


@pytest.mark.slow
@pytest.mark.parametrize("task", [PLAYERS, PIXELS], ids=["two_players", "pixels"])
def test_two_processes_learn_what_one_with_twice_the_batch_learns(task: list[str], project: Path) -> None:
    assert run(["train", *task, *SHORT, "trainer=ddp", "trainer.devices=2", "output_dir=two"]) == 0
    assert run(["train", *task, *SHORT, "data.batch_size=16", "output_dir=one"]) == 0
    two, one = (weights(project / f"{name}/latest") for name in ("two", "one"))
    assert all(torch.allclose(two[name], one[name], atol=1e-5) for name in one)
    for ours, theirs in zip(rows(project / "two/latest"), rows(project / "one/latest"), strict=True):
        for name in ("train/loss", "val/loss"):
            assert float(ours[name]) == pytest.approx(float(theirs[name]), rel=1e-4)


def test_a_metric_of_a_class_does_not_fit_a_task_that_learns_maps(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", *PIXELS, *SHORT, "metric=f1"]) == 2
    assert "metric=f1 does not fit" in capsys.readouterr().err
    assert run(["train", *PIXELS, *SHORT, "+task.facts.pixel_accuracy.higher_is_beter=true"]) == 2
    assert "task.facts.pixel_accuracy has no key 'higher_is_beter'" in capsys.readouterr().err
