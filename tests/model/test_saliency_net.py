"""ML-Net: parameters and maps of its table, the learned prior, and VGG-16's weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from couloir.finetune.layers import head_of
from networks import build


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def test_parameters_and_maps_are_those_of_the_table() -> None:
    """VGG-16's convolutions have 14,714,688 parameters; the readout sees 1280 maps, and the mask is 6x8."""
    with torch.device("meta"):
        net: Any = build("saliency_net", 3, 96, 1, prior="learned")
        assert net.encoder(torch.zeros(1, 3, 480, 640)).shape == (1, 256 + 512 + 512, 60, 80)
        plain = build("saliency_net", 3, 96, 1)
    assert parameters(net) == 14_714_688 + (9 * 1280 * 64 + 64) + (64 + 1) + 6 * 8
    assert parameters(plain) == parameters(net) - 48
    assert head_of(net) == ["readout", "prior"]


def test_the_prior_changes_nothing_to_begin_with_and_then_weighs_places() -> None:
    torch.manual_seed(0)
    net: Any = build("saliency_net", 3, 64, 1, width=0.05, prior="learned", prior_size=[2, 2]).eval()
    scores, x = torch.randn(1, 1, 8, 8), torch.randn(1, 3, 64, 64)
    assert torch.equal(net.prior(scores), scores)
    with torch.no_grad():
        before = net(x)
        net.prior.mask[0, 0] = torch.tensor([[-1.0, 1.0], [0.0, 0.0]])
        # The four values lie at the middles of the quarters: the corner pixels have them whole.
        found = net.prior(scores)
        assert not torch.equal(net(x), before)
    assert found[0, 0, 0, 0] == 0
    assert found[0, 0, 0, 7] == 2 * scores[0, 0, 0, 7]
    assert found[0, 0, 7, 7] == scores[0, 0, 7, 7]


def test_weights_of_vgg_begin_the_encoder(tmp_path: Path) -> None:
    with torch.device("meta"):
        vgg = build("vgg16", 3, 32, 1000)
    torch.manual_seed(0)
    state = {name: torch.randn(value.shape) for name, value in vgg.features.state_dict(prefix="features.").items()}
    state["classifier.6.bias"] = torch.zeros(1000)  # of the head, which is nowhere here
    torch.save(state, tmp_path / "vgg16.pth")
    net: Any = build("saliency_net", 3, 64, 1, weights=str(tmp_path / "vgg16.pth"))
    assert torch.equal(net.encoder.features[28].weight, state["features.28.weight"])
    normalised: Any = build("saliency_net", 3, 64, 1, width=0.1, batch_norm=True)
    with torch.device("meta"):
        names = set(build("vgg16", 3, 32, 10, batch_norm=True).features.state_dict(prefix="features."))
    assert set(normalised.encoder.state_dict()) == names


def test_with_dilation_the_last_convolutions_see_as_far_as_in_vgg() -> None:
    """Three 3x3 kernels at stride 1 see 3 pixels to each side, twice as far with dilation 2."""
    for dilation, reach in ((1, 3), (2, 6)):
        net: Any = build("saliency_net", 3, 64, 1, width=0.1, dilation=dilation)
        last = net.encoder.features[24:]
        for layer in last:
            if isinstance(layer, nn.Conv2d):
                nn.init.ones_(layer.weight)
        x = torch.zeros(1, last[0].in_channels, 31, 31)
        x[:, :, 15, 15] = 1
        seen = (last(x)[0, 0] > 0).nonzero()
        assert seen.min(dim=0).values.tolist() == [15 - reach] * 2
        assert seen.max(dim=0).values.tolist() == [15 + reach] * 2
