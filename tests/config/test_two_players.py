"""What two players would ignore, or cannot do, is said before torch is imported."""

from __future__ import annotations

import pytest

import couloir
from couloir.config import contract, tree
from couloir.config.two_players import PENALTY
from couloir.errors import CouloirError


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trainer.gradient_clip_val=1.0"], "each player takes its own"),
        (["trainer.accumulate_grad_batches=2"], "each player takes its own"),
        (["on_nan=skip"], "each player takes its own"),
        (["callbacks.landscape.draw=true"], "each player has its own"),
        (["task.penalty=5"], "task.penalty=5 is of task.objective=wasserstein_gp"),
        (["task.conditional=true", "augmentation=cutmix"], "augmentation=cutmix mixes classes"),
    ],
)
def test_what_two_players_would_ignore_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(CouloirError, match=said):
        couloir.compose(["task=gan", *words])


def test_what_two_players_can_do_is_left_alone() -> None:
    assert couloir.compose(["task=gan", "task.penalty=5", "task.objective=wasserstein_gp"])
    assert couloir.compose(["task=gan", "augmentation=mixup"])
    assert couloir.compose(["task=vae", "trainer.gradient_clip_val=1.0"])


def test_the_usual_penalty_is_that_of_the_file() -> None:
    keys = {key.path: key.default for key in contract.read_keys(tree.choices("task")["gan"])}
    assert keys["penalty"] == PENALTY
