"""Every network: the paper's counts and shapes, its arithmetic, and that gradients reach all of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

from couloir.config import tree
from couloir.errors import CouloirError
from couloir.model.activation import ACTIVATIONS, Maxout, activation
from couloir.model.convnet import convnet
from couloir.model.lenet import LeNet5
from couloir.model.linear import Perceptron, linear, polynomial
from couloir.model.mlp import mlp
from couloir.model.resnet import resnet18, resnet34, resnet50, resnet101, resnet152

NAMES = list(tree.choices("model"))


def build(name: str, channels: int = 3, image_size: int | None = 32, classes: int = 10, **keys: Any) -> nn.Module:
    data = {"channels": channels, "image_size": image_size, "num_classes": classes}
    cfg = OmegaConf.create({"data": data})
    cfg.model = OmegaConf.load(tree.choices("model")[name])
    cfg.model.update(keys)
    return instantiate(cfg.model, _convert_="all")


def count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_every_network_returns_a_value_a_class_and_gradients_reach_all_its_parameters(name: str) -> None:
    torch.manual_seed(0)
    net = build(name)
    out = net(torch.randn(3, 3, 32, 32))
    assert out.shape == (3, 10)
    out.square().sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


@pytest.mark.parametrize("name", ["linear", "polynomial", "perceptron", "mlp"])
def test_tables_go_through_the_flat_networks(name: str) -> None:
    net = build(name, channels=5, image_size=None, classes=1)
    assert net(torch.randn(4, 5)).shape == (4, 1)


@pytest.mark.parametrize("name", NAMES)
def test_memory_layout_does_not_change_the_result(name: str) -> None:
    torch.manual_seed(0)
    net = build(name).eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = net(x)
        got = net.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    assert torch.allclose(got, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("build_net", "parameters"),
    [(resnet18, 11_689_512), (resnet34, 21_797_672), (resnet50, 25_557_032), (resnet101, 44_549_160),
     (resnet152, 60_192_808)],
)  # fmt: skip
def test_residual_networks_have_the_papers_parameters(build_net: Any, parameters: int) -> None:
    with torch.device("meta"):
        net = build_net(channels=3, image_size=224, num_classes=1000)
    assert count(net) == parameters


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


@pytest.mark.parametrize(
    ("channels", "size", "parameters"), [(1, 28, 61_706), (1, 32, 61_706), (1, 8, 61_706), (3, 32, 62_006)]
)
def test_lenet_has_its_parameters_at_every_size(channels: int, size: int, parameters: int) -> None:
    net = LeNet5(channels, size, 10)
    assert count(net) == parameters
    assert net(torch.zeros(2, channels, size, size)).shape == (2, 10)


def test_lenet_layers_have_the_papers_parameters() -> None:
    net = LeNet5(1, 28, 10)
    assert [count(layer) for layer in (net.c1, net.c3, net.c5, net.f6, net.output_layer)] == [
        156,
        2416,
        48120,
        10164,
        850,
    ]


def test_lenet_centres_28_pixels_in_its_field_as_the_paper_does() -> None:
    x = torch.rand(1, 1, 28, 28)
    field = LeNet5(1, 28, 10).in_field(x)
    assert torch.equal(field[:, :, 2:30, 2:30], x)
    assert float(field.sum()) == pytest.approx(float(x.sum()))


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x))),
        ("tanh", np.tanh),
        ("scaled_tanh", lambda x: 1.7159 * np.tanh(2 * x / 3)),
        ("relu", lambda x: np.maximum(0, x)),
        ("leaky_relu", lambda x: np.maximum(0.01 * x, x)),
        ("prelu", lambda x: np.maximum(0.25 * x, x)),
        ("elu", lambda x: np.where(x >= 0, x, np.exp(x) - 1)),
        ("swish", lambda x: x / (1 + np.exp(-x))),
    ],
)
def test_activations_are_the_courses_formulas(name: str, formula: Any) -> None:
    x = np.linspace(-4, 4, 41)
    got = activation(name)(torch.tensor(x, dtype=torch.float32)).detach().numpy()
    np.testing.assert_allclose(got, formula(x), rtol=1e-4, atol=1e-6)


def test_all_activations_were_compared_and_an_unknown_one_is_explained() -> None:
    assert len(ACTIVATIONS) == 8
    with pytest.raises(CouloirError, match="no activation 'rellu'"):
        activation("rellu")


def test_scaled_tanh_maps_one_to_one() -> None:
    assert float(activation("scaled_tanh")(torch.tensor(1.0))) == pytest.approx(1.0, abs=1e-4)


def test_maxout_is_the_largest_of_its_affine_pieces() -> None:
    torch.manual_seed(0)
    layer = Maxout(5, 3, pieces=4)
    x = torch.randn(7, 5)
    weight, bias = layer.linear.weight.detach().numpy(), layer.linear.bias.detach().numpy()
    pieces = (x.numpy() @ weight.T + bias).reshape(7, 3, 4)
    np.testing.assert_allclose(layer(x).detach().numpy(), pieces.max(axis=2), rtol=1e-5, atol=1e-6)


def test_a_polynomial_is_numpys() -> None:
    net = polynomial(1, None, 1, degree=4)
    x = torch.linspace(-2, 2, 9)[:, None]
    coefficients = [*net.linear.bias.tolist(), *net.linear.weight[0].tolist()]
    expected = np.polynomial.polynomial.polyval(x[:, 0].numpy(), coefficients)
    np.testing.assert_allclose(net(x)[:, 0].detach().numpy(), expected, rtol=1e-5, atol=1e-5)


def test_a_linear_network_is_a_matrix_product_over_flat_images() -> None:
    net = linear(2, 3, 4)
    x = torch.rand(5, 2, 3, 3)
    expected = x.reshape(5, 18).numpy() @ net.linear.weight.detach().numpy().T + net.linear.bias.detach().numpy()
    np.testing.assert_allclose(net(x).detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_sigmoid_perceptron_says_that_it_returns_probabilities() -> None:
    net = Perceptron(2, None, 3)
    out = net(torch.randn(5, 2) * 10)
    assert ((out >= 0) & (out <= 1)).all()
    assert net.output == "probabilities"
    assert Perceptron(2, None, 3, activation="tanh").output == "logits"


def test_an_mlp_has_the_layers_asked_for() -> None:
    net = mlp(4, None, 3, hidden=[8, 6], activation="tanh", dropout=0.5, batch_norm=True)
    assert [type(layer).__name__ for layer in net] == [
        "Flatten", "Linear", "BatchNorm1d", "Tanh", "Dropout", "Linear", "BatchNorm1d", "Tanh", "Dropout", "Linear",
    ]  # fmt: skip
    assert (
        count(mlp(784, None, 10, hidden=[64, 128, 64])) == 784 * 64 + 64 + 64 * 128 + 128 + 128 * 64 + 64 + 64 * 10 + 10
    )


def test_a_maxout_mlp_is_found_by_the_initializers() -> None:
    net = mlp(4, None, 3, hidden=[8], activation="maxout", maxout_pieces=3)
    assert [layer.out_features for layer in net.modules() if isinstance(layer, nn.Linear)] == [24, 3]
    assert net(torch.randn(2, 4)).shape == (2, 3)


def pattern(**keys: Any) -> nn.Sequential:
    settings: dict[str, Any] = {
        "channels": 3, "image_size": 32, "num_classes": 10, "N": 1, "M": 2, "K": 1, "widths": 8, "hidden": 16,
        "kernel_size": 3, "stride": 1, "padding": "same", "dilation": 1, "pool": "max", "activation": "relu",
        "norm": "none", "batch_norm": False, "dropout": 0.0, **keys,
    }  # fmt: skip
    return convnet(**settings)


def test_the_convnet_follows_the_pattern_of_the_course() -> None:
    names = [type(layer).__name__ for layer in pattern(N=2, M=2, K=2)]
    stage = ["Conv2d", "ReLU", "Conv2d", "ReLU", "MaxPool2d"]
    assert names == [*stage, *stage, "Flatten", "Linear", "ReLU", "Linear", "ReLU", "Linear"]


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("pool", ["max", "average", "none"])
def test_any_geometry_that_leaves_pixels_runs(
    kernel_size: int, stride: int, padding: int, dilation: int, pool: str
) -> None:
    keys = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation, "pool": pool}
    net = pattern(image_size=64, widths=[4, 6], **keys)
    assert net(torch.zeros(2, 3, 64, 64)).shape == (2, 10)


def test_an_image_that_runs_out_of_pixels_is_explained() -> None:
    with pytest.raises(CouloirError, match="too small for this convnet: in stage 4"):
        pattern(image_size=8, M=4)
    with pytest.raises(CouloirError, match="in stage 2"):
        pattern(image_size=8, M=3, padding=0)


def test_a_list_of_the_wrong_length_is_explained() -> None:
    with pytest.raises(CouloirError, match=r"model\.widths has 3 entries, model\.M is 2"):
        pattern(widths=[1, 2, 3])
    with pytest.raises(CouloirError, match=r"model\.hidden has 1 entries, model\.K is 2"):
        pattern(hidden=[1], K=2)
    with pytest.raises(CouloirError, match=r"model\.stride=1"):
        pattern(stride=2)


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        ({"norm": "batch"}, nn.BatchNorm2d),
        ({"batch_norm": True}, nn.BatchNorm2d),
        ({"norm": "group"}, nn.GroupNorm),
        ({"norm": "instance"}, nn.InstanceNorm2d),
    ],
)
def test_normalisation_by_key(keys: dict, kind: type) -> None:
    assert sum(isinstance(layer, kind) for layer in pattern(**keys)) == 2
