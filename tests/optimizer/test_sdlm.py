"""Stochastic diagonal Levenberg-Marquardt, worked by hand in NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from torch import nn

import couloir
from couloir.errors import CouloirError
from couloir.finetune.parts import Learning, Part
from couloir.locally_connected import LocallyConnected
from couloir.loss.classification import CrossEntropy, MaximumAPosteriori
from couloir.loss.regression import MeanSquaredError
from couloir.model.activation import Maxout, ScaledTanh
from couloir.model.lenet_1998 import RadialBasis
from couloir.model.upsampling import Mirrored
from couloir.optimizer.curvature import diagonal_curvature
from couloir.optimizer.second_order import SDLM
from networks import build


def test_two_layers_by_hand() -> None:
    """y = V tanh(W x + b) + c with a squared error: appendix C, written out."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    x, y = torch.randn(7, 3).double(), torch.randn(7, 1).double()
    W, b, V = (net[0].weight.detach().numpy(), net[0].bias.detach().numpy(), net[2].weight.detach().numpy())
    a = x.numpy() @ W.T + b
    hidden, slope = np.tanh(a), 1 - np.tanh(a) ** 2
    h_out = np.full((7, 1), 2.0)  # of (y - t)² for each sample
    expected_v, expected_c = (h_out.T @ hidden**2) / 7, h_out.mean(axis=0)
    h_a = slope**2 * (h_out @ V**2)
    expected_w, expected_b = (h_a.T @ x.numpy() ** 2) / 7, h_a.mean(axis=0)
    found = diagonal_curvature(net, lambda z, t: (z - t).square().mean(), x, y)
    for parameter, expected in zip(net.parameters(), (expected_w, expected_b, expected_v, expected_c), strict=True):
        np.testing.assert_allclose(found[parameter].numpy(), expected, rtol=1e-6)


def test_layers_that_join_later_pass_second_derivatives_unchanged_and_stay_away() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    parts = [
        Part("head", ("4.weight", "4.bias")),
        Part("first", ("0.weight", "0.bias"), ((0, 1.0),), ("0", "1")),
        Part("second", ("2.weight", "2.bias"), ((1, 1.0),), ("2", "3")),
    ]
    learning = Learning(net, parts, ["0", "1", "2", "3", "4"])
    learning.begin(net, 0)
    x, y = torch.randn(7, 3).double(), torch.randn(7, 1).double()
    found = diagonal_curvature(net, lambda z, t: (z - t).square().mean(), x, y)
    expected = diagonal_curvature(nn.Sequential(net[0], nn.Tanh(), net[4]), lambda z, t: (z - t).square().mean(), x, y)
    assert all(torch.equal(found[parameter], curvature) for parameter, curvature in expected.items())
    assert len(expected) == 4
    assert torch.equal(net(x), net[4](net[1](net[0](x))))
    learning.begin(net, 1)
    assert torch.equal(net(x), net[4](net[3](net[2](net[1](net[0](x))))))


def test_a_shared_kernel_sums_over_its_places_by_hand() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 3, 3, stride=2, padding=1), nn.Flatten()).double()
    x = torch.randn(5, 2, 7, 7).double()
    found = diagonal_curvature(net, lambda z, t: (z - t).square().sum() / len(z), x, torch.zeros(5, 3 * 16).double())
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))[:, :, ::2, ::2]
    per_kernel = 2 * (windows**2).sum(axis=(2, 3)).mean(axis=0)
    for kernel in found[net[0].weight].numpy():
        np.testing.assert_allclose(kernel, per_kernel, rtol=1e-6)
    np.testing.assert_allclose(found[net[0].bias].numpy(), 2 * 16)


def test_kernels_of_their_own_do_not_sum_over_their_places_by_hand() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(LocallyConnected(1, 1, (1, 4), 1), nn.Flatten(), nn.Linear(4, 1)).double()
    x = torch.randn(5, 1, 1, 4).double()
    found = diagonal_curvature(net, lambda z, t: (z - t).square().mean(), x, torch.zeros(5, 1).double())
    of_units = 2 * net[2].weight.detach().numpy() ** 2  # (1, 4), of each unit's output
    np.testing.assert_allclose(found[net[0].bias].numpy().reshape(1, 4), of_units)
    expected = of_units * (x.numpy().reshape(5, 4) ** 2).mean(axis=0)
    np.testing.assert_allclose(found[net[0].weight].numpy().reshape(1, 4), expected)


