"""Rates that fall step by step: by a factor, at given epochs, by a formula."""

from __future__ import annotations

from bisect import bisect_right

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ExponentialLR, LambdaLR, LRScheduler, MultiStepLR, PolynomialLR, StepLR

from couloir.errors import CouloirError
from couloir.scheduler.interval import by_interval, horizon


def step(optimizer: Optimizer, step_size: int, gamma: float, interval: str = "epoch") -> LRScheduler:
    """lr gamma^floor(t / step_size), t in epochs or steps as `interval` says."""
    return by_interval(StepLR(optimizer, step_size, gamma), interval)


def multistep(optimizer: Optimizer, milestones: list[int], gamma: float, interval: str = "epoch") -> LRScheduler:
    """lr gamma^k after k of the milestones, in epochs or steps as `interval` says."""
    return by_interval(MultiStepLR(optimizer, milestones, gamma), interval)


def exponential(optimizer: Optimizer, gamma: float, interval: str = "epoch") -> LRScheduler:
    """lr gamma^t, t in epochs or steps as `interval` says."""
    return by_interval(ExponentialLR(optimizer, gamma), interval)


class InverseTime:
    """1 / (1 + decay t), as a callable whose state a checkpoint can hold."""

    def __init__(self, decay: float) -> None:
        self.decay = decay

    def __call__(self, t: int) -> float:
        return 1 / (1 + self.decay * t)


def inverse_time(optimizer: Optimizer, decay: float, interval: str = "step") -> LRScheduler:
    """lr / (1 + decay t), t in epochs or steps as `interval` says (the `decay` of the course's Keras example)."""
    return by_interval(LambdaLR(optimizer, InverseTime(decay)), interval)


class Piecewise:
    """The factor that makes the first group's rate `rates[k]` after k of the boundaries."""

    def __init__(self, boundaries: list[int], rates: list[float], lr: float) -> None:
        self.boundaries, self.rates, self.lr = boundaries, rates, lr

    def __call__(self, t: int) -> float:
        return self.rates[bisect_right(self.boundaries, t)] / self.lr


def piecewise(optimizer: Optimizer, boundaries: list[int], rates: list[float], interval: str = "epoch") -> LRScheduler:
    """The rate `rates[0]` until `boundaries[0]`, `rates[1]` until `boundaries[1]`, ...; the optimizer's is not used.

    Raises:
        CouloirError: there is not one rate more than boundaries, or the boundaries do not rise.
    """
    if len(rates) != len(boundaries) + 1 or sorted(set(boundaries)) != list(boundaries):
        raise CouloirError(
            f"scheduler=piecewise has {len(boundaries)} boundaries {boundaries} and {len(rates)} rates {rates}.",
            next_step="one rate more than rising boundaries: scheduler.boundaries=[5] scheduler.rates=[0.1,0.01]",
        )
    factors = [Piecewise(boundaries, rates, group["lr"]) for group in optimizer.param_groups]
    return by_interval(LambdaLR(optimizer, list(factors)), interval)


def polynomial(
    optimizer: Optimizer, epochs: float, power: float, steps_per_epoch: int | None = None, interval: str = "step"
) -> LRScheduler:
    """lr (1 - t / T)^power, T the whole run; zero at its end."""
    total = horizon(epochs, steps_per_epoch, interval)
    return by_interval(PolynomialLR(optimizer, total, power), interval)
