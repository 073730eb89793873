"""What a sentence is told whose task, network or sizes do not go with the tokens that are predicted."""

from __future__ import annotations

import pytest

from couloir.config import tree
from couloir.config.check import checked
from couloir.config.next_token import fitting_models, keeping_state
from couloir.errors import CouloirError

CAUSAL = ["gpt", "gru", "lstm", "rnn", "tcn", "wavenet"]
FIT = ", ".join(CAUSAL)


def test_the_networks_that_keep_a_state_are_named() -> None:
    assert keeping_state() == ["gru", "lstm", "rnn"]


def test_the_networks_that_predict_the_next_token_are_named() -> None:
    assert fitting_models("next_token") == CAUSAL
    assert fitting_models("translation") == ["transformer"]
    assert set(CAUSAL) < set(tree.choices("model"))


@pytest.mark.parametrize(
    ("words", "fact", "next_step"),
    [
        ("data=descriptions model=conv1d", "has no answer for each step", FIT),
        ("data=descriptions model=transformer_encoder", "sees all steps", FIT),
        ("data=descriptions model=text_cnn", "needs classes", f"leave model=text_cnn out, or take one of: {FIT}"),
        ("data=descriptions model=transformer", "task=translation, which model=transformer is made for,", "model=gpt"),
        ("data=reversed task=next_token model=gpt", "task=next_token does not fit data=reversed", "task=translation"),
        ("data=digits model=transformer", "is made for task=translation, which needs tokens", "leave model=transf"),
        ("data=descriptions data.num_classes=5", "has 92 tokens to choose from, not 5", "leave data.num_classes out"),
        ("data=descriptions data.vocabulary_size=50", "has 92 different tokens, not 50", "data.vocabulary_size out"),
        ("data=description_sentences data.num_classes=3", "has 5 classes, not 3", "leave data.num_classes out"),
    ],
)
def test_what_does_not_go_with_the_tokens_is_refused_before_torch_is_imported(
    words: str, fact: str, next_step: str
) -> None:
    with pytest.raises(CouloirError) as caught:
        checked(words.split())
    assert fact in str(caught.value)
    assert next_step in str(caught.value.next_step)
