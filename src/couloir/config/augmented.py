"""Whether training sees its samples as they are. No torch here."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf

from couloir.errors import CouloirError

IDENTITY = "torch.nn.Identity"
ADVERSARIAL = "couloir.augmentation.adversarial.Adversarial"
BEFORE = "augmentation@augmentation.before"
"""The choice of what comes before `augmentation=adversarial`."""
ANSWERING = ("classification", "multi_label", "regression", "segmentation", "saliency")
"""Tasks with a loss of an answer to an image, by the modules that they stand in."""


def augments(cfg: DictConfig) -> bool:
    """Whether the samples of a training batch are changed, each time in another way."""
    node = cfg.get("augmentation")
    return node is not None and node.get("_target_") != IDENTITY


def check_adversarial(cfg: DictConfig) -> None:
    """Refuse what `augmentation=adversarial` would ignore or could not do, before torch is imported.

    Args:
        cfg: a settled configuration.

    Raises:
        CouloirError: there is something of that kind.
    """
    node = cfg.get("augmentation")
    if not OmegaConf.is_dict(node) or node.get("_target_") != ADVERSARIAL:
        return
    target = str(cfg.task.get("_target_"))
    task = target.removeprefix("couloir.task.").partition(".")[0]
    if target.startswith("couloir.task.") and task not in ANSWERING:
        raise CouloirError(
            f"augmentation=adversarial makes the loss of an answer to an image grow, and task={task} has none.",
            next_step=f"augmentation=none, or one of the tasks {', '.join(ANSWERING)}",
        )
    if node.get("method") == "fgsm":
        for key in ("steps", "step_size"):
            if node.get(key) is not None:
                raise CouloirError(
                    f"augmentation.method=fgsm is one step of epsilon, and augmentation.{key}={node[key]} is of pgd.",
                    next_step=f"augmentation.method=pgd, or leave augmentation.{key} out",
                )
    if OmegaConf.select(cfg, "augmentation.before._target_") == ADVERSARIAL:
        raise CouloirError("augmentation=adversarial comes before itself.", next_step=f"leave {BEFORE}=adversarial out")
    if str(cfg.trainer.get("strategy")) == "fsdp":
        raise CouloirError(
            "trainer=fsdp gathers the weights for the passes of a step alone, and augmentation=adversarial needs "
            "others before it.",
            next_step="trainer=ddp, or augmentation=none",
        )
