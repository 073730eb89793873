"""Local response normalisation, as AlexNet's paper writes it."""

from __future__ import annotations

from torch import nn


def local_response_norm(size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0) -> nn.LocalResponseNorm:
    """b_i = a_i / (k + alpha sum_j a_j²)^beta, j over `size` neighbouring channels, those beyond the ends left out.

    Krizhevsky et al., 2012, ImageNet Classification with Deep Convolutional Neural Networks, section 3.3. PyTorch
    divides alpha by the size, the paper does not.

    Args:
        size: n, how many channels count, the own one among them.
        alpha: the sum's factor.
        beta: the exponent.
        k: what is added to the sum.
    """
    return nn.LocalResponseNorm(size, alpha * size, beta, k)
