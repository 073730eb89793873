"""A network with everything that can be fixed: weights, running statistics, dropout, a block that draws."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Small(nn.Module):
    """The head is defined first and the dropout, which is called twice, last: the order is that of `forward`.

    Args:
        num_classes: outputs.
        channels: of the images.
    """

    def __init__(self, num_classes: int = 10, channels: int = 1) -> None:
        super().__init__()
        self.head = nn.Linear(8, num_classes)
        self.stem = nn.Conv2d(channels, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.blocks = nn.Sequential(Block(4), nn.Sequential(nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8), nn.ReLU()))
        self.before_head = nn.Dropout(0.5)
        self.early = nn.Dropout(0.25)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) -> (B, num_classes)."""
        x = self.early(torch.relu(self.norm(self.stem(x))))
        features = self.blocks(x).mean(dim=(2, 3))
        scores: Tensor = self.head(self.before_head(features))
        return scores


class Block(nn.Module):
    """A residual block that draws by its own mode whether it is left out."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> (B, width, H, W)."""
        if self.training and torch.rand(()) < 0.5:
            return x
        added: Tensor = x + self.norm(self.conv(x))
        return added
