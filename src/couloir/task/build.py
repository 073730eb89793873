"""From a configuration, a network and loaded data to the LightningModule that trains the one on the other."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from omegaconf import DictConfig
from pytorch_lightning.utilities.seed import isolate_rng
from torch import nn

from couloir.augmentation.adversarial import Adversarial
from couloir.config.build import build
from couloir.config.check import GREEDY
from couloir.config.fields import input_field
from couloir.config.scaling import counted_steps
from couloir.errors import CouloirError
from couloir.finetune.layers import CANNOT_PASS, passed
from couloir.finetune.parts import Learning
from couloir.metric.chosen import build_metrics
from couloir.ragged import first
from couloir.task.task import Task


def build_task(cfg: DictConfig, net: nn.Module, data: Any, scheduled: bool = True, learns: bool = True) -> Task:
    """The task of a configuration.

    Args:
        cfg: the configuration.
        net: the network.
        data: the data, set up.
        scheduled: whether the rate follows its schedule.
        learns: whether it will be trained; otherwise nothing is fixed.

    Raises:
        CouloirError: the trainer's keys do not go with a task that takes its own steps.
    """
    task: Task = build(cfg, "task")(
        net=net,
        loss=build(cfg, "loss"),
        make_optimizer=build(cfg, "optimizer"),
        make_scheduler=build(cfg, "scheduler", **counted_steps(cfg, data)) if scheduled else None,
        data=data,
        log_every_n_steps=cfg.trainer.log_every_n_steps,
        further_metrics=partial(build_metrics, cfg),
    )
    if learns and cfg.get("finetune") is not None:
        if task.players and str(cfg.finetune.get("_target_")) == GREEDY:
            raise CouloirError(
                "finetune=greedy adds one layer after another to a network that a sample passes from end to end, and "
                f"{type(task).__name__} has several: {', '.join(task.players)}.",
                next_step="leave finetune=greedy out",
            )
        task.learning = learning(cfg, net, first(data.example_batch(2)[input_field(data.fields)], 2))
    if learns:
        oppose(task, build(cfg, "augmentation"), data)
    options = cfg.trainer
    for key, used in (
        ("gradient_clip_val", options.get("gradient_clip_val") is not None),
        ("accumulate_grad_batches", options.get("accumulate_grad_batches", 1) != 1),
    ):
        if used and not task.automatic_optimization:
            raise CouloirError(
                f"trainer.{key} applies to the step of one optimizer, but {type(task).__name__} takes its own steps.",
                next_step=f"leave trainer.{key} out",
            )
    return task


def oppose(task: Task, augmentation: Any, data: Any) -> None:
    """Let an augmentation that needs the network change the batches of the task's steps.

    Raises:
        CouloirError: the task takes its own steps, or nobody says what pixels in [0, 1] are for the network.
    """
    if not isinstance(augmentation, Adversarial):
        return
    if not task.automatic_optimization:
        raise CouloirError(
            f"augmentation=adversarial makes the one loss of a step grow, and {type(task).__name__} takes its own "
            "steps.",
            next_step="augmentation=none",
        )
    if data.mean is None or data.std is None:
        raise CouloirError(
            "augmentation=adversarial keeps pixels within [0, 1], and this data does not say by what mean and "
            "deviation its images are standardised.",
            next_step="data of Couloir's own, such as data=image_folder data.root=FOLDER; or augmentation=none",
        )
    augmentation.standardised_as(data.mean, [each or 1.0 for each in data.std])
    task.adversary = augmentation.against


def learning(cfg: DictConfig, net: nn.Module, x: Any) -> Learning:
    """What of the network `cfg.finetune` lets learn; all else of it is fixed from now on.

    Args:
        cfg: the configuration, whose `finetune` is a choice that fixes something.
        net: the network.
        x: an input, which shows the order of its layers.

    Raises:
        CouloirError: the network does not have what a key names, or nothing of it learns.
    """
    order = passed(net, x)
    found = Learning(net, build(cfg, "finetune")(net, order), order)
    if found.grows:
        _check_growth(cfg, found, net, x)
    return found


def _check_growth(cfg: DictConfig, found: Learning, net: nn.Module, x: Any) -> None:
    """Let samples pass the network without the layers that join it later.

    Raises:
        CouloirError: these do not give what has the shape of what they take, or the run ends before they join.
    """
    epochs = [epoch for epoch in found.first_epochs if not found.is_whole(epoch)]
    modes = {module: module.training for module in net.modules()}
    learns = {parameter: parameter.requires_grad for parameter in net.parameters()}
    try:
        for epoch in epochs:
            found.begin(net, epoch)
            net.eval()
            with isolate_rng(), torch.no_grad():
                net(x)
    except CANNOT_PASS as error:
        raise CouloirError(
            "A layer that joins the network later does not give what it takes: without it, samples cannot pass "
            f"({str(error).splitlines()[0]}).",
            place="finetune=greedy",
            next_step="layers of one width, such as model=mlp model.hidden=[64,64,64]",
        ) from error
    finally:
        found.end(net)
        for module, training in modes.items():
            module.training = training
        for parameter, wanted in learns.items():  # in some epoch, and not in the last of these
            parameter.requires_grad_(wanted)
    needed = next(epoch for epoch in found.first_epochs if found.is_whole(epoch)) + 1
    most = cfg.trainer.get("max_epochs")
    if most is not None and most < needed:
        raise CouloirError(
            f"The network's last layer joins in epoch {needed}, and the run ends after epoch {most}.",
            place="trainer.max_epochs",
            next_step=f"trainer.max_epochs={needed + len(epochs)} or more, or a smaller finetune.epochs_per_layer",
        )
