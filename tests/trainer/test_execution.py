"""Execution settings change how fast a step is, not what it does; and each says when it cannot be had."""

from __future__ import annotations

import copy
import logging
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from couloir.machine import cores
from couloir.trainer import execution
from couloir.trainer.build import trainer as build_trainer
from couloir.trainer.execution import (
    Execution,
    MachineSettings,
    allow_tf32,
    compile_network,
    fuse,
    innermost_channels,
    lets_cudnn_choose,
    missing_compiler,
)
from networks import build


def some_steps(make: Any, fused: bool) -> list[torch.Tensor]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))
    optimizer = make(net.parameters())
    if fused:
        assert fuse(optimizer)
    for _ in range(5):
        optimizer.zero_grad()
        net(torch.randn(8, 5)).square().mean().backward()
        optimizer.step()
    return [parameter.detach() for parameter in net.parameters()]


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
        lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.1),
        lambda p: torch.optim.AdamW(p, lr=0.1),
        lambda p: torch.optim.Adagrad(p, lr=0.1),
    ],
)
def test_a_fused_optimizer_takes_the_same_steps(make: Any) -> None:
    for fused, plain in zip(some_steps(make, True), some_steps(make, False), strict=True):
        torch.testing.assert_close(fused, plain, rtol=1e-5, atol=1e-6)


def test_an_optimizer_without_a_fused_kernel_or_with_a_choice_of_its_own_stays() -> None:
    weights = [nn.Parameter(torch.zeros(3))]
    assert not fuse(torch.optim.RMSprop(weights, lr=0.1))
    chosen = torch.optim.Adam(weights, lr=0.1, foreach=True)
    assert not fuse(chosen)
    assert not chosen.param_groups[0]["fused"]


def test_channels_last_changes_the_layout_and_not_the_result() -> None:
    net = build("resnet20")
    x = torch.randn(4, 3, 32, 32)
    other = copy.deepcopy(net)
    assert innermost_channels(other)
    weight = next(module for module in other.modules() if isinstance(module, nn.Conv2d)).weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()
    torch.testing.assert_close(other.train()(x), net.train()(x), rtol=1e-4, atol=1e-4)
    assert not innermost_channels(build("mlp"))


def test_a_missing_compiler_is_said_and_training_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(execution.shutil, "which", lambda name: None)
    monkeypatch.setattr(execution.say, "propagate", True)
    net = nn.Linear(2, 2)
    with caplog.at_level(logging.INFO, "couloir"):
        assert not compile_network(net, torch.device("cpu"))
    assert "no C++ compiler (g++, clang++, c++)" in caplog.text
    assert net(torch.ones(1, 2)).shape == (1, 2)
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert "CXX" in (missing_compiler(torch.device("cpu")) or "")


@pytest.mark.parametrize(("quota", "count"), [("150000 100000", 2), ("50000 100000", 1), ("max 100000", 3)])
def test_threads_keep_to_what_a_container_is_given(
    quota: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2}, raising=False)
    (tmp_path / "cpu.max").write_text(quota)
    assert cores(tmp_path / "cpu.max") == count
    assert cores(tmp_path / "missing") == 3


@pytest.mark.parametrize(
    ("stated", "deterministic", "chosen"),
    [(None, False, True), (None, True, False), (False, False, False), (True, True, True)],
)
def test_cudnn_tries_its_algorithms_unless_results_must_repeat(
    stated: bool | None, deterministic: bool, chosen: bool
) -> None:
    assert lets_cudnn_choose(stated, deterministic) is chosen


class FakeTrainer:
    """What `Execution` asks a trainer for."""

    def __init__(self, net: nn.Module) -> None:
        self.num_devices = 1
        self.optimizers = [torch.optim.SGD(net.parameters(), lr=0.1)]
        self.strategy = type("Strategy", (), {"root_device": torch.device("cpu")})


@pytest.mark.parametrize("on", [True, False])
def test_each_setting_has_one_key_that_turns_it_off(on: bool) -> None:
    module = nn.Module()
    module.net = nn.Conv2d(3, 4, 3)
    trainer, threads = FakeTrainer(module.net), torch.get_num_threads()
    callback = Execution(channels_last=on, fused=on, compile=False, tf32=on, threads=1)
    torch.set_num_threads(2)
    try:
        callback.setup(trainer, module, "fit")  # type: ignore[arg-type]
        callback.on_fit_start(trainer, module)  # type: ignore[arg-type]
        assert torch.get_num_threads() == 1
        callback.teardown(trainer, module, "fit")  # type: ignore[arg-type]
        assert torch.get_num_threads() == 2, "the next run of the process finds what this one found"
    finally:
        torch.set_num_threads(threads)
    assert module.net.weight.is_contiguous(memory_format=torch.channels_last) is on
    assert bool(trainer.optimizers[0].param_groups[0]["fused"]) is on


@pytest.mark.parametrize("allowed", [True, False])
def test_tf32_is_for_products_and_convolutions_and_lightning_can_still_ask(allowed: bool) -> None:
    before = MachineSettings.now()
    try:
        allow_tf32(allowed)
        assert torch.get_float32_matmul_precision() == ("high" if allowed else "highest")
        assert torch.backends.cudnn.allow_tf32 is allowed
        if hasattr(torch.backends.cudnn, "conv"):
            assert (torch.backends.cudnn.conv.fp32_precision == "tf32") is allowed
    finally:
        before.put_back()
    assert MachineSettings.now() == before


def test_a_checkpoint_is_written_without_a_second_copy_of_it_in_memory(tmp_path: Path) -> None:
    trainer = build_trainer(accelerator="cpu", max_epochs=1, logger=False)
    checkpoint = {"state_dict": {"weight": torch.randn(8_000_000)}}  # 32 MB, which tracemalloc would see in a buffer
    tracemalloc.start()
    trainer.strategy.checkpoint_io.save_checkpoint(checkpoint, tmp_path / "folder" / "last.ckpt")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8_000_000
    loaded = torch.load(tmp_path / "folder" / "last.ckpt", weights_only=True)
    assert torch.equal(loaded["state_dict"]["weight"], checkpoint["state_dict"]["weight"])
