"""`optimizer.scale_lr`: the arithmetic, what the record says of it, and what is said of mistakes."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
import torch
import yaml
from hydra.utils import instantiate

import couloir
from couloir.cli.main import run
from couloir.config import tree
from couloir.config.scaling import counted_steps, processes, unscaled
from couloir.config.world import World
from couloir.errors import CouloirError


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["optimizer.scale_lr=linear", "optimizer.base_batch_size=128", "data.batch_size=512"], 0.1 * 4),
        (["optimizer.scale_lr=sqrt", "optimizer.base_batch_size=128", "data.batch_size=512"], 0.1 * 2),
        (["optimizer.scale_lr=linear", "data.batch_size=64"], 0.1 * 64 / 256),
        (["optimizer.scale_lr=linear", "data.batch_size=64", "trainer.accumulate_grad_batches=8"], 0.1 * 2),
        (["optimizer.scale_lr=sqrt", "data.batch_size=64", "trainer.devices=4"], 0.1),
        (["optimizer.scale_lr=linear", "data.batch_size=128", "trainer.devices=[0,2]"], 0.1),
        (["optimizer.base_batch_size=128"], 0.1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_the_rate_is_that_of_the_step_s_samples(words: list[str], expected: float) -> None:
    assert couloir.compose(["optimizer=sgd", "optimizer.lr=0.1", *words]).cfg.optimizer.lr == pytest.approx(expected)


@pytest.mark.parametrize("name", tree.choices("optimizer"))
def test_every_optimizer_takes_it_and_can_still_be_used_alone(name: str) -> None:
    plain = couloir.compose([f"optimizer={name}"]).cfg
    scaled = couloir.compose([f"optimizer={name}", "optimizer.scale_lr=linear", "data.batch_size=1024"]).cfg
    weights = [torch.nn.Parameter(torch.ones(2, 2))]
    rates = [instantiate(cfg.optimizer, _convert_="all")(weights).param_groups[0]["lr"] for cfg in (plain, scaled)]
    assert rates[1] == pytest.approx(4 * rates[0])
    assert unscaled(scaled, rates[1]) == pytest.approx(rates[0]), "what find-lr tells one to type"


def test_the_record_and_the_console_show_the_rate_that_is_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data=blobs", "optimizer=sgd", "optimizer.scale_lr=sqrt", "data.batch_size=64", "trainer.max_epochs=1"]
    assert run(["train", *words, "trainer=cpu", "logger=csv", f"output_dir={tmp_path}"]) == 0
    assert "lr 0.1 x sqrt(64/256) = 0.05 (sqrt)" in capsys.readouterr().out
    record = tmp_path / "latest"
    config = yaml.safe_load((record / "config.yaml").read_text())
    assert config["optimizer"]["lr"] == 0.05
    assert config["scaled_lr"] == {"rule": "sqrt", "lr": 0.1, "batch_size": 64, "base_batch_size": 256}
    assert "scale_lr" not in config["optimizer"], "a configuration that is read again must not be scaled again"
    assert float(next(csv.DictReader((record / "metrics.csv").open()))["lr"]) == 0.05


def test_a_schedule_that_starts_from_the_rate_starts_from_the_scaled_one(tmp_path: Path) -> None:
    words = ["optimizer=sgd", "optimizer.scale_lr=linear", "data.batch_size=512", "scheduler=one_cycle"]
    cfg = couloir.compose([*words, "scheduler.steps_per_epoch=3"]).cfg
    optimizer = instantiate(cfg.optimizer, _convert_="all")([torch.nn.Parameter(torch.ones(2))])
    scheduler = instantiate(cfg.scheduler, _convert_="all")(optimizer)
    assert optimizer.param_groups[0]["max_lr"] == pytest.approx(0.2)
    assert scheduler.get_last_lr()[0] < 0.2


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        (["optimizer.scale_lr=liner"], ["one of linear, sqrt or null", "did you mean optimizer.scale_lr=linear"]),
        (["optimizer.scale_lr=sqr"], ["did you mean optimizer.scale_lr=sqrt?"]),
        (["optimizer.base_batch_size=0"], ["optimizer.base_batch_size takes an integer >= 1, not 0"]),
        (["optimizer.base_batch_size=big"], ["optimizer.base_batch_size takes an integer >= 1"]),
        (["optimizer.scalelr=linear"], ["no key 'scalelr'", "train.yaml, line", "optimizer.scale_lr=linear"]),
        (["optimizer.scale_lr=linear", "trainer.devices=auto"], ["trainer.devices=2"]),
        (["~optimizer"], ["has no optimizer"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_mistakes_are_explained(words: list[str], fragments: list[str]) -> None:
    with pytest.raises(CouloirError) as error:
        couloir.compose(words)
    for fragment in fragments:
        assert fragment in str(error.value)


def test_an_optimizer_without_a_rate_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf/optimizer").mkdir(parents=True)
    text = "# Rates of its own.\n_target_: torch.optim.Rprop\n_partial_: true\netas: [0.5, 1.2]\n"
    (tmp_path / "conf/optimizer/rprop.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert "etas" in couloir.compose(["optimizer=rprop"]).cfg.optimizer
    with pytest.raises(CouloirError, match=r"scales optimizer\.lr, which this optimizer does not have"):
        couloir.compose(["optimizer=rprop", "optimizer.scale_lr=linear"])


@pytest.mark.parametrize(
    ("trainer", "count"),
    [
        ({"devices": 2, "num_nodes": 3}, 6),
        ({"devices": "4"}, 4),
        ({"devices": [1]}, 1),
        ({"devices": "auto", "accelerator": "cpu"}, 1),
        ({}, 1),
    ],
)
def test_processes_are_devices_times_nodes(trainer: dict[str, object], count: int) -> None:
    assert processes(trainer) == count


def test_the_number_of_processes_that_torchrun_has_started_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in World(rank=1, size=6, local_rank=1, local_size=3).environment("here", 1).items():
        monkeypatch.setenv(name, value)
    assert processes({"devices": "auto", "accelerator": "cpu", "num_nodes": 2}) == 6
    cfg = couloir.compose(
        ["trainer=ddp", "trainer.accelerator=cpu", "optimizer.scale_lr=linear", "data.batch_size=64"]
    ).cfg
    assert cfg.scaled_lr.batch_size == 6 * 64


def test_a_root_file_of_the_users_need_not_have_the_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf").mkdir()
    lines = (tree.packaged_conf() / "train.yaml").read_text().splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines) if line.startswith("optimizer:"))
    kept = [line for number, line in enumerate(lines) if not first <= number <= first + 2]
    assert "scale_lr" not in "".join(kept)
    (tmp_path / "conf/train.yaml").write_text("".join(kept))
    monkeypatch.chdir(tmp_path)
    assert couloir.compose([]).cfg.optimizer.lr == 0.002


def test_couloir_list_shows_the_keys_with_each_optimizer(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "optimizer", "adam"]) == 0
    text = capsys.readouterr().out
    assert "scale_lr: null" in text
    assert "base_batch_size: 256" in text


def test_linear_and_root_agree_with_the_papers_own_numbers() -> None:
    goyal = ["optimizer=momentum", "optimizer.lr=0.1", "optimizer.scale_lr=linear", "data.batch_size=8192"]
    assert couloir.compose(goyal).cfg.optimizer.lr == pytest.approx(3.2), "ResNet-50 in an hour: 0.1 x 8192/256"
    root = ["optimizer.lr=0.01", "optimizer.scale_lr=sqrt", "optimizer.base_batch_size=128", "data.batch_size=1024"]
    assert couloir.compose(root).cfg.optimizer.lr == pytest.approx(0.01 * math.sqrt(8))


def test_a_schedule_by_steps_counts_them_and_the_configuration_stays_as_it_was(tmp_path: Path) -> None:
    words = ["data=blobs", "data.samples=100", "data.batch_size=16", "trainer.accumulate_grad_batches=2", "logger=csv"]
    words += ["scheduler=one_cycle", "trainer.max_epochs=2", "trainer=cpu", f"output_dir={tmp_path}"]
    counted = couloir.train(couloir.compose(words))
    assert yaml.safe_load((counted.dir / "config.yaml").read_text())["scheduler"]["steps_per_epoch"] is None
    stated = couloir.train(couloir.compose([*words, "scheduler.steps_per_epoch=3"]))
    other = couloir.train(couloir.compose([*words, "scheduler.steps_per_epoch=9"]))
    assert counted.metrics["val/loss"] == stated.metrics["val/loss"], "72 samples, 5 batches, 3 steps"
    assert counted.metrics["val/loss"] != other.metrics["val/loss"]


@pytest.mark.parametrize(("limit", "steps"), [(1.0, 5), (4, 2), (0.5, 3), (0.01, 1), (99, 5)])
def test_the_steps_of_an_epoch_are_the_batches_that_are_trained_on(limit: float, steps: int) -> None:
    class Data:
        def train_dataloader(self) -> list[int]:
            return [0] * 10

    cfg = couloir.compose(["scheduler=one_cycle"]).cfg
    cfg.trainer.accumulate_grad_batches, cfg.trainer.limit_train_batches = 2, limit
    assert counted_steps(cfg, Data()) == {"steps_per_epoch": steps}
    cfg.scheduler.steps_per_epoch = 7
    assert counted_steps(cfg, Data()) == {}
    assert counted_steps(couloir.compose(["scheduler=step"]).cfg, Data()) == {}
    assert counted_steps(couloir.compose([]).cfg, Data()) == {}
