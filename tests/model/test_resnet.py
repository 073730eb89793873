"""Residual networks: the paper's counts, the names of public checkpoints, and the arithmetic of a block."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from couloir.errors import CouloirError
from couloir.model.resnet import resnet18, resnet34, resnet50, resnet101, resnet152
from networks import build


@pytest.mark.parametrize(
    ("build_net", "parameters"),
    [(resnet18, 11_689_512), (resnet34, 21_797_672), (resnet50, 25_557_032), (resnet101, 44_549_160),
     (resnet152, 60_192_808)],
)  # fmt: skip
def test_residual_networks_have_the_papers_parameters(build_net: Any, parameters: int) -> None:
    with torch.device("meta"):
        net = build_net(channels=3, image_size=224, num_classes=1000)
    assert sum(parameter.numel() for parameter in net.parameters()) == parameters


def reference_names(bottleneck: bool, depths: list[int]) -> list[str]:
    """The state-dict keys of torchvision's ResNets, written out from its published naming."""

    def norm(prefix: str) -> list[str]:
        return [f"{prefix}.{part}" for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")]

    names = ["conv1.weight", *norm("bn1")]
    for stage, depth in enumerate(depths, 1):
        for block in range(depth):
            prefix = f"layer{stage}.{block}"
            for index in range(1, 4 if bottleneck else 3):
                names += [f"{prefix}.conv{index}.weight", *norm(f"{prefix}.bn{index}")]
            if block == 0 and (stage > 1 or bottleneck):
                names += [f"{prefix}.downsample.0.weight", *norm(f"{prefix}.downsample.1")]
    return [*names, "fc.weight", "fc.bias"]


@pytest.mark.parametrize(
    ("build_net", "bottleneck", "depths"), [(resnet18, False, [2, 2, 2, 2]), (resnet50, True, [3, 4, 6, 3])]
)
def test_public_checkpoints_fit_by_name(build_net: Any, bottleneck: bool, depths: list[int]) -> None:
    with torch.device("meta"):
        net = build_net(channels=3, image_size=224, num_classes=1000)
    assert sorted(net.state_dict()) == sorted(reference_names(bottleneck, depths))


def test_a_residual_block_is_the_formula() -> None:
    torch.manual_seed(0)
    net = resnet18(channels=3, image_size=32, num_classes=10, stem="cifar").eval()
    block = net.layer2[0]
    x = torch.randn(2, 64, 8, 8)
    with torch.no_grad():
        inner = block.bn2(block.conv2(torch.relu(block.bn1(block.conv1(x)))))
        shortcut = block.downsample[1](block.downsample[0](x))
        assert torch.allclose(block(x), torch.relu(inner + shortcut), atol=1e-6)


def test_the_stems_reduce_as_their_names_say() -> None:
    for stem, side in (("imagenet", 8), ("cifar", 32)):
        net = resnet18(channels=3, image_size=32, num_classes=10, stem=stem)
        assert net.maxpool(net.conv1(torch.zeros(1, 3, 32, 32))).shape[-1] == side


def test_zero_init_makes_each_block_the_identity() -> None:
    net = resnet18(channels=3, image_size=32, num_classes=10, zero_init_residual=True).eval()
    x = torch.rand(1, 64, 8, 8)
    with torch.no_grad():
        assert torch.allclose(net.layer1[1](x), x)


def test_weights_are_drawn_over_the_fan_out() -> None:
    torch.manual_seed(0)
    net = resnet18(channels=3, image_size=32, num_classes=10)
    assert net.layer4[1].conv2.weight.std().item() == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.01)
    assert net.layer2[0].downsample[0].weight.std().item() == pytest.approx((2 / 128) ** 0.5, rel=0.02)
    assert not net.fc.bias.equal(torch.zeros(10))


def test_a_bottleneck_halves_its_map_in_the_3x3() -> None:
    with torch.device("meta"):
        block = resnet50(channels=3, image_size=224, num_classes=10).layer2[0]
    assert [block.conv1.stride, block.conv2.stride, block.conv3.stride] == [(1, 1), (2, 2), (1, 1)]


def test_a_plain_network_is_its_convolutions_one_after_another() -> None:
    torch.manual_seed(0)
    net = build("resnet20", 1, 8, 10, shortcut="none").eval()
    x = torch.randn(3, 1, 8, 8)
    h = torch.relu(net.bn1(net.conv1(x)))  # type: ignore[operator]
    for stage in (net.layer1, net.layer2, net.layer3):
        for block in stage:  # type: ignore[union-attr]
            h = torch.relu(block.bn1(block.conv1(h)))
            h = torch.relu(block.bn2(block.conv2(h)))
    expected = net.fc(h.mean(dim=(2, 3)))  # type: ignore[operator]
    torch.testing.assert_close(net(x), expected)
    assert net.state_dict().keys() == build("resnet20", 1, 8, 10).state_dict().keys()


@pytest.mark.parametrize(("name", "key"), [("resnet20", "stochastic_depth"), ("resnet18", "zero_init_residual")])
def test_a_plain_network_has_no_blocks_that_give_nothing_but_their_shortcut(name: str, key: str) -> None:
    with pytest.raises(CouloirError, match=f"model.{key}=.*model.shortcut=none"):
        build(name, 1, 32, 10, shortcut="none", **{key: 0.5 if key == "stochastic_depth" else True})
