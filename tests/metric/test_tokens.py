"""Numbers of predicted tokens: exact over a split, whatever its batches are."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from couloir.metric.tokens import TokenMetrics, token_sums
from couloir.ragged import Padded


@pytest.fixture
def texts() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Scores (t, 5) and tokens (t,) of texts of several lengths."""
    generator = torch.Generator().manual_seed(0)
    lengths = (7, 1, 4, 4, 9)
    return [(torch.randn(t, 5, generator=generator) * 3, torch.randint(5, (t,), generator=generator)) for t in lengths]


def test_perplexity_is_of_all_tokens_and_not_the_mean_of_batches(
    texts: list[tuple[torch.Tensor, torch.Tensor]],
) -> None:
    metric = TokenMetrics(per_character=True)
    for part in (texts[:1], texts[1:3], texts[3:]):
        logits = torch.nn.utils.rnn.pad_sequence([scores for scores, _ in part], batch_first=True, padding_value=9.0)
        y = Padded.of([tokens for _, tokens in part])
        metric.update(*token_sums(logits, y), y.lengths * 2)
    scores = np.concatenate([each.numpy() for each, _ in texts]).astype(np.float64)
    tokens = np.concatenate([each.numpy() for _, each in texts])
    nats = -log_softmax(scores, axis=1)[np.arange(len(tokens)), tokens]
    values = {name: float(value) for name, value in metric.compute().items()}
    assert values["perplexity"] == pytest.approx(np.exp(nats.mean()), rel=1e-6)
    assert values["token_accuracy"] == (scores.argmax(axis=1) == tokens).mean()
    assert values["bits_per_character"] == pytest.approx(nats.sum() / (2 * len(tokens)) / math.log(2), rel=1e-6)


def test_what_is_filled_up_counts_nothing(texts: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    logits = torch.nn.utils.rnn.pad_sequence([scores for scores, _ in texts], batch_first=True, padding_value=-50.0)
    together = token_sums(logits, Padded.of([tokens for _, tokens in texts]))
    for place, (scores, tokens) in enumerate(texts):
        alone = token_sums(scores[None], tokens[None])
        assert together.nats[place].item() == pytest.approx(alone.nats.item(), abs=1e-5)
        assert (together.right[place], together.tokens[place]) == (alone.right[0], alone.tokens[0])
