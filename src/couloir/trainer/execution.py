"""How steps are executed: memory layout, fused optimizers, compilation, and what the machine's libraries may do.

None of it changes what is learned beyond the rounding of sums; docs/performance.md says what each is worth.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import nn
from torch.optim import Optimizer

from couloir.log import say
from couloir.machine import cores
from couloir.torch_private import run_what_does_not_compile

COMPILERS = ("g++", "clang++", "c++")


class Execution(Callback):
    """Prepares a network and its optimizer for the machine, before the first step.

    Args:
        channels_last: keep the weights of convolutions with the channels innermost, as fast kernels want them.
        fused: let the optimizer update all weights in one kernel, where PyTorch has one for it.
        compile: compile the network.
        tf32: let a GPU multiply float32 matrices with ten bits of mantissa.
        threads: CPU threads of an operation; None: as many as the machine lets this process use.
    """

    def __init__(self, channels_last: bool, fused: bool, compile: bool, tf32: bool, threads: int | None) -> None:
        self.channels_last, self.fused, self.compile = channels_last, fused, compile
        self.tf32, self.threads = tf32, threads
        self._before = MachineSettings.now()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Before the network moves to its device and its optimizer is made."""
        device = trainer.strategy.root_device
        self._before = MachineSettings.now()
        if self.threads is not None or "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(self.threads or max(1, cores() // trainer.num_devices))
        if device.type == "cuda":
            allow_tf32(self.tf32)
        if stage != "fit":
            return
        net = pl_module.net
        assert isinstance(net, nn.Module)
        if self.channels_last:
            innermost_channels(net)
        if self.compile:
            compile_network(net, device)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Once the optimizer is made."""
        if self.fused:
            for optimizer in trainer.optimizers:
                fuse(optimizer)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the process as it was, for the next run in it."""
        self._before.put_back()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Lightning tears nothing down then."""
        self._before.put_back()


@dataclass(frozen=True)
class MachineSettings:
    """What belongs to the process and not to a run.

    Attributes:
        threads: CPU threads of an operation.
        matmul: torch's word for the precision of float32 products on a GPU.
        convolutions: whether cuDNN may round float32 to ten bits of mantissa.
    """

    threads: int
    matmul: str
    convolutions: bool

    @classmethod
    def now(cls) -> MachineSettings:
        """The present ones."""
        convolutions = bool(torch.backends.cudnn.allow_tf32)
        return cls(torch.get_num_threads(), torch.get_float32_matmul_precision(), convolutions)

    def put_back(self) -> None:
        """Make them the present ones."""
        torch.set_num_threads(self.threads)
        torch.set_float32_matmul_precision(self.matmul)
        torch.backends.cudnn.allow_tf32 = self.convolutions


def innermost_channels(net: nn.Module) -> bool:
    """Lay the weights of two-dimensional convolutions out as (out, H, W, in) in memory; their shape stays.

    Returns:
        Whether there are any.
    """
    if not any(isinstance(module, nn.Conv2d | nn.ConvTranspose2d) for module in net.modules()):
        return False
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return True


def fuse(optimizer: Optimizer) -> bool:
    """Choose PyTorch's fused kernel for an optimizer that has one, unless its maker has chosen otherwise.

    Returns:
        Whether the optimizer is fused.
    """
    groups = optimizer.param_groups
    if any(group.get("fused", False) is not None or group.get("foreach") for group in groups):
        return False  # there is none, or the choice is made
    if any(group.get("differentiable") for group in groups):
        return False
    parameters = [parameter for group in groups for parameter in group["params"]]
    if not all(parameter.is_floating_point() and parameter.device.type in ("cpu", "cuda") for parameter in parameters):
        return False
    for group in groups:
        group["fused"] = True
    return True


def compile_network(net: nn.Module, device: torch.device) -> bool:
    """Compile a network in place: the names in its state dict stay; say so where there is no compiler.

    Returns:
        Whether it will be compiled, in its first steps.
    """
    missing = missing_compiler(device)
    if missing is not None:
        say.info("trainer.compile=true is ignored: %s", missing)
        return False
    run_what_does_not_compile()
    net.compile()
    return True


def missing_compiler(device: torch.device) -> str | None:
    """What `torch.compile` lacks on this machine, as a clause; None where it has all it needs."""
    if device.type == "cuda":
        if find_spec("triton") is None:
            return "the package triton, which compiles for GPUs, is not installed"
        return None
    stated = os.environ.get("CXX")
    if stated is not None and shutil.which(stated) is None:
        return f"the C++ compiler that CXX names, {stated}, is not there"
    if stated is None and not any(map(shutil.which, COMPILERS)):
        return f"there is no C++ compiler ({', '.join(COMPILERS)}) on this machine"
    return None


def allow_tf32(allowed: bool) -> None:
    """Let a GPU multiply float32 matrices, and convolve, with ten bits of mantissa, or not.

    By the older of torch's two interfaces: after a word by the newer one, the question that Lightning asks by the older
    one is an error.
    """
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed


def lets_cudnn_choose(benchmark: bool | None, deterministic: Any) -> bool:
    """Whether cuDNN may try its algorithms and keep the fastest; None: unless results must repeat."""
    return not deterministic if benchmark is None else benchmark
