"""Several augmentations, one after the other."""

from __future__ import annotations

from torch import nn


def in_turn(**steps: nn.Module) -> nn.Sequential:
    """The steps in the order of their keys.

    Args:
        steps: transforms of images (B, C, H, W); none of them mixes samples.
    """
    net = nn.Sequential()
    for name, step in steps.items():
        net.add_module(name, step)
    return net
