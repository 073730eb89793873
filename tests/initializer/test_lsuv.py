"""LSUV: unit variance after every layer, measured by hooks of the test's own, and nothing else changed."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from couloir.errors import CouloirError
from couloir.initializer.lsuv import lsuv


def output_variances(net: nn.Module, batch: Tensor) -> dict[str, float]:
    """The variance of each weighted layer's last output in evaluation mode."""
    found: dict[str, float] = {}
    hooks = [
        layer.register_forward_hook(lambda _, __, out, name=name: found.update({name: out.var(correction=0).item()}))
        for name, layer in net.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)
    ]
    training = net.training
    net.eval()
    with torch.no_grad():
        net(batch)
    net.train(training)
    for hook in hooks:
        hook.remove()
    return found


def deep_convnet(depth: int = 12) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(inplace=True)]
    for _ in range(depth):
        layers += [nn.Conv2d(16, 16, 3, padding=1, groups=2), nn.BatchNorm2d(16), nn.ReLU(inplace=True)]
    return nn.Sequential(
        *layers, nn.ConvTranspose2d(16, 8, 2, stride=2), nn.Flatten(), nn.Dropout(), nn.Linear(8 * 256, 10)
    )


class Backwards(nn.Module):
    """Defines its layers in the opposite order of their use, and uses one of them twice."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(8, 4)
        self.twice = nn.Linear(8, 8)
        self.first = nn.Linear(5, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.first(x))
        x = torch.tanh(self.twice(torch.tanh(self.twice(x))))
        last: Tensor = self.last(x)
        return last


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_every_layer_of_a_deep_network_has_unit_variance_on_the_batch() -> None:
    net, batch = deep_convnet(), torch.randn(32, 3, 8, 8) * torch.rand(1, 3, 1, 1)
    lsuv(net, batch=batch)
    found = output_variances(net, batch)
    assert len(found) == 15
    assert list(found.values()) == pytest.approx([1.0] * 15, abs=0.1)
    weighted = [layer for layer in net if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)]
    assert not any(layer.bias.any() for layer in weighted)


def test_a_tighter_tolerance_is_kept() -> None:
    net, batch = deep_convnet(3), torch.randn(32, 3, 8, 8)
    lsuv(net, batch=batch, tolerance=1e-3)
    assert list(output_variances(net, batch).values()) == pytest.approx([1.0] * 6, abs=1e-3)


def test_weights_stay_orthogonal_up_to_one_factor_a_layer() -> None:
    net = nn.Sequential(nn.Linear(20, 12), nn.ReLU(), nn.Linear(12, 6))
    lsuv(net, batch=torch.randn(64, 20))
    for layer in (net[0], net[2]):
        gram = (layer.weight @ layer.weight.T).detach()
        torch.testing.assert_close(gram, gram[0, 0] * torch.eye(len(gram)), rtol=0, atol=1e-4)


def test_batch_norm_buffers_modes_hooks_and_gradients_are_as_before() -> None:
    net = deep_convnet(2)
    net(torch.randn(4, 3, 8, 8))  # so that the running statistics are not those of a fresh network
    net[1].eval()  # one layer frozen, the others training
    buffers = {name: value.clone() for name, value in net.named_buffers()}
    norms = {name: value.clone() for name, value in net[1].named_parameters()}
    modes = [module.training for module in net.modules()]
    lsuv(net, batch=torch.randn(16, 3, 8, 8))
    assert all(torch.equal(value, buffers[name]) for name, value in net.named_buffers())
    assert all(torch.equal(value, norms[name]) for name, value in net[1].named_parameters())
    assert [module.training for module in net.modules()] == modes
    assert not any(module._forward_hooks for module in net.modules())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in net.parameters())


def test_layers_are_taken_in_the_order_of_execution_and_a_shared_one_once() -> None:
    net, batch = Backwards(), torch.randn(256, 5)
    lsuv(net, batch=batch, tolerance=1e-3)
    found = output_variances(net, batch)
    assert found["first"] == pytest.approx(1, abs=2e-3)
    assert found["last"] == pytest.approx(1, abs=2e-3)
    with torch.no_grad():
        assert net.twice(torch.tanh(net.first(batch))).var().item() == pytest.approx(1, abs=1e-2)  # its first use


def test_two_layers_that_share_one_weight_are_scaled_once() -> None:
    net, batch = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6)), 3 * torch.randn(64, 6)
    net[2].weight = net[0].weight
    lsuv(net, batch=batch, tolerance=1e-3)
    assert output_variances(net, batch)["0"] == pytest.approx(1, abs=2e-3)
    assert net[2].weight is net[0].weight


@pytest.mark.parametrize("batch", [torch.zeros(8, 5), torch.full((8, 5), torch.nan)], ids=["zeros", "nan"])
def test_a_layer_whose_output_does_not_vary_keeps_finite_weights(batch: Tensor) -> None:
    net = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))
    lsuv(net, batch=batch)
    for layer in (net[0], net[2]):
        assert torch.linalg.matrix_norm(layer.weight, ord=2).item() == pytest.approx(1, rel=1e-5)


def test_an_output_that_differs_by_rounding_alone_is_not_blown_up() -> None:
    net = nn.Linear(4, 1)
    lsuv(net, batch=torch.ones(8, 4) + 1e-7 * torch.randn(8, 4))
    assert net.weight.norm().item() == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize(
    ("image_size", "net"), [(8, deep_convnet(1)), (None, nn.Linear(3, 50))], ids=["images", "table"]
)
def test_noise_stands_in_where_no_batch_is_given(image_size: int | None, net: nn.Module) -> None:
    seen: list[Tensor] = []
    hook = net.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    lsuv(net, channels=3, image_size=image_size)
    hook.remove()
    assert seen[0].shape == ((64, 3) if image_size is None else (64, 3, 8, 8))
    assert seen[0].mean().item() == pytest.approx(0, abs=0.2)
    assert seen[0].std().item() == pytest.approx(1, abs=0.2)
    found = list(output_variances(net, seen[0]).values())
    assert found == pytest.approx([1.0] * len(found), abs=0.1)


def test_a_batch_of_another_precision_is_brought_to_the_network() -> None:
    net = nn.Linear(5, 3).double()
    lsuv(net, batch=torch.randn(32, 5))
    assert net.weight.dtype == torch.float64


class Squared(nn.Linear):
    """Its output grows with the square of the weight, so one division by the deviation is not enough."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) ** 2


