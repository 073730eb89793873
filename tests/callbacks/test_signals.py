"""Signals: what is measured is right, and measuring changes nothing of the run."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

import couloir
from couloir.callbacks.signals import Signals, measure, signals
from couloir.model.sequence.recurrent import recurrent
from couloir.ragged import Padded

CPU = torch.device("cpu")


def squares(outputs: Tensor, y: Tensor) -> Tensor:
    """Half the squared error, summed over outputs, the mean over samples."""
    return 0.5 * (outputs - y).square().sum(dim=1).mean()


def test_the_variances_are_those_of_the_chain_rule_worked_in_numpy() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double()
    x, y = torch.randn(7, 3).double(), torch.randn(7, 2).double()
    first, activation, second = measure(net, lambda: squares(net(x), y), CPU)

    w1, b1, w2, b2 = (parameter.detach().numpy() for parameter in net.parameters())
    a, target = x.numpy(), y.numpy()
    s1 = a @ w1.T + b1
    z = np.tanh(s1)
    s2 = z @ w2.T + b2
    d2 = (s2 - target) / len(a)
    dz = d2 @ w2
    d1 = dz * (1 - z**2)
    for signal, name, output, gradient in (
        (first, "0", s1, d1), (activation, "1", z, dz), (second, "2", s2, d2),
    ):  # fmt: skip
        row = signal.at(0)
        assert row.layer == name
        assert row.activation_mean == pytest.approx(output.mean())
        assert row.activation_variance == pytest.approx(output.var())
        assert row.gradient_variance == pytest.approx(gradient.var())
    assert first.weight_gradient_variance == pytest.approx((d1.T @ a).var())
    assert second.weight_gradient_variance == pytest.approx((d2.T @ z).var())
    assert activation.weight_gradient_variance is None


def test_a_layer_whose_successor_works_in_place_keeps_its_own_signal_and_gradient() -> None:
    torch.manual_seed(0)
    first, second, last = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 2, 3), nn.Linear(8, 2)
    x, y = torch.randn(6, 1, 6, 6), torch.zeros(6, 2)
    loss: Callable[[nn.Module], Tensor] = lambda net: squares(net(x), y)  # noqa: E731
    rows = []
    for inplace in (False, True):
        net = nn.Sequential(first, nn.ReLU(inplace=inplace), second, nn.Flatten(), last)
        rows.append([signal.at(0) for signal in measure(net, partial(loss, net), CPU)])
    assert rows[0] == rows[1]
    assert [row.layer for row in rows[0]] == ["0", "1", "2", "4"]


def test_a_recurrent_layer_has_the_variances_of_its_steps_and_of_all_its_gates() -> None:
    torch.manual_seed(0)
    net = recurrent("lstm", channels=3, vocabulary_size=None, num_classes=2, width=4, bidirectional=True)
    x = Padded.of([torch.randn(steps, 3) for steps in (5, 2)])
    first, _ = measure(net, lambda: net(x).square().mean(), CPU)
    with torch.no_grad():
        alone = [net.body.units(sample[None])[0][0] for sample in x.samples()]
    learned = [each for name, each in net.body.units.named_parameters() if name.startswith("weight")]
    gradients = torch.autograd.grad(net(x).square().mean(), list(learned))
    assert first.layer == "body.units"
    assert first.variance == pytest.approx(float(torch.cat(alone).var(correction=0)))  # no padding among them
    assert first.weight_gradient_variance == pytest.approx(
        float(torch.cat([each.flatten() for each in gradients]).double().var(correction=0))
    )


def test_gradients_too_small_for_a_float32_square_are_not_called_zero() -> None:
    net = nn.Sequential(*(nn.Linear(8, 8, bias=False) for _ in range(6)))
    torch.manual_seed(0)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=1e-5)
    x = torch.randn(16, 8)
    first = measure(net, lambda: squares(net(x), torch.ones(16, 8)), CPU)[0]
    assert first.gradient_variance is not None
    assert 0 < first.gradient_variance < 1e-40


def test_a_frozen_layer_has_no_weight_gradient() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1))
    net[0].requires_grad_(False)
    first, _, last = measure(net, lambda: squares(net(torch.randn(4, 3)), torch.zeros(4, 1)), CPU)
    assert first.weight_gradient_variance is None
    assert first.gradient_variance is None
    assert last.weight_gradient_variance is not None


class Restless(nn.Module):
    """Batch normalisation, dropout and a draw of its own, which only training and an unkind author bring together."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.dropout = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5)
        self.last = nn.Linear(6, 2)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        out: Tensor = self.last(torch.relu(self.dropout(self.norm(self.first(x))))) + 0 * torch.rand(1)
        return out


