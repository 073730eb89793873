"""Normalisation of each value by its neighbours: in other channels (AlexNet), or in all of them nearby (Jarrett)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALLEST = 1e-3
"""The least deviation that a value is divided by: a map without contrast stays at zero, in half precision as well."""


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


class LocalContrastNorm(nn.Module):
    """Each value less the weighted mean of its neighbours in all channels, divided by their weighted deviation.

    Jarrett et al., 2009, What is the Best Multi-Stage Architecture for Object Recognition?, section 2:

        v_ijk = x_ijk - sum_ipq w_pq x_i,j+p,k+q
        y_ijk = v_ijk / max(c, s_jk),  s_jk = (sum_ipq w_pq v²_i,j+p,k+q)^(1/2)

    with a Gaussian window w whose weights add up to 1 over 9x9 pixels and all channels, and c the mean of s over the
    sample's map. At the border the weights of the pixels that are there add up to 1. The paper does not say how wide
    the Gaussian is; here its deviation is a quarter of the window's side.

    Args:
        window: pixels of the window's sides, odd.
    """

    gaussian: Tensor

    def __init__(self, window: int = 9) -> None:
        super().__init__()
        row = torch.exp(-0.5 * ((torch.arange(window) - window // 2) / (window / 4)) ** 2)
        self.register_buffer("gaussian", row / row.sum(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        v = x - self._mean(x)
        deviation = self._mean(v.square()).clamp_min(SMALLEST**2).sqrt()  # (B, 1, H, W)
        return v / torch.maximum(deviation, deviation.mean(dim=(2, 3), keepdim=True))

    def _mean(self, x: Tensor) -> Tensor:
        """The weighted mean of all channels around each pixel, (B, 1, H, W)."""
        seen = self._weighted(torch.ones_like(x[:1, :1]))
        return self._weighted(x.mean(dim=1, keepdim=True)) / seen

    def _weighted(self, x: Tensor) -> Tensor:
        """The window's two directions, one after the other."""
        kernel, half = self.gaussian.to(x.dtype), len(self.gaussian) // 2
        x = F.conv2d(x, kernel.view(1, 1, -1, 1), padding=(half, 0))
        return F.conv2d(x, kernel.view(1, 1, 1, -1), padding=(0, half))