@pytest.mark.parametrize("keys", [{"padding_mode": "mirror"}, {"global_pool": "max"}, {"connection": "local"}])
def test_the_ways_of_the_convnet_carry_second_derivatives(keys: dict[str, str]) -> None:
    torch.manual_seed(0)
    net = build("convnet", 1, 8, 3, M=1, widths=2, activation="tanh", **keys)
    found = diagonal_curvature(net, CrossEntropy(), torch.randn(6, 1, 8, 8), torch.arange(6) % 3)
    assert all(found[parameter].any() and (found[parameter] >= 0).all() for parameter in net.parameters())


def test_pixels_that_are_mirrored_add_up_the_second_derivatives_of_their_images_by_hand() -> None:
    net = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), Mirrored(1, 1), nn.Conv2d(1, 1, 3, bias=False), nn.Flatten())
    weight = torch.arange(1.0, 10).view(1, 1, 3, 3)
    net[2].weight.data.copy_(weight)
    x = torch.tensor([[[[1.0, 0, 0], [0, 0, 0], [0, 0, 0]]]])  # the corner has no image of its own
    found = diagonal_curvature(net, lambda z, t: z.square().sum(), x, torch.zeros(1, 9))
    # The corner (0, 0) meets the kernel's elements at the outputs (0, 0), (0, 1), (1, 0) and (1, 1), once each.
    assert float(found[net[0].weight]) == 2 * (5**2 + 4**2 + 2**2 + 1**2)
    x = torch.tensor([[[[0.0, 0, 0], [0, 1, 0], [0, 0, 0]]]])  # the middle is mirrored over all four sides
    found = diagonal_curvature(net, lambda z, t: z.square().sum(), x, torch.zeros(1, 9))
    padded = np.pad(x[0, 0].numpy(), 1, mode="reflect")
    rows, columns = padded.nonzero()
    kernel = weight[0, 0].numpy()
    by_hand = sum(
        kernel[row - top, column - left] ** 2
        for row, column in zip(rows, columns, strict=True)
        for top in range(3)
        for left in range(3)
        if 0 <= row - top < 3 and 0 <= column - left < 3
    )
    assert float(found[net[0].weight]) == 2 * by_hand


def test_cross_entropys_curvature_at_the_output_is_p_times_one_minus_p() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 4)).double()
    x, y = torch.randn(6, 2).double(), torch.tensor([0, 1, 2, 3, 0, 1])
    p = torch.softmax(net(x), dim=1).detach().numpy()
    found = diagonal_curvature(net, CrossEntropy(), x, y)
    np.testing.assert_allclose(found[net[0].bias].numpy(), (p * (1 - p)).mean(axis=0), rtol=1e-6)


def test_radial_basis_functions_by_hand() -> None:
    """d²E/dx² = sum_i 4 (x - w_i)² p_i (1 - p_i) + 2 sum_i dE/dd_i, and then the squashing's slope squared."""
    torch.manual_seed(0)
    codes = torch.randn(3, 5).double()
    net = nn.Sequential(nn.Linear(2, 5), ScaledTanh(), RadialBasis(codes)).double()
    x, y, C = torch.randn(4, 2).double(), torch.tensor([0, 1, 2, 0]), 3.0
    a = net[0](x).detach().numpy()
    f, slope = 1.7159 * np.tanh(2 * a / 3), 1.7159 * 2 / 3 * (1 - np.tanh(2 * a / 3) ** 2)
    distance = ((f[:, None] - codes.numpy()) ** 2).sum(axis=2)
    p = np.exp(-distance) / (np.exp(-C) + np.exp(-distance).sum(axis=1, keepdims=True))
    h_f = (4 * (f[:, None] - codes.numpy()) ** 2 * (p * (1 - p))[:, :, None]).sum(axis=1)
    h_f += 2 * (1 - p.sum(axis=1, keepdims=True))
    found = diagonal_curvature(net, MaximumAPosteriori(C), x, y)
    np.testing.assert_allclose(found[net[0].bias].numpy(), (slope**2 * h_f).mean(axis=0), rtol=1e-6)


