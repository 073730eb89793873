"""The first parts of a sentence: its data and its network, for training and for whatever tries training out."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import torch
from hydra.utils import get_method
from omegaconf import DictConfig
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities.seed import isolate_rng

from couloir.augmentation.adversarial import of_the_data
from couloir.config.build import build, build_untrained
from couloir.config.fields import input_field
from couloir.config.weights import TIMM, asks_timm
from couloir.config.world import ALONE, World
from couloir.data.health import report
from couloir.data.plain import Plain, prepared
from couloir.data.samples import Samples
from couloir.errors import CouloirError
from couloir.inference.predictor import check_views
from couloir.model.timm import begin_pretrained, own_statistics
from couloir.model.weights import begin_with
from couloir.ragged import first
from couloir.task.task import SPLITS
from couloir.trainer.processes import first_here_first
from couloir.trainer.within_memory import WithinMemory

NAMES = {"train": "training", "val": "validation", "test": "test"}
ONE_VALUE = "more than 1 value per channel"
"""What torch says where a batch has nothing to be normalised by."""


def load_data(cfg: DictConfig, world: World = ALONE, reports: bool = True) -> Any:
    """The data, read and split, with the augmentation of its training batches and a process's share of each batch.

    Args:
        cfg: the configuration.
        world: this process's place among those that share every batch.
        reports: whether what is wrong with the samples is said.
    """
    augmentation = of_the_data(build(cfg, "augmentation"))
    data = prepared(cfg, build(cfg, "data", augmentation=augmentation, world=world), augmentation)
    if asks_timm(cfg.model) and cfg.data.get("mean") is None and cfg.data.get("std") is None:
        data.standardised_as(own_statistics(cfg.model, int(cfg.data.channels or 0)) or {})
    if isinstance(data, Plain) and world.size > 1:
        raise CouloirError(
            f"{type(data.module).__name__} has plain DataLoaders, and several processes cannot divide them exactly.",
            next_step="trainer.devices=1",
        )
    with first_here_first(world):
        data.prepare_data()
    data.setup()
    if reports and world.rank == 0 and isinstance(data, Samples):
        report(data)
    if cfg.overfit is not None:
        data.keep_only(cfg.overfit)
    return data


def _refuse_own_steps(net: torch.nn.Module) -> None:
    """A network is asked for its output alone; one that would train itself is not what the user takes it for.

    Raises:
        CouloirError: it is a LightningModule with steps, optimizers or hooks of its own.
    """
    if not isinstance(net, LightningModule):
        return
    lightnings = [kind for kind in LightningModule.__mro__ if kind not in torch.nn.Module.__mro__]
    hooks = {name for kind in lightnings for name in vars(kind) if not name.startswith("_")} - {"forward"}
    kinds = type(net).__mro__[: type(net).__mro__.index(LightningModule)]
    own = [name for kind in kinds for name in vars(kind) if name in hooks]
    if own:
        raise CouloirError(
            f"{type(net).__name__} is a LightningModule with its own {', '.join(own)}, and nothing would call them: "
            "the task takes the steps.",
            place="model._target_",
            next_step="give its network as the model, and its step as a task: docs/architecture.md has an example",
        )


def build_network(cfg: DictConfig, data: Any, weights: bool = True) -> torch.nn.Module:
    """The network, checked against data and loss, and initialised; weights that it begins with have the last word.

    Args:
        cfg: the configuration.
        data: the data.
        weights: whether it begins with `model.weights`; a run that goes on has its own in its checkpoint.
    """
    with WithinMemory():
        net: torch.nn.Module = build_untrained(cfg)
    _refuse_own_steps(net)
    if next(net.parameters(), None) is None:
        raise CouloirError(
            "The network has no weights: there is nothing to learn.",
            place="model._target_",
            next_step="of model=kernels model.head=linear or model.learn=true has some; `couloir explain` looks at it "
            "as it is",
        )
    build(cfg, "task").func.check(net, build(cfg, "loss"), data)
    if cfg.tta is not None:
        check_views(net, build(cfg, "tta"), data)
    initialise = build(cfg, "initializer")
    if "batch" in inspect.signature(get_method(cfg.initializer._target_)).parameters:
        initialise(net, batch=data.example_batch()[input_field(data.fields)])
    else:
        initialise(net)
    if weights and cfg.model.get("weights") is not None:
        begin_with(net, cfg.model, data.classes, data.mean, data.std)
    elif weights and cfg.model.get("_target_") == TIMM and cfg.model.pretrained:
        begin_pretrained(net, cfg.model)
    _check_single(cfg, net, data)
    return net


def _check_single(cfg: DictConfig, net: torch.nn.Module, data: Any) -> None:
    """Let a network that is to be trained on a batch of one sample try that; most can.

    Raises:
        CouloirError: its batch normalisation would see one value, whose deviation is none.
    """
    if not data.train_dataloader().has_single:
        return
    with isolate_rng(), torch.no_grad():
        try:
            copy.deepcopy(net).train()(first(data.example_batch(1)[input_field(data.fields)], 1))
        except ValueError as error:
            if ONE_VALUE not in str(error):
                raise
            raise CouloirError(
                "A training batch has one sample, and batch normalisation needs more than one to train on.",
                next_step="overfit=2 or more"
                if cfg.overfit == 1
                else "data.batch_size=2 or more; for a DataLoader of "
                "your own, drop_last=True; or a model without batch normalisation",
            ) from error


def check_limits(cfg: DictConfig, data: Any) -> None:
    """Whether there is a batch to train, validate and test on, before the training and not after it.

    Raises:
        CouloirError: a share of the batches is less than one of them, or there are fewer than one is to wait for.
    """
    for split in SPLITS:
        key, named = f"trainer.limit_{split}_batches", NAMES[split]
        share, count = cfg.trainer[f"limit_{split}_batches"], _count(getattr(data, f"{split}_dataloader")())
        if isinstance(share, float) and share < 1 and count is not None and int(share * count) == 0:
            raise CouloirError(
                f"{key}={share:g} is less than one batch: there are {count} {named} batches.",
                next_step=f"{key}=1 takes one batch (a whole number counts batches), {key}=1.0 takes all",
            )
    every, count = cfg.trainer.get("val_check_interval"), _count(data.train_dataloader())
    if every is None:
        return
    key = "trainer.val_check_interval"
    if count is None:
        raise CouloirError(f"{key} needs data that says how many batches an epoch has.", next_step=f"leave {key} out")
    limit = cfg.trainer.limit_train_batches
    count = min(count, limit) if isinstance(limit, int) else int(count * limit)
    if every > count or every * count < 1:
        fact = f"is more than the {count}" if every > count else f"is less than one of the {count}"
        raise CouloirError(
            f"{key}={every:g} {fact} training batches of an epoch.",
            next_step=f"{key}=0.5 validates twice an epoch; trainer.check_val_every_n_epoch=2 every second epoch",
        )


def _count(loader: Any) -> int | None:
    try:
        return len(loader)
    except TypeError:  # it comes without a length
        return None
