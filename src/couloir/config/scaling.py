"""What follows from the size of a step: the rate (`optimizer.scale_lr`), the steps of an epoch. Torch-free."""

from __future__ import annotations

import math
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from couloir.config.world import launched
from couloir.errors import CouloirError

GROUP = "optimizer"
KEYS = ("scale_lr", "base_batch_size")
"""The keys of the group that are settled, and then gone."""
BASE = 256
"""The batch size that rates are quoted for (Goyal et al., 2017)."""


def settle_rate(cfg: DictConfig) -> None:
    """Put the rate that is really used into `optimizer.lr`, and how it came about into `scaled_lr`.

    With B samples a step and a rate that was found for `base_batch_size`, `linear` is lr B / base (Goyal et al., 2017,
    Accurate, Large Minibatch SGD, section 2.1) and `sqrt` is lr sqrt(B / base) (Krizhevsky, 2014, One Weird Trick,
    section 5). The keys leave the node, which is a partial over parameters and knows no batches; so a configuration
    that is read again is not scaled again. Values that cannot be used are left as they are.

    Args:
        cfg: a composed configuration; it is changed.

    Raises:
        CouloirError: there is no rate to scale, or nobody knows yet how large a step's batch will be.
    """
    node = cfg.get(GROUP)
    if not OmegaConf.is_dict(node):
        return
    rule, base = (node.get(key) for key in KEYS)  # a root file of the user's own may lack them
    base = BASE if base is None else base
    if rule not in (None, "linear", "sqrt") or not isinstance(base, int) or base < 1:
        return
    with open_dict(cfg):
        if rule is not None:
            if node.get("lr") is None:
                raise CouloirError(
                    f"optimizer.scale_lr={rule} scales optimizer.lr, which this optimizer does not have."
                )
            lr, samples = float(node.lr), samples_per_step(cfg)
            if lr <= 0:
                return
            node.lr = lr * _factor(rule, samples, base)
            cfg.scaled_lr = {"rule": rule, "lr": lr, "batch_size": samples, "base_batch_size": base}
        for key in KEYS:
            node.pop(key, None)


def unscaled(cfg: DictConfig, lr: float) -> float:
    """What to type as `optimizer.lr` for the rate `lr` to be used, in a settled configuration."""
    how = cfg.get("scaled_lr")
    return lr if how is None else lr / _factor(how.rule, how.batch_size, how.base_batch_size)


def scaled_lr_in_words(cfg: DictConfig) -> str:
    """`lr 0.1 x 512/256 = 0.2 (linear)`; empty where the rate is as it was typed."""
    how = cfg.get("scaled_lr")
    if how is None:
        return ""
    ratio = f"{how.batch_size}/{how.base_batch_size}"
    factor = ratio if how.rule == "linear" else f"sqrt({ratio})"
    return f"lr {how.lr:g} x {factor} = {cfg.optimizer.lr:.4g} ({how.rule})"


def _factor(rule: str, samples: int, base: int) -> float:
    return samples / base if rule == "linear" else math.sqrt(samples / base)


def samples_per_step(cfg: DictConfig) -> int:
    """The samples whose gradients make one step: batch size, times accumulated batches, times processes.

    Raises:
        CouloirError: the data has no `batch_size`, or `trainer.devices` leaves the number of processes open.
    """
    batch_size = cfg.data.get("batch_size")
    if batch_size is None:
        raise CouloirError("optimizer.scale_lr uses data.batch_size; this data does not have it.")
    return int(batch_size) * int(cfg.trainer.get("accumulate_grad_batches", 1)) * processes(cfg.trainer)


def counted_steps(cfg: DictConfig, data: Any) -> dict[str, Any]:
    """What a scheduler is given beside its keys: the steps of an epoch, and where the run ends.

    Args:
        cfg: a settled configuration.
        data: the data, read and split.

    Returns:
        `steps_per_epoch`, at least 1, where a key asks for it and no number is stated; `epochs`, the last one perhaps
        in part, where the schedule spans the run and `trainer.max_steps` ends that before its last epoch.
    """
    node, found = cfg.scheduler, dict[str, Any]()
    if node is None:
        return found
    if node.get("steps_per_epoch", 0) is None:
        found["steps_per_epoch"] = _steps_of_an_epoch(cfg, data)
    most, epochs = cfg.trainer.get("max_steps"), cfg.trainer.get("max_epochs")
    if most is not None and node.get("epochs") == epochs:
        steps = node.get("steps_per_epoch") or _steps_of_an_epoch(cfg, data)
        found |= {"epochs": most / steps} if most < epochs * steps else {}
    return found


def _steps_of_an_epoch(cfg: DictConfig, data: Any) -> int:
    """The optimizer's steps in an epoch, at least 1."""
    limit, batches = cfg.trainer.limit_train_batches, len(data.train_dataloader())
    batches = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
    return max(1, math.ceil(batches / int(cfg.trainer.accumulate_grad_batches)))


def limit_in_words(cfg: DictConfig, data: Any) -> str:
    """Where `trainer.max_steps` ends the run, or that it does not; empty without such a limit."""
    most = cfg.trainer.get("max_steps")
    if most is None:
        return ""
    steps, epochs = _steps_of_an_epoch(cfg, data), int(cfg.trainer.max_epochs)
    if most > epochs * steps:
        ends = f"trainer.max_epochs={epochs} ends the run at step {epochs * steps}"
        return f"trainer.max_steps={most} is not reached: {ends}"
    return f"the run ends at step {most}, in epoch {math.ceil(most / steps)} of {epochs}"


def processes(trainer: Any) -> int:
    """How many processes train together, as far as the trainer's node says.

    Raises:
        CouloirError: `devices` is `auto` or another word whose meaning depends on the machine.
    """
    devices, given = trainer.get("devices", 1), launched()
    if given is not None and str(devices) in ("auto", "-1"):
        return given.size  # torchrun has settled it, on all machines
    if isinstance(devices, str) and not devices.lstrip("-").isdigit():
        count = 1 if trainer.get("accelerator") == "cpu" and devices == "auto" else None
    else:
        count = int(devices) if isinstance(devices, int | str) else len(devices)
    if count is None or count < 1:
        raise CouloirError(
            f"How many processes trainer.devices={devices} means is known only on the machine; the size of a step "
            "depends on it.",
            next_step="give their number, for example trainer.devices=2",
        )
    return count * int(trainer.get("num_nodes", 1))


def several_named(trainer: Any) -> bool:
    """Whether the trainer's node names more than one process; False where only the machine knows."""
    try:
        return processes(trainer) > 1
    except CouloirError:
        return False


def check_one_process(cfg: DictConfig) -> None:
    """What is tried out on one device says nothing about steps that several share.

    Raises:
        CouloirError: the sentence trains in several processes.
    """
    devices = cfg.trainer.get("devices", 1)
    if isinstance(devices, str) and not devices.isdigit() and cfg.trainer.get("strategy", "auto") != "auto":
        raise CouloirError(
            f"The sentence trains in as many processes as trainer.devices={devices} means; this test uses one.",
            next_step="trainer.devices=1",
        )
    several = str(devices) != "auto" and processes(cfg.trainer) > 1
    if several or int(cfg.trainer.get("num_nodes", 1)) > 1:
        raise CouloirError(
            f"The sentence trains in {processes(cfg.trainer)} processes; this test uses one.",
            next_step="trainer.devices=1 trainer.num_nodes=1" if "num_nodes" in cfg.trainer else "trainer.devices=1",
        )
