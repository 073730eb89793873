"""Every YAML file of the group: what `couloir list` shows, what the checker reads, what it instantiates to."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

from couloir.config import contract, tree
from couloir.config.fields import IGNORED
from couloir.config.needs import lacking
from couloir.errors import CouloirError

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
    "brier",
    "mse",
}
REGRESSION = {"mse", "mae", "msle", "huber", "ead", "mlnet", "charbonnier"}
SEGMENTATION = {"cross_entropy", "focal", "dice", "jaccard", "dice_cross_entropy", "unet_cross_entropy"}
SALIENCY = {"mse", "mae", "huber", "ead", "mlnet", "kl", "bhattacharyya", "bce", "charbonnier", "ssim"}
RESTORATION = {"mse", "mae", "huber", "charbonnier", "ssim"}
CLASSES = torch.tensor([[[0, 0, 1], [2, 1, 0]], [[1, 1, 0], [0, 2, 2]]])
PREPARED = {
    "logits": lambda z: z,
    "log_probabilities": lambda z: torch.log_softmax(z, dim=1),
    "probabilities": torch.sigmoid,
    "distribution": lambda z: torch.softmax(z, dim=1),
    "values": torch.sigmoid,
}
by_file = pytest.mark.parametrize("path", FILES.values(), ids=FILES.keys())


def test_every_loss_that_is_promised_can_be_named() -> None:
    assert set(FILES) >= CLASSIFICATION | REGRESSION | SEGMENTATION | SALIENCY


@by_file
def test_the_node_is_a_loss_that_trains_a_network(path: Path) -> None:
    loss = instantiate(OmegaConf.load(path), _convert_="all")
    assert isinstance(loss, nn.Module)
    targets = []
    if path.stem in CLASSIFICATION:
        targets.append((PREPARED[loss.expects], torch.randn(6, 3), torch.tensor([0, 1, 2, 2, 1, 0])))
    if path.stem in REGRESSION:
        targets.append((PREPARED[loss.expects], torch.randn(6, 3), torch.rand(6, 3)))
    if path.stem in SEGMENTATION:
        targets.append((PREPARED[loss.expects], torch.randn(2, 3, 2, 3), CLASSES))
    if path.stem in SALIENCY:
        targets.append((torch.sigmoid, torch.randn(2, 1, 4, 5), torch.rand(2, 1, 4, 5)))
    for prepared, z, target in targets:
        z.requires_grad_()
        value = loss(prepared(z), target)
        value.backward()
        assert value.shape == ()
        assert z.grad is not None
        assert torch.isfinite(z.grad).all()
        assert z.grad.abs().sum() > 0


@pytest.mark.parametrize(
    "keys", [{}, {"class_weights": [0.5, 2.0, 1.0]}, {"label_smoothing": 0.2}, {"average": "micro"}]
)
@pytest.mark.parametrize("name", sorted(SEGMENTATION))
def test_pixels_that_are_left_out_change_neither_value_nor_gradient(name: str, keys: dict[str, object]) -> None:
    node = OmegaConf.load(FILES[name])
    if not set(keys) <= set(node):
        return
    loss = instantiate(node, _convert_="all", **keys)
    z = torch.randn(2, 3, 2, 4, dtype=torch.float64, requires_grad=True)
    target = torch.cat([CLASSES, torch.full((2, 2, 1), IGNORED)], dim=2)
    value = loss(z, target)
    value.backward()
    small = z.detach()[..., :3].clone().requires_grad_()
    expected = loss(small, CLASSES)
    expected.backward()
    assert value.item() == pytest.approx(expected.item(), rel=1e-12)
    assert z.grad is not None
    assert small.grad is not None
    torch.testing.assert_close(z.grad, torch.nn.functional.pad(small.grad, (0, 1)))
    empty = loss(z, torch.full_like(target, IGNORED))
    assert empty.item() == 0, "a window without a known pixel"
    (gradient,) = torch.autograd.grad(empty, z)
    assert not gradient.any()


@pytest.mark.parametrize("name", sorted(SEGMENTATION))
def test_maps_of_other_shapes_are_refused(name: str) -> None:
    loss = instantiate(OmegaConf.load(FILES[name]), _convert_="all")
    with pytest.raises(CouloirError, match="takes integer labels"):
        loss(torch.randn(2, 3, 2, 4), CLASSES)
    with pytest.raises(CouloirError, match="target is float32"):
        loss(torch.randn(2, 3, 2, 3), CLASSES.float())


@by_file
def test_keys_of_the_file_reach_the_loss(path: Path) -> None:
    node = OmegaConf.load(path)
    loss = instantiate(node, _convert_="all")
    for key in set(node) - {"_target_"}:
        assert getattr(loss, str(key)) == node[key]


@by_file
def test_the_checker_knows_the_targets_that_the_loss_fits(path: Path) -> None:
    forms = {
        "label": {}, "value": {}, "classes": {"maps": "classes"}, "values": {"maps": "values"},
        "images": {"maps": "images"},
    }  # fmt: skip
    kinds = {
        form
        for form, keys in forms.items()
        if lacking(path, {"fields": {"target": "map" if keys else form}, **keys}) is None
    }
    fitting = {
        "label": CLASSIFICATION,
        "value": REGRESSION,
        "classes": SEGMENTATION,
        "values": SALIENCY,
        "images": RESTORATION,
    }
    assert kinds == {form for form, names in fitting.items() if path.stem in names}


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
