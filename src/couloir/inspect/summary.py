"""The network of a sentence as a table of layers; the network is built without memory for its weights where it can
be.
"""

from __future__ import annotations

import json

import torch
from omegaconf import DictConfig
from rich import get_console
from torch import nn

from couloir.artifacts.layer_table import Layer, as_dict, as_table, layers
from couloir.config.build import build
from couloir.errors import CouloirError

CANNOT = (NotImplementedError, RuntimeError, CouloirError)
"""How a network says that it cannot be built without memory for its weights: a user's module may need real numbers."""


def print_summary(cfg: DictConfig, as_json: bool) -> None:
    """Print the layer table of `cfg.model`, or the same as JSON."""
    try:
        rows, net = layers_without_memory(cfg)
    except CANNOT:
        net = _network(cfg)
        rows = layers(net, int(cfg.data.channels), cfg.data.image_size)
    if as_json:
        print(json.dumps(as_dict(rows, net), indent=2))  # noqa: T201
    else:
        get_console().print(as_table(rows, net))


def layers_without_memory(cfg: DictConfig) -> tuple[list[Layer], nn.Module]:
    """The layers of `cfg.model`, and the network, whose weights are on the meta device.

    Raises:
        NotImplementedError: it cannot be built so; or RuntimeError, or CouloirError.
    """
    with torch.device("meta"):
        net = _network(cfg, **({"weights": None} if cfg.model.get("weights") else {}))
        return layers(net, int(cfg.data.channels), cfg.data.image_size), net


def _network(cfg: DictConfig, **changes: None) -> nn.Module:
    net: nn.Module = build(cfg, "model", **changes)
    return net
