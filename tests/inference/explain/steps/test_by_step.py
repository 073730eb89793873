"""What steps add to a score, against numbers worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from couloir.inference.explain.steps.by_step import without_each
from couloir.inference.explain.steps.sequences import LETTERS, Inside, excerpt, samples_of
from couloir.inference.explain.where.attribution import attributed
from couloir.ragged import Padded


class Tied(nn.Module):
    """Adds the vectors of tokens to that of a start token, and gives its product with each vector."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        read = self.embedding(x).sum(dim=1)
        start = self.embedding(torch.zeros(len(x), 1, dtype=torch.int64))[:, 0]
        return (read + start) @ self.embedding.weight.detach().T


def over(net: nn.Module, kind: str) -> Any:
    def score(x: Tensor, target: Tensor) -> Tensor:
        return net(x).gather(1, target[:, None])[:, 0]

    return SimpleNamespace(net=net, kind=kind, axis=1, score=score)


def test_the_vectors_of_tokens_are_followed_and_not_those_of_another_call_of_the_embedding() -> None:
    torch.manual_seed(0)
    net, target = Tied().requires_grad_(False), torch.tensor([2])
    for tokens in ([[3]], [[1, 3, 1]]):  # one token has the shape of the start token
        x = torch.tensor(tokens)
        inside = Inside(over(net, "tokens"), x)
        made = attributed(inside, inside.values, target, inside.baseline(), 4, 4)
        by_hand = net.embedding.weight[x[0]] @ net.embedding.weight[2]
        torch.testing.assert_close(made.values[0].sum(dim=1), by_hand)


def test_a_score_falls_by_what_the_step_that_is_left_out_has_added() -> None:
    torch.manual_seed(0)
    net, x = Tied().requires_grad_(False), torch.tensor([[1, 3, 2]])
    by_hand = net.embedding.weight[x[0]] @ net.embedding.weight[2]
    torch.testing.assert_close(without_each(over(net, "tokens"), x, torch.tensor(2)), by_hand)
    series = torch.randn(1, 6, 2)
    summed = over(nn.Sequential(nn.Flatten(1), nn.Linear(12, 1)).requires_grad_(False), "series")
    weights = summed.net[1].weight.reshape(6, 2)
    torch.testing.assert_close(
        without_each(summed, series, torch.tensor(0)), (weights * series[0]).sum(dim=1), atol=1e-6, rtol=1e-5
    )


def test_sequences_lose_their_padding() -> None:
    padded = Padded.of([torch.ones(2, 3), torch.ones(4, 3)])
    assert [tuple(each.shape) for each in samples_of(padded, "series")] == [(1, 2, 3), (1, 4, 3)]


def test_a_long_text_shows_the_end_that_its_last_token_stands_in() -> None:
    text = "".join(chr(97 + place % 26) for place in range(LETTERS + 7))
    assert excerpt(text[:LETTERS]) == text[:LETTERS]
    assert excerpt(text) == text[: LETTERS - 1] + "…"
    assert excerpt(text, end=True) == "…" + text[8:]
