"""What does not go with `task=gan`, whose players take a step each. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping

from omegaconf import DictConfig, OmegaConf

from couloir.config.metrics import GAN, task_of
from couloir.errors import CouloirError

PENALTY = 10.0
"""Of `task.penalty` in conf/task/gan.yaml, where nobody says another."""
MIXES = ("couloir.augmentation.mixing.Mixup", "couloir.augmentation.mixing.CutMix")
OF_ONE_STEP = {
    "trainer.gradient_clip_val": None, "trainer.accumulate_grad_batches": 1, "on_nan": "stop",
    "callbacks.noise.weights": 0, "callbacks.noise.gradients": 0, "callbacks.noise.activations": 0,
}  # fmt: skip
"""Keys that change the one step of a batch, and their neutral values."""


def check_players(cfg: DictConfig, choices: Mapping[str, str | None]) -> None:
    """Refuse what a GAN would ignore or could not do, before torch is imported.

    Args:
        cfg: a settled configuration.
        choices: the choice of each group.

    Raises:
        CouloirError: there is something of that kind.
    """
    if task_of(cfg) != GAN or not str(cfg.task.get("_target_")).startswith("couloir."):
        return
    for key, neutral in OF_ONE_STEP.items():
        value = OmegaConf.select(cfg, key)
        if value not in (None, neutral):
            raise CouloirError(
                f"{key}={value} changes the one step of a batch, and with task=gan each player takes its own.",
                next_step=f"leave {key} out",
            )
    if OmegaConf.select(cfg, "callbacks.landscape.draw") is True:
        raise CouloirError(
            "callbacks.landscape.draw=true draws the surface of one loss, and with task=gan each player has its own.",
            next_step="leave callbacks.landscape.draw out",
        )
    objective, penalty = cfg.task.get("objective"), cfg.task.get("penalty")
    if penalty not in (None, PENALTY) and objective != "wasserstein_gp":
        raise CouloirError(
            f"task.penalty={penalty:g} is of task.objective=wasserstein_gp; {objective} has no penalty.",
            next_step="leave task.penalty out, or task.objective=wasserstein_gp",
        )
    augmentation = cfg.get("augmentation")
    target = str(augmentation.get("_target_")) if OmegaConf.is_dict(augmentation) else ""
    if cfg.task.get("conditional") is True and target in MIXES:
        raise CouloirError(
            "task.conditional=true tells both players one class an image, and "
            f"augmentation={choices.get('augmentation')} mixes classes.",
            next_step="augmentation=none, or task.conditional=false",
        )
