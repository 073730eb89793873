"""Autoencoders have the layers that their keys ask for, are tied where they say so, and the linear one finds what PCA
finds.
"""

from __future__ import annotations

import copy
import itertools
import json
import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from couloir.artifacts.layer_table import layers, totals
from couloir.cli.main import run
from couloir.errors import CouloirError
from couloir.model.autoencoder import Autoencoder, Tied, autoencoder, conv_autoencoder
from networks import build


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 28), (1, 32), (3, 32), (1, 64), (3, 64)])
def test_autoencoders_have_the_parameters_counted_by_hand(channels: int, size: int) -> None:
    n, k = channels * size**2, 32
    dense = 512 * n + 512 * 256 + 256 * k
    with torch.device("meta"):
        free, tied = build("autoencoder", channels, size), build("autoencoder", channels, size, tied=True)
        assert parameters(free) == 2 * dense + (512 + 256 + k) + (256 + 512 + n)
        assert parameters(tied) == dense + (512 + 256 + k) + (256 + 512 + n)
        side = {28: 7, 32: 4, 64: 4}[size]
        widths = [channels, *(32 * 2**step for step in range(round(math.log2(size / side))))]
        kernels = 16 * sum(one * other for one, other in itertools.pairwise(widths))
        flat = widths[-1] * side**2
        free, tied = build("conv_autoencoder", channels, size), build("conv_autoencoder", channels, size, tied=True)
        assert parameters(free) == 2 * (kernels + flat * k) + sum(widths[1:]) + k + flat + sum(widths[:-1])
        assert parameters(free) - parameters(tied) == kernels + flat * k
        for net in (free, tied):
            assert net(torch.zeros(2, channels, size, size)).shape == (2, channels, size, size)
            found = totals(layers(net, channels, size), net)
            # Each number of a map meets each of its kernels once on the way down, and once on the way up.
            steps = enumerate(itertools.pairwise(widths), 1)
            products = sum(16 * one * other * (size // 2**step) ** 2 for step, (one, other) in steps)
            assert found["multiply_adds"] == 2 * (products + flat * k)


@pytest.mark.parametrize("name", ["autoencoder", "conv_autoencoder"])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_images_come_back_in_their_shape_and_within_0_and_1(name: str, batch_norm: bool) -> None:
    torch.manual_seed(0)
    net = build(name, 3, [16, 24], code_size=5, batch_norm=batch_norm)
    x = 5 * torch.randn(4, 3, 16, 24)
    assert net.encode(x).shape == (4, 5)
    rebuilt = net(x)
    assert rebuilt.shape == x.shape
    assert 0 < rebuilt.min() < rebuilt.max() < 1
    wide = build(name, 3, [16, 24], output="linear")(100 * x)
    assert wide.min() < 0
    assert any(isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) for module in net.modules()) == batch_norm


def test_rows_come_back_as_any_numbers() -> None:
    torch.manual_seed(0)
    net = autoencoder(6, None, hidden=[8], code_size=2)
    rebuilt = net(20 * torch.randn(50, 6))
    assert rebuilt.shape == (50, 6)
    assert rebuilt.min() < 0


def test_an_autoencoder_is_its_formula() -> None:
    torch.manual_seed(0)
    net = autoencoder(1, 3, hidden=[7], code_size=2, activation="tanh", tied=True)
    x = torch.randn(5, 1, 3, 3)
    w1, b1, w2, b2, c2, c1 = (parameter.detach().numpy() for parameter in net.parameters())
    codes = np.tanh(x.numpy().reshape(5, 9) @ w1.T + b1) @ w2.T + b2
    scores = np.tanh(codes @ w2 + c2) @ w1 + c1
    expected = (1 / (1 + np.exp(-scores))).reshape(5, 1, 3, 3)
    np.testing.assert_allclose(net(x).detach().numpy(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("net", [autoencoder(1, 8, [12], 3, tied=True), conv_autoencoder(1, 8, 4, 3, tied=True)])
def test_tied_weights_are_one_tensor_also_in_a_copy_and_after_loading(net: Autoencoder) -> None:
    torch.manual_seed(0)
    weights = [layer.weight for layer in net.encoder if isinstance(layer, nn.Linear | nn.Conv2d)]
    assert not any(name.startswith("decoder") and name.endswith("weight") for name in net.state_dict())
    x = torch.randn(6, 1, 8, 8)
    (codes,) = torch.autograd.grad(net.encode(x).sum(), weights[:1])
    (both,) = torch.autograd.grad(net(x).sum(), weights[:1])
    assert not torch.allclose(codes, both)
    decoded = torch.autograd.grad(net.decode(net.encode(x).detach()).sum(), weights, allow_unused=True)
    assert all(gradient is not None for gradient in decoded), "the decoder does not use the encoder's weights"
    twin = copy.deepcopy(net)
    codes = net.encode(x).detach()
    before, of_twin = net.decode(codes), twin.decode(codes)
    with torch.no_grad():
        for parameter in twin.encoder.parameters():
            parameter.mul_(2)
    assert torch.equal(net.decode(codes), before), "the copy shares weights with the network"
    assert not torch.equal(twin.decode(codes), of_twin), "the copy's decoder kept the weights of the network"
    net.load_state_dict(twin.state_dict())
    assert torch.equal(net.decode(codes), twin.decode(codes))


def test_a_tied_convolution_is_the_transposed_map() -> None:
    """<y, W x> = <W' y, x> for all x and y."""
    torch.manual_seed(0)
    for layer, x in (
        (nn.Conv2d(3, 5, 4, 2, 1, bias=False), torch.randn(2, 3, 12, 8)),
        (nn.Linear(7, 4, bias=False), torch.randn(2, 7)),
    ):
        y = torch.randn_like(layer(x))
        torch.testing.assert_close((layer(x) * y).sum(), (Tied(layer)(y) * x).sum())


@pytest.mark.parametrize("size", [30, 27, 4, [28, 30]])
@pytest.mark.parametrize("name", ["conv_autoencoder", "conv_vae", "dcgan"])
def test_sizes_that_cannot_be_halved_are_refused(name: str, size: int | list[int]) -> None:
    with pytest.raises(CouloirError, match=f"model={name} needs images whose sides are multiples of 4") as refused:
        build(name, 1, size)
    assert refused.value.next_step is not None
    assert "data.image_size=" in refused.value.next_step


@pytest.mark.parametrize("tied", [False, True])
def test_the_linear_autoencoder_spans_the_subspace_of_pca(tied: bool) -> None:
    """Baldi and Hornik, 1989, Neural Networks and Principal Component Analysis: there are no other minima."""
    torch.manual_seed(0)
    x = torch.from_numpy(load_digits().data[:300]).double() / 16
    x = x - x.mean(dim=0)
    net = autoencoder(64, None, hidden=[], code_size=4, output="linear", tied=tied).double()
    optimizer = torch.optim.LBFGS(
        net.parameters(), max_iter=200, history_size=20, tolerance_grad=1e-9, tolerance_change=0,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = (net(x) - x).square().sum(dim=1).mean()
        value.backward()
        return value

    optimizer.step(loss)
    _, values, axes = np.linalg.svd(x.numpy(), full_matrices=False)
    least = float((values[4:] ** 2).sum()) / x.numel()
    assert float((net(x) - x).detach().square().mean()) == pytest.approx(least, rel=1e-4)
    decoded = net.decode(torch.eye(4).double()) - net.decode(torch.zeros(1, 4).double())
    learned, _ = np.linalg.qr(decoded.detach().numpy().T)
    cosines = np.linalg.svd(axes[:4] @ learned, compute_uv=False)
    assert cosines.min() == pytest.approx(1, abs=1e-4), "there is an angle between both subspaces"


@pytest.mark.parametrize(
    "model", ["autoencoder", "autoencoder model.tied=true", "conv_autoencoder", "vae", "conv_vae", "gan_mlp", "dcgan"]
)
def test_couloir_summary_lists_all_parameters(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["summary", *f"model={model}".split(), "data=digits", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["totals"]["parameters"] == sum(layer["parameters"] for layer in content["layers"]) > 0
    assert content["totals"]["multiply_adds"] > 0
