"""The gradient columns of metrics.csv say what has come back to the layers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import couloir
from couloir.callbacks.gradients import first_to_last, layer_weights
from couloir.record.metrics import Row, read_metrics

MOONS = ["data=moons", "trainer=cpu", "logger=csv"]


def rows(tmp_path: Path, *words: str) -> list[Row]:
    run = couloir.train(couloir.compose([*MOONS, *words, f"output_dir={tmp_path}"]))
    return read_metrics(run.dir)


def test_the_ratio_of_first_to_last_layer_is_that_of_their_relative_gradients() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    net(torch.ones(5, 3)).square().mean().backward()
    first, last = ((p.grad.norm() / p.norm()).item() for p in (net[0].weight, net[2].weight))
    assert first_to_last(layer_weights(net))["first_to_last"] == pytest.approx(first / last, rel=1e-5)
    with torch.no_grad():
        net[0].weight.zero_()
    assert first_to_last(layer_weights(net)) == {}


def test_a_run_says_how_large_its_gradients_are_before_they_are_clipped(tmp_path: Path) -> None:
    words = ["model=mlp", "data.batch_size=100000", "trainer.max_epochs=1", "optimizer=sgd"]
    (free,) = rows(tmp_path / "free", *words)
    (clipped,) = rows(tmp_path / "clipped", *words, "trainer.gradient_clip_val=1e-6")
    assert free["gradients/norm"] == pytest.approx(clipped["gradients/norm"])
    assert free["gradients/norm"] > 1e-3
    assert 0 < free["gradients/first_to_last"] < 100
    assert free["gradients/dead_units"] < 0.2


def test_ten_layers_of_sigmoids_let_nothing_through_to_the_first(tmp_path: Path) -> None:
    words = ["model=mlp", "model.hidden=[8,8,8,8,8,8,8,8,8,8]", "model.activation=sigmoid", "trainer.max_epochs=1"]
    assert rows(tmp_path, *words)[0]["gradients/first_to_last"] < 1e-4


def test_units_behind_zeros_count_as_dead(tmp_path: Path) -> None:
    words = ["model=mlp", "model.hidden=[8,8]", "model.activation=relu", "initializer=zeros", "trainer.max_epochs=1"]
    assert rows(tmp_path, *words)[0]["gradients/dead_units"] == 1.0


def test_the_columns_come_at_intervals_and_can_be_left_out(tmp_path: Path) -> None:
    words = ["model=mlp", "trainer.max_epochs=3"]
    some = rows(tmp_path / "some", *words, "callbacks.gradients.every_n_epochs=2")
    assert ["gradients/norm" in row for row in some] == [False, True, False]
    none = rows(tmp_path / "none", *words, "callbacks.gradients.every_n_epochs=null")
    assert not any(name.startswith("gradients/") for row in none for name in row)
    assert all(0 <= row["waiting"] <= 1 for row in none)
