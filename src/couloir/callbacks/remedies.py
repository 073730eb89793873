"""What to try after a run that diverged: overrides, ready to be typed, for what this run was like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig

from couloir.config.scaling import unscaled

SMALLER = 10
"""The rate that is suggested is so many times smaller."""
USUAL = 0.1
"""And no larger than this."""
HIGH_MOMENTUM = 0.95
WIDE_TARGETS = 10.0
"""Targets larger than that make the first gradients of a squared error too large for the usual rates."""


def overrides_to_try(cfg: DictConfig, norms: Mapping[str, float], target_bound: float, clips: bool = True) -> list[str]:
    """Overrides against divergence, the most likely one first.

    Args:
        cfg: the run's configuration.
        norms: the layers' newest gradient norms; empty where there were no gradients yet.
        target_bound: the largest absolute target that the loss sees; 0 for labels.
        clips: whether the task lets its gradients be clipped.
    """
    trainer, optimizer, data = cfg.trainer, cfg.optimizer, cfg.data
    scaled = data.get("target_scaling") == "none" and target_bound > WIDE_TARGETS
    scale = ["data.target_scaling=standardize"] if scaled else []
    half = ["trainer.precision=32-true"] if str(trainer.get("precision", "")).startswith(("16", "bf16-true")) else []
    if not norms:
        return [*scale, *half, *smaller_rate(cfg)]
    # Cutting them to 1 changes nothing about smaller gradients.
    clip = ["trainer.gradient_clip_val=1.0"] if not all(norm <= 1 for norm in norms.values()) else []
    if trainer.get("gradient_clip_val") is not None or not clips:
        clip = []
    momentum = optimizer.get("momentum")
    slower = ["optimizer.momentum=0.9"] if isinstance(momentum, float) and momentum >= HIGH_MOMENTUM else []
    return [*smaller_rate(cfg), *clip, *scale, *slower, *half]


def smaller_rate(cfg: DictConfig) -> list[str]:
    """The key that sets the rate, of two players the larger one, with a tenth of its value, or less."""
    peak = (cfg.get("scheduler") or {}).get("max_lr")
    if peak is not None:
        return [f"scheduler.max_lr={_typed(float(peak))}"]
    rate: Any = cfg.optimizer.get("lr")
    own = (cfg.get("task") or {}).get("discriminator_lr")
    if own is not None and rate is not None and own > rate:
        return [f"task.discriminator_lr={_typed(float(own))}"]
    return [] if rate is None else [f"optimizer.lr={_typed(unscaled(cfg, float(rate)))}"]


def _typed(rate: float) -> str:
    return f"{min(USUAL, rate / SMALLER):.4g}"
