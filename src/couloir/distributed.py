"""What all processes of a run must decide alike; where there is only one, its own word."""

from __future__ import annotations

import sys
from typing import Any

import torch
import torch.distributed as dist


def several() -> bool:
    """Whether this process is connected to others."""
    return dist.is_available() and dist.is_initialized()


def highest(value: int) -> int:
    """The largest of all processes' values; on the CPU, so that no GPU is waited for."""
    if not several():
        return value
    shared = torch.tensor(value)
    dist.all_reduce(shared, dist.ReduceOp.MAX)
    return int(shared)


def mean(value: float) -> float:
    """The mean of all processes' values; NaN or infinite where one of them is."""
    if not several():
        return value
    shared = torch.tensor(value, dtype=torch.float64)
    dist.all_reduce(shared)
    return float(shared) / dist.get_world_size()


def total(value: torch.Tensor) -> torch.Tensor:
    """The sum of all processes' tensors, on their device: nothing waits for a GPU."""
    if not several():
        return value
    shared = value.clone()
    dist.all_reduce(shared)
    return shared


def average(values: torch.Tensor) -> None:
    """Put the mean of all processes' values into a tensor, in place."""
    if several():
        dist.all_reduce(values)
        values /= dist.get_world_size()


def everyones(value: dict[str, Any]) -> list[dict[str, Any]]:
    """All processes' values, in the order of their ranks."""
    if not several():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def in_shares(module: torch.nn.Module) -> bool:
    """Whether FSDP has cut weights of a module into shares. Where nothing has imported FSDP, it has not."""
    fsdp = sys.modules.get("torch.distributed.fsdp")
    return fsdp is not None and any(isinstance(part, fsdp.FullyShardedDataParallel) for part in module.modules())
