"""The first parts of a sentence: its data and its network, for training and for whatever tries training out."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from hydra.utils import get_method
from omegaconf import DictConfig

from couloir.config.build import build
from couloir.config.world import ALONE, World
from couloir.data.health import report
from couloir.inference.evaluate import check_views
from couloir.model.weights import load_weights
from couloir.task.build import check_network
from couloir.trainer.processes import first_here_first
from couloir.trainer.within_memory import WithinMemory


def load_data(cfg: DictConfig, world: World = ALONE) -> Any:
    """The data, read and split, with the augmentation of its training batches and a process's share of each batch."""
    data = build(cfg, "data")
    data.augmentation = build(cfg, "augmentation")
    data.rank, data.world, data.neighbours = world.rank, world.size, world.local_size
    with first_here_first(world):
        data.prepare_data()
    data.setup()
    if world.rank == 0:
        report(data)
    if cfg.overfit is not None:
        data.keep_only(cfg.overfit)
    return data


def build_network(cfg: DictConfig, data: Any) -> torch.nn.Module:
    """The network, checked against the data and initialised; weights from a file have the last word."""
    file = cfg.model.get("weights")
    with WithinMemory():
        net: torch.nn.Module = build(cfg, "model", **({} if file is None else {"weights": None}))
    check_network(net, data)
    if cfg.tta is not None:
        check_views(net, build(cfg, "tta"), data)
    initialise = build(cfg, "initializer")
    if "batch" in inspect.signature(get_method(cfg.initializer._target_)).parameters:
        initialise(net, batch=data.example_batch()[0])
    else:
        initialise(net)
    if file is not None:
        load_weights(net, file)
    return net
