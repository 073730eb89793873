"""Every YAML file of the group: what `couloir list` shows, what the checker reads, what it instantiates to."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

from couloir.config import contract, tree
from couloir.config.needs import lacking

FILES = tree.choices("loss")
CLASSIFICATION = {
    "cross_entropy",
    "lenet_map",
    "nll",
    "bce",
    "bce_with_logits",
    "kl",
    "bhattacharyya",
    "focal",
    "sigmoid_focal",
}
REGRESSION = {"mse", "mae", "msle", "huber", "ead", "mlnet"}
PREPARED = {
    "logits": lambda z: z,
    "log_probabilities": lambda z: torch.log_softmax(z, dim=1),
    "probabilities": torch.sigmoid,
    "distribution": lambda z: torch.softmax(z, dim=1),
    "values": torch.sigmoid,
}
by_file = pytest.mark.parametrize("path", FILES.values(), ids=FILES.keys())


def test_every_loss_that_is_promised_can_be_named() -> None:
    assert set(FILES) >= CLASSIFICATION | REGRESSION


@by_file
def test_the_node_is_a_loss_that_trains_a_network(path: Path) -> None:
    loss = instantiate(OmegaConf.load(path), _convert_="all")
    assert isinstance(loss, nn.Module)
    z = torch.randn(6, 3, requires_grad=True)
    target = torch.tensor([0, 1, 2, 2, 1, 0]) if path.stem in CLASSIFICATION else torch.rand(6, 3)
    value = loss(PREPARED[loss.expects](z), target)
    value.backward()
    assert value.shape == ()
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()
    assert z.grad.abs().sum() > 0


@by_file
def test_keys_of_the_file_reach_the_loss(path: Path) -> None:
    node = OmegaConf.load(path)
    loss = instantiate(node, _convert_="all")
    for key in set(node) - {"_target_"}:
        assert getattr(loss, str(key)) == node[key]


@by_file
def test_the_checker_knows_the_targets_that_the_loss_fits(path: Path) -> None:
    kinds = {kind for kind in ("label", "value") if lacking(path, {"fields": {"target": kind}}) is None}
    assert kinds == {"label" if path.stem in CLASSIFICATION else "value"}


@by_file
def test_the_file_says_what_it_is_and_where_it_comes_from(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert tree.describe(path) == lines[0].removeprefix("# ")
    assert lines[0].endswith(".")
    assert lines[1].startswith("# Source: ")


@by_file
def test_every_number_has_a_range_that_its_default_keeps(path: Path) -> None:
    for key in contract.read_keys(path):
        if key.path != "_target_":
            assert key.contract, key.path
            assert contract.violation(key, key.default) is None
            assert contract.violation(key, "much") is not None
