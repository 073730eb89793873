"""Variational autoencoders have two ends, a decoder of raw scores, and a deviation of their own where it is learned."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from couloir.model.vae import vae
from networks import build


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 28), (1, 32), (3, 32), (1, 64), (3, 64)])
def test_vaes_have_the_parameters_counted_by_hand(channels: int, size: int) -> None:
    n, k = channels * size**2, 20
    with torch.device("meta"):
        dense = 2 * (512 * n + 512 * 256) + 3 * 256 * k
        assert parameters(build("vae", channels, size)) == dense + 2 * (512 + 256) + 2 * k + n
        side = {28: 7, 32: 4, 64: 4}[size]
        widths = [channels, *(32 * 2**step for step in range(round(math.log2(size / side))))]
        kernels = 16 * sum(one * other for one, other in itertools.pairwise(widths))
        flat = widths[-1] * side**2
        biases = sum(widths[1:]) + 2 * k + flat + sum(widths[:-1])
        assert parameters(build("conv_vae", channels, size)) == 2 * kernels + 3 * flat * k + biases
        assert parameters(build("conv_vae", channels, size, deviation=None)) == 2 * kernels + 3 * flat * k + biases + 1
        for name in ("vae", "conv_vae"):
            assert build(name, channels, size)(torch.zeros(2, channels, size, size)).shape == (2, channels, size, size)


@pytest.mark.parametrize("name", ["vae", "conv_vae"])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_gradients_reach_both_ends_and_the_decoder(name: str, batch_norm: bool) -> None:
    torch.manual_seed(0)
    net = build(name, 3, [16, 24], code_size=5, batch_norm=batch_norm)
    x = torch.randn(4, 3, 16, 24)
    mean, log_variance = net.encode(x)
    assert mean.shape == log_variance.shape == (4, 5)
    assert not torch.equal(mean, log_variance)
    scores = net.decode(mean + (log_variance / 2).exp() * torch.randn(4, 5))
    assert scores.shape == x.shape
    assert scores.min() < 0 < scores.max(), "scores are raw"
    scores.square().sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
    net.eval()
    with torch.no_grad():
        torch.testing.assert_close(net(x), torch.sigmoid(net.decode(net.encode(x)[0])))


def test_a_vae_is_its_formula() -> None:
    torch.manual_seed(0)
    net = vae(1, 3, hidden=[7], code_size=2, activation="tanh")
    x = torch.randn(5, 1, 3, 3)
    w1, b1, wm, bm, wv, bv, v2, c2, v1, c1 = (parameter.detach().numpy() for parameter in net.parameters())
    found = np.tanh(x.numpy().reshape(5, 9) @ w1.T + b1)
    mean, log_variance = (value.detach().numpy() for value in net.encode(x))
    np.testing.assert_allclose(mean, found @ wm.T + bm, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(log_variance, found @ wv.T + bv, rtol=1e-4, atol=1e-6)
    scores = np.tanh(mean @ v2.T + c2) @ v1.T + c1
    expected = (1 / (1 + np.exp(-scores))).reshape(5, 1, 3, 3)
    np.testing.assert_allclose(net(x).detach().numpy(), expected, rtol=1e-4, atol=1e-6)


def test_the_deviation_is_a_weight_only_where_it_is_learned() -> None:
    """A weight that no step uses stops training in several processes."""
    fixed, learned = vae(1, 8, [4], 2), vae(1, 8, [4], 2, deviation=None)
    assert fixed.log_deviation is None
    assert learned.log_deviation is not None
    assert float(learned.log_deviation.detach().exp()) == 1.0
    assert set(learned.state_dict()) - set(fixed.state_dict()) == {"log_deviation"}
