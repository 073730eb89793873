"""The multi-layer perceptron has the layers that its keys ask for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from couloir.errors import CouloirError
from couloir.initializer.variance import he_normal
from couloir.model.mlp import Embedding, mlp
from networks import build


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


def test_an_embedding_is_a_table_of_vectors() -> None:
    torch.manual_seed(0)
    net = mlp(8, None, 3, hidden=[], embedding=5, categories=[[1, 3], [5, 2]])
    first, second = (layer.weight.T for layer in net.modules() if isinstance(layer, Embedding))
    assert (first.shape, second.shape) == ((3, 5), (2, 5))
    codes = torch.tensor([[0, 1], [2, 0], [1, 1]])
    numbers = torch.randn(3, 3)
    one_hot = [torch.nn.functional.one_hot(codes[:, 0], 3), torch.nn.functional.one_hot(codes[:, 1], 2)]
    x = torch.cat([numbers[:, :1], one_hot[0], numbers[:, 1:2], one_hot[1], numbers[:, 2:]], dim=1)
    looked_up = torch.cat(
        [numbers, nn.functional.embedding(codes[:, 0], first), nn.functional.embedding(codes[:, 1], second)], dim=1
    )
    torch.testing.assert_close(net(x), net[-1](looked_up))


def test_an_initializer_takes_an_embedding_for_a_sum_over_one_input() -> None:
    net = mlp(2000, None, 3, hidden=[8], embedding=64, categories=[[0, 2000]])
    he_normal(net)
    (embedding,) = (layer for layer in net.modules() if isinstance(layer, Embedding))
    assert float(embedding.weight.detach().std()) == pytest.approx(2**0.5, rel=0.02), "Var w = 2 / F, F = 1"


def test_an_embedding_without_categories_is_refused() -> None:
    with pytest.raises(CouloirError, match="the data has none"):
        mlp(4, None, 3, hidden=[8], embedding=2, categories=[])


def test_a_linear_shortcut_adds_w_x_to_what_the_hidden_layers_give() -> None:
    torch.manual_seed(0)
    net = mlp(2, 2, 3, hidden=[5], activation="tanh", shortcut="linear")
    x = torch.randn(7, 2, 2, 2)
    weights = {name: value.detach().numpy() for name, value in net.named_parameters()}
    rows = x.reshape(7, 8).numpy()
    hidden = np.tanh(rows @ weights["body.0.weight"].T + weights["body.0.bias"])
    expected = hidden @ weights["body.2.weight"].T + weights["body.2.bias"] + rows @ weights["shortcut.weight"].T
    np.testing.assert_allclose(net(x).detach().numpy(), expected, rtol=1e-4, atol=1e-6)


def test_an_output_bias_that_is_left_out_is_left_out_everywhere() -> None:
    """The network of the backpropagation example, 3-2-2-1, has 3 x 2 + 2, 2 x 2 + 2 and 2 weights: 16 in all."""
    nets = [build("mlp", 3, None, 1, hidden=[2, 2], output_bias=keep) for keep in (True, False)]
    assert [sum(parameter.numel() for parameter in net.parameters()) for net in nets] == [17, 16]
    for name, keys in {"linear": {}, "perceptron": {}, "convnet": {}, "convnet ": {"decoder": "upsample"}}.items():
        with_bias, without = (
            build(name.strip(), 1, 8, 5, output_bias=keep, **keys).state_dict() for keep in (True, False)
        )
        (gone,) = set(with_bias) - set(without)
        assert with_bias[gone].shape == (5,), f"{name}: one bias for each output, and no other"
