"""The multi-layer perceptron has the layers that its keys ask for."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from couloir.model.mlp import mlp


def test_an_mlp_has_the_layers_asked_for() -> None:
    net = mlp(4, None, 3, hidden=[8, 6], activation="tanh", dropout=0.5, batch_norm=True)
    assert [type(layer).__name__ for layer in net] == [
        "Flatten", "Linear", "BatchNorm1d", "Tanh", "Dropout", "Linear", "BatchNorm1d", "Tanh", "Dropout", "Linear",
    ]  # fmt: skip
    deep = mlp(784, None, 10, hidden=[64, 128, 64])
    by_hand = 784 * 64 + 64 + 64 * 128 + 128 + 128 * 64 + 64 + 64 * 10 + 10
    assert sum(parameter.numel() for parameter in deep.parameters()) == by_hand


def test_a_maxout_mlp_is_found_by_the_initializers() -> None:
    net = mlp(4, None, 3, hidden=[8], activation="maxout", maxout_pieces=3)
    assert [layer.out_features for layer in net.modules() if isinstance(layer, nn.Linear)] == [24, 3]
    assert net(torch.randn(2, 4)).shape == (2, 3)


def test_an_mlp_is_its_formula() -> None:
    torch.manual_seed(0)
    net = mlp(4, None, 3, hidden=[5, 6], activation="tanh")
    x = torch.randn(7, 4)
    (w1, b1), (w2, b2), (w3, b3) = (
        (layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in net if isinstance(layer, nn.Linear)
    )
    expected = np.tanh(np.tanh(x.numpy() @ w1.T + b1) @ w2.T + b2) @ w3.T + b3
    np.testing.assert_allclose(net(x).detach().numpy(), expected, rtol=1e-4, atol=1e-6)


def test_an_mlp_without_hidden_layers_is_linear() -> None:
    assert [type(layer).__name__ for layer in mlp(2, 3, 4, hidden=[])] == ["Flatten", "Linear"]
