"""The fully-connected end that AlexNet, ZFNet and VGG share."""

from __future__ import annotations

from torch import nn


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
