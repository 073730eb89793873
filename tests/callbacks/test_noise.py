"""Noise in training: it is there in a step, it is gone after it, and a stopped run draws the same when it goes on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import couloir
from couloir.callbacks.noise import Noise, noise
from couloir.cli.main import run
from couloir.errors import CouloirError
from couloir.record.checkpoint import read_checkpoint
from interruption import rows, stopped

WORDS = [
    "data.subset=60",
    "model=mlp",
    "model.hidden=[16]",
    "trainer.max_epochs=3",
    "data.batch_size=12",
    "trainer=cpu",
]
NOISY = [f"callbacks.noise.{key}=0.3" for key in ("weights", "gradients", "activations")]


def small() -> Any:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(50, 400), nn.ReLU(), nn.Linear(400, 30))
    return SimpleNamespace(net=net, automatic_optimization=True)


def started(kind: str, **deviations: float) -> tuple[Noise, Any, torch.Tensor]:
    callback, module = noise(kind=kind, **deviations), small()
    assert callback is not None
    before = module.net[0].weight.detach().clone()
    callback.on_fit_start(SimpleNamespace(world_size=1), module)  # type: ignore[arg-type]
    callback.on_train_batch_start(None, module, None, 0)  # type: ignore[arg-type]
    return callback, module, before


@pytest.mark.parametrize("kind", ["multiplicative", "additive"])
def test_weights_have_the_noise_that_was_asked_for_until_the_backward_pass_is_over(kind: str) -> None:
    callback, module, before = started(kind, weights=0.2)
    layer = module.net[0]
    drawn = (layer.weight.detach() - before) / (before if kind == "multiplicative" else 1)
    # 20,000 draws: five deviations of their standard deviation and mean.
    assert float(drawn.std()) == pytest.approx(0.2, abs=5 * 0.2 / (2 * 20_000) ** 0.5)
    assert abs(float(drawn.mean())) < 5 * 0.2 / 20_000**0.5
    bias = layer.bias.detach().clone()
    module.net(torch.ones(2, 50)).sum().backward()
    callback.on_after_backward(None, module)  # type: ignore[arg-type]
    assert torch.equal(layer.weight.detach(), before), "to the bit"
    assert torch.equal(layer.bias.detach(), bias)


def test_activations_have_it_within_a_step_alone() -> None:
    callback, module, _ = started("multiplicative", activations=0.5)
    x = torch.ones(64, 50)
    hidden = module.net[1](module.net[0](x)).detach()
    clean = torch.relu(module.net[0](x)).detach()
    ratio = (hidden / clean)[clean > 0] - 1
    assert float(ratio.std()) == pytest.approx(0.5, rel=0.05)
    callback.on_train_batch_end(None, module, None, None, 0)  # type: ignore[arg-type]
    assert torch.equal(module.net[1](module.net[0](x)), torch.relu(module.net[0](x)))


def test_gradients_have_it_before_the_optimizers_step() -> None:
    callback, module, _ = started("additive", gradients=0.1)
    optimizer = torch.optim.SGD(module.net.parameters(), 0.1)
    module.net(torch.ones(2, 50)).sum().backward()
    before = module.net[0].weight.grad.clone()
    callback.on_before_optimizer_step(None, module, optimizer)  # type: ignore[arg-type]
    assert float((module.net[0].weight.grad - before).std()) == pytest.approx(0.1, rel=0.05)


def test_without_a_deviation_there_is_no_callback_and_a_network_without_activations_is_refused() -> None:
    assert noise() is None
    callback = noise(activations=0.1)
    assert callback is not None
    linear = SimpleNamespace(net=nn.Linear(2, 2), automatic_optimization=True)
    with pytest.raises(CouloirError, match="none that can be found"):
        callback.on_fit_start(SimpleNamespace(world_size=1), linear)  # type: ignore[arg-type]


def test_a_run_with_noise_that_was_stopped_within_an_epoch_goes_on_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = couloir.train(couloir.compose([*WORDS, *NOISY, f"output_dir={tmp_path / 'whole'}"])).dir
    clean = couloir.train(couloir.compose([*WORDS, f"output_dir={tmp_path / 'clean'}"])).dir
    part = stopped([*WORDS, *NOISY, f"output_dir={tmp_path / 'part'}"], "train", 7, monkeypatch)
    assert run(["resume", str(part)]) == 0
    assert rows(part) == rows(whole)
    assert rows(clean) != rows(whole)
    ours, theirs = (read_checkpoint(folder / "checkpoints/last.ckpt")["state_dict"] for folder in (part, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
