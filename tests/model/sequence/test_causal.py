"""TCN and WaveNet: their equations, how far back a step sees, and that it never sees what is still to come."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from couloir.model.sequence.causal import GatedUnit, ResidualBlock, seen_steps, tcn, wavenet
from couloir.ragged import Padded

BODIES = [
    (tcn, {"levels": 2, "kernel_size": 3}),
    (tcn, {"levels": 3, "kernel_size": 2, "weight_norm": False}),
    (wavenet, {"max_dilation": 4, "repeats": 2, "skip": 5}),
    (wavenet, {"max_dilation": 3, "repeats": 1, "kernel_size": 3}),
]


def network(build, keys, **more) -> nn.Module:
    torch.manual_seed(0)
    return build(3, None, 2, width=4, **{"answers": "steps", **keys, **more}).double().eval()


@pytest.mark.parametrize(("build", "keys"), BODIES)
def test_a_change_of_the_future_changes_no_answer_before_it(build, keys) -> None:
    net = network(build, keys)
    assert net.causal
    x = torch.randn(1, 12, 3).double()
    for step in (0, 5, 11):
        changed = torch.cat([x[:, :step], torch.randn_like(x[:, step:])], dim=1)
        before, after = net(x), net(changed)
        assert torch.equal(before[:, :step], after[:, :step])
        assert not torch.equal(before[:, step:], after[:, step:])


def reach(net: nn.Module, steps: int) -> int:
    """The steps that the gradient of the last answer comes to."""
    x = torch.randn(1, steps, 3).double().requires_grad_()
    net(x)[0, -1].square().sum().backward()
    assert x.grad is not None
    return int((x.grad[0].abs().sum(dim=1) > 0).sum())


@pytest.mark.parametrize(("build", "keys"), BODIES)
def test_the_receptive_field_is_as_long_as_its_formula_says(build, keys, monkeypatch: pytest.MonkeyPatch) -> None:
    # With ReLUs some paths are shut; a smooth function in their place lets every gradient through.
    for name in ("ReLU",):
        monkeypatch.setattr(nn, name, nn.Softplus)
    net = network(build, keys)
    field = net.body.receptive_field
    if build is tcn:
        assert field == 1 + 2 * (keys["kernel_size"] - 1) * (2 ** keys["levels"] - 1)
    else:
        sums = keys["repeats"] * sum(2**power for power in range(10) if 2**power <= keys["max_dilation"])
        assert field == 1 + (keys.get("kernel_size", 2) - 1) * (1 + sums)
    assert reach(net, field + 5) == field


def test_the_published_networks_see_as_far_as_their_papers_say() -> None:
    """WaveNet, section 2.1: a block of 1, 2, 4, ..., 512 has a receptive field of 1024."""
    assert seen_steps(2, [2**power for power in range(10)]) == 1024


@pytest.mark.parametrize(("build", "keys"), BODIES)
@pytest.mark.parametrize("answers", ["sequence", "steps", "horizon"])
def test_padding_changes_no_number(build, keys, answers: str) -> None:
    net = network(build, keys, answers=answers, horizon=3, pool="mean")
    samples = [torch.randn(length, 3).double() for length in (5, 1, 9)]
    together = net(Padded.of(samples))
    for number, sample in enumerate(samples):
        alone = net(sample[None])[0]
        torch.testing.assert_close(together[number][: len(alone)], alone, rtol=1e-6, atol=1e-6)


def causal(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, dilation: int) -> np.ndarray:
    """A causal convolution of (C, T), step by step: out_t = b + sum over k of W_k x_(t - (K - 1 - k) d)."""
    out = np.tile(bias[:, None], x.shape[1]).astype(float)
    size = weight.shape[2]
    for step in range(x.shape[1]):
        for k in range(size):
            place = step - (size - 1 - k) * dilation
            if place >= 0:
                out[:, step] += weight[:, :, k] @ x[:, place]
    return out


def array(x: Tensor) -> np.ndarray:
    return x.detach().numpy()


def test_a_gated_unit_is_the_papers_equation() -> None:
    torch.manual_seed(1)
    unit = GatedUnit(width=3, skip=4, kernel_size=2, dilation=2, last=False).double()
    x = torch.randn(2, 3, 7).double()
    residual, skip = unit(x)
    for number in range(2):
        filtered, gate = (
            causal(array(x[number]), array(layer.weight), array(layer.bias), 2) for layer in (unit.filter, unit.gate)
        )
        z = np.tanh(filtered) / (1 + np.exp(-gate))
        own = array(x[number]) + array(unit.residual.weight)[:, :, 0] @ z + array(unit.residual.bias)[:, None]
        np.testing.assert_allclose(array(residual[number]), own, atol=1e-12)
        out = array(unit.skip.weight)[:, :, 0] @ z + array(unit.skip.bias)[:, None]
        np.testing.assert_allclose(array(skip[number]), out, atol=1e-12)


def test_a_residual_block_is_two_normalised_convolutions_and_a_shortcut() -> None:
    torch.manual_seed(1)
    block = ResidualBlock(2, 3, kernel_size=3, dilation=2, dropout=0.0, weight_norm=True).double()
    x = torch.randn(1, 2, 8).double()
    hidden = array(x[0])
    for layer in (block.layers[0], block.layers[3]):
        length, direction = (array(getattr(layer.parametrizations.weight, f"original{n}")) for n in (0, 1))
        kernel = length * direction / np.sqrt((direction**2).sum(axis=(1, 2), keepdims=True))
        hidden = np.maximum(0, causal(hidden, kernel, array(layer.bias), 2))
    shortcut = array(block.shortcut.weight)[:, :, 0] @ array(x[0]) + array(block.shortcut.bias)[:, None]
    np.testing.assert_allclose(array(block(x)[0]), np.maximum(0, hidden + shortcut), atol=1e-12)


def test_tokens_are_taken_and_the_last_unit_hands_nothing_on() -> None:
    net = wavenet(None, 11, 11, answers="steps", width=4, skip=6, max_dilation=2, repeats=1)
    out = net(torch.randint(11, (2, 5)))
    assert out.shape == (2, 5, 11)
    out.sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
