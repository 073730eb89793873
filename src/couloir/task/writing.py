"""Text that a network writes: one token after the other, each drawn out of the scores for the one that comes next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from couloir.data.sequence.vocabulary import START, STOP, UNKNOWN, Vocabulary
from couloir.errors import CouloirError
from couloir.task.generative import uniform

STREAM = 11
"""Of the draws of tokens, so that no other draw of the same number and seed is the same."""


class Choice(NamedTuple):
    """How the next token is chosen.

    Attributes:
        temperature: what scores are divided by; 0: the likeliest token is taken, and nothing is drawn.
        top_k: tokens among which it is drawn at most, the likeliest ones; None: all.
        top_p: it is drawn among the likeliest tokens that together have this probability; None: among all.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None


def chances(scores: Tensor, choice: Choice) -> Tensor:
    """The probability with which each token is drawn, (B, V) of float64, each row with the sum 1.

    First the temperature, then the `top_k` likeliest tokens, then of these the fewest whose probabilities reach `top_p`
    (Holtzman et al., 2020, The Curious Case of Neural Text Degeneration, section 3.1). Of equal scores the first token
    comes first.

    Args:
        scores: (B, V); minus infinity: that token is never drawn.
        choice: how.
    """
    values = scores.detach().double()
    if choice.temperature == 0:
        return torch.zeros_like(values).scatter(1, values.argmax(dim=1, keepdim=True), 1.0)
    largest = values.amax(dim=1, keepdim=True)  # subtracted first, as a small temperature makes large numbers
    shares = ((values - largest) / choice.temperature).softmax(dim=1)
    if choice.top_k is None and choice.top_p is None:
        return shares
    ordered, order = shares.sort(dim=1, descending=True, stable=True)
    if choice.top_k is not None:
        ordered[:, choice.top_k :] = 0
        ordered /= ordered.sum(dim=1, keepdim=True)
    if choice.top_p is not None:
        before = ordered.cumsum(dim=1) - ordered
        ordered[:, 1:] *= before[:, 1:] < choice.top_p
    shares = torch.zeros_like(shares).scatter(1, order, ordered)
    return shares / shares.sum(dim=1, keepdim=True)


def drawn(shares: Tensor, at: Tensor) -> Tensor:
    """The token that a number from [0, 1) falls on where the probabilities lie end to end, (B,) int64.

    Args:
        shares: of `chances`, (B, V).
        at: (B,).
    """
    ends = shares.cumsum(dim=1)
    found = (ends <= at.to(ends)[:, None] * ends[:, -1:]).sum(dim=1)
    # Rounding may lead behind the last token that can be drawn.
    last = shares.shape[1] - 1 - (shares.flip(1) > 0).double().argmax(dim=1)
    return torch.minimum(found, last)


def keeps_state(net: nn.Module) -> bool:
    """Whether a network goes on from a state, and need not see again what came before."""
    return hasattr(net, "carried") and hasattr(getattr(net, "body", net), "carried")


def continued(
    net: nn.Module, start: Tensor, count: int, choice: Choice, at: Tensor, window: int | None = None,
    never: Sequence[int] = (),
) -> Tensor:  # fmt: skip
    """The tokens that follow, (B, count) int64, without gradients.

    A recurrent network keeps its state from token to token. Any other sees the last `window` tokens each time.

    Args:
        net: (B, T) int64 -> scores (B, T, V), in evaluation mode.
        start: the tokens before, (B, T), T at least 1, where the network is.
        count: tokens that follow.
        choice: how they are chosen.
        at: numbers from [0, 1) that the draws follow from, (B, count).
        window: tokens that the network sees at most; None: all.
        never: tokens that are never chosen.

    Raises:
        CouloirError: the scores are not finite.
    """
    seen, new, state = start, start, None
    carries = keeps_state(net)
    at = at.to(start.device)
    with torch.inference_mode():
        for place in range(count):
            if carries:
                output, state = cast(Any, net).carried(new, state)
            else:
                # Not `net(...)`: a network that is compiled would be compiled for each length of the text.
                output = net.forward(seen if window is None else seen[:, -window:])
            scores = output[:, -1].double()
            if not torch.isfinite(scores).all():
                raise CouloirError(
                    "The scores of the next token are NaN or infinite, so that no token can be chosen.",
                    next_step="couloir diagnose says what became of the run",
                )
            scores[:, list(never)] = -torch.inf
            new = drawn(chances(scores, choice), at[:, place])[:, None]
            seen = torch.cat([seen, new], dim=1)
    return seen[:, start.shape[1] :].clone()


def numbers_for(texts: Sequence[int], count: int, seed: int) -> Tensor:
    """Numbers from [0, 1) for the draws of some texts, (B, count): each text's follow from the seed and its number
    alone, and a longer text begins with those of a shorter one.
    """
    return uniform(torch.tensor(list(texts), dtype=torch.int64), (count,), STREAM, seed)


def never(vocabulary: Vocabulary) -> list[int]:
    """The tokens that stand for no text, and that are never written; one that ends a text is."""
    return [vocabulary.numbers[token] for token in (UNKNOWN, START) if token in vocabulary.numbers]


def ended(vocabulary: Vocabulary, prompt: str, start: list[int], tokens: list[int]) -> str:
    """The text of a prompt and of what follows it, up to a token that ends it."""
    stop = vocabulary.numbers.get(STOP)
    kept = tokens[: tokens.index(stop)] if stop in tokens else tokens
    return vocabulary.decode([*start, *kept] if prompt else kept)
