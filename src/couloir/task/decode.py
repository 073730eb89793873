"""Sequences written token by token, by greedy and by beam search: pure functions of what comes next.

`Next` is what a network, or anything else, says of the tokens so far: (N, t) int64, from the start token on -> scores
(N, V) of the next one, of which a softmax is taken.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from couloir.ragged import Padded

Next = Callable[[Tensor], Tensor]


def greedy(scores: Next, count: int, start: int, stop: int, most: int, device: torch.device | None = None) -> Padded:
    """At each step the most probable token, until the stop token.

    Args:
        scores: see `Next`.
        count: sequences, B.
        start: the token that all begin behind.
        stop: the token that ends a sequence; it is the last of it.
        most: tokens at most: a sequence that has not ended by then has no stop token.
        device: where the tokens are.

    Returns:
        the tokens behind the start token, (B, T), and how many each has.
    """
    tokens = torch.full((count, 1), start, device=device)
    lengths = torch.full((count,), most, device=device)
    for step in range(1, most + 1):
        chosen = scores(tokens).argmax(dim=1)
        chosen = torch.where(lengths < step, 0, chosen)
        tokens = torch.cat([tokens, chosen[:, None]], dim=1)
        lengths = torch.where((chosen == stop) & (lengths >= step), step, lengths)
        if bool((lengths <= step).all()):
            break
    return Padded(tokens[:, 1:], lengths)


def length_penalty(length: int, alpha: float) -> float:
    """((5 + length) / 6)^alpha (Wu et al., 2016, Google's Neural Machine Translation System, equation 14)."""
    return float(((5 + length) / 6) ** alpha)


def beam(
    scores: Next,
    count: int,
    start: int,
    stop: int,
    most: int,
    width: int,
    alpha: float = 0.0,
    device: torch.device | None = None,
) -> Padded:
    """The sequence of the largest ln P / `length_penalty`, among those that a beam comes by.

    At each step the `width` most probable beginnings that have not ended go on. Each of them may also end. The search
    is over when no beginning can become better than the best sequence that has ended.

    Args:
        scores: see `Next`; it is asked about B * `width` sequences, those of one sample one behind the other.
        count: samples, B.
        start: the token that all begin behind.
        stop: the token that ends a sequence; it is the last of it, and counts.
        most: tokens at most: where no sequence has ended by then, the most probable beginning is taken.
        width: beginnings that are kept.
        alpha: how much longer sequences are favoured; 0: not at all.
        device: where the tokens are.

    Returns:
        the tokens behind the start token, (B, T), and how many each has.
    """
    tokens = torch.full((count, width, 1), start, device=device)
    alive = torch.full((count, width), -torch.inf, device=device)
    alive[:, 0] = 0.0  # all beginnings are the same one
    best = torch.full((count,), -torch.inf, device=device)
    ended = torch.zeros((count, most), dtype=torch.long, device=device)
    lengths = torch.full((count,), most, device=device)
    for step in range(1, most + 1):
        total = alive[..., None] + scores(tokens.flatten(0, 1)).log_softmax(dim=1).view(count, width, -1)
        value, place = (total[..., stop] / length_penalty(step, alpha)).max(dim=1)
        better = value > best
        best, lengths = torch.where(better, value, best), torch.where(better, step, lengths)
        whole = torch.nn.functional.pad(_picked(tokens, place[:, None])[:, 0, 1:], (0, most - step + 1))
        whole[:, step - 1] = stop
        ended = torch.where(better[:, None], whole, ended)
        total[..., stop] = -torch.inf
        alive, places = total.flatten(1).topk(width, dim=1)
        vocabulary = total.shape[2]
        tokens = torch.cat([_picked(tokens, places // vocabulary), (places % vocabulary)[..., None]], dim=2)
        if bool((best >= alive[:, 0] / length_penalty(most, alpha)).all()):
            break
    never = best == -torch.inf
    cut = torch.nn.functional.pad(tokens[:, 0, 1:], (0, most - tokens.shape[2] + 1))
    values = torch.where(never[:, None], cut, ended)
    return Padded(values[:, : int(lengths.max())], lengths)


def _picked(tokens: Tensor, places: Tensor) -> Tensor:
    """Some of each sample's sequences: (B, W, t) at (B, n) -> (B, n, t)."""
    return tokens.gather(1, places[..., None].expand(-1, -1, tokens.shape[2]))
