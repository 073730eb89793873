"""What the families share, against formulas: response normalisation, shortcuts, stochastic depth, recomputation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from couloir.errors import CouloirError
from couloir.model.densenet import densenet_cifar
from couloir.model.fractalnet import Fractal
from couloir.model.highway import Highway
from couloir.model.normalisation import LocalContrastNorm, local_response_norm
from couloir.model.preact_resnet import wide_resnet
from couloir.model.resnet_cifar import CifarResNet
from couloir.model.shortcut import ZeroPadding, stochastic_depth
from networks import build


def test_local_response_normalisation_is_the_papers_sum() -> None:
    k, n, alpha, beta = 2.0, 5, 1e-2, 0.75  # a larger alpha than the paper's, so that an error would show
    a = np.random.default_rng(0).normal(size=(2, 9, 3, 4)) * 4
    expected = np.empty_like(a)
    for i in range(9):
        low, high = max(0, i - n // 2), min(8, i + n // 2)
        expected[:, i] = a[:, i] / (k + alpha * (a[:, low : high + 1] ** 2).sum(axis=1)) ** beta
    got = local_response_norm(n, alpha, beta, k)(torch.tensor(a))
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-6)


def test_local_contrast_normalisation_is_the_papers_formula_with_the_border_left_out() -> None:
    """Jarrett et al., 2009, pixel by pixel."""
    rng = np.random.default_rng(0)
    x = rng.normal(2, 3, (2, 3, 6, 11))
    place = np.arange(-4, 5)
    window = np.exp(-0.5 * (place[:, None] ** 2 + place**2) / (9 / 4) ** 2)

    def mean(of: np.ndarray) -> np.ndarray:
        out = np.zeros_like(of[:, :1])
        for row in range(6):
            for column in range(11):
                total = weights = 0.0
                for down in place:
                    for right in place:
                        if 0 <= row + down < 6 and 0 <= column + right < 11:
                            weight = window[down + 4, right + 4]
                            total = total + weight * of[:, :, row + down, column + right].mean(axis=1)
                            weights += weight
                out[:, 0, row, column] = total / weights
        return out

    v = x - mean(x)
    deviation = np.sqrt(mean(v**2))
    expected = v / np.maximum(deviation, deviation.mean(axis=(2, 3), keepdims=True))
    np.testing.assert_allclose(LocalContrastNorm()(torch.tensor(x)).numpy(), expected, rtol=1e-5, atol=1e-6)


def test_local_contrast_normalisation_of_a_map_without_contrast_is_zero_and_so_is_its_gradient() -> None:
    x = torch.full((1, 2, 5, 5), 3.0, requires_grad=True)
    out = LocalContrastNorm()(x)
    out.square().sum().backward()
    assert out.abs().max() < 1e-3
    assert x.grad.isfinite().all()


def test_local_response_normalisation_has_alexnets_constants() -> None:
    layer = local_response_norm()
    assert (layer.size, layer.alpha / layer.size, layer.beta, layer.k) == (5, pytest.approx(1e-4), 0.75, 2.0)


def test_alexnet_2012_starts_as_the_paper_says() -> None:
    torch.manual_seed(0)
    net = build("alexnet_2012", 3, 64, 10)
    layers = [module for module in net.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert [float(layer.bias.detach().mean()) for layer in layers] == [0, 1, 0, 1, 1, 1, 1, 0]
    assert all(float(layer.weight.detach().std()) == pytest.approx(0.01, rel=0.05) for layer in layers)


def test_option_a_takes_every_second_pixel_and_adds_channels_of_zeros() -> None:
    x = torch.randn(2, 3, 6, 6)
    out = ZeroPadding(3, 5, 2)(x)
    assert torch.equal(out[:, :3], x[:, :, ::2, ::2])
    assert not out[:, 3:].any()
    assert out.shape == (2, 5, 3, 3)


def test_stochastic_depth_drops_a_block_as_often_as_it_says_and_weighs_it_in_testing() -> None:
    torch.manual_seed(0)
    residual = torch.ones(1)
    kept = sum(float(stochastic_depth(residual, 0.7, training=True)) for _ in range(4000)) / 4000
    assert kept == pytest.approx(0.7, abs=0.03)
    assert float(stochastic_depth(residual, 0.7, training=False)) == pytest.approx(0.7)


def test_survival_falls_linearly_to_the_last_block() -> None:
    net = CifarResNet(2, 3, 10, stochastic_depth=0.6)
    survival = [block.survival for stage in (net.layer1, net.layer2, net.layer3) for block in stage]
    assert survival == pytest.approx([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])


RECOMPUTED: list[tuple[str, dict[str, Any]]] = [
    ("resnet18", {"gradient_checkpointing": True}),
    ("resnet20", {"gradient_checkpointing": True, "stochastic_depth": 0.5}),
    ("wide_resnet", {"gradient_checkpointing": True, "depth": 10, "width": 1, "dropout": 0.3}),
    ("densenet_cifar", {"memory_efficient": True, "depth": 22, "bottleneck": True, "dropout": 0.2}),
]


@pytest.mark.parametrize(("name", "keys"), RECOMPUTED, ids=[name for name, _ in RECOMPUTED])
def test_recomputation_changes_no_output_no_gradient_and_no_running_mean(name: str, keys: dict[str, Any]) -> None:
    results = []
    for on in (False, True):
        torch.manual_seed(0)
        net = build(name, **{key: (value if on or not isinstance(value, bool) or key == "bottleneck" else False)
                             for key, value in keys.items()})  # fmt: skip
        x = torch.randn(4, 3, 32, 32)
        torch.manual_seed(1)
        for _ in range(2):
            net.zero_grad()
            net(x).square().mean().backward()
        gradients = [parameter.grad for parameter in net.parameters()]
        results.append([*gradients, *net.buffers()])
    assert len(results[0]) == len(results[1])
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(*results, strict=True))


def test_recomputation_keeps_fewer_activations() -> None:
    def kept(checkpointing: bool) -> int:
        sizes = []
        net = build("resnet20", gradient_checkpointing=checkpointing)
        with torch.autograd.graph.saved_tensors_hooks(lambda x: sizes.append(x.numel()) or x, lambda x: x):
            net(torch.randn(4, 3, 32, 32))
        return sum(sizes)

    assert kept(True) < 0.5 * kept(False)


def test_a_highway_layer_mixes_its_input_and_its_transform_by_the_gate() -> None:
    torch.manual_seed(0)
    layer = Highway(3)
    x = torch.rand(2, 3, 5, 5)
    h, t = torch.relu(layer.transform(x)), torch.sigmoid(layer.gate(x))
    assert torch.allclose(layer(x), h * t + x * (1 - t))


def test_the_gates_begin_by_carrying_the_input_on() -> None:
    net = build("highway")
    gates = [module.gate for module in net.modules() if isinstance(module, Highway)]
    assert len(gates) == 14
    assert all((gate.bias == -2).all() for gate in gates)


def test_a_fractal_has_the_depth_and_the_layers_of_the_rule() -> None:
    fractal = Fractal(4, 2, 0.0, 0.15)
    assert sum(isinstance(module, nn.Conv2d) for module in fractal.modules()) == 15, "2^C - 1"


def test_a_fractal_is_the_mean_of_its_columns_and_a_path_is_one_of_them() -> None:
    torch.manual_seed(0)
    f2 = Fractal(2, 3, 0.0, 0.15).eval()
    x = torch.randn(2, 3, 4, 4)
    short, (first, second) = f2.conv, f2.deep
    deep = second.conv(first.conv(x))
    assert torch.allclose(f2(x), (deep + short(x)) / 2, atol=1e-6)
    assert torch.allclose(f2(x, 2), short(x))
    assert torch.allclose(f2(x, 1), deep)


def test_local_drop_path_keeps_at_least_one_input_of_each_join() -> None:
    torch.manual_seed(0)
    fractal = Fractal(3, 2, 0.0, drop_path=0.95)
    for _ in range(20):
        assert fractal(torch.randn(2, 2, 4, 4), "local").isfinite().all()


def test_depths_that_do_not_divide_are_explained() -> None:
    with pytest.raises(CouloirError, match=r"6N \+ 4") as error:
        wide_resnet(3, 32, 10, depth=20)
    assert "model.depth=16 or model.depth=22" in str(error.value)
    with pytest.raises(CouloirError, match="three equal blocks") as error:
        densenet_cifar(3, 32, 10, depth=41)
    assert "model.depth=40 or model.depth=43" in str(error.value)


def test_images_too_small_for_a_head_are_explained() -> None:
    with pytest.raises(CouloirError, match="too small for model=vgg_like"):
        build("vgg_like", image_size=12)
    with pytest.raises(CouloirError, match="too small for model=fractalnet"):
        build("fractalnet", image_size=16)
