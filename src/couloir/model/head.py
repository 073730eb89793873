"""The fully-connected end that AlexNet, ZFNet and VGG share, and how maps are brought to its size."""

from __future__ import annotations

from torch import Tensor, nn


def hidden_4096(in_features: int, num_classes: int, dropout: float) -> nn.Sequential:
    """Two hidden layers of 4096 ReLUs, dropout behind each, and the scores: (B, in_features) -> (B, num_classes).

    Krizhevsky et al., 2012, ImageNet Classification with Deep Convolutional Neural Networks, sections 3.5 and 4.2.
    """
    return nn.Sequential(
        nn.Linear(in_features, 4096),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(4096, 4096),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(4096, num_classes),
    )


class BroughtTo(nn.AdaptiveAvgPool2d):
    """Maps of one size: those that have it already stay as they are, others are pooled or spread.

    Args:
        side: pixels of a side.
    """

    def __init__(self, side: int) -> None:
        super().__init__(side)
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, side, side)."""
        return x if x.shape[-2:] == (self.side, self.side) else super().forward(x)
