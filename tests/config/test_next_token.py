"""Which networks keep a state: what a sentence is told that asks another to carry one."""

from __future__ import annotations

from couloir.config.next_token import keeping_state


def test_the_networks_that_keep_a_state_are_named() -> None:
    assert keeping_state() == ["gru", "lstm", "rnn"]
