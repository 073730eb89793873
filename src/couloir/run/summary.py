"""The network of a sentence as a table of layers; the network is built without memory for its weights where it can
be.
"""

from __future__ import annotations

import json

import torch
from omegaconf import DictConfig
from rich import get_console
from torch import nn

from couloir.errors import CouloirError
from couloir.run.instantiate import build
from couloir.run.layers import as_dict, as_table, layers


def print_summary(cfg: DictConfig, as_json: bool) -> None:
    """Print the layer table of `cfg.model`, or the same as JSON."""
    channels, image_size = int(cfg.data.channels), cfg.data.image_size
    try:
        with torch.device("meta"):
            rows = layers(net := _network(cfg), channels, image_size)
    except (NotImplementedError, RuntimeError, CouloirError):  # a user's module may need real numbers to be built
        rows = layers(net := _network(cfg), channels, image_size)
    if as_json:
        print(json.dumps(as_dict(rows, net), indent=2))  # noqa: T201
    else:
        get_console().print(as_table(rows, net))


def _network(cfg: DictConfig) -> nn.Module:
    net: nn.Module = build(cfg, "model")
    return net
