"""A momentum that changes from step to step."""

from __future__ import annotations

from collections.abc import Callable

from couloir.errors import CouloirError

Rule = Callable[[int], float]


class Sutskever:
    """min(1 - 2^(-1 - log2(floor(k / every) + 1)), mu_max), which is 1 - 1 / (2 (floor(k / every) + 1)) up to mu_max.

    Sutskever, Martens, Dahl and Hinton, 2013, On the Importance of Initialization and Momentum, equation 5; the course,
    GoogLeNet.

    Args:
        mu_max: where the momentum stops rising.
        every: steps between two changes.
    """

    def __init__(self, mu_max: float, every: int) -> None:
        self.mu_max, self.every = mu_max, every

    def __call__(self, k: int) -> float:
        """The momentum of step k, counted from 0."""
        return min(1 - 0.5 / (k // self.every + 1), self.mu_max)


class Linear:
    """From one value to another in so many steps, then constant.

    Args:
        first: the momentum of step 0.
        last: the momentum of step `steps` and of all behind it.
        steps: how long the change takes.
    """

    def __init__(self, first: float, last: float, steps: int) -> None:
        self.first, self.last, self.steps = first, last, steps

    def __call__(self, k: int) -> float:
        """The momentum of step k, counted from 0."""
        return self.first + (self.last - self.first) * min(1.0, k / self.steps)


def check_momentum(groups: list[dict[str, object]]) -> None:
    """Whether an optimizer's groups have a momentum that a schedule can change.

    Raises:
        CouloirError: they have none.
    """
    if not all("momentum" in group for group in groups):
        raise CouloirError(
            "momentum_schedule needs an optimizer with momentum.",
            next_step="optimizer=momentum or optimizer=nesterov, or momentum_schedule=none",
        )
