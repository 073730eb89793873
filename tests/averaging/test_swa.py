"""Stochastic weight averaging: which weights are averaged, at which rate, and what batch normalisation then knows."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import nn

import couloir
from couloir.averaging.running import network
from couloir.averaging.swa import EpochAveraging, measure_batch_norm
from couloir.errors import CouloirError
from pairs import pair

WORDS = ["optimizer=momentum", "trainer.max_epochs=4", "logger=csv", "trainer=cpu"]
MLP = ["data=moons", "model=mlp", "model.hidden=[8]", *WORDS]
NORMALISED = ["model=convnet", "model.N=1", "model.M=1", "model.batch_norm=true", "data.subset=200", *WORDS]


def rows(run: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((run / "metrics.csv").open()))


class EpochEnds(Callback):
    """Takes down the weights that each epoch ends with."""

    weights: list[dict[str, torch.Tensor]]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        type(self).weights = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.is_last_batch:
            state = network(pl_module).state_dict()
            self.weights.append({name: value.clone() for name, value in state.items()})


def train(words: list[str], folder: Path) -> Path:
    return couloir.train(couloir.compose([*words, f"output_dir={folder}"])).dir


def checkpoint(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    return content


def test_the_checkpoint_is_the_mean_of_the_late_epochs_ends(tmp_path: Path) -> None:
    words = [*MLP, "averaging=swa", "averaging.start=0.5", f"+callbacks.ends._target_={__name__}.EpochEnds"]
    cfg = couloir.compose([*words, f"output_dir={tmp_path}"]).cfg
    state = checkpoint(couloir.train(cfg).dir)["state_dict"]
    ends = EpochEnds.weights
    assert len(ends) == 4
    for name in ends[0]:
        expected = np.mean([ends[2][name].numpy(), ends[3][name].numpy()], axis=0)
        np.testing.assert_allclose(state[f"net.{name}"].numpy(), expected, rtol=1e-5, atol=1e-7)


def test_training_is_the_same_and_validation_sees_the_mean_from_the_start_on(tmp_path: Path) -> None:
    """Also where batch normalisation is measured over augmented images and dropout draws."""
    words = [*NORMALISED, "augmentation=noise", "model.dropout=0.2"]
    with_mean = rows(train([*words, "averaging=swa", "averaging.start=2"], tmp_path / "a"))
    without = rows(train(words, tmp_path / "b"))
    assert [row["train/loss"] for row in with_mean] == [row["train/loss"] for row in without], "bit for bit"
    same = [one["val/loss"] == other["val/loss"] for one, other in zip(with_mean, without, strict=True)]
    # The mean of one epoch has that epoch's weights, but batch normalisation of its own.
    assert same == [True, True, False, False]


def test_running_means_are_those_of_the_averaged_weights_over_the_training_set(tmp_path: Path) -> None:
    from couloir.config.build import build

    cfg = couloir.compose([*NORMALISED, "averaging=swa", "averaging.start=1", f"output_dir={tmp_path}"]).cfg
    state = checkpoint(couloir.train(cfg).dir)["state_dict"]
    net = build(cfg, "model")
    net.load_state_dict({name.removeprefix("net."): value for name, value in state.items() if name[:4] == "net."})
    (first, *_) = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
    seen: list[torch.Tensor] = []
    first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    data = build(cfg, "data")
    data.setup()
    net.train()
    with torch.no_grad():
        for x, _ in map(pair, data.train_dataloader()):
            net(x)
    # What arrives at the first layer's normalisation: the mean over batches of each batch's own mean and variance.
    means = torch.stack([x.double().mean(dim=(0, 2, 3)) for x in seen]).mean(dim=0)
    variances = torch.stack([x.double().var(dim=(0, 2, 3), unbiased=True) for x in seen]).mean(dim=0)
    name = next(name for name, layer in net.named_modules() if layer is first)
    torch.testing.assert_close(state[f"net.{name}.running_mean"].double(), means, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(state[f"net.{name}.running_var"].double(), variances, rtol=1e-4, atol=1e-5)


def test_measuring_draws_no_random_number_and_leaves_the_mode_alone() -> None:
    net = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(3)).eval()
    batches = [torch.randn(8, 3) + 2 for _ in range(3)]
    before = torch.get_rng_state()
    measure_batch_norm(net, batches)
    assert torch.equal(torch.get_rng_state(), before)
    assert not net.training
    assert net[1].momentum == 0.1
    assert float(net[1].running_mean.mean()) > 1


@pytest.mark.slow
def test_the_rate_is_annealed_and_then_held(tmp_path: Path) -> None:
    words = [*MLP, "scheduler=exponential", "scheduler.gamma=0.5", "optimizer.lr=0.08", "trainer.max_epochs=6"]
    swa = ["averaging=swa", "averaging.start=2", "averaging.swa_lr=0.05", "averaging.anneal_epochs=2"]
    rates = [float(row["lr"]) for row in rows(train([*words, *swa], tmp_path))]
    # From 0.02, where the schedule was, to 0.05 by thirds.
    assert rates == pytest.approx([0.08, 0.04, 0.03, 0.04, 0.05, 0.05])


@pytest.mark.slow
def test_without_a_rate_of_its_own_the_schedule_goes_on(tmp_path: Path) -> None:
    words = [*MLP, "scheduler=exponential", "scheduler.gamma=0.5", "optimizer.lr=0.08", "averaging=swa"]
    rates = [float(row["lr"]) for row in rows(train(words, tmp_path))]
    assert rates == pytest.approx([0.08, 0.04, 0.02, 0.01])


@pytest.mark.slow
def test_the_rate_is_held_against_a_schedule_by_steps(tmp_path: Path) -> None:
    """The weights differ from those of the schedule, and are those of a run whose rate was held from the outside."""
    words = [*MLP, "scheduler=one_cycle", "trainer.max_epochs=3"]
    held = [*words, "averaging=swa", "averaging.start=1", "averaging.swa_lr=0.03"]
    assert [float(row["lr"]) for row in rows(train(held, tmp_path))[1:]] == pytest.approx([0.03, 0.03])


class _Trainer:
    """What the callback asks of a trainer."""

    def __init__(self, epoch: int, lr: float) -> None:
        self.current_epoch, self.max_epochs, self.global_step, self.is_last_batch = epoch, 4, epoch + 1, True
        self.max_steps, self.lr_scheduler_configs = -1, list[Any]()
        self.state = type("State", (), {"fn": "fit"})()
        self.optimizers = [type("Optimizer", (), {"param_groups": [{"lr": lr}, {"lr": lr / 10}]})()]


class _Module(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(2, 3)


def test_groups_keep_the_ratio_of_their_rates() -> None:
    callback, trainer = EpochAveraging(0.5, 0.3, 0), _Trainer(2, 0.1)
    callback.on_train_start(trainer, _Module())
    callback.on_train_epoch_start(trainer, _Module())
    assert [group["lr"] for group in trainer.optimizers[0].param_groups] == pytest.approx([0.3, 0.03])


def test_a_run_that_is_taken_up_again_has_the_same_mean_and_rate() -> None:
    values = [torch.randn(3, 2, generator=torch.Generator().manual_seed(n)) for n in range(4)]

    def epochs(callback: EpochAveraging, module: _Module, first: int, last: int) -> float:
        rate = 0.0
        for epoch in range(first, last):
            trainer = _Trainer(epoch, 0.1 / 2**epoch)
            callback.on_train_start(trainer, module)
            callback.on_train_epoch_start(trainer, module)
            rate = trainer.optimizers[0].param_groups[0]["lr"]
            with torch.no_grad():
                module.net.weight.copy_(values[epoch])
            callback.on_train_batch_end(trainer, module, None, None, 0)
        return rate

    whole, module = EpochAveraging(1, 0.5, 3), _Module()
    rate = epochs(whole, module, 0, 4)
    first, module = EpochAveraging(1, 0.5, 3), _Module()
    epochs(first, module, 0, 3)
    saved: dict[str, Any] = {f"net.{name}": value.clone() for name, value in module.net.state_dict().items()}
    content = {"state_dict": saved, "global_step": 3}
    trainer = _Trainer(3, 0.0)
    trainer.datamodule = None  # type: ignore[attr-defined]
    first.on_save_checkpoint(trainer, module, content)
    second, module = EpochAveraging(1, 0.5, 3), _Module()
    second.on_load_checkpoint(trainer, module, content)
    assert epochs(second, module, 3, 4) == rate
    torch.testing.assert_close(second.mean["weight"], whole.mean["weight"], rtol=0, atol=0)
    torch.testing.assert_close(whole.mean["weight"], torch.stack(values[1:]).mean(dim=0))


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (["averaging=swa", "averaging.start=1.5"], "averaging.start takes"),
        (["averaging=swa", "averaging.start=20"], "starts too late to average"),
        (["averaging=swa", "averaging.swa_lr=-1"], "averaging.swa_lr takes a number > 0 or null"),
        (["averaging=ema", "averaging.start_epoch=20"], "starts too late to average"),
        (["averaging=swaa"], "did you mean averaging=swa"),
    ],
)
def test_mistakes_are_explained(words: list[str], fragment: str) -> None:
    with pytest.raises(CouloirError) as error:
        couloir.compose(words)
    assert fragment in str(error.value)
