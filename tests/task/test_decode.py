"""Greedy and beam search against all sequences that there are."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from couloir.task.decode import beam, greedy, length_penalty

START, STOP, TOKENS, MOST = 0, 1, 4, 4


def table(seed: int) -> Tensor:
    """Of each sample the probability of a token behind another one, (B, V, V): a tiny language."""
    return (2 * torch.randn(3, TOKENS, TOKENS, generator=torch.Generator().manual_seed(seed))).softmax(dim=2)


def scores_of(p: Tensor, times: int = 1) -> Callable[[Tensor], Tensor]:
    """What the language says of the next token, for `times` sequences of each sample; it also goes by their length."""

    def scores(tokens: Tensor) -> Tensor:
        rows = torch.arange(len(p)).repeat_interleave(times)
        return p[rows, tokens[:, -1]].log() + 0.3 * tokens.shape[1] * torch.arange(TOKENS) / TOKENS

    return scores


def ln_p(p: Tensor, sample: int, sequence: tuple[int, ...]) -> float:
    """Of a sequence behind the start token, one step after the other."""
    total, before = 0.0, START
    for step, token in enumerate(sequence, start=1):
        scores = p[sample, before].log() + 0.3 * step * torch.arange(TOKENS) / TOKENS
        total += float(scores.log_softmax(dim=0)[token])
        before = token
    return total


def all_that_end() -> list[tuple[int, ...]]:
    others = [token for token in range(TOKENS) if token != STOP]
    return [(*body, STOP) for size in range(MOST) for body in itertools.product(others, repeat=size)]


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.5])
@pytest.mark.parametrize("seed", range(4))
def test_a_beam_that_is_wide_enough_finds_the_best_of_all_sequences(seed: int, alpha: float) -> None:
    p = table(seed)
    width = (TOKENS - 1) ** (MOST - 1)
    found = beam(scores_of(p, width), len(p), START, STOP, MOST, width, alpha)
    for sample, written in enumerate(found.samples()):
        best = max(all_that_end(), key=lambda each: ln_p(p, sample, each) / length_penalty(len(each), alpha))
        assert tuple(written.tolist()) == best


def test_a_narrow_beam_finds_at_least_what_greedy_search_does() -> None:
    p = table(1)
    narrow = beam(scores_of(p, 2), len(p), START, STOP, MOST, 2).samples()
    simple = greedy(scores_of(p), len(p), START, STOP, MOST).samples()
    for sample, (one, other) in enumerate(zip(narrow, simple, strict=True)):
        if other[-1] == STOP:
            assert ln_p(p, sample, tuple(one.tolist())) >= ln_p(p, sample, tuple(other.tolist())) - 1e-6


def test_greedy_search_takes_the_most_probable_token_until_the_stop() -> None:
    p = table(2)
    for sample, written in enumerate(greedy(scores_of(p), len(p), START, STOP, MOST).samples()):
        before, expected = START, []
        while len(expected) < MOST and STOP not in expected:
            scores = p[sample, before].log() + 0.3 * (len(expected) + 1) * torch.arange(TOKENS) / TOKENS
            before = int(scores.argmax())
            expected.append(before)
        assert written.tolist() == expected


@pytest.mark.parametrize("width", [1, 2])
def test_what_never_ends_is_cut_where_it_is_asked_to_be(width: int) -> None:
    def never(tokens: Tensor) -> Tensor:
        scores = torch.zeros(len(tokens), TOKENS)
        scores[:, STOP] = -torch.inf
        scores[:, 2] = 1.0
        return scores

    found = greedy(never, 2, START, STOP, 5) if width == 1 else beam(never, 2, START, STOP, 5, width)
    assert [row.tolist() for row in found.samples()] == [[2] * 5] * 2


def test_the_length_penalty_is_that_of_the_paper() -> None:
    assert length_penalty(1, 0.6) == 1.0
    assert length_penalty(13, 0.6) == pytest.approx(math.pow(18, 0.6) / math.pow(6, 0.6))
    assert length_penalty(40, 0.0) == 1.0
