"""What predicted tokens are measured by: sums of each sample, and what an epoch makes of them."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric

from couloir.metric.precision import WIDE
from couloir.ragged import Padded


class TokenSums(NamedTuple):
    """Of each sample, (B,), what counts all tokens that are there.

    Attributes:
        nats: the sum of -ln p of the true tokens, float32.
        right: tokens whose probability is the largest, int64.
        tokens: how many there are, int64.
    """

    nats: Tensor
    right: Tensor
    tokens: Tensor


def token_sums(logits: Tensor, target: Tensor | Padded) -> TokenSums:
    """The sums of each sample; nothing of it has a gradient.

    Args:
        logits: (B, T, V).
        target: (B, T) int64.
    """
    with torch.no_grad():
        y = target.values if isinstance(target, Padded) else target
        nats = F.cross_entropy(logits.float().flatten(0, 1), y.flatten(), reduction="none").view(y.shape)
        right = logits.argmax(dim=-1) == y
        if isinstance(target, Padded):
            there = target.mask()
            return TokenSums(nats.where(there, 0.0).sum(dim=1), (right & there).sum(dim=1), target.lengths)
        return TokenSums(nats.sum(dim=1), right.sum(dim=1), torch.full((len(y),), y.shape[1], device=y.device))


class TokenMetrics(Metric):
    """Token accuracy, perplexity and, where characters are counted, bits a character: exact over all tokens of a split.

    Perplexity is exp of the mean of -ln p over all tokens, not the mean of what batches have (Jelinek et al., 1977).
    Bits a character are the same nats, over the characters that the tokens stand for, over ln 2, so that vocabularies
    can be compared.

    Args:
        per_character: whether characters are counted.
    """

    full_state_update = False
    nats: Tensor
    right: Tensor
    tokens: Tensor
    characters: Tensor

    def __init__(self, per_character: bool = False) -> None:
        super().__init__()
        self.per_character = per_character
        self.add_state("nats", torch.zeros((), dtype=WIDE), dist_reduce_fx="sum")
        for name in ("right", "tokens", *(["characters"] if per_character else [])):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, nats: Tensor, right: Tensor, tokens: Tensor, characters: Tensor | None = None) -> None:
        """Add samples, (B,) each, of `TokenSums`; and how many characters their tokens stand for."""
        self.nats += nats.to(WIDE).sum()
        self.right += right.sum()
        self.tokens += tokens.sum()
        if self.per_character and characters is not None:
            self.characters += characters.sum()

    def compute(self) -> dict[str, Tensor]:
        """`token_accuracy`, `perplexity` and, where characters are counted, `bits_per_character`."""
        values = {
            "token_accuracy": self.right.to(WIDE) / self.tokens,
            "perplexity": (self.nats / self.tokens).exp(),
        }
        if self.per_character:
            values["bits_per_character"] = self.nats / self.characters / math.log(2)
        return values


class ExactSequences(Metric):
    """The share of sequences of which each token is right."""

    full_state_update = False
    right: Tensor
    sequences: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("right", "sequences"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, right: Tensor, sequences: Tensor) -> None:
        """Add how many are right of how many sequences, (B,) each."""
        self.right += right.sum()
        self.sequences += sequences.sum()

    def compute(self) -> Tensor:
        """A number from 0 to 1."""
        return self.right.to(WIDE) / self.sequences