def test_measuring_leaves_weights_buffers_gradients_modes_and_random_numbers_alone() -> None:
    net = Restless()
    net.norm.eval()
    net.last.weight.grad = torch.ones_like(net.last.weight)
    x, y = torch.randn(8, 4), torch.zeros(8, 2)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    random = torch.get_rng_state()
    measure(net, lambda: squares(net(x), y), CPU)
    assert torch.equal(torch.get_rng_state(), random)
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert torch.equal(net.last.weight.grad, torch.ones_like(net.last.weight))
    assert net.first.weight.grad is None
    assert not any(module._forward_hooks for module in net.modules())


def test_batch_normalisation_standardises_by_the_batch_as_in_training() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 2))
    x, y = 100 + 50 * torch.randn(64, 4), torch.zeros(64, 2)
    tanh = measure(net, lambda: squares(net(x), y), CPU)[1]
    assert tanh.variance == pytest.approx(0.39, abs=0.03), "the variance of tanh of a standard normal variable"


def run(words: list[str], folder: Path) -> couloir.RunResult:
    common = ["model=mlp", "model.hidden=[16,16]", "model.batch_norm=true", "model.dropout=0.2", "data.subset=300"]
    return couloir.train(couloir.compose([*common, "trainer.max_epochs=4", f"output_dir={folder}", *words]))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> couloir.RunResult:
    return run(["callbacks.signals.every_n_epochs=2"], tmp_path_factory.mktemp("measured"))


def test_a_run_that_measures_is_the_same_run(measured: couloir.RunResult, tmp_path: Path) -> None:
    plain = run([], tmp_path)
    assert not (plain.dir / "signals.csv").exists()
    rows: Callable[[Path], list[str]] = lambda folder: [  # noqa: E731
        line.rsplit(",", 2)[0] for line in (folder / "metrics.csv").read_text().splitlines()
    ]
    assert rows(plain.dir) == rows(measured.dir)
    states = [torch.load(r.dir / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for r in (plain, measured)]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_the_file_has_every_layer_before_the_first_step_and_every_so_many_epochs(measured: couloir.RunResult) -> None:
    rows = list(csv.DictReader((measured.dir / "signals.csv").open()))
    assert list(rows[0]) == [
        "epoch", "layer", "activation_mean", "activation_variance", "gradient_variance", "weight_gradient_variance",
    ]  # fmt: skip
    assert [row["epoch"] for row in rows] == ["0"] * 5 + ["2"] * 5 + ["4"] * 5
    assert [row["weight_gradient_variance"] != "" for row in rows[:5]] == [True, False, True, False, True]
    assert rows[0]["activation_variance"] != rows[5]["activation_variance"], "the weights have moved"


def test_tensorboard_shows_the_distributions(measured: couloir.RunResult) -> None:
    events = EventAccumulator(str(measured.dir / "tensorboard"), size_guidance={"histograms": 0})
    events.Reload()
    names = events.Tags()["histograms"]
    assert sum(name.startswith("activations/") for name in names) == 5
    assert sum(name.startswith("gradients/") for name in names) == 5
    assert sum(name.startswith("weights/") for name in names) == 3
    assert len(events.Histograms(names[0])) == 3


def test_a_resumed_run_goes_on_with_the_measurements_of_its_checkpoint(measured: couloir.RunResult) -> None:
    callbacks = torch.load(measured.dir / "checkpoints/last.ckpt", weights_only=True)["callbacks"]
    resumed = Signals(every_n_epochs=2, samples=256)
    resumed.load_state_dict(callbacks["Signals"])
    assert {row.epoch for row in resumed.rows} == {0, 2, 4}


def test_it_is_off_unless_it_is_asked_for(tmp_path: Path) -> None:
    assert signals() is None
    result = run(["logger=csv", "callbacks.signals.every_n_epochs=1", "data=line", "trainer.max_epochs=1"], tmp_path)
    assert (result.dir / "signals.csv").exists(), "it needs no TensorBoard, and takes a regression as well"
    assert json.loads((result.dir / "status.json").read_text())["status"] == "completed"