def test_attempts_end_at_the_stated_number_or_when_the_variance_fits() -> None:
    batch, variances = 3 * torch.randn(256, 6), {}
    for attempts in (1, 10):
        torch.manual_seed(3)
        net = nn.Sequential(Squared(6, 6))
        lsuv(net, batch=batch, max_iterations=attempts)
        variances[attempts] = output_variances(net, batch)["0"]
    assert abs(variances[1] - 1) > 0.5  # v becomes 1/v here: the square of 1/deviation is too much
    assert variances[10] == pytest.approx(1 / variances[1], rel=1e-3)  # ten attempts, back and forth


def test_a_batch_that_does_not_fit_is_a_sentence_and_leaves_no_hooks_or_modes_behind() -> None:
    net = nn.Sequential(nn.Linear(5, 3), nn.Dropout())
    before = copy.deepcopy([module.training for module in net.modules()])
    with pytest.raises(CouloirError, match=r"\(8, 4\)") as error:
        lsuv(net, batch=torch.randn(8, 4))
    assert error.value.next_step
    assert [module.training for module in net.modules()] == before
    assert not any(module._forward_hooks for module in net.modules())


def test_a_network_without_weighted_layers_is_left_as_it_is() -> None:
    lsuv(nn.Sequential(nn.ReLU()), channels=3, image_size=None)