class Squared(nn.Module):
    """A user's layer, whose every output is a function of one input."""

    elementwise = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.square()


class EveryOther(nn.Module):
    """A user's layer that passes some of its inputs on, and drops the others."""

    selects = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, ::2]


def test_a_users_layers_say_themselves_what_their_second_derivatives_are() -> None:
    """y = (W x + b)², every other output: d²E/db_i² = (2 a_i)² 2 where the output is passed on, else 0."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 4), Squared(), EveryOther()).double()
    x = torch.randn(5, 2).double()
    a = net[0](x).detach().numpy()
    found = diagonal_curvature(net, lambda z, t: (z - t).square().sum() / len(z), x, torch.zeros(5, 2).double())
    expected = (2 * (2 * a) ** 2).mean(axis=0) * np.array([1, 0, 1, 0])
    np.testing.assert_allclose(found[net[0].bias].numpy(), expected, rtol=1e-6)


def test_averages_square_their_factor() -> None:
    net = nn.Sequential(nn.Conv2d(1, 1, 1), nn.AvgPool2d(2), nn.Flatten()).double()
    x = torch.randn(3, 1, 4, 4).double()
    found = diagonal_curvature(net, lambda z, t: (z - t).square().sum() / len(z), x, torch.zeros(3, 4).double())
    assert float(found[net[0].bias]) == pytest.approx(2 * 16 / 4**2)


@pytest.mark.parametrize(
    ("pool", "size"),
    [
        (nn.AvgPool2d(2), 6), (nn.AvgPool2d(3, stride=2, ceil_mode=True), 8), (nn.AvgPool2d(3, stride=1, padding=1), 5),
        (nn.AdaptiveAvgPool2d(1), 5), (nn.AdaptiveAvgPool2d(6), 4), (nn.AdaptiveAvgPool2d(3), 7),
        (nn.AdaptiveAvgPool2d(7), 1),
    ],
)  # fmt: skip
def test_every_pooling_carries_its_factors_squared(pool: nn.Module, size: int) -> None:
    """Against the Jacobian itself: d²E/dx_i² = sum_o (do/di)² h_o, and the bias of a 1x1 convolution sums over i."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 1, 1), pool, nn.Flatten()).double()
    x = torch.randn(2, 1, size, size).double()
    outputs = net(x).shape[1]
    scale = torch.rand(outputs).double()
    jacobian = torch.autograd.functional.jacobian(lambda a: pool(a).flatten(), torch.randn(1, 1, size, size).double())
    expected = (jacobian.reshape(outputs, -1).square().sum(dim=1) * 2 * scale).sum()
    found = diagonal_curvature(
        net, lambda z, t: ((z - t).square() * scale).sum() / len(z), x, torch.zeros(2, outputs).double()
    )
    assert float(found[net[0].bias]) == pytest.approx(float(expected))


@pytest.mark.parametrize("name", ["alexnet_2012", "highway", "fractalnet"])
def test_a_network_without_rules_is_refused(name: str) -> None:
    with torch.device("meta"):
        net = build(name, 3, 64, 10)
        with pytest.raises(CouloirError, match="no second derivatives for the layer"):
            diagonal_curvature(net, CrossEntropy(), torch.zeros(2, 3, 64, 64), torch.zeros(2, dtype=torch.long))


def test_batch_normalisation_scales_by_its_slope_squared_and_keeps_its_running_means() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).double()
    nn.init.uniform_(net[1].weight)
    x = torch.randn(8, 2).double()
    a = net[0](x).detach().numpy()
    found = diagonal_curvature(net, lambda z, t: (z - t).square().sum() / len(z), x, torch.zeros(8, 3).double())
    scale = net[1].weight.detach().numpy() ** 2 / (a.var(axis=0) + net[1].eps)
    plain = (a - a.mean(axis=0)) / np.sqrt(a.var(axis=0) + net[1].eps)
    np.testing.assert_allclose(found[net[0].bias].numpy(), 2 * scale, rtol=1e-6)
    np.testing.assert_allclose(found[net[1].weight].numpy(), 2 * (plain**2).mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found[net[1].bias].numpy(), 2.0)
    assert not net[1].running_mean.any()
    assert int(net[1].num_batches_tracked) == 0


