"""The mean of the weights: its formula, where it is seen, and that a run goes on from the weights themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import couloir
from couloir.averaging.running import Averaging


def path_of_weights(steps: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(3, 2, generator=generator) for _ in range(steps)]


def averaged(averaging: Averaging, values: list[torch.Tensor]) -> np.ndarray:
    net = nn.Linear(2, 3, bias=False)
    for value in values:
        with torch.no_grad():
            net.weight.copy_(value)
        averaging.update(net)
    return averaging.mean["weight"].numpy()


def test_polyaks_mean_is_the_mean_of_all_steps() -> None:
    values = path_of_weights(17)
    expected = np.mean([value.numpy() for value in values], axis=0)
    np.testing.assert_allclose(averaged(Averaging(None, 0), values), expected, rtol=1e-4, atol=1e-6)


def test_the_exponential_mean_follows_its_recursion_with_a_quick_start() -> None:
    values = path_of_weights(40)
    mean = values[0].numpy().astype(np.float64)
    for n, value in enumerate(values[1:], 2):
        decay = min(0.7, n / (9 + n))
        mean = decay * mean + (1 - decay) * value.numpy()
    np.testing.assert_allclose(averaged(Averaging(0.7, 0), values), mean, rtol=1e-4, atol=1e-6)


def test_of_a_network_that_says_so_only_some_parts_are_averaged_and_all_others_are_the_newest() -> None:
    class Two(nn.Module):
        averages = ("maker.",)

        def __init__(self) -> None:
            super().__init__()
            self.maker, self.judge = nn.Linear(2, 3, bias=False), nn.Linear(3, 1)

    module = nn.Module()
    net = module.net = Two()
    averaging, values = Averaging(None, 0), path_of_weights(5)
    for value in values:
        with torch.no_grad():
            net.maker.weight.copy_(value)
            net.judge.weight.add_(1)
        averaging.update(net)
    mean = np.mean([value.numpy() for value in values], axis=0)
    judge = net.judge.weight.detach().clone()
    assert set(averaging.mean) == {"maker.weight"}
    averaging.on_validation_start(_Stage(5), module)
    np.testing.assert_allclose(net.maker.weight.detach().numpy(), mean, rtol=1e-5, atol=1e-6)
    assert torch.equal(net.judge.weight, judge)
    averaging.on_validation_end(_Stage(5), module)
    assert torch.equal(net.maker.weight, values[-1])
    checkpoint = {"state_dict": {f"net.{name}": value for name, value in net.state_dict().items()}, "global_step": 5}
    averaging.on_save_checkpoint(_Stage(5), module, checkpoint)
    np.testing.assert_allclose(checkpoint["state_dict"]["net.maker.weight"].numpy(), mean, rtol=1e-5, atol=1e-6)
    other = Averaging(None, 0)
    other.on_load_checkpoint(_Stage(5), module, checkpoint)
    assert torch.equal(net.maker.weight, values[-1])
    assert torch.equal(other.mean["maker.weight"], averaging.mean["maker.weight"])


def test_counters_are_copied_and_not_averaged() -> None:
    net, averaging = nn.BatchNorm1d(2), Averaging(None, 0)
    for count in (1, 5):
        net.num_batches_tracked.fill_(count)
        averaging.update(net)
    assert int(averaging.mean["num_batches_tracked"]) == 5


@pytest.fixture
def run(tmp_path: Path) -> Path:
    words = ["data=moons", "optimizer=sgd", "optimizer.lr=0.5", "trainer.max_epochs=3", "logger=csv", "trainer=cpu"]
    return couloir.train(couloir.compose([*words, "averaging=polyak", f"output_dir={tmp_path}"])).dir


def test_the_checkpoint_holds_the_mean_as_its_network_and_the_weights_beside_it(run: Path) -> None:
    checkpoint = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    weights = checkpoint["averaging"]["weights"]
    means = {name.removeprefix("net."): v for name, v in checkpoint["state_dict"].items() if name.startswith("net.")}
    assert weights.keys() == means.keys()
    assert checkpoint["averaging"]["steps"] == checkpoint["global_step"]
    assert any(not torch.equal(weights[name], means[name]) for name in weights)


def test_training_goes_on_from_the_weights_and_validation_sees_the_mean(tmp_path: Path) -> None:
    words = ["data=moons", "optimizer=sgd", "optimizer.lr=0.5", "trainer.max_epochs=4", "logger=csv", "trainer=cpu"]
    with_mean = couloir.train(couloir.compose([*words, "averaging=polyak", f"output_dir={tmp_path / 'a'}"]))
    without = couloir.train(couloir.compose([*words, f"output_dir={tmp_path / 'b'}"]))
    assert with_mean.metrics["train/loss"] == without.metrics["train/loss"], "the steps are the same"
    assert with_mean.metrics["val/loss"] != without.metrics["val/loss"], "what is measured is the mean"


@pytest.mark.slow
def test_a_mean_that_begins_later_leaves_the_epochs_before_it_alone(tmp_path: Path) -> None:
    import csv

    words = ["data=moons", "optimizer=sgd", "optimizer.lr=0.5", "trainer.max_epochs=4", "logger=csv", "trainer=cpu"]
    rows = []
    for extra in (["averaging=polyak", "averaging.start_epoch=2"], []):
        result = couloir.train(couloir.compose([*words, *extra, f"output_dir={tmp_path / str(len(extra))}"]))
        rows.append([row["val/loss"] for row in csv.DictReader((result.dir / "metrics.csv").open())])
    assert rows[0][:2] == rows[1][:2]
    assert rows[0][3] != rows[1][3]


class _Stage:
    """What the callback asks of a trainer."""

    def __init__(self, step: int, fn: str = "fit") -> None:
        self.global_step, self.current_epoch = step, 0
        self.state = type("State", (), {"fn": fn})()


class _Module(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(2, 3)


def test_a_run_that_is_taken_up_again_goes_on_with_the_same_mean() -> None:
    values = path_of_weights(12)

    def steps(averaging: Averaging, module: _Module, first: int, last: int) -> None:
        for step in range(first, last):
            with torch.no_grad():
                module.net.weight.copy_(values[step])
            averaging.on_train_batch_end(_Stage(step + 1), module, None, None, 0)

    whole, module = Averaging(0.8, 0), _Module()
    steps(whole, module, 0, 12)
    first, module = Averaging(0.8, 0), _Module()
    steps(first, module, 0, 5)
    checkpoint = {"state_dict": {f"net.{k}": v for k, v in module.net.state_dict().items()}, "global_step": 5}
    first.on_save_checkpoint(_Stage(5), module, checkpoint)
    second, module = Averaging(0.8, 0), _Module()
    second.on_load_checkpoint(_Stage(5), module, checkpoint)
    assert torch.equal(module.net.weight, values[4]), "training goes on from the weights, not from their mean"
    steps(second, module, 5, 12)
    assert torch.equal(second.mean["weight"], whole.mean["weight"])
    other = Averaging(0.8, 0)
    other.on_load_checkpoint(_Stage(5, fn="test"), _Module(), checkpoint)
    assert not other.mean, "a test looks at the mean, which is the checkpoint's network"
