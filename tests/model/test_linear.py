"""The networks of one layer against NumPy."""

from __future__ import annotations

import numpy as np
import torch

from couloir.model.linear import Perceptron, linear, polynomial


def test_a_polynomial_is_numpys() -> None:
    net = polynomial(1, None, 1, degree=4)
    x = torch.linspace(-2, 2, 9)[:, None]
    coefficients = [*net.linear.bias.tolist(), *net.linear.weight[0].tolist()]
    expected = np.polynomial.polynomial.polyval(x[:, 0].numpy(), coefficients)
    np.testing.assert_allclose(net(x)[:, 0].detach().numpy(), expected, rtol=1e-5, atol=1e-5)


def test_a_linear_network_is_a_matrix_product_over_flat_images() -> None:
    net = linear(2, 3, 4)
    x = torch.rand(5, 2, 3, 3)
    expected = x.reshape(5, 18).numpy() @ net.linear.weight.detach().numpy().T + net.linear.bias.detach().numpy()
    np.testing.assert_allclose(net(x).detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_sigmoid_perceptron_says_that_it_returns_probabilities() -> None:
    net = Perceptron(2, None, 3)
    out = net(torch.randn(5, 2) * 10)
    assert ((out >= 0) & (out <= 1)).all()
    assert net.output == "probabilities"
    assert Perceptron(2, None, 3, activation="tanh").output == "logits"
