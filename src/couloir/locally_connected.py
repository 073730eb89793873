"""A convolution whose kernels are not shared: each place of the map has its own.

LeCun, 1989, Generalization and Network Design Strategies; the course, local receptive fields: 40,000 hidden
units that each see 10x10 pixels of a 200x200 image have four million weights, and a hundred where they share them.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LocallyConnected(nn.Module):
    """(B, C, H, W) -> (B, O, H', W'), as a convolution gives it, but with a kernel of its own for each of H' W' places.

    Weights (O, H', W', C, k, k) and biases (O H' W',), which have one dimension as all biases have, are drawn as those
    of a convolution are, from U[-1/sqrt(F), 1/sqrt(F)], F = C k². The images have one size.

    Args:
        in_channels: C.
        out_channels: O.
        size: H and W.
        kernel_size: k.
        stride: pixels between two places.
        padding: rows and columns of zeros around each map: above, below, left and right.
        dilation: distance of a kernel's elements.
        bias: whether each unit has one.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: tuple[int, int],
        kernel_size: int,
        stride: int = 1,
        padding: tuple[int, int, int, int] = (0, 0, 0, 0),
        dilation: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel_size
        self.stride, self.padding, self.dilation = stride, padding, dilation
        above, below, left, right = padding
        window = dilation * (kernel_size - 1) + 1
        self.size = (
            (size[0] + above + below - window) // stride + 1,
            (size[1] + left + right - window) // stride + 1,
        )
        """H' and W'."""
        self.weight = nn.Parameter(torch.empty(out_channels, *self.size, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.empty(out_channels * math.prod(self.size))) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights and biases anew."""
        limit = 1 / math.sqrt(self.in_channels * self.kernel_size**2)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -limit, limit)

    def forward(self, x: Tensor) -> Tensor:
        """Each window of the map times the kernel of its place."""
        above, below, left, right = self.padding
        x = F.pad(x, (left, right, above, below))
        windows = F.unfold(x, self.kernel_size, self.dilation, 0, self.stride)  # (B, C k², H' W')
        weight = self.weight.flatten(3).flatten(1, 2)  # (O, H' W', C k²)
        out: Tensor = torch.einsum("bkp,opk->bop", windows, weight).reshape(x.shape[0], -1, *self.size)
        return out if self.bias is None else out + self.bias.view(-1, *self.size)

    def multiply_adds(self, x: Tensor, output: Tensor) -> int:
        """Multiply-adds of one call for one sample, as many as the convolution that it is like has."""
        return output.numel() * self.in_channels * self.kernel_size**2

    def extra_repr(self) -> str:
        """What `print` shows of it."""
        return f"{self.in_channels}, {self.out_channels}, size={self.size}, kernel_size={self.kernel_size}"
