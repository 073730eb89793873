"""Activations and maxout against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from couloir.errors import CouloirError
from couloir.model.activation import ACTIVATIONS, Maxout, activation


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x))),
        ("tanh", np.tanh),
        ("scaled_tanh", lambda x: 1.7159 * np.tanh(2 * x / 3)),
        ("relu", lambda x: np.maximum(0, x)),
        ("leaky_relu", lambda x: np.maximum(0.01 * x, x)),
        ("prelu", lambda x: np.maximum(0.25 * x, x)),
        ("elu", lambda x: np.where(x >= 0, x, np.exp(x) - 1)),
        ("swish", lambda x: x / (1 + np.exp(-x))),
    ],
)
def test_activations_are_the_courses_formulas(name: str, formula: Any) -> None:
    x = np.linspace(-4, 4, 41)
    got = activation(name)(torch.tensor(x, dtype=torch.float32)).detach().numpy()
    np.testing.assert_allclose(got, formula(x), rtol=1e-4, atol=1e-6)


def test_all_activations_were_compared_and_an_unknown_one_is_explained() -> None:
    assert len(ACTIVATIONS) == 8
    with pytest.raises(CouloirError, match="no activation 'rellu'"):
        activation("rellu")


def test_scaled_tanh_maps_one_to_one() -> None:
    assert float(activation("scaled_tanh")(torch.tensor(1.0))) == pytest.approx(1.0, abs=1e-4)


def test_maxout_is_the_largest_of_its_affine_pieces() -> None:
    torch.manual_seed(0)
    layer = Maxout(5, 3, pieces=4)
    x = torch.randn(7, 5)
    weight, bias = layer.linear.weight.detach().numpy(), layer.linear.bias.detach().numpy()
    pieces = (x.numpy() @ weight.T + bias).reshape(7, 3, 4)
    np.testing.assert_allclose(layer(x).detach().numpy(), pieces.max(axis=2), rtol=1e-5, atol=1e-6)
