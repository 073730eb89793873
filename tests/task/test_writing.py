"""Writing text: the probabilities of the next token by hand, and what a network sees while it writes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from couloir.data.sequence.vocabulary import START, STOP, UNKNOWN, Vocabulary
from couloir.errors import CouloirError
from couloir.model.sequence.recurrent import recurrent
from couloir.task.writing import Choice, chances, continued, drawn, ended, keeps_state, never, numbers_for

SCORES = torch.tensor([[2.0, 0.5, 1.0, -1.0, 2.0], [0.0, 0.0, 0.0, 0.0, 3.0]])


def by_hand(row: np.ndarray, temperature: float, top_k: int | None, top_p: float | None) -> np.ndarray:
    """The same in NumPy, token by token."""
    shares = np.exp(row / temperature)
    shares /= shares.sum()
    order = sorted(range(len(row)), key=lambda token: (-shares[token], token))
    kept = order if top_k is None else order[:top_k]
    total = sum(shares[token] for token in kept)
    if top_p is not None:
        nucleus: list[int] = []
        while sum(shares[token] for token in nucleus) / total < top_p and len(nucleus) < len(kept):
            nucleus.append(kept[len(nucleus)])
        kept = nucleus
    found = np.zeros(len(row))
    found[kept] = shares[kept] / shares[kept].sum()
    return found


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("top_k", [None, 1, 2, 3, 9])
@pytest.mark.parametrize("top_p", [None, 0.01, 0.4, 0.75, 1.0])
def test_probabilities_are_those_worked_out_by_hand(temperature: float, top_k: int | None, top_p: float | None) -> None:
    found = chances(SCORES, Choice(temperature, top_k, top_p))
    for row, scores in zip(found.numpy(), SCORES.double().numpy(), strict=True):
        np.testing.assert_allclose(row, by_hand(scores, temperature, top_k, top_p), atol=1e-12)


def test_a_nucleus_is_the_fewest_tokens_that_reach_it() -> None:
    shares = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    assert (chances(shares, Choice(top_p=0.6))[0] > 0).tolist() == [True, True, False, False]
    np.testing.assert_allclose(chances(shares, Choice(top_p=0.6))[0, :2], [0.625, 0.375], atol=1e-6)


def test_temperature_0_takes_the_first_of_the_likeliest_and_a_small_one_overflows_nothing() -> None:
    assert chances(SCORES, Choice(0.0)).argmax(dim=1).tolist() == [0, 4]
    assert chances(SCORES, Choice(0.0)).sum(dim=1).tolist() == [1.0, 1.0]
    np.testing.assert_allclose(chances(SCORES, Choice(1e-6))[0], [0.5, 0, 0, 0, 0.5])


def test_draws_have_the_frequencies_of_the_probabilities() -> None:
    shares = torch.tensor([[0.2, 0.0, 0.5, 0.3, 0.0]], dtype=torch.float64)
    at = (torch.arange(1000) + 0.5) / 1000
    counts = torch.bincount(drawn(shares.expand(1000, 5), at), minlength=5)
    assert counts.tolist() == [200, 0, 500, 300, 0]
    assert drawn(shares, torch.tensor([1.0])).item() == 3, "rounding never leads to a token that cannot be drawn"


class Counting(nn.Module):
    """The next token is the one before it plus one; it notes what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[list[int]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.shown.append(x[0].tolist())
        return nn.functional.one_hot((x + 1) % 7, 7).float() * 9


def test_a_network_without_a_state_sees_the_last_tokens_alone() -> None:
    net = Counting()
    start = torch.tensor([[4, 5]])
    found = continued(net, start, 5, Choice(0.0), torch.zeros(1, 5), window=3)
    assert found.tolist() == [[6, 0, 1, 2, 3]]
    assert net.shown == [[4, 5], [4, 5, 6], [5, 6, 0], [6, 0, 1], [0, 1, 2]]
    assert not keeps_state(net)


def test_a_recurrent_network_that_keeps_its_state_writes_what_it_would_write_if_it_read_all_again() -> None:
    torch.manual_seed(0)
    net = recurrent("gru", None, 9, 9, answers="steps", width=6).eval()
    assert keeps_state(net)
    start, at = torch.tensor([[1, 2, 3], [5, 5, 0]]), numbers_for(range(2), 12, seed=3)
    found = continued(net, start, 12, Choice(0.9, 5), at)
    whole = start
    for place in range(12):
        with torch.inference_mode():
            shares = chances(net(whole)[:, -1], Choice(0.9, 5))
        whole = torch.cat([whole, drawn(shares, at[:, place])[:, None]], dim=1)
    assert found.tolist() == whole[:, 3:].tolist()


def test_a_text_follows_from_its_number_and_the_seed_alone() -> None:
    torch.manual_seed(0)
    net = recurrent("lstm", None, 9, 9, answers="steps", width=6).eval()
    start = torch.tensor([[1, 2, 3]])
    two = continued(net, start.expand(2, 3), 8, Choice(), numbers_for([0, 1], 8, seed=4))
    alone = continued(net, start, 5, Choice(), numbers_for([1], 5, seed=4))
    assert alone.tolist() == two[1:, :5].tolist()
    assert two[0].tolist() != two[1].tolist()
    assert continued(net, start, 8, Choice(), numbers_for([0], 8, seed=5)).tolist() != two[:1].tolist()


class Nowhere(nn.Module):
    """Scores that are no numbers."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.full((1, 1, 7), torch.nan)


def test_special_tokens_are_never_written_and_scores_that_are_no_numbers_are_refused() -> None:
    net = Counting()
    assert continued(net, torch.tensor([[4]]), 3, Choice(0.0), torch.zeros(1, 3), never=[5]).tolist()[0][0] != 5
    with pytest.raises(CouloirError, match="NaN or infinite"):
        continued(Nowhere(), torch.tensor([[4]]), 1, Choice(), torch.zeros(1, 1))


def test_special_tokens_are_no_text_and_the_last_one_ends_it() -> None:
    words = Vocabulary("word", [UNKNOWN, START, STOP, "the", "cat", "."], lowercase=True)
    assert never(words) == [0, 1]
    assert ended(words, "the", [3], [4, 2, 4]) == "the cat"
    assert ended(words, "", [5], [3, 4]) == "the cat", "what a text begins behind is not printed"
