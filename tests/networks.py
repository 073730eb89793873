"""Networks by the name of their choice, and weights that follow from their names alone.

`model/reference.json` holds, for each public implementation, a hash over the names and shapes of its state dict, and
what it returns with the weights of `weights_for`; both come from torchvision 0.28 and the functions of this file.
"""

from __future__ import annotations

import hashlib
import math
import os
import zlib
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from couloir.config import tree
from couloir.config.build import build as build_node
from couloir.config.fields import SEQUENCES
from couloir.config.made_for import tasks_of
from couloir.config.needs import needs
from couloir.config.settle import encoder_of

DEEPER = {
    **dict.fromkeys(["densenet161", "densenet169", "densenet201", "densenet264"], "densenet121"),
    "preact_resnet1001": "preact_resnet164",
    "deeply_supervised": "network_in_network",
    "inception_v2": "inception_v3",
    "resnet34": "resnet18",
    **dict.fromkeys(["resnet101", "resnet152"], "resnet50"),
    **dict.fromkeys(["resnet32", "resnet44", "resnet56", "resnet110", "resnet1202"], "resnet20"),
    **dict.fromkeys(["vgg13", "vgg16", "vgg19"], "vgg11"),
}
"""Networks that are others with more layers, heads or other kernels -> those others, with which most of what is common
to all is tested.
"""

NARROW: dict[str, dict[str, Any]] = {
    "unet": {"width": 8},
    "segnet": {"width": 8},
    **{name: {"width": 0.125} for name in ("fcn32s", "fcn16s", "fcn8s")},
}
"""Keys of networks that are large, with which they are tested."""
FACTOR = 2
"""How much larger restored images are than what the networks see."""


def packaged_networks() -> list[str]:
    """The choices of the group that make one network each whose answer is a row of scores; `timm` makes those of a
    library that is an extra.
    """
    others = {"timm", *networks_of_maps(), *networks_of_tasks(), *networks_of_steps()}
    return [name for name in tree.choices("model") if name not in others]


def networks_of_maps() -> list[str]:
    """The choices whose answer is an image: their data has maps."""
    return [
        name
        for name, file in tree.choices("model").items()
        if any(field.kind == "map" for need in needs(file) for field in need)
    ]


def networks_of_steps() -> list[str]:
    """The choices that pass over the steps of a sequence: they take no image and no row."""
    return [
        name
        for name, file in tree.choices("model").items()
        if any(field.kind in SEQUENCES for need in needs(file) for field in need)
    ]


def networks_of_tasks() -> list[str]:
    """The choices that are made for a task of their own, such as autoencoders: their answer is an image as well."""
    return [name for name in tree.choices("model") if tasks_of(name)]


def one_of_each(names: Iterable[str]) -> list[Any]:
    """The names of networks, as parameters; those that are others with more layers take part in `make faults`."""
    whole = os.environ.get("COULOIR_ALL_FAULTS") == "1"
    reason = "COULOIR_ALL_FAULTS=1 takes the networks that are others with more layers, too"
    return [pytest.param(name, marks=pytest.mark.skipif(name in DEEPER and not whole, reason=reason)) for name in names]


def build(name: str, channels: int = 3, image_size: Any = 32, classes: int = 10, **keys: Any) -> nn.Module:
    """The network of `model=name` for such data."""
    data = {"channels": channels, "image_size": image_size, "num_classes": classes, "factor": FACTOR}
    cfg = OmegaConf.create({"data": data})
    cfg.model = OmegaConf.load(tree.choices("model")[name])
    cfg.model.pop("defaults", None)  # choices of other groups
    cfg.model.update(keys)
    if "encoder_keys" in cfg.model:
        cfg.model.network, _ = encoder_of(cfg.model.encoder, cfg.model.encoder_keys or {})
    net: nn.Module = build_node(cfg, "model")
    return net


def make_heads_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take almost all of the half a gigabyte of weights from the networks that end in two layers of 4096 units."""

    def hidden_32(in_features: int, num_classes: int, dropout: float) -> nn.Sequential:
        rest = [nn.ReLU(inplace=True), nn.Dropout(dropout)]
        return nn.Sequential(nn.Linear(in_features, 32), *rest, nn.Linear(32, 32), *rest, nn.Linear(32, num_classes))

    for network in ("alexnet", "zfnet", "vgg"):
        monkeypatch.setattr(f"couloir.model.{network}.hidden_4096", hidden_32)


def weights_for(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A value for each entry of a state dict that keeps signals at their size."""
    return {name: _value(name, entry) for name, entry in state.items()}


def _value(name: str, entry: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    if not entry.is_floating_point():
        return torch.zeros(entry.shape, dtype=entry.dtype)
    if name.endswith("running_var") or (entry.ndim == 1 and name.endswith("weight")):
        return torch.rand(entry.shape, generator=generator) * 0.5 + 0.75
    deviation = 0.1 if entry.ndim == 1 else math.sqrt(2 / entry[0].numel())
    return torch.randn(entry.shape, generator=generator) * deviation


def images(size: int) -> Tensor:
    """Two made-up images, (2, 3, size, size)."""
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))


def digest(state: dict[str, Tensor]) -> str:
    """A hash over the names and shapes of a state dict, in its order."""
    text = "\n".join(f"{name} {tuple(entry.shape)}" for name, entry in state.items())
    return hashlib.sha256(text.encode()).hexdigest()
