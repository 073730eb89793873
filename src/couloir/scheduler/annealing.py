"""Rates that follow a curve over the whole run: cosine, warmup and cosine, warmup and inverse root, one
cycle.
"""

from __future__ import annotations

import math

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler, OneCycleLR

from couloir.config.attention import check_factor
from couloir.scheduler.interval import by_interval, horizon


def cosine(
    optimizer: Optimizer, epochs: float, min_lr: float, steps_per_epoch: int | None = None, interval: str = "epoch"
) -> LRScheduler:
    """min_lr + (lr - min_lr) (1 + cos(pi t / T)) / 2, T the whole run (Loshchilov and Hutter, 2017, equation 5)."""
    return by_interval(_PatientCosine(optimizer, horizon(epochs, steps_per_epoch, interval), min_lr), interval)


class _PatientCosine(CosineAnnealingLR):
    """CosineAnnealingLR that stays at its end, where torch's goes up again."""

    def get_lr(self) -> list[float | Tensor]:
        if self.last_epoch > self.T_max:
            return [group["lr"] for group in self.optimizer.param_groups]
        rates: list[float | Tensor] = super().get_lr()
        return rates


class WarmupCosine:
    """A line from 1 / W to 1 over W steps, then half a cosine down to `floor` at step T."""

    def __init__(self, warmup: int, total: int, floor: float) -> None:
        self.warmup, self.total, self.floor = warmup, total, floor

    def __call__(self, t: int) -> float:
        if t < self.warmup:
            return (t + 1) / self.warmup
        progress = min(1.0, (t - self.warmup) / max(1, self.total - self.warmup))
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * progress)) / 2


def warmup_cosine(
    optimizer: Optimizer, epochs: float, warmup_epochs: float, min_lr: float, steps_per_epoch: int | None = None
) -> LRScheduler:
    """A line up over `warmup_epochs`, then a cosine from lr to min_lr at the run's end; by step (Goyal, 2017)."""
    warmup, total = round(warmup_epochs * (steps_per_epoch or 1)), horizon(epochs, steps_per_epoch, "step")
    curves = [WarmupCosine(warmup, total, min_lr / group["lr"]) for group in optimizer.param_groups]
    return by_interval(LambdaLR(optimizer, list(curves)), "step")


class InverseRoot:
    """min(s^-0.5, s W^-1.5) at step s = t + 1, over its largest value W^-0.5: a line up to 1, then down as s^-0.5."""

    def __init__(self, warmup: int, peak: float) -> None:
        self.warmup, self.peak = warmup, peak

    def __call__(self, t: int) -> float:
        s = t + 1
        return self.peak * min(math.sqrt(self.warmup / s), s / self.warmup)


def noam(optimizer: Optimizer, warmup_steps: int, factor: float | None, width: int | None) -> LRScheduler:
    """factor D^-0.5 min(s^-0.5, s W^-1.5) at step s, from 1 (Vaswani et al., 2017, equation 3); by step.

    The largest rate is factor (D W)^-0.5, at step W.

    Args:
        optimizer: what is scheduled.
        warmup_steps: W.
        factor: 1 in the paper; None: such that the largest rate is the optimizer's.
        width: D, the network's; only a factor needs it.

    Raises:
        CouloirError: there is a factor, and no width.
    """
    check_factor(factor, width)
    largest = None if factor is None else factor / math.sqrt((width or 1) * warmup_steps)
    peak = 1.0 if largest is None else largest / float(optimizer.defaults["lr"])
    return by_interval(LambdaLR(optimizer, InverseRoot(warmup_steps, peak)), "step")


class _PatientOneCycle(OneCycleLR):
    """OneCycleLR that stays at its end, where torch's raises (a loop may step once more), and turns Nesterov's look
    ahead along with the momentum.
    """

    def step(self, epoch: int | None = None) -> None:
        super().step(epoch)
        if hasattr(self.optimizer, "look_ahead"):
            self.optimizer.look_ahead()

    def get_lr(self) -> list[float | Tensor]:
        if self.last_epoch >= self.total_steps:
            return [group["lr"] for group in self.optimizer.param_groups]
        rates: list[float | Tensor] = super().get_lr()
        return rates


def one_cycle(
    optimizer: Optimizer,
    epochs: float,
    max_lr: float | None,
    pct_start: float,
    div_factor: float,
    final_div_factor: float,
    steps_per_epoch: int | None = None,
) -> LRScheduler:
    """Up from max_lr / div_factor to max_lr and down to a small part of it, momentum the other way; by step.

    Args:
        optimizer: what is scheduled; its momentum, or first beta, is cycled where it has one.
        epochs: the length of the run, the last one perhaps in part.
        max_lr: the peak; None takes the optimizer's rate.
        pct_start: the share of the run that goes up.
        div_factor: the peak over the first rate.
        final_div_factor: the first rate over the last.
        steps_per_epoch: optimizer steps an epoch; None: one, where no run has counted them.
    """
    peaks = [group["lr"] if max_lr is None else max_lr for group in optimizer.param_groups]
    group = optimizer.param_groups[0]
    scheduler = _PatientOneCycle(
        optimizer,
        peaks,
        total_steps=max(2, horizon(epochs, steps_per_epoch, "step")),
        pct_start=pct_start,
        cycle_momentum="betas" in group or group.get("momentum", 0.0) > 0,
        div_factor=div_factor,
        final_div_factor=final_div_factor,
    )
    return by_interval(scheduler, "step")
