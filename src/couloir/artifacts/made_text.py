"""What a network writes, as text: `samples/epoch_0001.txt` and so on continue the same text after each epoch."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from couloir.data.sequence.vocabulary import Vocabulary
from couloir.layer_kinds import looking
from couloir.ragged import Padded
from couloir.record.film import Written
from couloir.task.next_token import NextToken
from couloir.task.writing import Choice, continued, ended, keeps_state, never, numbers_for

CHOICE = Choice(temperature=0.8)
"""How tokens are chosen: below 1, so that a network that knows little writes what it knows best."""
TOKENS, TOKENS_ANEW = 200, 100
"""Of a text where nobody says how many: of a network that keeps its state, and of one that reads all again for each."""
PROMPT = 32
"""Characters of the prompt: so many that the last word is whole or nearly so."""


class Begun(NamedTuple):
    """A text that is continued after each epoch.

    Attributes:
        vocabulary: what tokens stand for.
        tokens: of the prompt, (1, T).
        window: tokens that the network sees at most: those of a window of the training.
    """

    vocabulary: Vocabulary
    tokens: Tensor
    window: int


def begun(module: object, data: Any) -> Begun | None:
    """The first characters of the validation text; None where a task writes no text, or nobody says what tokens are.

    No random number of the run is drawn.

    Args:
        module: the task of the run.
        data: its data, set up.
    """
    vocabulary = getattr(data, "vocabulary", None)
    if not isinstance(module, NextToken) or not isinstance(vocabulary, Vocabulary) or not hasattr(data, "seen"):
        return None
    first, window = (_values(data.seen(split, np.array([0]))[module.input]) for split in ("val", "train"))
    numbers = first[0].tolist()
    count = 1
    while count < len(numbers) and len(vocabulary.decode(numbers[:count])) < PROMPT:
        count += 1
    return Begun(vocabulary, first[:, :count].cpu(), window.shape[1])


def made_text(module: NextToken, begun: Begun, count: int | None, seed: int) -> Written:
    """What a network writes behind a prompt.

    Its modes, its buffers, the state that it carries in training, and the random numbers of the run stay as they are.

    Args:
        module: the task.
        begun: of `begun`.
        count: tokens; None: `TOKENS` or `TOKENS_ANEW`.
        seed: of the draws.

    Raises:
        CouloirError: its scores are not finite.
    """
    vocabulary, tokens, window = begun
    count = count or (TOKENS if keeps_state(module.net) else TOKENS_ANEW)
    with looking(module):
        found = continued(
            module.net, tokens.to(module.device), count, CHOICE, numbers_for([0], count, seed), window,
            never(vocabulary),
        )  # fmt: skip
    start, new = tokens[0].tolist(), found[0].tolist()
    prompt, whole = vocabulary.decode(start), ended(vocabulary, "whole", start, new)
    # What stands between two words belongs to the text. A prompt may end within a character of several bytes.
    text = whole[len(prompt) :] if whole.startswith(prompt) else ended(vocabulary, "", [], new)
    return Written(prompt, text, f"temperature {CHOICE.temperature:g}, seed {seed}")


def _values(field: Tensor | Padded) -> Tensor:
    return field.values if isinstance(field, Padded) else field
