"""Keys that do not go together are refused before torch is imported, by their names."""

from __future__ import annotations

import pytest

from couloir.config.check import checked
from couloir.errors import CouloirError


@pytest.mark.parametrize(
    ("words", "fact", "step"),
    [
        (["data=reversed", "model.heads=3"], "3 heads cannot share 64 numbers", "model.width=66"),
        (["data=descriptions", "model=gpt", "model.width=30"], "4 heads cannot share 30 numbers", "model.width=32"),
        (["data=digits", "scheduler=noam", "scheduler.factor=1"], "model.width does not say it", "scheduler.width=512"),
        (
            ["data=digits_rows", "model=transformer_encoder", "model.positions=learned", "model.steps=null"],
            "Learned positions need to know how many steps", "model.positions=sinusoidal",
        ),
    ],
)  # fmt: skip
def test_what_attention_needs_of_other_keys_is_said(words: list[str], fact: str, step: str) -> None:
    with pytest.raises(CouloirError) as error:
        checked(words)
    assert fact in error.value.fact
    assert step in str(error.value.next_step)


def test_keys_that_go_together_are_taken() -> None:
    checked(["data=reversed", "model.heads=2", "scheduler=noam", "scheduler.factor=1"])
    checked(["data=digits_rows", "model=transformer_encoder", "model.positions=learned"])
