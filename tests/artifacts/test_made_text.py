"""Text that is written after an epoch continues the validation text, is the network's own, and disturbs nothing."""

from __future__ import annotations

import pytest
import torch

import couloir
from couloir.artifacts.made_text import CHOICE, TOKENS, TOKENS_ANEW, begun, made_text
from couloir.data.sequence.text import tokens_of
from couloir.data.sequence.text_file import text_of
from couloir.run.assemble import build_network, load_data
from couloir.task.build import build_task
from couloir.task.next_token import NextToken
from couloir.task.writing import continued, never, numbers_for


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["model=lstm", "data.carry_state=true"], TOKENS),
        (["model=gpt", "model.layers=1", "model.heads=1", "data.tokens=word", "data.length=6"], TOKENS_ANEW),
    ],
    ids=["state", "words"],
)
def test_it_continues_the_validation_text_and_moves_nothing(words: list[str], count: int) -> None:
    cfg = couloir.compose(["data=descriptions", "model.width=8", "data.batch_size=4", *words]).cfg
    data = load_data(cfg, reports=False)
    task = build_task(cfg, build_network(cfg, data), data)
    assert isinstance(task, NextToken)
    task.train()
    task.kept = task.measuring = "a state"
    found = begun(task, data)
    assert found is not None
    before = torch.get_rng_state()
    written = made_text(task, found, None, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert task.net.training
    assert (task.kept, task.measuring) == ("a state", "a state")
    assert written == made_text(task, found, None, seed=3)
    assert written != made_text(task, found, None, seed=4)

    unit = data.vocabulary.unit
    part = tokens_of(text_of("descriptions", cfg.data)).parts["val"][: found.tokens.shape[1]]
    assert found.tokens[0].tolist() == list(part)
    assert written.prompt == data.vocabulary.decode(part)
    assert len(written.prompt) == 32 if unit == "character" else found.tokens.shape[1] <= 6
    task.eval()
    at = numbers_for([0], count, 3)
    expected = continued(task.net, found.tokens, count, CHOICE, at, cfg.data.length, never(data.vocabulary))[0].tolist()
    assert written.text == (" " if unit == "word" else "") + data.vocabulary.decode(expected)


def test_a_task_that_predicts_no_token_writes_nothing() -> None:
    assert begun(torch.nn.Linear(1, 1), object()) is None
