"""Attention: each step asks, and is answered by a mean of the steps that it may see.

Vaswani et al., 2017, Attention Is All You Need, section 3.2.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Heads = tuple[Tensor, Tensor, Tensor]
"""Queries (B, h, T, d), keys (B, h, S, d) and values (B, h, S, d) of h heads."""


class DotProduct(nn.Module):
    """softmax(Q K' / sqrt(d)) V (equation 1).

    Args:
        dropout: share of the weights that is dropped in training.
    """

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout

    def forward(self, heads: Heads, there: Tensor | None = None, causal: bool = False) -> Tensor:
        """Queries, keys and values -> (B, h, T, d).

        Args:
            heads: see `Heads`.
            there: which keys are there, (B, S) bool; None: all.
            causal: query t sees the keys up to t alone.
        """
        q, k, v = heads
        dropout = self.dropout if self.training else 0.0
        if causal and there is not None:
            return F.scaled_dot_product_attention(q, k, v, seen(q, k, there, causal), dropout)
        mask = None if there is None else there[:, None, None]
        return F.scaled_dot_product_attention(q, k, v, mask, dropout, is_causal=causal)

    def multiply_adds(self, heads: Heads, output: Tensor) -> int:
        """Multiply-adds of one call for one sample: each query meets each key, and each weight a value."""
        q, k, _ = heads
        return 2 * q.numel() * k.shape[2]


def seen(q: Tensor, k: Tensor, there: Tensor | None, causal: bool) -> Tensor | None:
    """Which keys each query sees, bool, of a shape that broadcasts to (B, h, T, S); None: all."""
    mask = None if there is None else there[:, None, None]
    if not causal:
        return mask
    before = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device).tril()
    return before if mask is None else before & mask


def weights_of(heads: Heads, there: Tensor | None = None, causal: bool = False) -> Tensor:
    """softmax(Q K' / sqrt(d)), written out: the weights by head, (B, h, T, S), which `DotProduct` never shows."""
    q, k, _ = heads
    scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])
    mask = seen(q, k, there, causal)
    return (scores if mask is None else scores.masked_fill(~mask, -torch.inf)).softmax(dim=3)


class Attention(nn.Module):
    """Several heads, each with a part of the width of its own (section 3.2.2).

    Args:
        width: numbers of a step, D.
        heads: h; each has D / h numbers.
        dropout: share of the weights that is dropped in training.
        bias: whether the projections have biases.
        across: whether keys and values come from another sequence than the queries.

    Attributes:
        keeps: whether the newest weights are kept.
        weights: these, (B, h, T, S), before dropout; None: none were kept.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0, bias: bool = True, across: bool = False) -> None:
        super().__init__()
        self.heads, self.across = heads, across
        self.keeps = False
        self.weights: Tensor | None = None
        # Of one sequence all three projections are one product, which is faster.
        self.query = nn.Linear(width, width, bias=bias) if across else None
        self.project = nn.Linear(width, (2 if across else 3) * width, bias=bias)
        self.product = DotProduct(dropout)
        self.out = nn.Linear(width, width, bias=bias)

    def forward(
        self, x: Tensor, memory: Tensor | None = None, there: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        """(B, T, D) -> (B, T, D).

        Args:
            x: what asks, (B, T, D).
            memory: what answers, (B, S, D), of a layer that looks across; None: x itself.
            there: which steps of what answers are there, (B, S) bool; None: all. Each sequence has one at least.
            causal: step t sees the steps up to t alone.
        """
        if self.query is None:
            q, k, v = (self._by_head(part) for part in self.project(x).chunk(3, dim=2))
        else:
            q = self._by_head(self.query(x))
            k, v = (self._by_head(part) for part in self.project(memory).chunk(2, dim=2))
        if self.keeps:
            self.weights = weights_of((q, k, v), there, causal).detach()
        by_head = self.product((q, k, v), there, causal)
        out: Tensor = self.out(by_head.transpose(1, 2).reshape(x.shape))
        return out

    def _by_head(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, h, T, D / h)."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)
