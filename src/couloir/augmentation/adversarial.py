"""Inputs that are changed against the network."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Gradient = Callable[[Tensor], Tensor]


def sign_steps(gradient: Gradient, x: Tensor, step: float | Tensor, steps: int, low: Tensor, high: Tensor) -> Tensor:
    """Steps along the sign of a gradient, after each of which every number is cut back into its range.

    One step is FGSM (Goodfellow et al., 2015, Explaining and Harnessing Adversarial Examples, section 4), several are
    PGD (Madry et al., 2018, Towards Deep Learning Models Resistant to Adversarial Attacks, section 2.1).

    Args:
        gradient: of what is to grow, in the form of what it is given.
        x: where the first step begins, (B, ...).
        step: the length of a step in each number, to be broadcast over x.
        steps: how many.
        low: the least that each number may become, to be broadcast over x.
        high: the most.
    """
    for _ in range(steps):
        x = torch.minimum(torch.maximum(x + step * gradient(x).sign(), low), high)
    return x
