"""Every YAML file of the group: what `couloir list` shows, what the checker reads, what it instantiates to."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import get_method, instantiate
from omegaconf import OmegaConf
from torch import nn

from couloir.config import contract, tree

FILES = tree.choices("initializer")
PROMISED = {
    *("default", "zeros", "ones", "constant", "normal", "uniform", "lecun_uniform", "lecun_normal", "glorot_uniform"),
    *("glorot_normal", "he_uniform", "he_normal", "orthogonal", "fan_in_uniform", "lsuv", "custom"),
}
# from_run needs a run and another initializer beside it: test_from_run.py has both.
FILES_ALONE = {name: path for name, path in FILES.items() if name != "from_run"}
by_file = pytest.mark.parametrize("path", FILES_ALONE.values(), ids=FILES_ALONE.keys())


def initializer(path: Path, image_size: int | None = 8) -> Any:
    """What the file instantiates to beside a data set of two channels."""
    root = OmegaConf.create({"data": {"channels": 2, "image_size": image_size}, "initializer": OmegaConf.load(path)})
    if path.stem == "custom":
        root.initializer.function = "couloir.initializer.fixed.ones"
    return instantiate(root.initializer, _convert_="all")


def test_every_initializer_that_is_promised_can_be_named() -> None:
    assert set(FILES) >= PROMISED


@by_file
@pytest.mark.parametrize("image_size", [8, None], ids=["images", "table"])
def test_the_node_takes_a_network_and_sets_it_in_place(path: Path, image_size: int | None) -> None:
    torch.manual_seed(0)
    inputs = nn.Linear(2, 6) if image_size is None else nn.Conv2d(2, 6, 8)
    net = nn.Sequential(inputs, nn.Flatten(), nn.ReLU(), nn.Linear(6, 3))
    nn.init.constant_(inputs.bias, 0.7)
    before = inputs.weight.detach().clone()
    assert initializer(path, image_size)(net) is None
    assert torch.isfinite(inputs.weight).all()
    assert torch.equal(inputs.weight, before) == (path.stem == "default")
    assert inputs.bias.tolist() == pytest.approx([0.7 if path.stem == "default" else 0.0] * 6)


def test_the_trainer_hands_a_batch_to_the_data_driven_initializer() -> None:
    net, batch = nn.Conv2d(2, 6, 3), 9 * torch.randn(16, 2, 8, 8)
    initializer(FILES["lsuv"])(net, batch=batch)
    with torch.no_grad():
        assert net(batch).var().item() == pytest.approx(1, abs=0.1)


@by_file
def test_keys_stand_in_the_order_of_the_arguments_and_have_their_defaults(path: Path) -> None:
    node = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    assert isinstance(node, dict)
    parameters = inspect.signature(get_method(node["_target_"])).parameters
    keys = [key for key in node if not key.startswith("_")]
    assert keys == [name for name in parameters if name not in ("net", "batch")]
    assert node["_partial_"] is True
    for key in keys:
        if "$" not in str(node[key]) and node[key] != "???":
            assert parameters[key].default == node[key]


@by_file
def test_the_file_says_what_it_is_and_where_it_comes_from(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert tree.describe(path) == lines[0].removeprefix("# ")
    assert lines[0].endswith(".")
    assert lines[1].startswith("# Source: ")


@by_file
def test_the_default_of_every_number_passes_and_a_list_does_not(path: Path) -> None:
    for key in contract.read_keys(path):
        if not key.path.startswith("_"):
            if key.default != "???" and "$" not in str(key.default):
                assert contract.violation(key, key.default) is None
            assert contract.violation(key, ["much"]) is not None, key.path
