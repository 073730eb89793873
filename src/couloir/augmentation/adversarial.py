"""Inputs that are changed against the network: by one step along the sign of a gradient, or by many."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from couloir.errors import CouloirError

Gradient = Callable[[Tensor], Tensor]
PGD_STEPS, STRIDES = 7, 4
"""Steps of PGD where nobody says how many, and how many of them are as long as epsilon."""


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


class Adversarial(nn.Module):
    """Changes images so that a loss grows, within epsilon of what they are and within [0, 1].

    It needs the network, and so is no part of the data: the task calls `against` in each step of the training. `before`
    is what the data does.

    Args:
        before: another augmentation, which comes first.
        method: `pgd` or `fgsm`.
        epsilon: how far a pixel may move, of its range [0, 1].
        steps: of PGD; None: 7.
        step_size: what a pixel moves by in a step of PGD; None: a quarter of epsilon.
        share: of a batch that is changed, evenly spread over it.
    """

    def __init__(
        self,
        before: nn.Module,
        method: str,
        epsilon: float,
        steps: int | None,
        step_size: float | None,
        share: float,
    ) -> None:
        super().__init__()
        self.before, self.epsilon, self.share = before, epsilon, share
        self.starts_anywhere = method == "pgd"
        self.steps = (steps or PGD_STEPS) if self.starts_anywhere else 1
        self.step = (step_size or epsilon / STRIDES) if self.starts_anywhere else epsilon
        self.standardised_as([0.0], [1.0])

    def standardised_as(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Learn how the network takes images; until then they are taken for pixels in [0, 1].

        Args:
            mean: what is subtracted from pixels in [0, 1], for each channel.
            std: what they are divided by afterwards.
        """
        scale = torch.tensor(list(std), dtype=torch.float32).view(-1, 1, 1)
        black = -torch.tensor(list(mean), dtype=torch.float32).view(-1, 1, 1) / scale
        self._black, self._white, self._scale = black, black + 1 / scale, 1 / scale

    def against(self, x: Tensor, gradient: Gradient) -> Tensor:
        """Standardised images (B, C, H, W), of which a share is changed.

        Args:
            x: as the network takes them.
            gradient: of the loss, in the form of x.
        """
        black, white, scale = (each.to(x) for each in (self._black, self._white, self._scale))
        # What noise has put outside [0, 1] goes no further.
        low = torch.maximum(x - self.epsilon * scale, torch.minimum(black, x))
        high = torch.minimum(x + self.epsilon * scale, torch.maximum(white, x))
        start = x
        if self.starts_anywhere:
            start = low + torch.rand_like(x) * (high - low)
        changed = sign_steps(gradient, start, self.step * scale, self.steps, low, high)
        if self.share == 1:
            return changed
        chosen = torch.tensor(spread(len(x), self.share), device=x.device)
        return torch.where(chosen.view(-1, *[1] * (x.ndim - 1)), changed, x)

    def forward(self, *inputs: Any) -> Any:
        """Refuse to be a part of the data.

        Raises:
            CouloirError: always.
        """
        raise CouloirError(
            "Adversarial changes samples against the network, and the data knows none.",
            place="augmentation",
            next_step="augmentation=adversarial augmentation@augmentation.before=flip_crop: all others come before it",
        )


def spread(count: int, share: float) -> list[bool]:
    """Which of so many places are chosen, so that of the first n always n times the share are, rounded down."""
    reached = [math.floor(place * share + 1e-9) for place in range(count + 1)]
    return [after > before for before, after in pairwise(reached)]


def of_the_data(augmentation: Any) -> Any:
    """What of an augmentation the data does; the rest needs the network."""
    return augmentation.before if isinstance(augmentation, Adversarial) else augmentation
