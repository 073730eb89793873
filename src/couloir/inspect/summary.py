"""The network of a sentence as a table of layers, for people or for programs."""

from __future__ import annotations

import json

from omegaconf import DictConfig
from rich import get_console

from couloir.artifacts.layer_table import as_dict, as_table, layers_of


def print_summary(cfg: DictConfig, as_json: bool) -> None:
    """Print the layer table of `cfg.model`, or the same as JSON."""
    rows, net = layers_of(cfg)
    if as_json:
        print(json.dumps(as_dict(rows, net), indent=2))  # noqa: T201
    else:
        get_console().print(as_table(rows, net))
