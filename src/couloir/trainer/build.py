"""Lightning's Trainer with the defaults that depend on the machine, and a faster way through its steps."""

from __future__ import annotations

import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Checkpoint

from couloir.config.world import ALONE, World, chosen_devices
from couloir.errors import CouloirError
from couloir.trainer.batch_norm import SyncOnCpu
from couloir.trainer.checkpoint_io import SealedFiles
from couloir.trainer.evaluation import ShortEvaluation
from couloir.trainer.execution import Execution, lets_cudnn_choose
from couloir.trainer.learning import FixedParts
from couloir.trainer.lightning_private import leave_signals_to_the_run, measure_by
from couloir.trainer.loop import ShortStep
from couloir.trainer.profiling import profiler as measuring
from couloir.trainer.resumption import ExactEpochs, ExactSteps, Resumption
from couloir.trainer.strategy import strategy as several


def trainer(
    accelerator: str = "auto",
    devices: int | str | list[int] = 1,
    strategy: str = "auto",
    num_nodes: int = 1,
    precision: str = "auto",
    sync_batchnorm: bool = False,
    find_unused_parameters: bool = False,
    min_shard_parameters: int = 1_000_000,
    channels_last: bool = True,
    fused: bool = True,
    compile: bool = False,
    tf32: bool = True,
    benchmark: bool | None = None,
    threads: int | None = None,
    short_steps: bool = True,
    profiler: str | None = None,
    max_steps: int | None = None,
    max_time: float | str | None = None,
    val_check_interval: int | float | None = None,
    world: World = ALONE,
    **options: Any,
) -> Trainer:
    """Lightning's Trainer; `precision=auto` is bf16 mixed precision on a GPU that has it, and float32 elsewhere.

    Args:
        accelerator: `auto` takes a GPU where there is one; `cpu`, `gpu`.
        devices: how many, or which, on each machine.
        strategy: how several processes work together: `ddp`, `fsdp`; `auto`: ddp.
        num_nodes: machines.
        precision: `auto`, or any of Lightning's (`32-true`, `bf16-mixed`, ...).
        sync_batchnorm: normalise batches over all processes together.
        find_unused_parameters: ddp: look in each step for weights that took no part in it.
        min_shard_parameters: fsdp: parts of the network with so many weights are gathered one after another.
        channels_last: lay the weights of convolutions out as fast kernels want them.
        fused: take PyTorch's fused form of the optimizer, where there is one.
        compile: compile the network.
        tf32: let a GPU multiply float32 matrices with ten bits of mantissa.
        benchmark: let cuDNN try its algorithms; None: unless results must repeat.
        threads: CPU threads of an operation; None: as many as the machine lets this process use.
        short_steps: call only those hooks of a step that somebody listens to; False: all of Lightning's.
        profiler: `simple`, `advanced` or `pytorch`: report where the time goes, in `default_root_dir`; all steps are
            Lightning's then, since they call the profiler; None: no report.
        max_steps: steps of the optimizer after which the run ends; None: no limit.
        max_time: minutes of training, or `days:hours:minutes:seconds`, after which it ends; None: no limit.
        val_check_interval: validate within an epoch as well, every so many batches (int) or shares of it (float).
        world: this process's place among those of the run, which are connected already.
        options: Lightning's own; see `pytorch_lightning.Trainer`.

    Raises:
        CouloirError: the accelerator is not there, or Lightning refuses the combination.
    """
    if precision == "auto":
        precision = "bf16-mixed" if accelerator != "cpu" and _gpu_with_bf16() else "32-true"
    plugins: list[Any] = [SealedFiles()]
    if world.size == 1:
        options |= {"devices": devices}
    else:
        local = chosen_devices(devices) or world.local_size
        options |= {"devices": local, "num_nodes": num_nodes, "use_distributed_sampler": False}
        options |= {"strategy": several(strategy, world, find_unused_parameters, min_shard_parameters)}
        if sync_batchnorm and on_gpu(accelerator):
            options |= {"sync_batchnorm": True}
        elif sync_batchnorm:
            plugins.append(SyncOnCpu())
    # First what says which parts of the network an epoch trains, since others look at them.
    callbacks = [FixedParts(), *(options.pop("callbacks", None) or [])]
    callbacks.append(Execution(channels_last, fused, compile, tf32, threads))
    callbacks.append(Resumption())
    saves = any(isinstance(callback, Checkpoint) for callback in callbacks)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*enable_progress_bar.*")
            built = Trainer(
                accelerator=accelerator,
                precision=cast(Any, precision),  # a wrong word is Lightning's to refuse
                max_steps=-1 if max_steps is None else max_steps,
                # Any time is enough for a step.
                max_time=timedelta(minutes=max(max_time, 1e-6)) if isinstance(max_time, int | float) else max_time,
                enable_progress_bar=False,  # callbacks.progress shows it
                enable_model_summary=False,  # `couloir summary` shows it
                enable_checkpointing=saves,  # True without such a callback would add Lightning's own
                num_sanity_val_steps=0,
                benchmark=lets_cudnn_choose(benchmark, options.get("deterministic")),
                callbacks=callbacks,
                profiler=measuring(profiler, Path(options.get("default_root_dir") or "."), world),
                plugins=plugins,
                **options,
            )
    except (MisconfigurationException, ValueError, TypeError) as error:
        raise CouloirError(
            f"The trainer cannot be built: {' '.join(str(error).split())}",
            next_step="trainer=cpu trains everywhere; `couloir list trainer default` shows the keys",
        ) from error
    lightnings = built.fit_loop
    built.fit_loop = ExactEpochs(built, lightnings.min_epochs, lightnings.max_epochs)
    steps = ShortStep if short_steps else ExactSteps
    built.fit_loop.epoch_loop = steps(built, lightnings.epoch_loop.min_steps, lightnings.epoch_loop.max_steps)
    built.fit_loop.epoch_loop.val_check_interval = val_check_interval
    if short_steps:
        measure_by(built, ShortEvaluation)
    leave_signals_to_the_run(built)
    return built


def on_gpu(accelerator: str) -> bool:
    """Whether the processes of a run take GPUs that torch can drive by CUDA."""
    return accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()


def _gpu_with_bf16() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
