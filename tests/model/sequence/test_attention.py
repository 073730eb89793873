"""Attention against its equation, written out in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from couloir.model.sequence.attention import Attention

WIDTH, HEADS = 6, 2


def by_hand(layer: Attention, x: Any, memory: Any, there: Any, causal: bool) -> tuple[Any, Any]:
    """The answer (B, T, D) and the weights (B, h, T, S), one query and one head after the other."""
    weight, bias = layer.project.weight.detach().numpy(), layer.project.bias.detach().numpy()
    if layer.query is None:
        q, k, v = np.split(x @ weight.T + bias, 3, axis=2)
    else:
        q = x @ layer.query.weight.detach().numpy().T + layer.query.bias.detach().numpy()
        k, v = np.split(memory @ weight.T + bias, 2, axis=2)
    size = WIDTH // HEADS
    weights = np.zeros((len(x), HEADS, q.shape[1], k.shape[1]))
    joined = np.zeros_like(q)
    for b in range(len(x)):
        for h in range(HEADS):
            own = slice(h * size, (h + 1) * size)
            for t in range(q.shape[1]):
                scores = np.exp([q[b, t, own] @ k[b, s, own] / size**0.5 for s in range(k.shape[1])])
                scores = scores * [(there is None or there[b, s]) and (not causal or s <= t) for s in range(k.shape[1])]
                weights[b, h, t] = scores / scores.sum()
                joined[b, t, own] = sum(weights[b, h, t, s] * v[b, s, own] for s in range(k.shape[1]))
    return joined @ layer.out.weight.detach().numpy().T + layer.out.bias.detach().numpy(), weights


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("form", ["whole", "causal", "across"])
def test_attention_is_the_equation_with_every_mask_whether_weights_are_kept_or_not(form: str, padded: bool) -> None:
    torch.manual_seed(0)
    layer = Attention(WIDTH, HEADS, across=form == "across").eval()
    x = torch.randn(3, 4, WIDTH)
    memory = torch.randn(3, 5, WIDTH) if form == "across" else None
    steps = 5 if memory is not None else 4
    there = torch.arange(steps) < torch.tensor([[steps], [2], [1]]) if padded else None
    answer, weights = by_hand(layer, x.numpy(), None if memory is None else memory.numpy(), there, form == "causal")
    for keeps in (False, True):
        layer.keeps = keeps
        assert np.allclose(layer(x, memory, there, causal=form == "causal").detach(), answer, atol=1e-5)
    assert layer.weights is not None
    assert np.allclose(layer.weights, weights, atol=1e-6)


def test_attention_keeps_no_weights_that_nobody_asked_for() -> None:
    layer = Attention(WIDTH, HEADS)
    layer(torch.randn(1, 3, WIDTH))
    assert layer.weights is None


def test_dropout_leaves_out_weights_in_training_alone() -> None:
    torch.manual_seed(0)
    layer, x = Attention(WIDTH, HEADS, dropout=0.5), torch.randn(2, 8, WIDTH)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))
