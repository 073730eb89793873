"""A network that grows layer by layer: what moves in each stage, what the record says, and how it goes on."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch

import couloir
from couloir.cli.main import run as couloir_main
from couloir.errors import CouloirError
from couloir.record.metrics import best_row, read_metrics
from couloir.run.assemble import build_network, load_data
from interruption import assert_same, stopped

WORDS = [
    "finetune=greedy", "finetune.epochs_per_layer=2", "model=mlp", "model.hidden=[12,12,12]",
    "model.activation=sigmoid", "data=iris", "optimizer=momentum", "optimizer.lr=0.1", "trainer.max_epochs=7",
    "trainer.threads=1", "logger=csv", "callbacks.checkpoint.keep=every_n", "callbacks.checkpoint.every_n_epochs=1",
]  # fmt: skip


def train(folder: Path, *words: str) -> Path:
    return couloir.train(couloir.compose([*WORDS, *words, f"output_dir={folder}"])).dir


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("grown"))


def network(run: Path, name: str) -> dict[str, torch.Tensor]:
    state: dict[str, Any] = torch.load(run / f"checkpoints/{name}.ckpt", weights_only=True)["state_dict"]
    return {key.removeprefix("net."): value for key, value in state.items() if key.startswith("net.")}


def test_in_each_stage_one_layer_and_the_head_move_and_then_all_of_them(grown: Path) -> None:
    files = sorted((grown / "checkpoints").glob("epoch_*.ckpt"))
    assert len(files) == 7
    states = [network(grown, file.stem) for file in files]
    moved = [
        {name.partition(".")[0] for name in after if not torch.equal(before[name], after[name])}
        for before, after in itertools.pairwise(states)
    ]
    assert moved == [{"1", "7"}, {"3", "7"}, {"3", "7"}, {"5", "7"}, {"5", "7"}, {"1", "3", "5", "7"}]


def test_metrics_csv_shows_the_stages_and_only_the_whole_network_can_be_the_best(grown: Path) -> None:
    rows = list(csv.DictReader((grown / "metrics.csv").open()))
    assert [row["layers"] for row in rows] == ["1", "1", "2", "2", "3", "3", "3"]
    assert [float(row["lr/3"]) for row in rows] == [0, 0, 0.1, 0.1, 0, 0, 0.1]
    best = torch.load(grown / "checkpoints/best.ckpt", weights_only=True)
    assert best["epoch"] >= 5
    shown = best_row(read_metrics(grown), "val/loss", "min")
    assert shown is not None
    assert shown["epoch"] == best["epoch"]
    earlier = [{"epoch": 1.0, "layers": 1.0, "val/loss": 0.1}, {"epoch": 2.0, "layers": 2.0, "val/loss": 0.5}]
    assert best_row(earlier, "val/loss", "min") == earlier[1]


def test_the_test_and_whoever_uses_the_run_see_the_whole_network(grown: Path, tmp_path: Path) -> None:
    assert couloir_main(["evaluate", str(grown), f"output_dir={tmp_path}"]) == 0
    (answer,) = tmp_path.glob("evaluate/*/result.json")
    numbers = [json.loads(file.read_text())["test/loss"] for file in (answer, grown / "result.json")]
    assert numbers[0] == pytest.approx(numbers[1], rel=1e-6)


@pytest.mark.parametrize("number", [3, pytest.param(11, marks=pytest.mark.slow)])
def test_a_run_that_is_stopped_in_a_stage_goes_on_to_the_bit(
    number: int, grown: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = stopped([*WORDS, f"output_dir={tmp_path}"], "train", 4 * number, monkeypatch)
    assert couloir_main(["resume", str(run)]) == 0
    assert_same(run, grown)


def test_a_classifier_begins_with_the_encoder_of_an_autoencoder_that_grew_pair_by_pair(tmp_path: Path) -> None:
    grown = ["data=iris", "model=autoencoder", "model.hidden=[8,6]", "model.code_size=2", "model.activation=sigmoid"]
    stages = ["finetune=greedy", "finetune.epochs_per_layer=1", "trainer.max_epochs=4", "trainer.threads=1"]
    shared = ["logger=none", f"output_dir={tmp_path}"]
    first = couloir.train(couloir.compose([*grown, *stages, *shared])).dir
    rows = list(csv.DictReader((first / "metrics.csv").open()))
    assert [row["layers"] for row in rows] == ["1", "2", "3", "3"]
    learned = network(first, "best")
    pairs = "initializer.layers=[encoder.1:1,encoder.3:3]"
    words = ["data=iris", "model=mlp", "model.hidden=[8,6]", "model.activation=sigmoid", "initializer=from_run"]
    sentence = couloir.compose([*words, f"initializer.run={first.name}", pairs, *shared])
    net = build_network(sentence.cfg, load_data(sentence.cfg))
    for theirs, ours in (("encoder.1", "1"), ("encoder.3", "3")):
        for kind in ("weight", "bias"):
            assert torch.equal(net.state_dict()[f"{ours}.{kind}"], learned[f"{theirs}.{kind}"])


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["model.hidden=[12,8,12]"], "does not give what it takes"),
        (["trainer.max_epochs=4"], "joins in epoch 5, and the run ends after epoch 4"),
        (["callbacks.early_stopping.patience=2"], "may end the run before that"),
        (["trainer.max_steps=9"], "may end the run before that"),
        (["trainer.compile=true"], "compiles it as it is"),
    ],
)
def test_what_cannot_grow_is_refused(words: list[str], reason: str, tmp_path: Path) -> None:
    with pytest.raises(CouloirError, match=reason) as refused:
        train(tmp_path, *words)
    assert refused.value.next_step
