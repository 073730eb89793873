"""The first parts of a sentence: its data and its network, for training and for whatever tries training out."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from hydra.utils import get_method
from omegaconf import DictConfig

from couloir.config.build import build
from couloir.config.fields import input_field
from couloir.config.world import ALONE, World
from couloir.data.health import report
from couloir.data.plain import Plain, prepared
from couloir.data.samples import Samples
from couloir.errors import CouloirError
from couloir.inference.predictor import check_views
from couloir.model.weights import load_weights
from couloir.trainer.processes import first_here_first
from couloir.trainer.within_memory import WithinMemory


def load_data(cfg: DictConfig, world: World = ALONE) -> Any:
    """The data, read and split, with the augmentation of its training batches and a process's share of each batch."""
    augmentation = build(cfg, "augmentation")
    data = prepared(cfg, build(cfg, "data", augmentation=augmentation, world=world), augmentation)
    if isinstance(data, Plain) and world.size > 1:
        raise CouloirError(
            f"{type(data.module).__name__} hands out plain DataLoaders, which several processes cannot share exactly.",
            next_step="trainer.devices=1",
        )
    with first_here_first(world):
        data.prepare_data()
    data.setup()
    if world.rank == 0 and isinstance(data, Samples):
        report(data)
    if cfg.overfit is not None:
        data.keep_only(cfg.overfit)
    return data


def build_network(cfg: DictConfig, data: Any) -> torch.nn.Module:
    """The network, checked against data and loss, and initialised; weights from a file have the last word."""
    file = cfg.model.get("weights")
    with WithinMemory():
        net: torch.nn.Module = build(cfg, "model", **({} if file is None else {"weights": None}))
    build(cfg, "task").func.check(net, build(cfg, "loss"), data)
    if cfg.tta is not None:
        check_views(net, build(cfg, "tta"), data)
    initialise = build(cfg, "initializer")
    if "batch" in inspect.signature(get_method(cfg.initializer._target_)).parameters:
        initialise(net, batch=data.example_batch()[input_field(data.fields)])
    else:
        initialise(net)
    if file is not None:
        load_weights(net, file)
    return net
