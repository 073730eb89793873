"""What is found, and what is to be done about it, as plain values."""

from __future__ import annotations

from dataclasses import dataclass

from couloir.diagnosis.curve import Point

TITLES = {
    "exploding_gradients": "Exploding gradients",
    "rate_too_large": "Rate or momentum too large",
    "dead_units": "Dead units",
    "vanishing_gradients": "Vanishing gradients",
    "discriminator_wins": "Discriminator wins",
    "mode_collapse": "Mode collapse",
    "posterior_collapse": "Posterior collapse",
    "copied_samples": "Copied samples",
    "leak_suspected": "Leak suspected",
    "overfitting": "Overfitting",
    "unrepresentative_validation": "Unrepresentative validation set",
    "memorisation": "Memorisation",
    "unrepresentative_training": "Unrepresentative training set",
    "underfitting": "Underfitting",
    "halted_early": "Halted early",
    "blurry_samples": "Blurry samples",
    "waiting_for_data": "Waiting for data",
}
"""Case -> its name for people; the gravest first, which is also the order of findings."""

Evidence = tuple[tuple[str, str], ...]
"""Names of numbers, and the numbers in words."""


@dataclass(frozen=True)
class Remedy:
    """What to try.

    Attributes:
        words: overrides, ready to be typed.
        why: what they do.
        instead: words of the run that they take the place of, beside those of the same key; filled in at the end.
    """

    words: str
    why: str
    instead: tuple[str, ...] = ()

    @property
    def typed(self) -> str:
        """The overrides, and what to leave out for them."""
        return f"{self.words} without {' '.join(self.instead)}" if self.instead else self.words


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        case: one of `TITLES`.
        sentence: what the curves say, with the numbers.
        evidence: the numbers that led to it.
        remedies: what to try, the most promising first.
    """

    case: str
    sentence: str
    evidence: Evidence
    remedies: tuple[Remedy, ...] = ()

    @property
    def title(self) -> str:
        """The case's name for people."""
        return TITLES[self.case]


def number(value: float) -> str:
    """Four digits."""
    return f"{value:.4g}"


def quoted(point: Point) -> str:
    """`0.4123 (epoch 7)`."""
    return f"{number(point.value)} (epoch {point.epoch})"