def test_a_step_divides_the_rate_by_mu_plus_the_curvature() -> None:
    weight = nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = SDLM([weight], lr=0.1, mu=0.5)
    weight.grad = torch.tensor([3.0, 4.0])
    optimizer.step()
    assert weight.tolist() == pytest.approx([1 - 0.2 * 3, -2 - 0.2 * 4])
    optimizer.state[weight]["curvature"] = torch.tensor([0.5, 1.5])
    optimizer.step()
    assert weight.tolist() == pytest.approx([0.4 - 0.1 * 3, -2.8 - 0.05 * 4])


@pytest.mark.parametrize("name", ["lenet5_1998", "resnet20", "densenet_cifar", "googlenet_bn", "mobilenet_v2"])
def test_every_parameter_of_a_deep_network_gets_a_curvature(name: str) -> None:
    torch.manual_seed(0)
    net = build(name, 1, 32, 10).train()
    forwards = {module: module.forward for module in net.modules()}
    found = diagonal_curvature(net, CrossEntropy(), torch.randn(6, 1, 32, 32), torch.arange(6))
    auxiliary = tuple(getattr(net, "auxiliary", ())) or ("\0",)
    for parameter_name, parameter in net.named_parameters():
        value = found[parameter]
        assert value.shape == parameter.shape
        assert (value >= 0).all()
        assert value.isfinite().all()
        assert value.any() or parameter_name.startswith(auxiliary), parameter_name
    assert net.training
    assert all(module.forward == forward for module, forward in forwards.items())


def test_a_layer_without_a_rule_is_named() -> None:
    net = nn.Sequential(nn.Linear(2, 4), nn.GroupNorm(2, 4))
    with pytest.raises(CouloirError, match="no second derivatives for the layer GroupNorm"):
        diagonal_curvature(net, MeanSquaredError(), torch.randn(3, 2), torch.randn(3, 4))


def test_maxout_is_a_linear_layer_and_a_maximum() -> None:
    net = nn.Sequential(Maxout(3, 4, pieces=2), nn.Linear(4, 2))
    found = diagonal_curvature(net, CrossEntropy(), torch.randn(5, 3), torch.tensor([0, 1, 0, 1, 0]))
    assert found[net[0].linear.weight].any()


@pytest.mark.parametrize(
    "words",
    [
        ["data=moons", "model=mlp", "optimizer.lr=0.02"],
        pytest.param(
            ["data=digits", "model=lenet5", "optimizer.lr=0.002", "data.batch_size=16", "data.subset=700"],
            marks=pytest.mark.slow,
        ),
        ["data=line", "optimizer.lr=0.02"],
    ],
)
def test_sdlm_learns_in_any_sentence(words: list[str], tmp_path: Path) -> None:
    extra = ["trainer.max_epochs=8", f"output_dir={tmp_path}", "logger=csv", "trainer=cpu"]
    result = couloir.train(couloir.compose([*words, "optimizer=sdlm", *extra]))
    assert result.metrics.get("test/accuracy", result.metrics.get("test/r2")) > 0.75


@pytest.mark.parametrize(("which", "numbers"), [("first", [0, 1, 2, 3]), ("spread", [0, 23, 47, 71])])
def test_the_curvature_is_taken_from_the_samples_that_the_sentence_names(
    which: str, numbers: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(SDLM, "estimate_curvature", lambda _self, _net, _criterion, x, _y: seen.append(x))
    words = ["data=line", "data.samples=100", "optimizer=sdlm", "optimizer.samples=4", f"optimizer.which={which}"]
    sentence = couloir.compose([*words, "trainer.max_epochs=2", "logger=csv", f"output_dir={tmp_path}"])
    couloir.train(sentence)
    data = instantiate(sentence.cfg.data, _convert_="all")
    data.prepare_data()
    data.setup()
    whole = data.example_batch(72)["row"]
    assert len(whole) == data.sizes()["train"] == 72
    assert len(seen) == 2, "once an epoch"
    assert all(torch.equal(x, whole[numbers]) for x in seen)
