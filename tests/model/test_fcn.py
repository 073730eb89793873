"""FCN: its parameters by formula, where its scores lie in the image, and what it begins with."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from couloir.errors import CouloirError
from couloir.model.fcn import FCN, fcn8s, fcn16s, fcn32s
from networks import build, make_heads_small, weights_for

NETWORKS = {32: fcn32s, 16: fcn16s, 8: fcn8s}
TINY = {"width": 1 / 64, "dropout": 0.0}


@pytest.mark.parametrize("stride", NETWORKS)
@pytest.mark.parametrize("padding", ["same", "paper"])
def test_its_parameters_are_vgg16s_and_those_of_its_scores(stride: int, padding: str) -> None:
    k = 21
    widths = [3, 64, 64, 128, 128, 256, 256, 256, *[512] * 6]
    features = sum(9 * entering * leaving + leaving for entering, leaving in pairwise(widths))
    count = features + 49 * 512 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * k + k
    count += (2 * stride * k) ** 2
    count += (16 * k**2 + 512 * k + k) * (stride <= 16) + (16 * k**2 + 256 * k + k) * (stride <= 8)
    with torch.device("meta"):
        net = NETWORKS[stride](3, 224, k, padding=padding)
        assert net(torch.zeros(1, 3, 375, 500)).shape == (1, k, 375, 500)
        assert net(torch.zeros(1, 3, 1, 30)).shape == (1, k, 1, 30)
    assert sum(parameter.numel() for parameter in net.parameters()) == count


@pytest.mark.parametrize("stride", NETWORKS)
@pytest.mark.parametrize("padding", ["same", "paper"])
def test_scores_lie_where_their_pixels_are(stride: int, padding: str) -> None:
    """Layers that pass on their middle: of a ramp comes the ramp, and the pixels that the poolings have taken."""
    net: FCN = NETWORKS[stride](1, 32, 1, padding=padding, **TINY).eval()
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, nn.Conv2d):
                layer.weight.zero_()
                layer.bias.zero_()
                layer.weight[:, 0, layer.kernel_size[0] // 2, layer.kernel_size[0] // 2] = 1
        ramp = torch.arange(448.0).expand(1, 1, 256, 448) + 1000
        out = net(ramp)[0, 0]
    maps = {32: [5], 16: [5, 4], 8: [5, 4, 3]}[stride]
    expected = sum(ramp[0, 0] + (2**poolings - 1) / 2 for poolings in maps)
    inside = (slice(112, 144), slice(112, 300))
    assert torch.allclose(out[inside], expected[inside], atol=0.01)


@pytest.mark.parametrize("stride", NETWORKS)
def test_it_begins_with_no_scores_and_lets_gradients_through_after_a_step(stride: int) -> None:
    torch.manual_seed(0)
    net = NETWORKS[stride](3, 32, 4, **TINY)
    x = torch.randn(2, 3, 40, 70)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    assert not net(x).any()
    for _ in range(2):
        optimizer.zero_grad()
        (net(x) - 1).square().mean().backward()
        optimizer.step()
    assert all(parameter.grad.abs().sum() > 0 for name, parameter in net.named_parameters() if "weight" in name)


def saved(net: nn.Module, file: Path) -> dict[str, Any]:
    state = weights_for(net.state_dict())
    torch.save(state, file)
    return state


def test_vgg16s_layers_become_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make_heads_small(monkeypatch)
    monkeypatch.setattr("couloir.model.fcn.HIDDEN", 32)
    vgg = build("vgg16", 3, 224, 10)
    theirs = saved(vgg, tmp_path / "vgg.pth")
    with caplog.at_level("INFO", logger="couloir"):
        net = fcn8s(3, 224, 4, padding="paper", weights=str(tmp_path / "vgg.pth"))
    assert "for features, fc6, fc7; at their initialization stay score_fr, score_pool4" in caplog.text
    own = net.state_dict()
    assert all(torch.equal(own[name], theirs[name]) for name in theirs if name.startswith("features."))
    vgg.load_state_dict(theirs)
    x = torch.randn(1, 512, 7, 7)
    hidden = vgg.eval().classifier[:5](x.flatten(1))
    found = net.relu(net.fc7(net.relu(net.fc6(x))))
    assert torch.allclose(found.flatten(1), hidden, rtol=1e-4, atol=1e-4), "the fully-connected layers as convolutions"
    assert not net.score_fr.weight.any()


def test_it_goes_on_from_the_network_with_the_larger_stride(tmp_path: Path) -> None:
    file = tmp_path / "fcn32s.pth"
    theirs = saved(fcn32s(3, 32, 4, **TINY), file)
    own = fcn16s(3, 32, 4, weights=str(file), **TINY).state_dict()
    assert all(torch.equal(own[name], value) for name, value in theirs.items() if not name.startswith("upscore"))
    assert not own["score_pool4.weight"].any()
    again = fcn32s(3, 32, 4, weights=str(file), **TINY).state_dict()
    assert all(torch.equal(again[name], value) for name, value in theirs.items())
    others = fcn32s(3, 32, 7, weights=str(file), **TINY).state_dict()
    assert torch.equal(others["fc6.weight"], theirs["fc6.weight"])
    assert not others["score_fr.weight"].any(), "for other classes scores begin anew"
    with pytest.raises(CouloirError, match="The weights do not fit this network"):
        fcn32s(3, 32, 4, weights=str(file), width=1 / 32)
