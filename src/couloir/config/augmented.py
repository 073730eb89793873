"""Whether training sees its samples as they are. No torch here."""

from __future__ import annotations

from omegaconf import DictConfig

IDENTITY = "torch.nn.Identity"


def augments(cfg: DictConfig) -> bool:
    """Whether the samples of a training batch are changed, each time in another way."""
    node = cfg.get("augmentation")
    return node is not None and node.get("_target_") != IDENTITY
